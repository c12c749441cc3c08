package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chatd/internal/chat"
	"chatd/internal/feed"
	"chatd/internal/room"
)

// As in packages room and socket.
const (
	requestTimeout = 5 * time.Second
	fillTimeout    = 10 * time.Second
	fillRetry      = 500 * time.Millisecond
	retryAfter     = time.Second
	pageEvents     = 1000
)

// An instance is one chatd process, from its start to its end: the wiring of
// package room's Hub and of package socket around the product's own code.
type instance struct {
	w       *world
	slot    int
	life    int
	server  *server // which Redis its commands reach
	hears   *server // and which its relay
	feed    *feed.Feed
	dead    bool
	frozen  bool
	leaving bool // drains: takes no more sockets
	backlog []func()
	procs   map[*proc]bool
	rooms   map[chat.Room]*opened
	conns   []*conn
	asks    *room.Reader // with which a mistake asks for a room's position

	// The relay.
	sub       *subscription
	wanted    map[chat.Room]bool
	dirty     []chat.Room
	following bool
	lag       time.Duration

	// So many of the next commands that write fail in this way.
	cut, refuse, late, silent int
}

// opened is a room and how many readers hold it open.
type opened struct {
	*room.Room
	readers int
	waiting []func() // for the room to know its position
	looking []func() // for it to have looked into its feed
}

func (in *instance) String() string { return fmt.Sprintf("chatd-%d.%d", in.slot+1, in.life) }

func (w *world) newInstance(slot, life int) *instance {
	in := &instance{
		w: w, slot: slot, life: life, server: w.master, hears: w.master, feed: w.feed(), procs: map[*proc]bool{},
		rooms: map[chat.Room]*opened{}, wanted: map[chat.Room]bool{}, asks: room.NewReader("", func() {}),
	}
	in.subscribeAll()
	return in
}

// soon does what the instance has to do now, or when it goes on, or never.
func (in *instance) soon(f func()) {
	switch {
	case in.dead:
	case in.frozen:
		in.backlog = append(in.backlog, f)
	default:
		f()
		in.flush()
	}
}

func (in *instance) kill() {
	in.dead = true
	for p := range in.procs { // in any order: what a dead instance does has no effect
		p.dead = true
		p.stop()
	}
	if in.sub != nil {
		in.sub.lost()
	}
	for _, c := range slices.Clone(in.conns) {
		c.cut(false)
	}
}

func (in *instance) thaw() {
	in.frozen = false
	for len(in.backlog) > 0 && !in.frozen && !in.dead {
		f := in.backlog[0]
		in.backlog = in.backlog[1:]
		f()
		in.flush()
	}
}

// heard takes a message from the relay.
func (in *instance) heard(channel, payload string) {
	name := roomOf(channel)
	r := in.rooms[name]
	if r == nil {
		return
	}
	head, data, _ := strings.Cut(payload, "\n")
	id, prev, _ := strings.Cut(head, " ")
	ev := chat.Event{ID: chat.EventID(id), Prev: chat.EventID(prev), Data: []byte(data)}
	if in.w.bug.roomBySeq {
		last := r.Subscribe(in.asks).From
		r.Unsubscribe(in.asks)
		if ev.ID.Seq() == last.Seq()+1 {
			ev.Prev = last
		}
	}
	if r.Event(ev) {
		in.w.bite("gap found")
		in.fill(r)
	}
}

func roomOf(channel string) chat.Room {
	return chat.Room(strings.TrimSuffix(strings.TrimPrefix(channel, "chatd:{"), "}:live"))
}

// subscribed says that a room's events come from here on.
func (in *instance) subscribed(channel string) {
	if r := in.rooms[roomOf(channel)]; r != nil && !in.w.bug.noDoubt {
		in.doubt(r)
	} else if r != nil && len(r.waiting) > 0 {
		in.doubt(r) // the mistake is about later ones
	}
}

func (in *instance) doubt(r *opened) {
	if r.Doubt() {
		in.fill(r)
	}
}

// fill reads what the room may have missed, until it asks for no more.
func (in *instance) fill(r *opened) {
	in.start(fillTimeout, func(ctx context.Context, p *proc) {
		for p.sleep(in.w.delay()) {
			p.deadline = in.w.now + fillTimeout
			again, err := in.fillOnce(ctx, p, r)
			if p.dead {
				return
			}
			if err != nil {
				in.w.bite("fill failed")
				if !p.sleep(fillRetry) {
					return
				}
			} else if !again {
				return
			}
		}
	})
}

func (in *instance) fillOnce(ctx context.Context, p *proc, r *opened) (again bool, err error) {
	p.behind = in.w.bug.staleFill
	after, known := r.Reading()
	var events []chat.Event
	if known {
		events, err = in.feed.After(ctx, r.Name, after, "", pageEvents)
		switch {
		case errors.Is(err, chat.ErrLost):
			in.w.bite("room reset")
			known = false
		case err != nil:
			return false, err
		case len(events) > 0:
			in.w.bite("gap filled")
		default:
			in.w.bite("no gap after all")
		}
	}
	if known {
		if in.w.tells {
			in.w.say("%s fills %d events of %s behind %q", in, len(events), r.Name, after)
		}
		if again = r.Filled(events); !again {
			wakeAll(&r.looking)
		}
		return again, nil
	}
	head, err := in.feed.Head(ctx, r.Name)
	if err != nil || p.dead {
		return false, cmp.Or(err, errKilled)
	}
	if in.w.tells {
		in.w.say("%s starts %s at %q", in, r.Name, head)
	}
	if again = r.Start(head); !again {
		wakeAll(&r.looking)
	}
	wakeAll(&r.waiting)
	return again, nil
}

func wakeAll(waiting *[]func()) {
	all := *waiting
	*waiting = nil
	for _, wake := range all {
		wake()
	}
}

// A request is one on its way to an instance.
type request struct {
	ID     int64
	Type   string // join, send, edit or retract
	Room   chat.Room
	After  chat.EventID
	Key    string
	Target chat.EventID
	Text   string
}

// A conn is one WebSocket, seen from the instance.
type conn struct {
	in   *instance
	tab  *tab
	sock *sock // the other end
	rd   *room.Reader

	rooms   map[chat.Room]*opened
	stalled map[chat.Room]string
	inbox   []request
	busy    bool
	closing bool // no more requests are read
	gone    bool

	broken             bool          // nothing arrives any more, in either direction
	toServer, toClient time.Duration // when what was sent last arrives
}

// request takes a request that has arrived.
func (c *conn) request(req request) {
	c.inbox = append(c.inbox, req)
	c.work()
}

// work handles requests one after another, as the read loop does.
func (c *conn) work() {
	if c.busy {
		return
	}
	if len(c.inbox) == 0 || c.gone {
		if c.closing {
			c.remove()
		}
		return
	}
	req := c.inbox[0]
	c.inbox = c.inbox[1:]
	c.busy = true
	c.in.start(requestTimeout, func(ctx context.Context, p *proc) {
		var err error
		if req.Type == "join" {
			err = c.join(ctx, p, req)
		} else {
			err = c.append(ctx, p, req)
		}
		if p.dead {
			return
		}
		if err != nil {
			var e *chat.Error
			if !errors.As(err, &e) {
				e = &chat.Error{Code: chat.CodeUnavailable, RetryAfter: retryAfter}
			}
			c.rd.Push(chat.Encode(chat.Refuse(req.ID, e)))
		}
		c.busy = false
		c.work()
	})
}

// join does as room.Hub's Join.
func (c *conn) join(ctx context.Context, p *proc, req request) error {
	delete(c.stalled, req.Room)
	for {
		s, replay, err := c.prepare(ctx, p, req)
		if err != nil || p.dead {
			return cmp.Or(err, errKilled)
		}
		answer := chat.Encode(chat.Joined{Answer: chat.OK(req.ID), Room: req.Room,
			Resumed: replay.Resumed, Events: chat.Raw(replay.Events), Head: replay.Head})
		if len(replay.Rest) > 0 {
			c.in.w.bite("resume in parts")
		}
		if s.GoLive(answer, replay.Rest) {
			return nil
		}
		c.in.w.bite("join repeated")
	}
}

func (c *conn) prepare(ctx context.Context, p *proc, req request) (*room.Subscriber, room.Replay, error) {
	in := c.in
	r := c.rooms[req.Room]
	if r == nil {
		if r = in.rooms[req.Room]; r == nil {
			r = &opened{Room: room.NewRoom(req.Room)}
			in.rooms[req.Room] = r
			in.want(req.Room, true)
		}
		r.readers++
		c.rooms[req.Room] = r
	}
	if !in.opens(p, r) {
		return nil, room.Replay{}, chat.ErrUnavailable
	}
	s := r.Subscribe(c.rd)
	if req.After.Seq() > s.From.Seq() && !in.w.bug.joinBehind {
		// The client has more than this room has given out. The room looks into its
		// feed before it answers: it is behind, or what the client has is lost.
		in.w.bite("join ahead of the room")
		r.Unsubscribe(c.rd)
		looked := false
		if !p.wait(func(wake func()) {
			r.looking = append(r.looking, func() { looked = true; wake() })
			in.w.after(p.deadline-in.w.now, wake)
			in.doubt(r)
		}) || !looked {
			return nil, room.Replay{}, chat.ErrUnavailable
		}
		s = r.Subscribe(c.rd)
	}
	replay, err := room.ReadReplay(ctx, in.feed, req.Room, req.After, s.From, in.w.plan.Window, room.NewBounds(in.w.plan.Share))
	if s.From == "" && !in.w.bug.joinBehind {
		replay = room.Replay{Room: req.Room} // the end "" stands for no end
	}
	if p.dead {
		return nil, replay, errKilled
	}
	if errors.Is(err, chat.ErrLost) {
		in.w.bite("join found a loss")
		in.doubt(r)
	}
	if err != nil {
		r.Unsubscribe(c.rd)
		return nil, replay, fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
	}
	if in.w.bug.joinUnheld {
		s = r.Subscribe(c.rd) // what came while the history was read is forgotten
	}
	return s, replay, nil
}

// opens waits until the room knows its position, or too long.
func (in *instance) opens(p *proc, r *opened) bool {
	select {
	case <-r.Opened():
		return true
	default:
	}
	if !p.wait(func(wake func()) {
		r.waiting = append(r.waiting, wake)
		in.w.after(p.deadline-in.w.now, wake)
	}) {
		return false
	}
	select {
	case <-r.Opened():
		return true
	default:
		return false
	}
}

// append does as package socket's append: where it fails for now, later messages
// to the room fail too until this one comes again.
func (c *conn) append(ctx context.Context, p *proc, req request) error {
	if first, ok := c.stalled[req.Room]; ok && first != req.Key {
		return chat.ErrUnavailable
	}
	d := feed.Draft{
		Kind: kinds[req.Type], Room: req.Room, From: c.rd.User, Key: req.Key, Target: req.Target, Text: req.Text,
	}
	if c.in.w.bug.lookFirst {
		known, err := p.redis([]string{"GET", "chatd:{" + string(d.Room) + "}:key:" + d.From + ":" + d.Key})
		if err != nil {
			return err
		}
		if known != nil {
			delete(c.stalled, req.Room)
			_, id, _ := strings.Cut(known.(string), " ")
			c.confirm(req, feed.Receipt{Event: chat.EventID(id), Duplicate: true})
			return nil
		}
	}
	r, err := c.in.feed.Append(ctx, d)
	if p.dead {
		return errKilled
	}
	var final *chat.Error
	if err != nil && !(errors.As(err, &final) && final.RetryAfter == 0) {
		c.stalled[req.Room] = req.Key
		return err
	}
	delete(c.stalled, req.Room)
	if err != nil {
		return err
	}
	if r.Duplicate {
		c.in.w.bite("duplicate answered")
	}
	c.confirm(req, r)
	return nil
}

var kinds = map[string]string{"send": chat.Message, "edit": chat.Edited, "retract": chat.Retracted}

func (c *conn) confirm(req request, r feed.Receipt) {
	c.rd.Push(chat.Encode(chat.Kept{Answer: chat.OK(req.ID), Room: req.Room, Event: r.Event, Seq: r.Event.Seq(), Duplicate: r.Duplicate}))
}

// flush sends what the readers' queues hold.
func (in *instance) flush() {
	if in.dead {
		return
	}
	for _, c := range in.conns {
		batch, err := c.rd.Take(nil)
		if len(batch) == 0 || err != nil || c.broken {
			continue
		}
		c.toClient = max(c.toClient, in.w.now+in.w.delay())
		in.w.after(c.toClient-in.w.now, func() {
			if !c.broken {
				c.tab.receive(c.sock, batch)
			}
		})
	}
}

// cut breaks a socket: what is on its way in either direction is lost, and each
// end notices for itself; with half, only when it misses the other.
func (c *conn) cut(half bool) {
	if c.broken {
		return
	}
	w := c.in.w
	c.broken = true
	notice := func() time.Duration {
		if half {
			return w.between(5*time.Second, 35*time.Second)
		}
		return w.delay()
	}
	w.after(notice(), func() { c.in.soon(c.close) })
	w.after(notice(), func() { c.tab.lose(c.sock) })
}

// close ends the instance's side. Requests that it has read are still handled.
func (c *conn) close() {
	c.broken, c.closing = true, true
	c.work()
}

func (c *conn) remove() {
	if c.gone {
		return
	}
	c.gone = true
	for _, name := range c.in.w.plan.roomNames() {
		r := c.rooms[name]
		if r == nil {
			continue
		}
		r.Unsubscribe(c.rd)
		if r.readers--; r.readers == 0 {
			delete(c.in.rooms, name)
			c.in.want(name, false)
		}
	}
	c.rooms = nil
	c.in.conns = slices.DeleteFunc(c.in.conns, func(x *conn) bool { return x == c })
}
