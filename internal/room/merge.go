package room

import "chatd/internal/chat"

const (
	// heldBytes bounds what a room holds back while it reads what it missed.
	// Past it the held events are let go and read from the feed as well.
	heldBytes = 1 << 20
	// seenEvents is how many of its last events a room knows again when they
	// come late or twice. Older ones cost a look into the feed.
	seenEvents = 64
)

// merge decides which events go out, and in what order: those of a room's feed,
// each once, without a hole. It is told what the relay brought (live) and what
// was read from the feed (filled), and does no I/O, so a simulation can drive it.
//
// The zero merge is filling: it knows no position yet, and start gives it one.
type merge struct {
	head chat.EventID // the last event that went out
	live bool         // false: what comes is held until filled or start
	held []chat.Event
	size int
	read int  // how many of held were there when the read under way began
	let  bool // held events were let go: look into the feed once more

	seen [seenEvents]chat.EventID
}

// reading says that a read of the feed begins now. It will show whatever of the
// held events the feed has.
func (m *merge) reading() { m.read, m.let = len(m.held), false }

// start says that head is the newest event of the feed, or was when the
// subscription was already in force. It returns what goes out now, and whether
// there is a gap to fill.
func (m *merge) start(head chat.EventID) (out []chat.Event, gap bool) {
	m.seen = [seenEvents]chat.EventID{}
	m.advance(head)
	return m.filled(nil)
}

// event takes an event from the relay. gap means that it did not fit: what
// follows m.head must be read from the feed and given to filled.
func (m *merge) event(ev chat.Event) (out []chat.Event, gap bool) {
	switch {
	case !m.live:
		m.hold(ev)
	case ev.Prev == m.head:
		m.advance(ev.ID)
		return []chat.Event{ev}, false
	case m.knows(ev.ID):
	default:
		m.live = false
		m.hold(ev)
		return nil, true
	}
	return nil, false
}

// doubt says that events may have been missed. It reports whether there is now a
// gap to fill; there is none to fill twice.
func (m *merge) doubt() (gap bool) {
	if !m.live {
		m.let = true
		return false
	}
	m.live = false
	return true
}

// filled takes what was read from the feed behind m.head, in order and without
// a hole, and so proves that m.head is in the feed. It returns what goes out now,
// and whether there is still a gap.
func (m *merge) filled(events []chat.Event) (out []chat.Event, gap bool) {
	out = events
	for _, ev := range events {
		m.advance(ev.ID)
	}
	held, read, again := m.held, m.read, m.let
	m.held, m.size, m.read, m.let = nil, 0, 0, false
	for i, ev := range held {
		switch {
		case ev.Prev == m.head:
			m.advance(ev.ID)
			out = append(out, ev)
		case ev.ID.Seq() <= m.head.Seq():
			// m.head is in the feed, so an event at or before its place is one that
			// was read, or one of a fork that the feed does not hold.
		case i < read:
			// The read would have shown it: it comes from a fork.
		default:
			for _, ev := range held[i:] {
				m.hold(ev)
			}
			return out, true
		}
	}
	m.live = !again
	return out, again
}

func (m *merge) hold(ev chat.Event) {
	if m.size += len(ev.Data); m.size > heldBytes {
		m.held, m.size, m.read, m.let = nil, 0, 0, true
		return
	}
	m.held = append(m.held, ev)
}

func (m *merge) advance(id chat.EventID) {
	m.head = id
	m.seen[id.Seq()%seenEvents] = id
}

func (m *merge) knows(id chat.EventID) bool {
	return m.seen[id.Seq()%seenEvents] == id
}
