package room

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"chatd/internal/chat"
)

const (
	// resumeEvents and resumeBytes bound what a resume brings. Who is further
	// behind gets the newest window and pages back.
	resumeEvents = 2000
	resumeBytes  = queueBytes / 2

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

	mu      sync.Mutex
	rooms   map[chat.Room]*room
	readers map[*Reader]bool
}

// NewHub returns a hub without rooms. window is how many of a room's newest
// events a reader gets who does not resume.
func NewHub(feed Feed, relay Relay, window int, log *slog.Logger) *Hub {
	ctx, cancel := context.WithCancel(context.Background())
	return &Hub{
		feed: feed, relay: relay, window: window, log: log, ctx: ctx, cancel: cancel,
		fills: make(chan struct{}, fillsAtOnce),
		rooms: map[chat.Room]*room{}, readers: map[*Reader]bool{},
	}
}

// Close ends what the hub does in the background and waits for it. Readers are
// not closed: their sockets are.
func (h *Hub) Close() {
	h.cancel()
	h.wg.Wait()
}

// A Replay is what a reader is given at a join, before anything live: the
// events after its position up to Head if Resumed, else the newest up to Head.
type Replay struct {
	Room    chat.Room
	Resumed bool
	Events  []chat.Event
	Head    chat.EventID
}

// Add makes the hub know a reader, for All and for universe. Remove forgets it
// and takes it out of all rooms.
func (h *Hub) Add(rd *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers[rd] = true
}

// Remove is the contrary of Add. It may be called twice.
func (h *Hub) Remove(rd *Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, rd)
	for name := range rd.rooms {
		h.leaveLocked(rd, name)
	}
}

// All returns the readers that the hub knows.
func (h *Hub) All() []*Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Reader, 0, len(h.readers))
	for rd := range h.readers {
		all = append(all, rd)
	}
	return all
}

// Join makes rd, which must have been added, a reader of the room. reply makes
// the answer from the replay; it is pushed to rd before any later event of the
// room, and each of these follows once, in order. after is the last event that
// rd's client has, "" for none. Who is in the room already starts afresh.
//
// Join waits for Redis until ctx ends, and then fails with chat.ErrUnavailable,
// having changed nothing that Leave does not undo. One goroutine at a time may
// join and leave for one reader.
func (h *Hub) Join(ctx context.Context, rd *Reader, name chat.Room, after chat.EventID, reply func(Replay) []byte) error {
	h.mu.Lock()
	rd.joined[name] = true
	h.mu.Unlock()
	for {
		s, replay, err := h.prepare(ctx, rd, name, after, h.window)
		if err != nil {
			return err
		}
		if s.goLive(func() { rd.Push(reply(replay)) }) {
			return nil
		}
		// The room was reset while its history was read: once more.
	}
}

// prepare makes rd a reader that holds what is live, and reads its replay:
// what came after, or the newest window events.
func (h *Hub) prepare(ctx context.Context, rd *Reader, name chat.Room, after chat.EventID, window int) (*subscriber, Replay, error) {
	r, err := h.open(ctx, rd, name)
	if err != nil {
		return nil, Replay{}, err
	}
	s := r.subscribe(rd)
	replay := Replay{Room: name, Head: s.from}
	if after != "" {
		replay.Events, err = h.feed.After(ctx, name, after, s.from, resumeEvents+1)
		replay.Resumed = err == nil && len(replay.Events) <= resumeEvents && size(replay.Events) <= resumeBytes
	}
	if !replay.Resumed && s.from == "" {
		replay.Events, err = nil, nil
	} else if !replay.Resumed && (err == nil || errors.Is(err, chat.ErrLost)) {
		replay.Events, err = h.feed.Newest(ctx, name, s.from, window)
	}
	if errors.Is(err, chat.ErrLost) {
		// What this room gave out last is not in the feed: Redis lost data. The
		// room finds out by itself; its readers join again.
		h.doubt(r)
		err = fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
	}
	if err != nil {
		r.unsubscribe(rd)
		return nil, Replay{}, err
	}
	return s, replay, nil
}

func size(events []chat.Event) (n int) {
	for _, ev := range events {
		n += len(ev.Data)
	}
	return n
}

// open returns the room with rd counted in, once its subscription is in force
// and its position known.
func (h *Hub) open(ctx context.Context, rd *Reader, name chat.Room) (*room, error) {
	h.mu.Lock()
	r := rd.rooms[name]
	if r == nil {
		if !h.readers[rd] {
			h.mu.Unlock()
			return nil, errors.New("room: reader was not added")
		}
		if r = h.rooms[name]; r == nil {
			r = &room{name: name, opened: make(chan struct{}), subs: map[*Reader]*subscriber{}}
			h.rooms[name] = r
			openRooms.Inc()
			h.relay.Subscribe(name)
		}
		r.users++
		rd.rooms[name] = r
	}
	h.mu.Unlock()
	select {
	case <-r.opened:
		return r, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("open room: %w: %w", chat.ErrUnavailable, context.Cause(ctx))
	}
}

// Leave ends rd's reading of the room, but for what it reads as part of
// universe. It does nothing if rd is not in it.
func (h *Hub) Leave(rd *Reader, name chat.Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(rd.joined, name)
	if _, _, direct := name.Direct(); direct || !rd.universe {
		h.leaveLocked(rd, name)
	}
}

func (h *Hub) leaveLocked(rd *Reader, name chat.Room) {
	r := rd.rooms[name]
	if r == nil {
		return
	}
	delete(rd.rooms, name)
	r.unsubscribe(rd)
	if r.users--; r.users == 0 {
		delete(h.rooms, name)
		openRooms.Dec()
		h.relay.Unsubscribe(name)
	}
}

func (h *Hub) room(name chat.Room) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rooms[name]
}

// Event takes a durable event from the relay.
func (h *Hub) Event(name chat.Room, ev chat.Event) {
	if r := h.room(name); r != nil && r.event(ev) {
		h.fill(r)
	}
}

// Ephemeral takes from the relay what a room's readers get if they can.
func (h *Hub) Ephemeral(name chat.Room, data []byte) {
	if r := h.room(name); r != nil {
		r.offer(data)
	}
}

// Subscribed is told by the relay that a room's events come from here on.
func (h *Hub) Subscribed(name chat.Room) {
	if r := h.room(name); r != nil {
		h.doubt(r)
	}
}

// doubt has the room look into its feed.
func (h *Hub) doubt(r *room) {
	r.mu.Lock()
	gap := r.merge.doubt()
	if !r.subscribed { // the first time the merge is waiting for a start, not for us
		r.subscribed, gap = true, true
	}
	r.mu.Unlock()
	if gap {
		h.fill(r)
	}
}

// fill reads in the background what the room may have missed, until there is no
// gap. There is one fill per room at a time: only who turned the merge from live
// to filling starts one.
func (h *Hub) fill(r *room) {
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
				h.log.Warn("room cannot read its feed, trying again", "room", r.name, "err", err)
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

func (h *Hub) fillOnce(r *room) (again bool, err error) {
	ctx, cancel := context.WithTimeout(h.ctx, fillTimeout)
	defer cancel()

	r.mu.Lock()
	r.merge.reading()
	after, known := r.merge.head, r.known
	r.mu.Unlock()

	var events []chat.Event
	if known {
		events, err = h.missed(ctx, r.name, after)
		switch {
		case errors.Is(err, chat.ErrLost):
			gaps.WithLabelValues("lost").Inc()
			h.log.Warn("room's feed does not hold what was given out, readers start afresh", "room", r.name, "event", after)
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
		return r.filled(events), nil
	}
	head, err := h.feed.Head(ctx, r.name)
	if err != nil {
		return false, err
	}
	return r.start(head), nil
}

// missed returns all events that follow after.
func (h *Hub) missed(ctx context.Context, name chat.Room, after chat.EventID) (all []chat.Event, err error) {
	for {
		events, err := h.feed.After(ctx, name, after, "", resumeEvents)
		if err != nil {
			return nil, err
		}
		all = append(all, events...)
		if len(events) < resumeEvents {
			return all, nil
		}
		after = all[len(all)-1].ID
	}
}

// A room is what this instance's readers of one room share.
type room struct {
	name   chat.Room
	opened chan struct{} // closed when the position is known for the first time

	users int // readers that hold the room open; guarded by Hub.mu

	mu         sync.Mutex
	subscribed bool // the relay said so once
	known      bool // merge has a position
	merge      merge
	subs       map[*Reader]*subscriber
}

// A subscriber is a reader in a room. Until it is live it holds what comes.
type subscriber struct {
	room *room
	rd   *Reader
	from chat.EventID // where it began to hold

	// Guarded by room.mu.
	live bool
	held [][]byte
	size int
	off  bool // unsubscribed, reset or replaced
}

// subscribe makes rd a subscriber that holds what comes from here on.
func (r *room) subscribe(rd *Reader) *subscriber {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.subs[rd]; old != nil {
		old.off = true
	}
	s := &subscriber{room: r, rd: rd, from: r.merge.head}
	r.subs[rd] = s
	return s
}

func (r *room) unsubscribe(rd *Reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.subs[rd]; s != nil {
		s.off = true
		delete(r.subs, rd)
	}
}

// goLive calls first, which may push to the reader, and then lets out what was
// held and what comes. It does nothing and returns false if the room was reset
// or too much was held.
func (s *subscriber) goLive(first func()) bool {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if s.off {
		return false
	}
	first()
	for _, data := range s.held {
		s.rd.Push(data)
	}
	s.live, s.held = true, nil
	return true
}

func (r *room) event(ev chat.Event) (gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, gap := r.merge.event(ev)
	r.fanOutLocked(out)
	return gap
}

func (r *room) filled(events []chat.Event) (gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, gap := r.merge.filled(events)
	r.fanOutLocked(out)
	return gap
}

// start gives the room a position that does not continue the one before, if
// there was one: whoever reads must join afresh.
func (r *room) start(head chat.EventID) (gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reset := chat.Encode(chat.Notice{Type: "reset", Room: r.name})
	for rd, s := range r.subs {
		if s.live {
			rd.Push(reset)
		}
		s.off = true
		delete(r.subs, rd)
	}
	out, gap := r.merge.start(head)
	r.fanOutLocked(out)
	if !r.known {
		r.known = true
		close(r.opened)
	}
	return gap
}

func (r *room) fanOutLocked(events []chat.Event) {
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

func (r *room) offer(data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rd, s := range r.subs {
		if s.live {
			rd.Offer(data)
		}
	}
}
