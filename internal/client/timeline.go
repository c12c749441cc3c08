package client

import (
	"cmp"
	"slices"

	"chatd/internal/chat"
)

// Outcome says what became of an event that a [Timeline] was given.
type Outcome int

const (
	Show   Outcome = iota // next in order, now part of the timeline
	Repeat                // already there, dropped
	Broken                // does not follow: join again, after Last
)

// A Timeline is one person's view of one room: its newest events in the feed's
// order, without gaps or repeats. It does no I/O and is not safe for concurrent
// use. The zero Timeline is one that was never joined and keeps all events.
type Timeline struct {
	// Keep is how many events stay, the newest; 0 keeps all. A repeat of an
	// event that did not stay is Broken, which costs a join and nothing else.
	Keep int

	joined bool
	last   chat.EventID
	events []Event
}

// Last returns the newest event's id: the after of the next join. "" when the
// room was never joined or is known to be empty.
func (t *Timeline) Last() chat.EventID { return t.last }

// Events returns the events that are kept, oldest first. The slice is the
// Timeline's own.
func (t *Timeline) Events() []Event { return t.events }

// Joined takes the answer to a join whose after was [Timeline.Last] at the time.
//
// It returns what is now to be shown: the events that continue the view, or,
// with replaced, the whole new view. ok is false when the events do not follow
// each other or, resumed, do not continue the view: those before the break are
// returned, and the room must be joined again.
//
// A view that is known to be empty is continued by a room's first event, so the
// server's resumed:false, its answer to a join without after, replaces nothing.
func (t *Timeline) Joined(resumed bool, events []Event, head chat.EventID) (shown []Event, replaced, ok bool) {
	fromStart := len(events) == 0 && head == "" || len(events) > 0 && events[0].Prev == ""
	if !t.joined || !resumed && (t.last != "" || !fromStart) {
		replaced = true
		t.joined, t.events, t.last = true, nil, head
		if len(events) > 0 {
			t.last = events[0].Prev
		}
	}
	for i, ev := range events {
		switch t.Live(ev) {
		case Show:
			shown = append(shown, ev)
		case Broken:
			return events[:i:i], replaced, false
		}
	}
	return shown, replaced, true
}

// Live takes one event that came outside an answer.
func (t *Timeline) Live(ev Event) Outcome {
	switch {
	case t.has(ev):
		return Repeat
	case !t.joined || ev.Prev != t.last || ev.ID == "":
		return Broken
	}
	t.last = ev.ID
	t.events = append(t.events, ev)
	if n := len(t.events); t.Keep > 0 && n >= 2*t.Keep {
		t.events = append([]Event(nil), t.events[n-t.Keep:]...)
	}
	return Show
}

func (t *Timeline) has(ev Event) bool {
	if ev.ID == t.last && ev.ID != "" {
		return true
	}
	i, found := slices.BinarySearchFunc(t.events, ev.Seq, func(e Event, seq int64) int { return cmp.Compare(e.Seq, seq) })
	return found && t.events[i].ID == ev.ID
}
