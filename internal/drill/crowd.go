package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatd/internal/chat"
	"chatd/internal/client"
	"chatd/internal/judge"
)

const (
	loginsAtOnce = 16
	maxQueued    = 20 // somebody who sees that nothing goes out pauses
	loginRetry   = 500 * time.Millisecond
	look         = 10 * time.Millisecond // between two looks at what a wait waits for
	ownKept      = 10                    // lines that somebody may think better of

	universe = "universe"
	mustSee  = ", and everybody must see it"
)

// A crowd is the people of one act.
type crowd struct {
	url    string
	rec    *record
	people []*person
	rooms  []string
	public map[string]bool    // those of rooms that were there from the start
	direct map[string]*person // conversations of two, and one of them
	pace   time.Duration      // between two messages of one person, on average
	stop   context.CancelFunc
	quiet  chan struct{} // closed: nobody writes any more
	hushed sync.Once
	wg     sync.WaitGroup // of the clients
	talk   sync.WaitGroup // of those who write

	// Guarded by rec.mu.
	over       bool // what happens to sockets from here on is the crowd's own doing
	written    int
	confirmed  int
	duplicates int
	out        int // logins that ended
	moved      int // sockets left for another
	closed     int // sockets lost in any other way
	rejoined   int
	failed     int // tries to connect that brought no socket
	codes      map[int]int
	sent       map[string]time.Time // by key, when it was written
	delays     spread
	offline    []time.Duration
	expected   map[string]map[string]bool // key -> who has not seen it; see expectLocked
	places     map[string]place           // of those that are confirmed
	caughtUp   time.Time                  // when the last of them was seen
	reached    map[int][]chan struct{}    // closed when so many are confirmed
}

// A person is one login with one client.
type person struct {
	*client.Client
	crowd *crowd
	name  string
	rooms []string
	talks bool
	all   bool // reads universe
	given bool // the login is an operator's, and there is no other
	rand  *rand.Rand
	line  *line
	jar   http.CookieJar
	hold  atomic.Pointer[chan struct{}] // while set, the person reads nothing

	// Guarded by record.mu.
	views   map[string]bool   // rooms that were shown at all
	ends    map[string]string // the last event of each view
	begins  map[string]int64  // the first seq of each view that was replaced
	open    int               // sockets
	since   time.Time         // when the last socket closed
	longest time.Duration     // longest time without one
	on      string            // the instance of the newest socket
	said    int
	outs    int               // how often the login ended
	wrote   map[string]string // key -> room of lines that may be changed once they are confirmed
	mine    []own             // the newest of those
	held    bool              // it stopped reading for a while: its delays are its own
}

// An own is a line that its writer may change.
type own struct {
	room string
	id   chat.EventID
}

// A place is where a line stands.
type place struct {
	room string
	seq  int64
}

// A gathering says who comes.
type gathering struct {
	name      string // begins all names; at most 20 characters
	url       string
	people    int
	rooms     int
	pace      time.Duration
	seed      uint64
	logins    []Login            // theirs; nil: guests, with names of their own
	universe  bool               // one in thirty reads universe
	immediate bool               // they come back at once, all together
	way       func(n int) string // host:port that the n-th dials instead of url's; "" for url's; nil: all do
}

// gather logs people in and returns once each of them is in their rooms.
func gather(ctx context.Context, rec *record, g gathering) (*crowd, error) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &crowd{url: g.url, rec: rec, pace: g.pace, stop: stop, quiet: make(chan struct{}), codes: map[int]int{}, reached: map[int][]chan struct{}{},
		sent: map[string]time.Time{}, expected: map[string]map[string]bool{}, places: map[string]place{}, public: map[string]bool{}, direct: map[string]*person{}}
	for n := range g.rooms {
		c.rooms = append(c.rooms, fmt.Sprintf("%s-room%d", g.name, n+1))
		c.public[c.rooms[n]] = true
	}
	for n := range g.people {
		p := &person{crowd: c, name: fmt.Sprintf("%s-p%d", g.name, n+1), rand: rand.New(rand.NewPCG(g.seed, uint64(n))),
			views: map[string]bool{}, ends: map[string]string{}, begins: map[string]int64{}, wrote: map[string]string{}}
		// One in ten only reads, and in more rooms than the others, some of these in all.
		p.talks = n%10 != 9
		many, step := 2, 1+n/len(c.rooms)%2 // not always the same two
		if !p.talks {
			many, step = 6, 1
		}
		for m := range min(many, len(c.rooms)) {
			p.rooms = append(p.rooms, c.rooms[(n+m*step)%len(c.rooms)])
		}
		slices.Sort(p.rooms)
		p.rooms = slices.Compact(p.rooms)
		if p.all = g.universe && n%30 == 19; p.all {
			p.rooms = []string{universe}
		}
		way := ""
		if g.way != nil {
			way = g.way(n)
		}
		p.line = newLine(way)
		var err error
		if p.jar, err = cookiejar.New(nil); err != nil {
			stop()
			return nil, err
		}
		if g.logins != nil {
			p.name, p.given = g.logins[n].Name, true
			if err := g.logins[n].into(p.jar, g.url); err != nil {
				stop()
				return nil, err
			}
		}
		if p.Client, err = client.New(client.Options{URL: g.url, User: p.name, Observer: p, Immediate: g.immediate,
			Transport: p.line.transport, Jar: p.jar, Keep: 256}); err != nil {
			stop()
			return nil, err
		}
		c.people = append(c.people, p)
	}
	// Two in ten have a conversation of their own.
	for n := 0; n+1 < len(c.people); n += 10 {
		one, other := c.people[n], c.people[n+1]
		room, err := one.Join("@" + other.name)
		if err != nil {
			stop()
			return nil, err
		}
		c.direct[room] = one
		one.rooms, other.rooms = append(one.rooms, room), append(other.rooms, room)
	}
	gate := make(chan struct{}, loginsAtOnce)
	errs := make(chan error, len(c.people))
	for _, p := range c.people {
		go func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			errs <- p.login(ctx)
		}()
	}
	var failed []error
	for range c.people {
		failed = append(failed, <-errs)
	}
	if err := errors.Join(failed...); err != nil {
		stop()
		return nil, err
	}
	for _, p := range c.people {
		for _, room := range p.rooms {
			if _, err := p.Join(room); err != nil {
				stop()
				return nil, err
			}
		}
		c.wg.Go(func() { p.live(running) })
	}
	err := c.await(ctx, "everybody is in their rooms", func() bool {
		for _, p := range c.people {
			if !p.inAllLocked() {
				return false
			}
		}
		return true
	})
	if err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

// login logs in, as often as it takes. A login that was given is there.
func (p *person) login(ctx context.Context) error {
	if p.given {
		p.crowd.rec.add(judge.Entry{Kind: judge.LoggedIn, Client: p.name, User: p.name})
		return nil
	}
	for {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := p.Client.Login(try)
		cancel()
		if err == nil {
			p.crowd.rec.add(judge.Entry{Kind: judge.LoggedIn, Client: p.name, User: p.name})
			return nil
		}
		select {
		case <-time.After(loginRetry):
		case <-ctx.Done():
			return fmt.Errorf("%s cannot log in: %w", p.name, err)
		}
	}
}

// live is the person's client from the first socket to the end. Who is asked to
// log in does so, and goes on with what was not confirmed.
func (p *person) live(ctx context.Context) {
	p.crowd.rec.add(judge.Entry{Kind: judge.Opened, Client: p.name, User: p.name})
	for {
		err := p.Run(ctx)
		if !errors.Is(err, client.ErrLoggedOut) || p.given || p.login(ctx) != nil {
			return
		}
	}
}

// inAllLocked says that each of the person's rooms was shown at least once.
func (p *person) inAllLocked() bool {
	return !slices.ContainsFunc(p.rooms, func(room string) bool { return !p.views[room] })
}

// start lets people write until hush.
func (c *crowd) start() {
	for _, p := range c.people {
		if p.talks {
			c.talk.Go(p.chatter)
		}
	}
}

func (p *person) chatter() {
	c := p.crowd
	for {
		// Evenly between half and one and a half times the pace.
		timer := time.NewTimer(c.pace/2 + time.Duration(p.rand.Float64()*float64(c.pace)))
		select {
		case <-timer.C:
		case <-c.quiet:
			timer.Stop()
			return
		}
		if p.Queued() < maxQueued {
			c.rec.mu.Lock()
			// Most of what people do is to write; sometimes they think better of it.
			switch what := p.rand.IntN(10); {
			case what < 8 || len(p.mine) == 0:
				p.writeLocked(p.rooms[p.rand.IntN(len(p.rooms))], "")
			default:
				p.changeLocked(what == 9)
			}
			c.rec.mu.Unlock()
		}
	}
}

// writeLocked queues a message and returns its key. The lock makes sure that
// nobody's view has it before the history says that it was sent.
func (p *person) writeLocked(room, more string) string {
	p.said++
	text := fmt.Sprintf("%s says %d%s", p.name, p.said, more)
	key, err := p.Send(room, text)
	p.askedLocked(room, judge.Event{Type: chat.Message, Key: key, Text: text}, err)
	if more != mustSee { // what is taken back is not seen by all
		p.wrote[key] = room
	}
	return key
}

// changeLocked queues another text for a line of the person's own, or takes one back.
func (p *person) changeLocked(retract bool) {
	n := p.rand.IntN(len(p.mine))
	o := p.mine[n]
	if retract {
		p.mine = slices.Delete(p.mine, n, n+1)
		key, err := p.Retract(o.room, o.id)
		p.askedLocked(o.room, judge.Event{Type: chat.Retracted, Key: key, Target: string(o.id)}, err)
		return
	}
	p.said++
	text := fmt.Sprintf("%s means %d", p.name, p.said)
	key, err := p.Edit(o.room, o.id, text)
	p.askedLocked(o.room, judge.Event{Type: chat.Edited, Key: key, Target: string(o.id), Text: text}, err)
}

// askedLocked notes what was queued.
func (p *person) askedLocked(room string, ev judge.Event, err error) {
	c := p.crowd
	if err != nil { // a full outbox or a bad name: neither can be
		c.rec.addLocked(judge.Entry{Kind: judge.Wrong, Client: p.name, User: p.name, Room: room, Note: "not queued: " + err.Error()})
		return
	}
	c.rec.addLocked(judge.Entry{Kind: judge.Sent, Client: p.name, User: p.name, Room: room, Event: ev})
	now := time.Now()
	c.sent[ev.Key] = now
	c.written++
	c.rec.series.at(now).Sent++
}

// burst has everybody write into each of their rooms at once, and returns as soon as
// the first few of these lines are confirmed: then a fault hits many that are kept
// and not yet confirmed.
func (c *crowd) burst(ctx context.Context) error {
	c.rec.mu.Lock()
	some := make(chan struct{})
	for _, p := range c.people {
		if p.talks {
			for _, room := range p.rooms {
				p.writeLocked(room, ", like everybody")
			}
		}
	}
	at := c.confirmed + len(c.people)/3
	c.reached[at] = append(c.reached[at], some)
	c.rec.mu.Unlock()
	select {
	case <-some:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("not in time: a burst is confirmed: %w", context.Cause(ctx))
	}
}

// mark has each who writes write a line into each of their rooms, and waits until
// all these are kept and seen by all readers. It returns how long that took.
func (c *crowd) mark(ctx context.Context, within time.Duration) (time.Duration, error) {
	c.rec.mu.Lock()
	begin := time.Now()
	c.caughtUp = begin
	for _, p := range c.people {
		if !p.talks {
			continue
		}
		for _, room := range p.rooms {
			// Who stands behind in one room is not asked twice: the queue is in order.
			key := p.writeLocked(room, mustSee)
			who := map[string]bool{"": true}
			for _, reader := range c.people {
				if reader.hold.Load() == nil && reader.in(room) {
					who[reader.name] = true
				}
			}
			c.expected[key] = who
		}
	}
	c.rec.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := c.await(ctx, "everybody has seen everybody's line", func() bool { return len(c.expected) == 0 })
	if err != nil {
		err = fmt.Errorf("not caught up: %s: %w", c.missing(), err)
	}
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	clear(c.places)
	if err != nil {
		clear(c.expected)
		return time.Since(begin), err
	}
	return c.caughtUp.Sub(begin), nil
}

func (p *person) in(room string) bool {
	return p.all && p.crowd.public[room] || slices.Contains(p.rooms, room)
}

// reads are the rooms that the person sees, by their own names.
func (p *person) reads() []string {
	if p.all {
		return slices.Sorted(maps.Keys(p.crowd.public))
	}
	return p.rooms
}

// await looks until there is what it waits for, or ctx ends. cond is asked with
// the record locked.
func (c *crowd) await(ctx context.Context, what string, cond func() bool) error {
	again := time.NewTicker(look)
	defer again.Stop()
	for {
		c.rec.mu.Lock()
		ok := cond()
		c.rec.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s: %w", what, context.Cause(ctx))
		}
	}
}

// hush ends the writing.
func (c *crowd) hush() {
	c.hushed.Do(func() { close(c.quiet) })
	c.talk.Wait()
}

// settle waits until everything written is confirmed, reads what the rooms hold
// with a fresh login, and waits until everybody has seen the end of it. Who has
// not by then is judged as they are.
func (c *crowd) settle(ctx context.Context, name string, within time.Duration) error {
	c.hush()
	run := ctx
	ctx, cancel := context.WithTimeout(run, within)
	defer cancel()
	waited := c.await(ctx, "everything is confirmed", func() bool {
		for _, p := range c.people {
			if p.Queued() > 0 {
				return false
			}
		}
		return true
	})
	if waited != nil { // what there is can still be read
		var more context.CancelFunc
		ctx, more = context.WithTimeout(run, within)
		defer more()
	}
	truth, err := c.page(ctx, name+"-fresh", nil, c.rooms...)
	if err != nil {
		return errors.Join(waited, err)
	}
	for room, p := range c.direct { // which strangers may not read
		own, err := c.page(ctx, p.name, p.jar, room)
		if err != nil {
			return errors.Join(waited, err)
		}
		truth[room] = own[room]
	}
	waited = errors.Join(waited, c.await(ctx, "everybody is at the end of their rooms", func() bool {
		for _, p := range c.people {
			for _, room := range p.reads() {
				if evs := truth[room]; len(evs) > 0 && p.ends[room] != string(evs[len(evs)-1].ID) {
					return false
				}
			}
		}
		return true
	}))
	for _, room := range slices.Sorted(maps.Keys(truth)) {
		c.rec.add(judge.Entry{Kind: judge.Feed, Room: room, Events: events(truth[room])})
	}
	for _, p := range c.people {
		for _, room := range p.reads() {
			c.rec.add(judge.Entry{Kind: judge.End, Client: p.name, User: p.name, Room: room})
		}
	}
	return waited
}

// page reads all that rooms hold, with a fresh login, or that in the jar if it is not
// nil; where logins are given, with one of those.
func (c *crowd) page(ctx context.Context, name string, jar http.CookieJar, rooms ...string) (map[string][]client.Event, error) {
	if jar == nil && c.people[0].given {
		name, jar = c.people[0].name, c.people[0].jar
	}
	l := newLine("")
	defer l.cut()
	fresh, err := client.New(client.Options{URL: c.url, User: name, Transport: l.transport, Jar: jar})
	if err != nil {
		return nil, err
	}
	if jar == nil {
		if err := fresh.Login(ctx); err != nil {
			return nil, err
		}
	}
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = fresh.Run(running) }) // its end is stop's, and what it asks for fails by itself
	defer wg.Wait()
	defer stop()
	truth := map[string][]client.Event{}
	for _, room := range rooms {
		var all []client.Event
		for before := chat.EventID(""); ; {
			page, err := fresh.History(ctx, room, before, chat.MaxHistory)
			if err != nil {
				return nil, fmt.Errorf("read back %s: %w", room, err)
			}
			all = append(page, all...)
			if len(page) == 0 || page[0].Prev == "" {
				break
			}
			before = page[0].ID
		}
		for i := range all {
			all[i].Room = room // gone has none
		}
		truth[room] = all
	}
	return truth, nil
}

// leave ends all clients, as closing the browser does, and waits for them.
func (c *crowd) leave() {
	c.hush()
	c.rec.mu.Lock()
	c.over = true
	c.rec.mu.Unlock()
	for _, p := range c.people {
		p.wake()
	}
	c.stop()
	c.wg.Wait()
	for _, p := range c.people {
		p.line.cut()
		p.line.transport.CloseIdleConnections()
	}
}

// pause makes the person stop reading; wake ends that.
func (p *person) pause() {
	p.crowd.rec.mu.Lock()
	p.held = true
	p.crowd.rec.mu.Unlock()
	hold := make(chan struct{})
	p.hold.Store(&hold)
}

func (p *person) wake() {
	if hold := p.hold.Swap(nil); hold != nil {
		close(*hold)
	}
}

// on counts who is connected to an instance.
func (c *crowd) on(instance string) (n int) {
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	for _, p := range c.people {
		if p.on == instance {
			n++
		}
	}
	return n
}

// A line is one person's way to the server; it can be cut.
type line struct {
	transport *http.Transport

	mu    sync.Mutex
	conns map[*wire]bool
}

type wire struct {
	net.Conn
	line *line
}

func (w *wire) Close() error {
	w.line.mu.Lock()
	delete(w.line.conns, w)
	w.line.mu.Unlock()
	return w.Conn.Close()
}

// newLine returns a line that ends at way, or where it is dialled if way is "".
func newLine(way string) *line {
	l := &line{conns: map[*wire]bool{}}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	l.transport = &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if way != "" {
				addr = way
			}
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			w := &wire{conn, l}
			l.mu.Lock()
			l.conns[w] = true
			l.mu.Unlock()
			return w, nil
		},
	}
	return l
}

// cut closes all connections without a word.
func (l *line) cut() {
	l.mu.Lock()
	var all []*wire
	for w := range l.conns {
		all = append(all, w)
	}
	l.mu.Unlock()
	for _, w := range all {
		w.Close()
	}
}
