package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/chat"
)

// run is one call of Run: the state that ends with it. Only Run's goroutine
// touches it.
type run struct {
	*Client
	ctx   context.Context
	inbox chan input
	wg    sync.WaitGroup
	err   error // set: Run ends with it

	cur  *socket // the one that is used; nil while waiting
	next *socket // the one that a move is making
	old  *socket // the one that a move left, for answers under way
	wait backoff
	try  time.Time // when to connect, while cur is nil
	over time.Time // after a logout notice: when not to wait for 4401 any longer
}

// Run keeps the client connected until ctx ends, and returns its cause, or until
// the login has ended: ErrLoggedOut. After another Login, Run may be called
// again: it goes on with the rooms and the items that were not confirmed.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("client: Run is running already")
	}
	defer c.running.Store(false)
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &run{
		Client: c,
		ctx:    inner,
		inbox:  make(chan input),
		wait:   backoff{min: c.opt.MinWait, max: c.opt.MaxWait, rand: c.opt.Rand},
		try:    time.Now(),
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for r.err == nil {
		var due time.Time
		for again := true; again; { // what is due may bring more to send
			due = r.flush(time.Now())
			var t time.Time
			t, again = r.tick(time.Now())
			due = earlier(due, t)
		}
		if r.err != nil {
			break
		}
		timer.Reset(time.Until(due))
		select {
		case in := <-r.inbox:
			r.take(in)
		case <-c.wake:
		case <-timer.C:
		case <-ctx.Done():
			r.err = context.Cause(ctx)
		}
	}
	for _, s := range r.sockets() {
		r.drop(s, -1, errStopped)
	}
	cancel(errStopped)
	done := make(chan struct{})
	go func() { r.wg.Wait(); close(done) }()
	for {
		select {
		case <-r.inbox: // of sockets that were let go of
		case <-done:
			return r.err
		}
	}
}

func (r *run) tell(f Fact) {
	if r.opt.Observer != nil {
		r.opt.Observer.Observe(f)
	}
}

func (r *run) wrong(s *socket, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	r.log.Warn("server broke the contract", "instance", s.instance, "what", what)
	r.tell(Wrong{s.instance, what})
}

func (r *run) sockets() []*socket {
	return slices.DeleteFunc([]*socket{r.cur, r.next, r.old}, func(s *socket) bool { return s == nil })
}

func (r *run) dial() *socket {
	ctx, cancel := context.WithCancelCause(r.ctx)
	s := &socket{cancel: cancel, heard: time.Now(), silence: 2 * connectTimeout,
		pending: map[int64]*pending{}, subs: map[string]*sub{}, later: map[string]time.Time{}}
	r.wg.Go(func() {
		defer cancel(nil)
		r.serve(ctx, s, func(in input) { r.inbox <- in })
	})
	return s
}

// drop lets go of a socket: what had no answer on it goes out again on another.
func (r *run) drop(s *socket, code int, why error) {
	s.gone = true
	s.cancel(why)
	now := time.Now()
	r.mu.Lock()
	for _, p := range s.pending {
		if p.ask != nil {
			p.ask.underWay = false
		} else if p.req.Key != "" {
			r.out.Again(p.req.Room, p.req.Key, now)
		}
	}
	r.mu.Unlock()
	if s.phase >= opening {
		r.log.Debug("socket closed", "instance", s.instance, "code", code, "err", why)
		r.tell(Closed{s.instance, code, why})
	}
	switch s {
	case r.old:
		r.old = nil
	case r.next:
		r.next = nil
		if r.cur != nil && !errors.Is(why, errStopped) {
			r.cur.moveAt = now.Add(r.wait.next())
		}
	case r.cur:
		r.cur, r.next = r.next, nil // a move under way is the way back
	}
}

// comeBack sets when to connect again after a loss.
func (r *run) comeBack(atLeast time.Duration) {
	if r.opt.Immediate && r.wait.tries == 0 && atLeast == 0 {
		r.wait.tries++
		r.try = time.Now()
		return
	}
	r.try = time.Now().Add(atLeast + r.wait.next())
}

func (r *run) logout(how string) {
	r.log.Info("logged out", "how", how)
	r.tell(LoggedOut{how})
	r.err = ErrLoggedOut
}

// take handles what a socket's goroutine tells.
func (r *run) take(in input) {
	s := in.s
	switch {
	case s.gone:
	case in.opened:
		s.phase = opening
		s.heard, s.silence = time.Now(), connectTimeout
	case in.ended:
		r.ended(in)
	default:
		s.heard = time.Now()
		for i := range in.frames {
			r.frame(s, &in.frames[i])
			if s.gone || r.err != nil {
				return
			}
		}
	}
}

func (r *run) ended(in input) {
	s := in.s
	wasCur, dialled := s == r.cur, s.phase == dialing
	if errors.Is(in.err, errBroken) {
		r.wrong(s, "%v", in.err)
	}
	if dialled {
		r.log.Debug("no socket", "status", in.status, "err", in.err)
		r.tell(Failed{in.status, in.err})
	}
	r.drop(s, in.code, in.err)
	switch {
	case errors.Is(in.err, ErrOtherUser):
		r.err = in.err
	case dialled && in.status == http.StatusUnauthorized:
		r.logout("401")
	case in.code == chat.CloseLoggedOut:
		r.logout("close code 4401")
	case !r.over.IsZero():
		r.logout("logout notice")
	case wasCur && r.cur == nil:
		if in.code == chat.CloseTooFast || in.code == chat.CloseNoRoomHere {
			r.wait.tries += 2 // it asked for a wait, not for a jump
		}
		r.comeBack(in.retryAfter)
	case dialled && r.cur != nil && in.retryAfter > 0: // a move that was turned away
		r.cur.moveAt = time.Now().Add(in.retryAfter)
	}
}

// tick does what is due. It returns when the next thing is, or that it did
// something, which may have made other things due.
func (r *run) tick(now time.Time) (next time.Time, did bool) {
	due := func(t time.Time) bool {
		if t.IsZero() {
			return false
		}
		if !t.After(now) {
			did = true
			return true
		}
		next = earlier(next, t)
		return false
	}
	if due(r.over) {
		r.logout("logout notice")
		return next, false
	}
	for _, s := range r.sockets() {
		switch {
		case due(s.heard.Add(s.silence)):
			r.lose(s, errSilent)
			continue
		case s == r.old && (!s.owes() || due(s.dropAt)):
			r.drop(s, -1, errMoved)
			continue
		}
		for _, p := range s.pending {
			if due(p.at.Add(answerTimeout)) {
				r.wrong(s, "no answer to %s", p.req.Type)
				r.lose(s, errNoAnswer)
				break
			}
		}
		for room, at := range s.later {
			if !s.gone && due(at) {
				delete(s.later, room)
				if sb := s.subs[room]; sb != nil && sb.state == waiting {
					r.join(s, room)
				}
			}
		}
	}
	if s := r.cur; s != nil {
		if s.phase == live && r.wait.tries > 0 && r.next == nil && due(s.liveAt.Add(settled)) {
			r.wait.tries = 0
		}
		if r.next == nil && s.phase == live && due(s.moveAt) {
			s.moveAt = time.Time{}
			r.next = r.dial()
		}
	} else if due(r.try) {
		r.cur = r.dial()
	}
	return next, did
}

// lose is drop for a socket that died under the client.
func (r *run) lose(s *socket, why error) {
	r.drop(s, -1, why)
	if r.cur == nil {
		r.comeBack(0)
	}
}

// owes reports whether an item's or question's answer may still come.
func (s *socket) owes() bool {
	for _, p := range s.pending {
		if p.ask != nil || p.req.Key != "" {
			return true
		}
	}
	return false
}

// write sends requests, as many in one frame as it may hold. On an error the
// socket's goroutine ends by itself: the library cuts the connection.
func (r *run) write(s *socket, reqs ...request) {
	var buf []byte
	send := func() {
		if len(buf) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(r.ctx, writeTimeout)
		defer cancel()
		if err := s.ws.Write(ctx, websocket.MessageText, buf); err != nil {
			r.log.Debug("write", "instance", s.instance, "err", err)
		}
		buf = buf[:0]
	}
	for _, req := range reqs {
		b := encode(req)
		if len(buf)+1+len(b) > chat.MaxFrameBytes {
			send()
		}
		if len(buf) > 0 {
			buf = append(buf, '\n')
		}
		buf = append(buf, b...)
	}
	send()
}

// number gives req its id and notes that s owes an answer.
func (r *run) number(s *socket, req request, a *ask) request {
	r.lastID++
	req.ID = r.lastID
	s.pending[req.ID] = &pending{req: req, ask: a, at: time.Now()}
	return req
}

// flush sends what waits, as far as the state allows. It returns when there may
// be more, zero when something else must happen first.
func (r *run) flush(now time.Time) (next time.Time) {
	for _, s := range r.sockets() {
		if s.phase >= replaying && s != r.old {
			r.reconcile(s)
		}
	}
	s := r.cur
	if s == nil || s.phase != live || !r.over.IsZero() {
		return next
	}
	var reqs []request
	r.mu.Lock()
	items, next := r.out.Take(now)
	for _, it := range items {
		reqs = append(reqs, r.number(s, request{Type: it.Type, Room: it.Room, Key: it.Key, Target: chat.EventID(it.Target), Text: it.Text}, nil))
	}
	r.asks = slices.DeleteFunc(r.asks, func(a *ask) bool { return a.ctx.Err() != nil })
	for _, a := range r.asks {
		switch {
		case a.underWay:
		case a.notUntil.After(now):
			next = earlier(next, a.notUntil)
		default:
			a.underWay = true
			reqs = append(reqs, r.number(s, a.req, a))
		}
	}
	for _, room := range r.typing {
		reqs = append(reqs, request{Type: "typing", Room: room})
	}
	r.typing = nil
	r.mu.Unlock()
	r.write(s, reqs...)
	return next
}

// reconcile joins and leaves rooms on s until they are those that are wanted.
func (r *run) reconcile(s *socket) {
	var in, out []string
	r.mu.Lock()
	for room, w := range r.wants {
		sub := s.subs[room]
		switch {
		case !s.later[room].IsZero():
		case w == wantIn && (sub == nil || !sub.own):
			in = append(in, room)
		case w == wantOut && s == r.cur && !s.has("leave", room):
			out = append(out, room)
		}
	}
	r.mu.Unlock()
	slices.Sort(in) // a run with a seed must be the same run again
	slices.Sort(out)
	for _, room := range in {
		r.join(s, room)
	}
	for _, room := range out {
		r.write(s, r.number(s, request{Type: "leave", Room: room}, nil))
	}
	if s.phase == replaying && s.resumed() {
		r.goLive(s)
	}
}

func (s *socket) has(typ, room string) bool {
	for _, p := range s.pending {
		if p.req.Type == typ && p.req.Room == room {
			return true
		}
	}
	return false
}

// resumed reports whether all that the first moments owe has come.
func (s *socket) resumed() bool {
	for _, sub := range s.subs {
		if sub.state != joined && sub.state != refused {
			return false
		}
	}
	return !s.has("rooms", "")
}

func (r *run) goLive(s *socket) {
	s.phase, s.liveAt = live, time.Now()
	if s == r.next {
		if r.old != nil {
			r.drop(r.old, -1, errMoved)
		}
		r.old, r.cur, r.next = r.cur, s, nil
		r.old.dropAt = time.Now().Add(lingerTimeout)
	}
	r.log.Debug("live", "instance", s.instance)
	r.tell(Live{s.instance})
}

// join asks s for room, from where the view of it ends.
func (r *run) join(s *socket, room string) {
	sb := s.subs[room]
	if sb == nil {
		sb = &sub{}
		s.subs[room] = sb
	}
	sb.state, sb.own = joining, true
	req := request{Type: "join", Room: room}
	if room == universe {
		req.Positions = map[string]chat.EventID{}
		for name, t := range r.lines {
			if public(name) && t.Last() != "" {
				req.Positions[name] = t.Last()
			}
		}
		// Rooms left out come back as fresh: seen anew, not lost.
		for names := slices.Sorted(maps.Keys(req.Positions)); len(names) > chat.MaxPositions || len(encode(req)) > chat.MaxFrameBytes-64; names = names[len(names)/2:] {
			for _, name := range names[:(len(names)+1)/2] {
				delete(req.Positions, name)
			}
		}
	} else if t := r.lines[room]; t != nil {
		req.After = t.Last()
	}
	r.write(s, r.number(s, req, nil))
}

func (r *run) line(room string) *Timeline {
	t := r.lines[room]
	if t == nil {
		t = &Timeline{Keep: r.opt.Keep}
		r.lines[room] = t
	}
	return t
}

// frame handles one object from the server.
func (r *run) frame(s *socket, f *frame) {
	if (f.Type == "welcome") != (s.phase == opening) {
		r.wrong(s, "%q where a socket is in phase %d", f.Type, s.phase)
		r.lose(s, errBroken)
		return
	}
	switch f.Type {
	case "welcome":
		r.welcome(s, f)
	case "ok", "error":
		r.answer(s, f)
	case "reset":
		r.reset(s, f.Room)
	case "drain":
		r.tell(Draining{s.instance})
		if s != r.old && s.moveAt.IsZero() {
			s.moveAt = time.Now().Add(time.Duration(r.opt.Rand() * float64(f.WithinMS) * float64(time.Millisecond)))
		}
	case "logout":
		r.over = time.Now().Add(lingerTimeout)
	case "room":
		in := f.Joined != nil && *f.Joined
		r.tell(Notice{Type: f.Type, Room: f.Room, With: f.With, Joined: in})
		if in && r.opt.Follow {
			r.follow(f.Room)
		}
	case "relist":
		r.tell(Notice{Type: f.Type})
		r.relist(s)
	case "presence", "typing":
		r.tell(Notice{Type: f.Type, Room: f.Room, User: cmp.Or(f.User, f.From), State: f.State})
	default:
		if f.Seq > 0 { // a durable event, of whatever kind: the chain goes over it
			r.event(s, f.Event)
		}
	}
}

func (r *run) welcome(s *socket, f *frame) {
	if f.User != r.user {
		r.err = fmt.Errorf("%w: %q", ErrOtherUser, f.User)
		return
	}
	s.phase, s.instance = replaying, f.Instance
	s.silence = time.Duration(f.PingMillis)*time.Millisecond + pingGrace
	if f.PingMillis <= 0 {
		r.wrong(s, "ping_ms is %d", f.PingMillis)
		s.silence = chat.PingInterval + pingGrace
	}
	r.log.Debug("socket opened", "instance", s.instance)
	r.tell(Opened{s.instance})
	r.relist(s)
}

// relist asks for the list of rooms to follow.
func (r *run) relist(s *socket) {
	if r.opt.Follow {
		r.write(s, r.number(s, request{Type: "rooms"}, nil))
	}
}

// follow wants room, unless it is about to be left.
func (r *run) follow(room string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.wants[room]; !known {
		r.wants[room] = wantIn
	}
}

func (r *run) answer(s *socket, f *frame) {
	var p *pending
	if f.ReqID != nil {
		p = s.pending[*f.ReqID]
	}
	switch {
	case p == nil && f.ReqID == nil:
		r.wrong(s, "an answer without an id")
		return
	case p == nil:
		r.wrong(s, "an answer to request %d, which owes none", *f.ReqID)
		return
	}
	delete(s.pending, *f.ReqID)
	failed := f.Type == "error"
	switch {
	case failed && f.Code == "":
		r.wrong(s, "an error without a code")
	case failed && f.RetryAfterMS <= 0 && !f.final():
		r.wrong(s, "error %s without retry_after_ms", f.Code)
	case !failed && p.req.Room != "" && f.Room != p.req.Room:
		r.wrong(s, "%s of room %q was answered for room %q", p.req.Type, p.req.Room, f.Room)
	}
	var again time.Time // when to repeat the request; zero: never
	if failed && !f.final() {
		pause := max(time.Duration(f.RetryAfterMS)*time.Millisecond, r.opt.MinWait)
		again = time.Now().Add(pause + time.Duration(r.opt.Rand()*float64(pause)/2))
		r.tell(Delayed{p.req.Key, p.req.Room, f.Code})
	}
	switch {
	case p.ask != nil:
		r.answerAsk(p.ask, f, again)
	case p.req.Key != "":
		r.answerItem(s, p.req, f, again)
	case p.req.Type == "join":
		r.answerJoin(s, p.req, f, again)
	case p.req.Type == "leave":
		r.answerLeave(s, p.req, f, again)
	case p.req.Type == "rooms" && failed:
		r.lose(s, fmt.Errorf("list of rooms: %s", f.Code))
	case p.req.Type == "rooms":
		for _, room := range f.Rooms {
			if room.Joined {
				r.follow(string(room.Room))
			}
		}
	}
}

func refusal(f *frame) error { return &chat.Error{Code: f.Code, Message: f.Message} }

func (r *run) answerAsk(a *ask, f *frame, again time.Time) {
	got := answer{frame: *f}
	if f.Type == "error" {
		got.err = refusal(f)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !again.IsZero() {
		a.underWay, a.notUntil = false, again
		return
	}
	r.asks = slices.DeleteFunc(r.asks, func(x *ask) bool { return x == a })
	a.done <- got
}

func (r *run) answerItem(s *socket, req request, f *frame, again time.Time) {
	r.mu.Lock()
	if !again.IsZero() {
		r.out.Again(req.Room, req.Key, again)
		r.mu.Unlock()
		return
	}
	r.out.Done(req.Room, req.Key)
	waiter := r.waiters[req.Key]
	delete(r.waiters, req.Key)
	r.mu.Unlock()
	got := answer{frame: *f}
	if f.Type == "error" {
		got.err = refusal(f)
		r.tell(Refused{req.Key, req.Room, f.Code, f.Message})
	} else {
		if f.ID == "" || f.Seq != f.ID.Seq() {
			r.wrong(s, "ok to %s with event %q at seq %d", req.Type, f.ID, f.Seq)
		}
		r.tell(confirmed(req.Key, f))
	}
	if waiter != nil {
		waiter <- got
	}
}

func (r *run) answerLeave(s *socket, req request, f *frame, again time.Time) {
	if !again.IsZero() {
		s.later[req.Room] = again // and then reconcile repeats it
		return
	}
	r.mu.Lock()
	wanted := r.wants[req.Room] == wantIn
	if !wanted {
		delete(r.wants, req.Room)
	}
	r.mu.Unlock()
	for _, s := range r.sockets() {
		s.leave(req.Room) // wanted again meanwhile: reconcile joins it
	}
	if f.Type == "error" {
		r.tell(Refused{"", req.Room, f.Code, f.Message})
	}
}

// leave forgets room, but for what is heard of it through universe, and with
// universe all that was heard through it only.
func (s *socket) leave(room string) {
	if sb := s.subs[room]; sb != nil && public(room) && room != universe && s.subs[universe] != nil {
		sb.own = false
		return
	}
	delete(s.subs, room)
	if room == universe {
		maps.DeleteFunc(s.subs, func(_ string, sb *sub) bool { return !sb.own })
	}
}

func (r *run) answerJoin(s *socket, req request, f *frame, again time.Time) {
	sb := s.subs[req.Room]
	switch {
	case sb == nil: // left meanwhile
		return
	case !again.IsZero():
		sb.state, s.later[req.Room] = waiting, again
		return
	case f.Type == "error":
		sb.state = refused
		r.mu.Lock()
		if r.wants[req.Room] == wantIn {
			delete(r.wants, req.Room)
		}
		r.mu.Unlock()
		r.tell(Refused{"", req.Room, f.Code, f.Message})
		return
	}
	sb.state = joined
	if req.Room == universe {
		r.joinedUniverse(s, req, f)
	} else {
		r.joinedRoom(s, req.Room, req.After, f.Resumed, f.Events, f.Head)
	}
	if sb.state == joined {
		r.tell(Joined{req.Room, f.Resumed, f.Here, s.instance})
	}
}

// joinedRoom brings the view of room up to the replay's end.
func (r *run) joinedRoom(s *socket, room string, after chat.EventID, resumed bool, events []Event, head chat.EventID) {
	sb := s.subs[room]
	if sb == nil {
		sb = &sub{}
		s.subs[room] = sb
	}
	for _, ev := range events {
		if ev.Room != "" && ev.Room != room {
			r.wrong(s, "replay of room %q has event %s of room %q", room, ev.ID, ev.Room)
		}
	}
	t := r.line(room)
	had := t.Last()
	if resumed && after == "" && (len(events) > 0 && events[0].Prev != "") {
		r.wrong(s, "room %q was resumed from nothing at event %s", room, events[0].ID)
	}
	// Did the view go on meanwhile, through the other socket of a move? Then the
	// answer may bring more of it, but says nothing about where it ends now.
	overtaken := after != had
	if overtaken && !resumed {
		sb.state = joined
		r.joinAgain(s, room)
		return
	}
	shown, replaced, ok := t.Joined(resumed, events, head)
	for i := range shown {
		shown[i].Room = room // gone has none
	}
	if replaced {
		r.tell(Replaced{room, shown, had})
	} else {
		for _, ev := range shown {
			r.tell(Shown{Event: ev, Replay: true})
		}
	}
	if !ok {
		sb.state = joined
		if overtaken {
			r.joinAgain(s, room)
			return
		}
		r.wrong(s, "replay of room %q after %q does not fit together", room, after)
		r.rejoin(s, room, "")
		return
	}
	sb.state, sb.last = joined, head
	if n := len(events); n > 0 {
		sb.last = events[n-1].ID
	} else if resumed {
		sb.last = after
	}
}

func (r *run) joinedUniverse(s *socket, req request, f *frame) {
	byRoom := map[string][]Event{}
	for _, ev := range f.Events {
		byRoom[ev.Room] = append(byRoom[ev.Room], ev)
	}
	for _, room := range slices.Sorted(maps.Keys(f.Heads)) {
		after, asked := req.Positions[room]
		fresh := slices.Contains(f.Fresh, room)
		if !asked && !fresh {
			r.wrong(s, "universe has room %q, which is neither in positions nor fresh", room)
			fresh = true
		}
		if sb := s.subs[room]; sb != nil && sb.state == joined && !(asked && fresh) {
			// It is live on this socket already: the replay goes on there.
			for _, ev := range byRoom[room] {
				if ev.Prev == sb.last {
					r.event(s, ev)
				}
			}
			sb.again = sb.last.Seq()
			delete(byRoom, room)
			continue
		}
		r.joinedRoom(s, room, after, !fresh, byRoom[room], f.Heads[room])
		delete(byRoom, room)
	}
	for room := range byRoom {
		r.wrong(s, "universe has events of room %q, but not its head", room)
	}
}

// event handles one live event.
func (r *run) event(s *socket, ev Event) {
	sb := s.subs[ev.Room]
	if sb == nil {
		all := s.subs[universe]
		switch {
		case s.has("leave", ev.Room) || all != nil && all.state != joined:
			return
		case all == nil || !public(ev.Room):
			r.wrong(s, "event %s of room %q, which was not joined", ev.ID, ev.Room)
			return
		}
		// A room that was made after universe was joined: it begins empty.
		sb = &sub{state: joined}
		s.subs[ev.Room] = sb
		if t := r.line(ev.Room); t.Last() == "" {
			t.Joined(true, nil, "")
		}
	}
	if sb.state != joined {
		return // the answer to the join brings it
	}
	t := r.line(ev.Room)
	switch {
	case ev.Prev == sb.last && ev.Seq == ev.ID.Seq() && ev.Seq == sb.last.Seq()+1:
		sb.last, sb.tries = ev.ID, 0
	case t.has(ev) && ev.Seq <= sb.again: // the rest of a replay from an earlier position
		return
	case t.has(ev):
		r.wrong(s, "event %s of room %q came again", ev.ID, ev.Room)
		return
	default:
		r.wrong(s, "event %s (seq %d, prev %q) of room %q came after %q", ev.ID, ev.Seq, ev.Prev, ev.Room, sb.last)
		r.rejoin(s, ev.Room, ev.ID)
		return
	}
	switch t.Live(ev) {
	case Show:
		r.tell(Shown{Event: ev})
	case Repeat: // from the other socket of a move
	case Broken:
		r.rejoin(s, ev.Room, ev.ID)
	}
}

// reset does what the server asks for when it cannot go on in a room.
func (r *run) reset(s *socket, room string) {
	if room == universe {
		maps.DeleteFunc(s.subs, func(name string, sb *sub) bool { return !sb.own })
	}
	r.rejoin(s, room, "")
}

// rejoin tells of a gap and goes back to the end of the view.
func (r *run) rejoin(s *socket, room string, got chat.EventID) {
	var have chat.EventID
	if t := r.lines[room]; t != nil {
		have = t.Last()
	}
	r.tell(Gap{room, have, got})
	r.joinAgain(s, room)
}

// joinAgain joins from the end of the view: at once, and when that did not help,
// after a wait. A room that is heard through universe joins universe.
func (r *run) joinAgain(s *socket, room string) {
	if sb := s.subs[room]; sb == nil || !sb.own {
		delete(s.subs, room)
		room = universe
	}
	sb := s.subs[room]
	if sb == nil || sb.state != joined {
		return
	}
	at := time.Now()
	if sb.tries > 0 {
		wait := backoff{min: r.opt.MinWait, max: r.opt.MaxWait, rand: r.opt.Rand, tries: sb.tries}
		at = at.Add(wait.next())
	}
	sb.tries++
	sb.state, s.later[room] = waiting, at
}
