package room

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatd/internal/chat"
)

const (
	// fillsAtOnce bounds the rooms that read the feed at one time, so that a
	// relay that comes back does not flood Redis.
	fillsAtOnce = 16
	fillRetry   = 500 * time.Millisecond
	fillTimeout = 10 * time.Second
)

// Feed is where a room's events are read from. package feed says what its
// methods promise.
type Feed interface {
	After(ctx context.Context, room chat.Room, after, to chat.EventID, limit int) ([]chat.Event, error)
	Newest(ctx context.Context, room chat.Room, to chat.EventID, n int) ([]chat.Event, error)
	Head(ctx context.Context, room chat.Room) (chat.EventID, error)
}

// Relay is told which rooms have readers here. Its answers come to the Hub's
// Event, Ephemeral and Subscribed.
type Relay interface {
	Subscribe(room chat.Room)
	Unsubscribe(room chat.Room)
}

// Hub holds the rooms that have readers on this instance.
type Hub struct {
	// Fixed after NewHub.
	feed   Feed
	relay  Relay
	window int
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	fills  chan struct{}
	wg     sync.WaitGroup
	owing  atomic.Int64 // bytes that joins brought and that readers have not taken

	mu      sync.Mutex
	rooms   map[chat.Room]*entry
	readers map[*Reader]bool
}

// NewHub returns a hub without rooms. window is how many of a room's newest
// events a reader gets who does not resume.
func NewHub(feed Feed, relay Relay, window int, log *slog.Logger) *Hub {
	ctx, cancel := context.WithCancel(context.Background())
	return &Hub{
		feed: feed, relay: relay, window: window, log: log, ctx: ctx, cancel: cancel,
		fills: make(chan struct{}, fillsAtOnce),
		rooms: map[chat.Room]*entry{}, readers: map[*Reader]bool{},
	}
}

// Close ends what the hub does in the background and waits for it. Readers are
// not closed: their sockets are.
func (h *Hub) Close() {
	h.cancel()
	h.wg.Wait()
}

// owingBytes is how much of what joins bring may be on its way to all readers together.
// Beyond it a resume brings what one answer holds: who reads nothing takes several
// megabytes with each socket, and whoever opens thousands of these all that there is.
const owingBytes = 256 << 20

// bounds are those of a join of so many rooms.
func (h *Hub) bounds(rooms int) Bounds {
	b := NewBounds(rooms)
	if h.owing.Load() > owingBytes {
		b.resume.Store(answerBytes)
	}
	return b
}

// Add makes the hub know a reader, which may then join rooms.
func (h *Hub) Add(rd *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers[rd] = true
	rd.countIn(&h.owing)
}

// Remove forgets a reader and takes it out of all rooms. It may be called twice.
func (h *Hub) Remove(rd *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, rd)
	rd.countIn(nil)
	for name := range rd.rooms {
		h.leaveLocked(rd, name)
	}
}

// Join makes rd, which must have been added, a reader of the room. after is the
// last event that rd's client has, "" for none. reply makes the answer from the
// replay, when what comes is held for rd already; it is pushed to rd before that,
// then the rest of the replay, and each later event follows once, in order. Who is in the room already starts
// afresh.
//
// Join waits for Redis until ctx ends, and then fails with chat.ErrUnavailable,
// having changed nothing that Leave does not undo.
func (h *Hub) Join(ctx context.Context, rd *Reader, name chat.Room, after chat.EventID, reply func(Replay) []byte) error {
	rd.turn.Lock()
	defer rd.turn.Unlock()
	h.mu.Lock()
	rd.joined[name] = true
	h.mu.Unlock()
	for {
		s, replay, err := h.prepare(ctx, rd, name, after, h.window, h.bounds(1))
		if err != nil {
			return err
		}
		answer := reply(replay) // large ones take their time: not under the room's lock
		if s.GoLive(answer, replay.Rest) {
			return nil
		}
		// The room was reset while its history was read: once more.
	}
}

// prepare makes rd a subscriber that holds what comes, and reads its replay within
// bounds: what came after, or the newest window events.
func (h *Hub) prepare(ctx context.Context, rd *Reader, name chat.Room, after chat.EventID, window int, bounds Bounds) (*Subscriber, Replay, error) {
	r, err := h.open(ctx, rd, name)
	if err != nil {
		return nil, Replay{}, err
	}
	s := r.Subscribe(rd)
	if !h.reads(rd, r) { // it left while the room was opened for it
		r.Unsubscribe(rd)
		return nil, Replay{}, errors.New("room: reader has left")
	}
	if after.Seq() > s.From.Seq() {
		// The client has more than this room has given out. The room is behind, or
		// what the client has is lost: it looks into its feed before it answers.
		h.doubt(r)
		select {
		case <-r.Looked():
			s = r.Subscribe(rd)
		case <-ctx.Done():
			r.Unsubscribe(rd)
			return nil, Replay{}, chat.Unavailable("join ahead of the room", context.Cause(ctx))
		}
	}
	replay, err := ReadReplay(ctx, h.feed, name, after, s.From, window, bounds)
	if err == nil && len(replay.Rest) > 0 && h.owing.Load() > owingBytes { // since the bounds were made
		replay, err = ReadReplay(ctx, h.feed, name, after, s.From, window, h.bounds(1))
	}
	if errors.Is(err, chat.ErrLost) {
		// What this room gave out last is not in the feed: Redis lost data. The
		// room finds out by itself; its readers join again.
		h.doubt(r)
		err = chat.Unavailable("read replay", err)
	}
	if err != nil {
		r.Unsubscribe(rd)
		return nil, Replay{}, err
	}
	return s, replay, nil
}

// open returns the room with rd counted in, once its subscription is in force
// and its position known.
func (h *Hub) open(ctx context.Context, rd *Reader, name chat.Room) (*Room, error) {
	h.mu.Lock()
	e := rd.rooms[name]
	if e == nil {
		if !h.readers[rd] {
			h.mu.Unlock()
			return nil, errors.New("room: reader was not added")
		}
		if e = h.rooms[name]; e == nil {
			e = &entry{Room: NewRoom(name)}
			h.rooms[name] = e
			openRooms.Inc()
			h.relay.Subscribe(name)
		}
		e.readers++
		rd.rooms[name] = e
	}
	h.mu.Unlock()
	select {
	case <-e.Opened():
		return e.Room, nil
	case <-ctx.Done():
		return nil, chat.Unavailable("open room", context.Cause(ctx))
	}
}

// Head returns the room's newest event as rd reads it, "" if it does not.
func (h *Hub) Head(rd *Reader, name chat.Room) chat.EventID {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := rd.rooms[name]; e != nil {
		return e.Head()
	}
	return ""
}

// Reads reports whether rd reads the room, by name or as part of universe.
func (h *Hub) Reads(rd *Reader, name chat.Room) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return rd.rooms[name] != nil
}

// Rooms returns the rooms that rd reads.
func (h *Hub) Rooms(rd *Reader) []chat.Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(rd.rooms))
}

func (h *Hub) reads(rd *Reader, r *Room) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := rd.rooms[r.Name]
	return e != nil && e.Room == r
}

// Leave ends rd's reading of the room, but for what it reads as part of
// universe. It does nothing if rd is not in it.
func (h *Hub) Leave(rd *Reader, name chat.Room) {
	rd.turn.Lock()
	defer rd.turn.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(rd.joined, name)
	if !name.Public() || !rd.universe {
		h.leaveLocked(rd, name)
	}
}

// Bar ends rd's reading of the room, whatever it reads it as.
func (h *Hub) Bar(rd *Reader, name chat.Room) {
	rd.turn.Lock()
	defer rd.turn.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(rd.joined, name)
	h.leaveLocked(rd, name)
}

func (h *Hub) leaveLocked(rd *Reader, name chat.Room) {
	e := rd.rooms[name]
	if e == nil {
		return
	}
	delete(rd.rooms, name)
	e.Unsubscribe(rd)
	if e.readers--; e.readers == 0 {
		delete(h.rooms, name)
		openRooms.Dec()
		h.relay.Unsubscribe(name)
	}
}

// An entry is a room and how many readers hold it open.
type entry struct {
	*Room
	readers int // guarded by Hub.mu
}

func (h *Hub) room(name chat.Room) *Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.rooms[name]; e != nil {
		return e.Room
	}
	return nil
}

// Event takes a durable event from the relay.
func (h *Hub) Event(name chat.Room, ev chat.Event) {
	if r := h.room(name); r != nil && r.Event(ev) {
		h.fill(r)
	}
}

// Ephemeral takes from the relay what a room's readers get if they can.
func (h *Hub) Ephemeral(name chat.Room, data []byte) {
	if r := h.room(name); r != nil {
		r.Offer(data)
	}
}

// Subscribed is told by the relay that a room's events come from here on.
func (h *Hub) Subscribed(name chat.Room) {
	if r := h.room(name); r != nil {
		h.doubt(r)
	}
}

// doubt has the room look into its feed.
func (h *Hub) doubt(r *Room) {
	if r.Doubt() {
		h.fill(r)
	}
}

// fill reads in the background what the room may have missed, until it asks for
// no more. Only who was asked for a read starts one, so there is one at a time.
func (h *Hub) fill(r *Room) {
	h.wg.Go(func() {
		for {
			select {
			case h.fills <- struct{}{}:
			case <-h.ctx.Done():
				return
			}
			again, err := h.fillOnce(r)
			<-h.fills
			if err != nil {
				gaps.WithLabelValues("failed").Inc()
				h.log.Debug("room cannot read its feed, trying again", "room", r.Name, "err", err)
				select {
				case <-time.After(fillRetry):
				case <-h.ctx.Done():
					return
				}
			} else if !again {
				return
			}
		}
	})
}

func (h *Hub) fillOnce(r *Room) (again bool, err error) {
	ctx, cancel := context.WithTimeout(h.ctx, fillTimeout)
	defer cancel()

	after, known := r.Reading()
	var events []chat.Event
	if known {
		events, _, err = readAfter(ctx, h.feed, r.Name, after, "", NewBounds(1).resume)
		switch {
		case errors.Is(err, chat.ErrLost):
			gaps.WithLabelValues("lost").Inc()
			h.log.Warn("room's feed does not continue what was given out, or by too much: readers join afresh", "room", r.Name, "event", after)
			known = false
		case err != nil:
			return false, err
		case len(events) > 0:
			gaps.WithLabelValues("filled").Inc()
			refilled.Add(float64(len(events)))
		default:
			gaps.WithLabelValues("none").Inc()
		}
	}
	if known {
		return r.Filled(events), nil
	}
	head, err := h.feed.Head(ctx, r.Name)
	if err != nil {
		return false, err
	}
	return r.Start(head), nil
}
