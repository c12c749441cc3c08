package client

import (
	"errors"
	"slices"
	"time"
)

// ErrFull says that an [Outbox] holds as many items as it may.
var ErrFull = errors.New("outbox is full")

// An Item is one change that a person makes to a room: a send, edit or retract.
// Type, Room, Key and the rest never change: each repeat is the same request.
type Item struct {
	Type   string `json:"type"`
	Room   string `json:"room"` // canonical: two names of one room would be two orders
	Key    string `json:"key"`
	Target string `json:"target,omitempty"`
	Text   string `json:"text,omitempty"`
}

// An Outbox holds what is not yet confirmed or refused. In each room the oldest
// item is the only one that may be under way, so a sender's order survives every
// fault. It does no I/O and is not safe for concurrent use.
type Outbox struct {
	max   int
	n     int
	lanes []*lane // in the order in which their rooms were first used
}

type lane struct {
	room     string
	items    []Item
	underWay bool // items[0] was taken and has no answer yet
	notUntil time.Time
}

// NewOutbox returns an Outbox for at most max items.
func NewOutbox(max int) *Outbox { return &Outbox{max: max} }

// Len returns how many items wait or are under way.
func (o *Outbox) Len() int { return o.n }

// Add puts it behind all others of its room, or returns [ErrFull].
func (o *Outbox) Add(it Item) error {
	if o.n >= o.max {
		return ErrFull
	}
	l := o.lane(it.Room)
	if l == nil {
		l = &lane{room: it.Room}
		o.lanes = append(o.lanes, l)
	}
	l.items = append(l.items, it)
	o.n++
	return nil
}

// Take returns the items to send now, at most one of each room, which are then
// under way. next is when there may be more, the zero time when only an answer
// or a new item can bring that.
func (o *Outbox) Take(now time.Time) (items []Item, next time.Time) {
	for _, l := range o.lanes {
		switch {
		case l.underWay:
		case l.notUntil.After(now):
			next = earlier(next, l.notUntil)
		default:
			l.underWay = true
			items = append(items, l.items[0])
		}
	}
	return items, next
}

// Done ends an item: it was confirmed or refused for ever. It returns false for
// one that is not under way, whose answer must be a repeat.
func (o *Outbox) Done(room, key string) bool {
	l := o.underWay(room, key)
	if l == nil {
		return false
	}
	l.items[0] = Item{} // lets go of the text
	l.items = l.items[1:]
	l.underWay, l.notUntil = false, time.Time{}
	o.n--
	if len(l.items) == 0 {
		o.lanes = slices.DeleteFunc(o.lanes, func(x *lane) bool { return x == l })
	}
	return true
}

// Again says that an item which is under way must be sent again, not before
// notUntil: its socket is gone, or the server asked for another try later. It
// stays before all others of its room.
func (o *Outbox) Again(room, key string, notUntil time.Time) {
	if l := o.underWay(room, key); l != nil {
		l.underWay, l.notUntil = false, notUntil
	}
}

func (o *Outbox) lane(room string) *lane {
	for _, l := range o.lanes {
		if l.room == room {
			return l
		}
	}
	return nil
}

func (o *Outbox) underWay(room, key string) *lane {
	if l := o.lane(room); l != nil && l.underWay && l.items[0].Key == key {
		return l
	}
	return nil
}

// earlier returns the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
