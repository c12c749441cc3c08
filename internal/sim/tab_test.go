package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"chatd/internal/chat"
	"chatd/internal/client"
	"chatd/internal/judge"
	"chatd/internal/room"
)

// As in package client.
const (
	connectTimeout = 15 * time.Second
	answerTimeout  = 30 * time.Second
	minWait        = 250 * time.Millisecond
	maxWait        = 2 * time.Second // shorter, so that more happens
	lingerTimeout  = 2 * time.Second
)

// A tab is one person's page: the wiring of the client's run around its Timeline
// and Outbox.
type tab struct {
	w     *world
	user  string
	id    string // for the judge; another one after a fresh login
	life  int
	rooms []chat.Room
	lines map[chat.Room]*client.Timeline
	out   *client.Outbox

	// What the browser keeps.
	items []client.Item                // all in out, in order
	done  map[chat.Room]client.Item    // ended last, and no other was sent in the room since
	mine  map[chat.Room][]chat.EventID // own messages seen
	asked map[string]bool              // keys that were sent
	count int

	cur, next, old *sock
	lastID         int64
	tries          int
	waits          int // counts the waits to connect, so that an older one ends unheard
}

// A sock is one WebSocket, seen from the page.
type sock struct {
	in      *instance
	conn    *conn // nil until it is open
	live    bool
	gone    bool
	subs    map[chat.Room]*sub
	pending map[int64]request
}

// A sub is a room on a socket.
type sub struct {
	joined bool
	last   chat.EventID // the last event that came through this socket
	tries  int
}

func (w *world) newTab(n int) *tab {
	t := &tab{w: w, user: fmt.Sprint("user", n%w.plan.Users), rooms: w.plan.roomsOf(n)}
	t.open(fmt.Sprint(t.user, "/", n))
	return t
}

func (t *tab) String() string { return t.id }

// open begins with nothing.
func (t *tab) open(id string) {
	t.id = id
	t.lines, t.mine = map[chat.Room]*client.Timeline{}, map[chat.Room][]chat.EventID{}
	t.out, t.items, t.done, t.asked = client.NewOutbox(1000), nil, map[chat.Room]client.Item{}, map[string]bool{}
	t.count = 0
	for _, name := range t.rooms {
		t.lines[name] = &client.Timeline{Keep: 64}
	}
	t.w.log(judge.Entry{Kind: judge.Opened, Client: t.id})
}

// reload loses what the page has and keeps what the browser keeps. The browser may
// not have come to know yet that the item that ended last did.
func (t *tab) reload() {
	t.hangUp()
	items, done, mine, asked, count := t.items, t.done, t.mine, t.asked, t.count
	t.open(t.id)
	t.mine, t.asked, t.count = mine, asked, count
	for _, name := range t.rooms {
		if it, ok := done[name]; ok && t.w.chance(0.5) {
			t.put(it)
			t.w.bite("confirmed item sent again")
		}
	}
	for _, it := range items {
		t.put(it)
	}
	t.connect()
}

// relogin loses everything: another login, in another browser.
func (t *tab) relogin() {
	t.hangUp()
	t.life++
	t.open(fmt.Sprintf("%s.%d", t.id, t.life))
	t.connect()
}

func (t *tab) hangUp() {
	for _, s := range []*sock{t.cur, t.next, t.old} {
		if s != nil {
			t.drop(s)
		}
	}
	t.cur, t.next, t.old = nil, nil, nil
}

func (t *tab) put(it client.Item) {
	if err := t.out.Add(it); err != nil {
		panic(err) // plans are smaller than an outbox
	}
	t.items = append(t.items, it)
}

// say queues a change; typ is send, edit or retract.
func (t *tab) say(typ string, name chat.Room) {
	t.count++
	it := client.Item{Type: typ, Room: string(name), Key: fmt.Sprintf("%s-%d", keyOf(t.id), t.count)}
	if typ != "send" {
		mine := t.mine[name]
		if len(mine) == 0 {
			return
		}
		it.Target = string(mine[t.w.rng.IntN(len(mine))])
	}
	if typ != "retract" {
		it.Text = "says " + it.Key
	}
	t.put(it)
	t.flush()
}

// keyOf makes a client's name one that keys may have.
func keyOf(id string) string {
	b := []byte(id)
	for i, c := range b {
		if c == '/' {
			b[i] = ':'
		}
	}
	return string(b)
}

// connect opens a socket to some instance.
func (t *tab) connect() { t.cur = t.dial() }

func (t *tab) dial() *sock {
	w := t.w
	s := &sock{in: w.balance(), subs: map[chat.Room]*sub{}, pending: map[int64]request{}}
	if s.in == nil {
		w.after(w.delay(), func() { t.lose(s) })
		return s
	}
	w.after(connectTimeout, func() {
		if s.conn == nil {
			t.lose(s)
		}
	})
	w.after(w.delay()+w.delay(), func() {
		if s.gone {
			return
		}
		if s.in.dead || s.in.leaving {
			t.lose(s)
			return
		}
		s.in.soon(func() {
			if s.gone || s.in.leaving {
				w.after(w.delay(), func() { t.lose(s) })
				return
			}
			c := &conn{in: s.in, tab: t, sock: s, rd: room.NewReader(t.user, func() {}), rooms: map[chat.Room]*opened{}, stalled: map[chat.Room]string{}}
			s.in.conns = append(s.in.conns, c)
			w.after(w.delay(), func() {
				if s.gone || s.in.dead {
					c.cut(false)
					t.lose(s)
					return
				}
				s.conn = c
				for _, name := range t.rooms {
					t.join(s, name)
				}
			})
		})
	})
	return s
}

// drop lets go of a socket: what had no answer on it goes out again on another.
func (t *tab) drop(s *sock) {
	if s.gone {
		return
	}
	s.gone = true
	if s.conn != nil {
		s.conn.cut(false)
	}
	for _, id := range slices.Sorted(maps.Keys(s.pending)) {
		if req := s.pending[id]; req.Key != "" {
			t.again(req, t.time())
		}
	}
}

func (t *tab) time() time.Time { return epoch.Add(t.w.now) }

func (t *tab) again(req request, at time.Time) {
	if t.w.bug.resendLast {
		for i, it := range t.items {
			if it.Key == req.Key && t.out.Done(string(req.Room), req.Key) {
				t.items = slices.Delete(t.items, i, i+1)
				t.put(it)
				return
			}
		}
		return
	}
	t.out.Again(string(req.Room), req.Key, at)
}

// lose is drop for a socket that died under the page.
func (t *tab) lose(s *sock) {
	if s.gone {
		return
	}
	t.drop(s)
	switch s {
	case t.old:
		t.old = nil
	case t.next:
		t.next = nil
	case t.cur:
		t.cur, t.next = t.next, nil // a move under way is the way back
		if t.cur == nil {
			t.comeBack()
		}
	}
}

func (t *tab) comeBack() {
	wait := time.Duration(t.w.rng.Float64() * float64(min(minWait<<min(t.tries, 10), maxWait)))
	t.tries++
	t.waits++
	n := t.waits
	t.w.after(wait, func() {
		if t.cur == nil && n == t.waits {
			t.connect()
		}
	})
}

// move goes to another instance without ever being without a socket.
func (t *tab) move() {
	if t.cur != nil && t.cur.live && t.next == nil {
		t.w.bite("move")
		t.next = t.dial()
	}
}

func (t *tab) send(s *sock, req request) {
	t.lastID++
	req.ID = t.lastID
	s.pending[req.ID] = req
	c := s.conn
	t.w.after(answerTimeout, func() {
		if _, waits := s.pending[req.ID]; waits && !s.gone {
			t.lose(s)
		}
	})
	if c.broken {
		return
	}
	c.toServer = max(c.toServer, t.w.now+t.w.delay())
	t.w.after(c.toServer-t.w.now, func() {
		if c.broken {
			return
		}
		if c.in.frozen {
			t.w.bite("buffered at a frozen instance")
		}
		c.in.soon(func() {
			if !c.gone {
				c.request(req)
			}
		})
	})
}

func (t *tab) join(s *sock, name chat.Room) {
	sb := s.subs[name]
	if sb == nil {
		sb = &sub{}
		s.subs[name] = sb
	}
	sb.joined = false
	t.send(s, request{Type: "join", Room: name, After: t.lines[name].Last()})
}

// flush sends what waits, as far as the state allows.
func (t *tab) flush() {
	s := t.cur
	if s == nil || !s.live {
		return
	}
	items, next := t.out.Take(t.time())
	for _, it := range items {
		name := chat.Room(it.Room)
		delete(t.done, name)
		if !t.asked[it.Key] {
			t.asked[it.Key] = true
			t.w.log(judge.Entry{Kind: judge.Sent, Client: t.id, User: t.user, Room: it.Room,
				Event: judge.Event{Type: kinds[it.Type], Key: it.Key, Target: it.Target, Text: it.Text}})
		}
		if t.w.tells {
			t.w.say("%s sends %s of %s to %s", t, it.Key, it.Room, s.in)
		}
		t.send(s, request{Type: it.Type, Room: name, Key: it.Key, Target: chat.EventID(it.Target), Text: it.Text})
	}
	if !next.IsZero() {
		t.w.after(next.Sub(t.time()), t.flush)
	}
}

// A frame is any object from an instance.
type frame struct {
	Type         string            `json:"type"`
	ID           int64             `json:"id"`
	Room         chat.Room         `json:"room"`
	Resumed      bool              `json:"resumed"`
	Events       []json.RawMessage `json:"events"`
	Head         chat.EventID      `json:"head"`
	Event        chat.EventID      `json:"event"`
	Seq          int64             `json:"seq"`
	Duplicate    bool              `json:"duplicate"`
	Code         string            `json:"code"`
	RetryAfterMS int64             `json:"retry_after_ms"`
}

// decode reads an event, each one once.
func (w *world) decode(data []byte) *client.Event {
	ev := w.decoded[string(data)]
	if ev == nil {
		ev = &client.Event{}
		if err := json.Unmarshal(data, ev); err != nil {
			panic(fmt.Sprintf("event %q: %v", data, err))
		}
		w.decoded[string(data)] = ev
		w.byID[ev.ID] = ev
	}
	return ev
}

// receive takes what an instance sent at once.
func (t *tab) receive(s *sock, batch [][]byte) {
	for _, data := range batch {
		if s.gone {
			return
		}
		if ev := t.w.decoded[string(data)]; ev != nil {
			t.live(s, *ev)
			continue
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			panic(fmt.Sprintf("frame %q: %v", data, err))
		}
		switch f.Type {
		case "ok", "error":
			t.answer(s, f)
		case "reset":
			t.w.bite("reset")
			if t.w.tells {
				t.w.say("%s is told to join %s again", t, f.Room)
			}
			t.rejoin(s, f.Room)
		default:
			t.live(s, *t.w.decode(data))
		}
	}
	if t.old != nil && t.old.owesNothing() {
		t.drop(t.old)
		t.old = nil
	}
	t.flush()
}

func (s *sock) owesNothing() bool {
	for _, req := range s.pending {
		if req.Key != "" {
			return false
		}
	}
	return true
}

func (t *tab) answer(s *sock, f frame) {
	req, ok := s.pending[f.ID]
	if !ok {
		t.wrong(s, "", "an answer to request %d, which owes none", f.ID)
		return
	}
	delete(s.pending, f.ID)
	again := time.Duration(f.RetryAfterMS) * time.Millisecond
	again += time.Duration(t.w.rng.Float64() * float64(again) / 2)
	switch {
	case req.Type == "join" && f.Type == "error":
		t.w.after(again, func() {
			if !s.gone {
				t.join(s, req.Room)
			}
		})
	case req.Type == "join":
		t.joined(s, req, f)
	case f.Type == "error" && again > 0:
		t.w.bite("repeat asked for")
		t.again(req, t.time().Add(again))
	default:
		t.ended(req, f)
	}
}

// ended takes the last word on an item.
func (t *tab) ended(req request, f frame) {
	e := judge.Entry{Kind: judge.Confirmed, Client: t.id, User: t.user, Room: string(req.Room), Event: judge.Event{Key: req.Key}}
	if f.Type == "error" {
		e.Kind, e.Code = judge.Refused, f.Code
	} else {
		e.Event.ID, e.Event.Seq = string(f.Event), f.Seq
	}
	if !t.out.Done(string(req.Room), req.Key) {
		return // it is under way on another socket, or ended there
	}
	for i, it := range t.items {
		if it.Key == req.Key {
			t.items = slices.Delete(t.items, i, i+1)
			t.done[req.Room] = it
			break
		}
	}
	if t.w.tells {
		t.w.say("%s hears that %s is %s: %s%s", t, req.Key, e.Kind, e.Event.ID, e.Code)
	}
	t.w.log(e)
}

func (t *tab) wrong(s *sock, name chat.Room, format string, args ...any) {
	t.w.log(judge.Entry{Kind: judge.Wrong, Client: t.id, Room: string(name), Note: s.in.String() + ": " + fmt.Sprintf(format, args...)})
}

// joined brings the view of a room up to the replay's end.
func (t *tab) joined(s *sock, req request, f frame) {
	sb, line := s.subs[req.Room], t.lines[req.Room]
	events := make([]client.Event, len(f.Events))
	for i, data := range f.Events {
		events[i] = *t.w.decode(data)
	}
	had := line.Last()
	if f.Resumed && had != "" {
		t.w.bite("resumed")
	}
	if t.w.tells {
		t.w.say("%s joins %s at %s: after %q, resumed %v, %d events, head %q", t, req.Room, s.in, req.After, f.Resumed, len(events), f.Head)
	}
	if t.w.bug.pageBySeq && len(events) > 0 {
		t.mislead(line, &events[0])
	}
	overtaken := had != req.After // the view went on meanwhile, through the other socket of a move
	if overtaken && !f.Resumed {
		t.w.bite("join overtaken")
		t.join(s, req.Room)
		return
	}
	shown, replaced, ok := line.Joined(f.Resumed, events, f.Head)
	for i := range shown {
		shown[i] = *t.w.byID[shown[i].ID] // whatever the mistake made of it
	}
	if replaced {
		e := judge.Entry{Kind: judge.Replaced, Client: t.id, Room: string(req.Room), Had: string(had)}
		for _, ev := range shown {
			e.Events = append(e.Events, t.seen(ev))
		}
		if had != "" {
			t.w.bite("gap shown")
		}
		t.w.log(e)
	} else {
		t.w.bitten["event recovered"] += len(shown)
		for _, ev := range shown {
			t.show(ev, true)
		}
	}
	sb.joined = true
	if !ok {
		if !overtaken {
			t.wrong(s, req.Room, "the replay after %q does not fit together", req.After)
		}
		t.rejoin(s, req.Room)
		return
	}
	sb.last, sb.tries = f.Head, 0
	if n := len(events); n > 0 {
		sb.last = events[n-1].ID
	} else if f.Resumed {
		sb.last = req.After
	}
	for _, name := range t.rooms {
		if !s.subs[name].joined {
			return
		}
	}
	t.goLive(s)
}

func (t *tab) goLive(s *sock) {
	s.live, t.tries = true, 0
	if s != t.next {
		return
	}
	if t.old != nil {
		t.drop(t.old)
	}
	old := t.cur
	t.old, t.cur, t.next = old, s, nil
	t.w.after(lingerTimeout, func() {
		if t.old == old {
			t.drop(old)
			t.old = nil
			t.flush()
		}
	})
}

// live handles one live event.
func (t *tab) live(s *sock, ev client.Event) {
	name := chat.Room(ev.Room)
	sb := s.subs[name]
	if sb == nil || !sb.joined {
		return // the answer to the join brings it
	}
	if ev.Seq != sb.last.Seq()+1 || ev.Prev != sb.last && !t.w.bug.pageBySeq {
		t.wrong(s, name, "event %s behind %q came after %q", ev.ID, ev.Prev, sb.last)
		t.rejoin(s, name)
		return
	}
	sb.last = ev.ID
	line := t.lines[name]
	shown := ev
	if t.w.bug.pageBySeq {
		t.mislead(line, &ev)
	}
	switch line.Live(ev) {
	case client.Show:
		t.show(shown, false)
	case client.Repeat: // from the other socket of a move
		t.w.bite("repeat dropped")
	case client.Broken:
		t.rejoin(s, name)
	}
}

// mislead makes a timeline take an event by its seq.
func (t *tab) mislead(line *client.Timeline, ev *client.Event) {
	if ev.Seq == line.Last().Seq()+1 {
		ev.Prev = line.Last()
	}
}

func (t *tab) show(ev client.Event, replay bool) {
	t.w.log(judge.Entry{Kind: judge.Shown, Client: t.id, Room: ev.Room, Event: t.seen(ev), Replay: replay})
}

func (t *tab) seen(ev client.Event) judge.Event {
	if t.w.tells {
		t.w.say("%s sees %s %s of %s", t, ev.ID, ev.Type, ev.Key)
	}
	if ev.From == t.user && ev.Type == chat.Message {
		t.mine[chat.Room(ev.Room)] = append(t.mine[chat.Room(ev.Room)], ev.ID)
	}
	return seen(ev)
}

func seen(ev client.Event) judge.Event {
	return judge.Event{ID: string(ev.ID), Prev: string(ev.Prev), Seq: ev.Seq, Type: ev.Type, From: ev.From,
		Key: ev.Key, Target: string(ev.Target), Text: ev.Text}
}

// rejoin goes back to the end of the view: at once, and when that did not help,
// after a wait.
func (t *tab) rejoin(s *sock, name chat.Room) {
	sb := s.subs[name]
	if !sb.joined {
		return
	}
	sb.joined = false
	wait := time.Duration(0)
	if sb.tries > 0 {
		wait = time.Duration(t.w.rng.Float64() * float64(min(minWait<<min(sb.tries, 10), maxWait)))
	}
	sb.tries++
	t.w.after(wait, func() {
		if !s.gone {
			t.join(s, name)
		}
	})
}

// settled reports whether the tab has all, and all it said is answered.
func (t *tab) settled() bool {
	if t.out.Len() > 0 || t.cur == nil || !t.cur.live || t.cur.conn.broken || t.next != nil {
		return false
	}
	for _, name := range t.rooms {
		if !t.cur.subs[name].joined {
			return false
		}
	}
	return true
}
