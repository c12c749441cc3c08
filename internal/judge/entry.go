package judge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"
)

// A Kind says what an Entry tells.
type Kind string

const (
	// LoggedIn says that Client is User from here on.
	LoggedIn Kind = "logged_in"
	// Opened says that Client starts with empty views: a page was loaded.
	Opened Kind = "opened"
	// Sent says that User asked Client to send Event, which has Type, Key, Text
	// and Target. A repeat of the same request is not told again.
	Sent Kind = "sent"
	// Confirmed says that Client was told that Event.Key became Event.ID.
	Confirmed Kind = "confirmed"
	// Refused says that Client was told that Event.Key failed for ever, with Code.
	Refused Kind = "refused"
	// Shown says that Event was put at the end of Client's view of Room; Replay,
	// that it came when the room was joined, not live.
	Shown Kind = "shown"
	// Replaced says that Client's view of Room is now Events. Had is the last
	// event of the view before, as the reader was told; "" for a first view. Far is
	// cause enough for a gap.
	Replaced Kind = "replaced"
	// Gap says that Client was told that something may be missing at the end of
	// its view of Room. Whatever is shown next need not follow.
	Gap Kind = "gap"
	// Wrong says that Client saw the server break the contract; Note says how.
	Wrong Kind = "wrong"
	// Ending says that the login of Client is being ended: it may be told at any
	// moment, and is served until Ended.
	Ending Kind = "ending"
	// Ended says that the logins of User, or only that of Client, ended with cause.
	Ended Kind = "ended"
	// LoggedOut says that Client was told to log in again.
	LoggedOut Kind = "logged_out"
	// DataLost says that Redis itself lost data, or may be about to.
	DataLost Kind = "data_lost"
	// Kept says that Redis holds all that was confirmed so far, whatever it loses
	// from here on.
	Kept Kind = "kept"
	// Feed tells the Events of Room as a fresh login pages them, at the end.
	Feed Kind = "feed"
	// End says that Client had every chance to catch up in Room. It comes last.
	End Kind = "end"
)

// Gone is the type of an event whose content was taken back, by one of type
// Retracted. Other types are only compared.
const (
	Gone      = "gone"
	Retracted = "retracted"
)

// An Event is a durable event of a room. Prev "" at a Seq above 1 means not known.
type Event struct {
	ID     string `json:"id,omitempty"`
	Prev   string `json:"prev,omitempty"`
	Seq    int64  `json:"seq,omitempty"` // from 1, growing by one
	Type   string `json:"type,omitempty"`
	From   string `json:"from,omitempty"`
	Key    string `json:"key,omitempty"` // unique for From in a room
	Target string `json:"target,omitempty"`
	Text   string `json:"text,omitempty"`
}

// An Entry is one line of a history. Which fields count is told by Kind.
type Entry struct {
	At     time.Time `json:"at"`
	Kind   Kind      `json:"kind"`
	Client string    `json:"client,omitempty"`
	User   string    `json:"user,omitempty"`
	Room   string    `json:"room,omitempty"`
	Event  Event     `json:"event,omitzero"`
	Events []Event   `json:"events,omitempty"`
	Had    string    `json:"had,omitempty"`
	Replay bool      `json:"replay,omitempty"`
	Far    bool      `json:"far,omitempty"` // Replaced: more was missed than the contract lets a join bring
	Code   string    `json:"code,omitempty"`
	Note   string    `json:"note,omitempty"`
}

// Write writes entries as JSON, one to a line.
func Write(w io.Writer, entries ...Entry) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	return nil
}

// Read returns the entries that Write wrote, and ends after the first error. A
// last line that was cut, as by a kill, is an error too.
func Read(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		dec := json.NewDecoder(bufio.NewReader(r))
		for n := 1; ; n++ {
			var e Entry
			err := dec.Decode(&e)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(e, fmt.Errorf("read history, entry %d: %w", n, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}
