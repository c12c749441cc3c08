package room

import (
	"sync"

	"chatd/internal/chat"
)

// A Room is what this instance's readers of one room share: what goes out next,
// and to whom. It does no I/O, so that a simulation can drive it: it says when
// its feed has to be read, and is told what the read brought. From a call that
// says so until Filled or Start say no, one read after another is under way.
type Room struct {
	Name   chat.Room
	opened chan struct{}

	mu         sync.Mutex
	subscribed bool // the relay said so once
	known      bool // merge has a position
	merge      merge
	subs       map[*Reader]*Subscriber
	looked     chan struct{} // closed while no read of the feed is due
}

// NewRoom returns a room without readers, which waits for its subscription.
func NewRoom(name chat.Room) *Room {
	return &Room{Name: name, opened: make(chan struct{}), looked: make(chan struct{}), subs: map[*Reader]*Subscriber{}}
}

// Opened is closed when the room knows its position for the first time.
func (r *Room) Opened() <-chan struct{} { return r.opened }

// Head returns the last event that went out, "" for none.
func (r *Room) Head() chat.EventID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.merge.head
}

// Event takes an event from the relay. read asks for a read of the feed.
func (r *Room) Event(ev chat.Event) (read bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, read := r.merge.event(ev)
	r.fanOutLocked(out)
	r.lookedLocked()
	return read
}

// Doubt says that the subscription is in force from here on, and that events may
// have been missed before. read asks for a read of the feed.
func (r *Room) Doubt() (read bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	read = r.merge.doubt()
	r.lookedLocked()
	if !r.subscribed { // until now nothing could be read that would have been of use
		r.subscribed, read = true, true
	}
	return read
}

// Reading says that the read asked for begins now: for what follows after, and is
// then told by Filled; or, if no position is known, for the newest event, told by
// Start. Start is also the answer when after is not in the feed.
func (r *Room) Reading() (after chat.EventID, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.merge.reading()
	return r.merge.head, r.known
}

// Filled takes all that the feed has behind the position that Reading gave.
// again asks for another read.
func (r *Room) Filled(events []chat.Event) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, again := r.merge.filled(events)
	r.fanOutLocked(out)
	r.lookedLocked()
	return again
}

// Looked returns a channel that is closed when no read of the feed is due: after
// Doubt, when the room has given out what the feed had then.
func (r *Room) Looked() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.looked
}

func (r *Room) lookedLocked() {
	select {
	case <-r.looked:
		if !r.merge.live {
			r.looked = make(chan struct{})
		}
	default:
		if r.merge.live {
			close(r.looked)
		}
	}
}

// Start gives the room a position that does not continue the one before, if there
// was one: whoever reads is told to join afresh. again asks for another read.
func (r *Room) Start(head chat.EventID) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reset := chat.Encode(chat.Notice{Type: "reset", Room: r.Name})
	for rd, s := range r.subs {
		if s.live {
			rd.Push(reset)
		}
		s.off = true
		delete(r.subs, rd)
	}
	out, again := r.merge.start(head)
	r.fanOutLocked(out)
	r.lookedLocked()
	if !r.known {
		r.known = true
		close(r.opened)
	}
	return again
}

// Offer gives readers what may be lost. Those that are not live hold it like the
// rest, or somebody who comes while they join would be missing from their roster.
func (r *Room) Offer(data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rd, s := range r.subs {
		if s.live {
			rd.Offer(data)
		} else if s.size+len(data) <= heldBytes/2 {
			s.size += len(data)
			s.held = append(s.held, data)
		}
	}
}

// A Subscriber is a reader in a room. Until GoLive it holds what comes.
type Subscriber struct {
	From chat.EventID // it holds what comes after; fixed

	room *Room
	rd   *Reader

	// Guarded by Room.mu.
	live bool
	held [][]byte
	size int
	off  bool // unsubscribed, reset or replaced
}

// Subscribe makes rd a subscriber that holds what comes from here on. It replaces
// the one that rd had.
func (r *Room) Subscribe(rd *Reader) *Subscriber {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.subs[rd]; old != nil {
		old.off = true
	}
	s := &Subscriber{room: r, rd: rd, From: r.merge.head}
	r.subs[rd] = s
	return s
}

// Unsubscribe takes rd out of the room.
func (r *Room) Unsubscribe(rd *Reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.subs[rd]; s != nil {
		s.off = true
		delete(r.subs, rd)
	}
}

// GoLive pushes the answer to the reader, if it is not nil, and the rest of its
// replay, and then lets out what was held and what comes. It does nothing and
// returns false if the room was reset or too much was held: then subscribe again.
func (s *Subscriber) GoLive(answer []byte, rest []chat.Event) bool {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if s.off {
		return false
	}
	joined := make([][]byte, 0, 1+len(rest)+len(s.held))
	if answer != nil {
		joined = append(joined, answer)
	}
	for _, ev := range rest {
		joined = append(joined, ev.Data)
	}
	s.rd.pushJoined(append(joined, s.held...))
	s.live, s.held = true, nil
	return true
}

func (r *Room) fanOutLocked(events []chat.Event) {
	for _, ev := range events {
		for rd, s := range r.subs {
			if s.live {
				rd.Push(ev.Data)
				continue
			}
			if s.size += len(ev.Data); s.size > heldBytes {
				s.off, s.held = true, nil
				delete(r.subs, rd)
				continue
			}
			s.held = append(s.held, ev.Data)
		}
		delivered.Add(float64(len(r.subs)))
	}
}
