package chat

import (
	"strconv"
	"strings"
)

// Kinds of durable events. Gone stands in a replay in the place of an event
// whose content was retracted.
const (
	Message   = "message"
	Edited    = "edited"
	Retracted = "retracted"
	Reacted   = "reacted"
	Gone      = "gone"
)

// An EventID names an event of a room for ever: "SEQ-NONCE", the id of its
// entry in the room's Redis stream. Seq counts the room's events from 1; the
// nonce is 63 random bits, so that two events at one seq, on two forks of a
// room's history, never share an id. "" stands before a room's first event.
type EventID string

// Seq returns the event's place in its room, 0 for "" and for what is no id.
func (id EventID) Seq() int64 {
	seq, _, _ := strings.Cut(string(id), "-")
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// ParseEventID returns id, or a bad_request error naming field when id cannot
// be an event's. "" is accepted.
func ParseEventID(field, id string) (EventID, error) {
	if id == "" {
		return "", nil
	}
	seq, nonce, ok := strings.Cut(id, "-")
	n, err1 := strconv.ParseInt(seq, 10, 64)
	m, err2 := strconv.ParseInt(nonce, 10, 64)
	if !ok || err1 != nil || err2 != nil || n < 1 || m < 0 || n > maxSeq ||
		strconv.FormatInt(n, 10)+"-"+strconv.FormatInt(m, 10) != id {
		return "", BadRequest("%s is not the id of an event", field)
	}
	return EventID(id), nil
}

// maxSeq is the largest integer that Lua and JavaScript count exactly.
const maxSeq = 1<<53 - 1

// Newest returns the last of the events that together have at most so many bytes,
// and one at least, if there is one.
func Newest(events []Event, bytes int) []Event {
	from := len(events)
	for from > 0 && (from == len(events) || bytes >= len(events[from-1].Data)) {
		from--
		bytes -= len(events[from].Data)
	}
	return events[from:]
}

// Oldest returns the first of the events that together have at most so many bytes,
// and one at least, if there is one, and the rest.
func Oldest(events []Event, bytes int) (first, rest []Event) {
	to := 0
	for to < len(events) && (to == 0 || bytes >= len(events[to].Data)) {
		bytes -= len(events[to].Data)
		to++
	}
	return events[:to], events[to:]
}

// An Event is one durable event as it goes to readers. Data is its JSON, made
// once where the event was made, shared by all readers and never changed.
type Event struct {
	ID   EventID
	Prev EventID
	Data []byte
}
