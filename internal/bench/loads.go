package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatd/internal/cluster"
)

// The loads, in the order of the table.
const (
	fanOut     = "fan-out"
	fanOutTwo  = "fan-out, two instances"
	saturated  = "saturated"
	opening    = "opening sockets"
	joiningOne = "joining a room"
	idle       = "idle sockets"
	idleMost   = "idle sockets, as many as there are files"
	sendsOne   = "sends to one room"
	sendsMany  = "sends to many rooms"
	quietSend  = "one send at a time"
	resume     = "coming back after a short outage"
	kill       = "kill -9"
	herd       = "kill -9, a herd"
	unread     = "an instance without readers"
)

// Sizes say how much of everything.
type Sizes struct {
	Warm           time.Duration // before something is measured
	Silence        time.Duration // after which nothing more is waited for
	Sockets, Rooms int           // of fan-out and kill
	Rate           int           // messages a second, all rooms together
	FanOut         time.Duration // how long it is measured
	Saturated      time.Duration
	Window         int // messages of one room that may be on their way when saturated
	Idle           int // sockets
	IdleFor        time.Duration
	Most           int // idle sockets, as many as there are files; 0: left out
	Senders        int
	SendRooms      int
	Sends          time.Duration
	Quiet          int // sends one at a time
	Resumes        int
	KillRate       int // messages a second
	Herd           int // sockets
}

// Whole is what the figures in the documents are made with, and Quick takes a minute.
var (
	Whole = Sizes{Warm: time.Second, Silence: 300 * time.Millisecond, Sockets: 1000, Rooms: 10, Rate: 200, FanOut: 6 * time.Second, Saturated: 3 * time.Second, Window: 64,
		Idle: 5000, IdleFor: 30 * time.Second, Most: 19_500, Senders: 64, SendRooms: 100, Sends: 3 * time.Second, Quiet: 500, Resumes: 20, KillRate: 100, Herd: 5000}
	Quick = Sizes{Warm: time.Second / 2, Silence: 300 * time.Millisecond, Sockets: 1000, Rooms: 10, Rate: 200, FanOut: 2 * time.Second, Saturated: time.Second, Window: 64,
		Idle: 2000, IdleFor: 5 * time.Second, Senders: 64, SendRooms: 100, Sends: time.Second, Quiet: 200, Resumes: 10, KillRate: 100, Herd: 1000}
)

// roomSize is how many sockets share a room where a load does not say it.
const roomSize = 100

// A meter is what a system had used at a moment.
type meter struct {
	servers       []*cluster.Process
	redis         []*cluster.Process
	cpu, redisCPU time.Duration
	own           time.Duration
	at            time.Time
}

func (s *system) meter() (*meter, error) {
	m := &meter{servers: s.running(), own: ownCPU(), at: time.Now()}
	if s.redis != nil {
		m.redis = []*cluster.Process{s.redis}
	}
	var err error
	if m.cpu, err = cpu(m.servers...); err != nil {
		return nil, err
	}
	m.redisCPU, err = cpu(m.redis...)
	return m, err
}

// since returns what was used since, and how long that is.
func (m *meter) since() (servers, redis, took time.Duration, err error) {
	took = time.Since(m.at)
	now, err := cpu(m.servers...)
	if err != nil {
		return 0, 0, 0, err
	}
	redis, err = cpu(m.redis...)
	return now - m.cpu, redis - m.redisCPU, took, err
}

// clients is how many cores the clients have used since.
func (m *meter) clients() float64 {
	return (ownCPU() - m.own).Seconds() / time.Since(m.at).Seconds()
}

// found returns n rooms that no other load has had, made on the servers that run:
// chatd tells everybody of a room that is new.
func (b *bench) found(ctx context.Context, s *system, n int) ([]string, error) {
	b.made++
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("b%d-%d", b.made, i)
	}
	founders, err := newCrowd(s.dialect, s.addrs()[:1], s.logins[:n], all, false)
	if err != nil {
		return nil, err
	}
	defer founders.close()
	return all, founders.openAndJoin(ctx, b.Sizes.Silence/3)
}

// crowd returns a crowd of closed sockets for so many new rooms.
func (b *bench) crowd(ctx context.Context, s *system, logins []string, rooms int, spread bool) (*crowd, error) {
	names, err := b.found(ctx, s, rooms)
	if err != nil {
		return nil, err
	}
	return newCrowd(s.dialect, s.addrs(), logins, names, spread)
}

// inRooms starts n servers afresh, and opens a crowd that is in its rooms.
func (b *bench) inRooms(ctx context.Context, s *system, servers, sockets, rooms int) (*crowd, error) {
	if err := s.fresh(ctx, servers); err != nil {
		return nil, err
	}
	c, err := b.crowd(ctx, s, s.logins[:sockets], rooms, servers > 1)
	if err != nil {
		return nil, err
	}
	if err := c.openAndJoin(ctx, b.Sizes.Silence); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *crowd) openAndJoin(ctx context.Context, silence time.Duration) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	if err := c.join(ctx); err != nil {
		return err
	}
	for _, p := range c.rooms {
		p.readers = 0
	}
	for _, s := range c.sockets {
		c.rooms[s.place].readers++
	}
	return c.settle(ctx, silence)
}

// fanOut has the people of some rooms say something in turn, at a steady rate, and
// then as fast as it can be delivered, if full is not "".
func (b *bench) fanOut(ctx context.Context, r round, s *system, load, full string, servers int) error {
	c, err := b.inRooms(ctx, s, servers, b.Sizes.Sockets, b.Sizes.Rooms)
	if err != nil {
		return err
	}
	defer c.close()

	steady := func(d time.Duration) error {
		interval := time.Second / time.Duration(b.Sizes.Rate)
		begin, said := c.now(), 0
		for {
			now := c.now()
			for ; begin+time.Duration(said)*interval <= now && time.Duration(said)*interval < d; said++ {
				c.sayNext(c.sent % len(c.rooms))
			}
			if now >= begin+d {
				return nil
			}
			if err := c.turn(ctx, min(time.Duration(said)*interval, d)+begin-now); err != nil {
				return err
			}
		}
	}
	if err := steady(b.Sizes.Warm); err != nil {
		return err
	}
	c.delays = make([]time.Duration, 0, int(b.Sizes.FanOut.Seconds()+1)*b.Sizes.Rate*b.Sizes.Sockets/b.Sizes.Rooms)
	profiled := b.profile(ctx, s, load, b.Sizes.FanOut)
	f, err := c.measured(s, func() error { return steady(b.Sizes.FanOut) })
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	if err := c.arrived(ctx); err != nil {
		return err
	}
	f.delays(c.delays)
	b.add(r, load, s, f)
	if full == "" {
		return nil
	}

	saturate := func(d time.Duration) error {
		for end := c.now() + d; c.now() < end; {
			for i, p := range c.rooms {
				for int64(p.sent)*int64(p.readers)-p.received < int64(b.Sizes.Window)*int64(p.readers) {
					c.sayNext(i)
				}
			}
			if err := c.turn(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}
	if err := saturate(b.Sizes.Warm / 2); err != nil {
		return err
	}
	c.sampled, c.delays = 20, nil
	profiled = b.profile(ctx, s, full, b.Sizes.Saturated)
	f, err = c.measured(s, func() error { return saturate(b.Sizes.Saturated) })
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	f.delays(c.delays)
	b.add(r, full, s, f)
	return c.arrived(ctx)
}

// sayNext has the next of the people of a room say something.
func (c *crowd) sayNext(place int) {
	p := c.rooms[place]
	c.say(c.sockets[p.sent%p.readers*len(c.rooms)+place], place)
}

// measured does something and returns what it cost for each message delivered.
func (c *crowd) measured(s *system, do func() error) (Figures, error) {
	m, err := s.meter()
	if err != nil {
		return nil, err
	}
	before := c.received
	if err := do(); err != nil {
		return nil, err
	}
	servers, redis, took, err := m.since()
	n := c.received - before
	f := Figures{serverCPU: each(servers, n), rate: float64(n) / took.Seconds(), clients: m.clients()}
	if s.redis != nil {
		f[redisCPU] = each(redis, n)
	}
	return f, err
}

// arrived waits until everybody has everything that was said, and refuses figures of
// messages that did not arrive.
func (c *crowd) arrived(ctx context.Context) error {
	var want int64
	for _, p := range c.rooms {
		want += int64(p.sent) * int64(p.readers)
	}
	if err := c.until(ctx, 20*time.Second, "all messages arrived", func() bool { return c.received >= want }); err != nil {
		return err
	}
	if c.received > want {
		return fmt.Errorf("%d messages were delivered, and %d are right", c.received, want)
	}
	return nil
}

// sockets opens many sockets on each system in turn, has them join rooms, and leaves
// them alone, all systems at one time: what they use meanwhile is counted for each.
func (b *bench) sockets(ctx context.Context, r round, systems []*system) error {
	crowds := make([]*crowd, len(systems))
	empty := make([]int64, len(systems))
	for i, s := range systems {
		if err := s.fresh(ctx, 1); err != nil {
			return err
		}
		c, err := b.crowd(ctx, s, s.logins[:b.Sizes.Idle], b.Sizes.Idle/roomSize, false)
		if err != nil {
			return err
		}
		defer c.close()
		crowds[i] = c
		if empty[i], err = memory(s.running()...); err != nil {
			return err
		}
		for _, step := range []struct {
			load string
			do   func(context.Context) error
		}{{opening, c.open}, {joiningOne, c.join}} {
			m, err := s.meter()
			if err != nil {
				return err
			}
			profiled := b.profile(ctx, s, step.load, time.Second)
			if err := errors.Join(step.do(ctx), profiled()); err != nil {
				return fmt.Errorf("%s, %s: %w", step.load, s.name, err)
			}
			settled := c.now()
			if err := c.settle(ctx, b.Sizes.Silence); err != nil {
				return err
			}
			servers, redis, took, err := m.since()
			if err != nil {
				return err
			}
			n := int64(len(c.sockets))
			f := Figures{serverCPU: each(servers, n), rate: float64(n) / (took - (c.now() - settled)).Seconds()}
			if s.redis != nil {
				f[redisCPU] = each(redis, n)
			}
			b.add(r, step.load, s, f)
		}
	}
	meters := make([]*meter, len(systems))
	for i, s := range systems {
		defer b.profile(ctx, s, idle, b.Sizes.IdleFor)()
		var err error
		if meters[i], err = s.meter(); err != nil {
			return err
		}
	}
	for end := time.Now().Add(b.Sizes.IdleFor); time.Now().Before(end); {
		for _, c := range crowds {
			if err := c.turn(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	for i, s := range systems {
		servers, redis, _, err := meters[i].since()
		if err != nil {
			return err
		}
		full, err := memory(s.running()...)
		if err != nil {
			return err
		}
		f := Figures{serverCPU: servers.Seconds(), perSocket: float64(full-empty[i]) / 1024 / float64(b.Sizes.Idle)}
		if s.redis != nil {
			f[redisCPU] = redis.Seconds()
		}
		b.add(r, idle, s, f)
	}
	return nil
}

// most opens as many sockets as there are files.
func (b *bench) most(ctx context.Context, r round, s *system) error {
	if err := s.fresh(ctx, 1); err != nil {
		return err
	}
	// A person may have a hundred; to log in as many is not what is measured.
	logins := make([]string, b.Sizes.Most)
	for n := range logins {
		logins[n] = s.logins[n%len(s.logins)]
	}
	c, err := b.crowd(ctx, s, logins, b.Sizes.Most/roomSize, false)
	if err != nil {
		return err
	}
	defer c.close()
	empty, err := memory(s.running()...)
	if err != nil {
		return err
	}
	if err := c.openAndJoin(ctx, b.Sizes.Silence); err != nil {
		return err
	}
	m, err := s.meter()
	if err != nil {
		return err
	}
	for end := time.Now().Add(b.Sizes.IdleFor); time.Now().Before(end); {
		if err := c.turn(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	servers, redis, _, err := m.since()
	if err != nil {
		return err
	}
	full, err := memory(s.running()...)
	if err != nil {
		return err
	}
	b.add(r, idleMost, s, Figures{serverCPU: servers.Seconds(), redisCPU: redis.Seconds(), perSocket: float64(full-empty) / 1024 / float64(b.Sizes.Most)})
	return nil
}

// sends has people who are in no room say one thing after the other, each as soon as
// the one before was confirmed.
func (b *bench) sends(ctx context.Context, r round, s *system, load string, rooms int) error {
	if err := s.fresh(ctx, 1); err != nil {
		return err
	}
	c, err := b.crowd(ctx, s, s.logins[:b.Sizes.Senders], rooms, false)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.open(ctx); err != nil {
		return err
	}
	stop := false
	for _, sender := range c.sockets {
		place, at := sender.n%rooms, c.now()
		sender.writes = true
		sender.then = func() {
			now := c.now()
			c.delays = append(c.delays, now-at)
			if stop {
				return
			}
			at, place = now, (place+b.Sizes.Senders)%rooms
			c.say(sender, place)
		}
		c.say(sender, place)
	}
	for end := c.now() + b.Sizes.Warm; c.now() < end; {
		if err := c.turn(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	c.delays = c.delays[:0]
	profiled := b.profile(ctx, s, load, b.Sizes.Sends)
	m, err := s.meter()
	if err != nil {
		return err
	}
	before := c.confirmed
	for end := c.now() + b.Sizes.Sends; c.now() < end; {
		if err := c.turn(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	servers, redis, took, err := m.since()
	if err != nil {
		return err
	}
	n := c.confirmed - before
	f := Figures{serverCPU: each(servers, n), redisCPU: each(redis, n), rate: float64(n) / took.Seconds(), clients: m.clients()}
	f.delays(c.delays)
	b.add(r, load, s, f)
	stop = true
	if err := profiled(); err != nil {
		return err
	}
	return c.until(ctx, 10*time.Second, "all sends are confirmed", func() bool { return c.confirmed == int64(c.sent) })
}

// quiet has one person, alone in a room, say something now and then.
func (b *bench) quiet(ctx context.Context, r round, s *system) error {
	c, err := b.inRooms(ctx, s, 1, 1, 1)
	if err != nil {
		return err
	}
	defer c.close()
	sender := c.sockets[0]
	sender.writes = true
	var at time.Duration
	var took []time.Duration
	sender.then = func() { took = append(took, c.now()-at) }
	one := func() error {
		at = c.now()
		c.say(sender, 0)
		if err := c.until(ctx, 10*time.Second, "a send is confirmed", func() bool { return c.confirmed == int64(c.sent) }); err != nil {
			return err
		}
		for end := c.now() + 3*time.Millisecond; c.now() < end; {
			if err := c.turn(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}
	for range 50 { // caches, branches, the script
		if err := one(); err != nil {
			return err
		}
	}
	took = took[:0]
	m, err := s.meter()
	if err != nil {
		return err
	}
	reads, err := s.reads(ctx)
	if err != nil {
		return err
	}
	for range b.Sizes.Quiet {
		if err := one(); err != nil {
			return err
		}
	}
	servers, redis, _, err := m.since()
	if err != nil {
		return err
	}
	f := Figures{serverCPU: each(servers, int64(b.Sizes.Quiet)), redisCPU: each(redis, int64(b.Sizes.Quiet))}
	f.delays(took)
	if s.say != nil {
		now, err := s.reads(ctx)
		if err != nil {
			return err
		}
		f[trips] = float64(now-reads) / float64(b.Sizes.Quiet)
	}
	b.add(r, quietSend, s, f)
	return nil
}

// reads is how often Redis has read something from a client, which for one that
// waits for answers are round trips; 0 where Redis is not asked.
func (s *system) reads(ctx context.Context) (int64, error) {
	if s.say == nil {
		return 0, nil
	}
	info, err := s.say(ctx, "INFO stats")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, "total_reads_processed:"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("INFO stats without total_reads_processed: %q", info)
}

// resume has one of two people lose the connection while the other says ten things,
// and come back, again and again.
func (b *bench) resume(ctx context.Context, r round, s *system) error {
	c, err := b.inRooms(ctx, s, 1, 2, 1)
	if err != nil {
		return err
	}
	defer c.close()
	c.comesBack = true
	reader, sender := c.sockets[0], c.sockets[1]
	reader.watch, sender.writes = &watch{}, true
	var took []time.Duration
	var reads int64
	for n := range b.Sizes.Resumes {
		for i := range 11 {
			if i == 1 { // it has seen one
				c.drop(reader)
			}
			c.say(sender, 0)
			if err := c.until(ctx, 10*time.Second, "a send is confirmed", func() bool { return c.confirmed == int64(c.sent) }); err != nil {
				return err
			}
			if i == 0 {
				if err := c.until(ctx, 10*time.Second, "it arrived", func() bool { return reader.watch.next > c.sent }); err != nil {
					return err
				}
			}
		}
		if err := c.settle(ctx, b.Sizes.Silence/3); err != nil { // what its leaving makes to do is done
			return err
		}
		before, err := s.reads(ctx)
		if err != nil {
			return err
		}
		began := c.now()
		c.opening++
		c.queue = append(c.queue, reader)
		if err := c.until(ctx, 10*time.Second, "it is back", func() bool { return c.opening == 0 && reader.watch.next > c.sent }); err != nil {
			return fmt.Errorf("return %d: %w", n, err)
		}
		took = append(took, c.now()-began)
		after, err := s.reads(ctx)
		if err != nil {
			return err
		}
		reads += after - before - 2 // asking is a read, and so is the end of having asked
	}
	f := Figures{}
	if s.say != nil {
		f[trips] = float64(reads) / float64(b.Sizes.Resumes)
	}
	f.delays(took)
	b.add(r, resume, s, f)
	return nil
}

// kill has the first of two servers killed under some of the readers, while people at
// the other one go on talking. Those come back at once, to the other one.
func (b *bench) kill(ctx context.Context, r round, s *system, load string, sockets, rooms, under, perSecond int) error {
	if err := s.fresh(ctx, maxServers); err != nil {
		return err
	}
	c, err := b.crowd(ctx, s, s.logins[:sockets+rooms], rooms, false)
	if err != nil {
		return err
	}
	defer c.close()
	readers, senders := c.sockets[:sockets], c.sockets[sockets:]
	for i, reader := range readers {
		reader.watch = &watch{next: 1}
		if i >= under {
			reader.addr = 1
		}
	}
	for i, sender := range senders {
		p := c.rooms[i]
		sender.addr, sender.writes, sender.room, sender.place = 1, true, p.name, i
		sender.then = func() { p.confirmed++ }
	}
	if err := c.openAndJoin(ctx, b.Sizes.Silence); err != nil {
		return err
	}
	c.comesBack, c.width = true, sockets
	victim := s.servers[0]
	survivors := &system{servers: s.servers[1:], redis: s.redis}
	if len(s.admins) > 1 {
		survivors.admins = s.admins[1:]
	}

	interval := time.Second / time.Duration(perSecond)
	begin, said := c.now(), 0
	talk := func(done func() bool) error {
		for !done() {
			for now := c.now(); begin+time.Duration(said)*interval <= now; said++ {
				// One of a room says all that is said there: its numbers are in order.
				c.say(senders[said%len(senders)], said%len(senders))
			}
			if err := c.turn(ctx, begin+time.Duration(said)*interval-c.now()); err != nil {
				return err
			}
		}
		return nil
	}
	during := func(d time.Duration) func() bool {
		end := c.now() + d
		return func() bool { return c.now() >= end }
	}
	if err := talk(during(b.Sizes.Warm)); err != nil {
		return err
	}
	m, err := survivors.meter()
	if err != nil {
		return err
	}
	c.delays = nil
	profiled := b.profile(ctx, survivors, load, b.Sizes.Saturated)
	killed := c.now()
	gone := make(chan struct{})
	go func() {
		victim.Kill()
		close(gone)
	}()
	defer func() { <-gone }()
	limit := during(time.Minute)
	err = talk(func() bool {
		for _, reader := range readers[:under] {
			if w := reader.watch; !limit() && (w.back == 0 || w.caught == 0 && !w.afresh) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	servers, redis, _, err := m.since()
	if err != nil {
		return err
	}
	if limit() {
		return fmt.Errorf("not all sockets were back a minute after the kill")
	}
	if err := talk(during(b.Sizes.Warm / 2)); err != nil {
		return err
	}
	if err := c.until(ctx, 10*time.Second, "all sends are confirmed", func() bool { return c.confirmed == int64(c.sent) }); err != nil {
		return err
	}
	if err := c.settle(ctx, b.Sizes.Silence); err != nil {
		return err
	}

	if err := profiled(); err != nil {
		return err
	}
	f := Figures{serverCPU: each(servers, int64(under)), redisCPU: each(redis, int64(under)), lost: 0, doubled: 0}
	for _, reader := range readers {
		w, p := reader.watch, c.rooms[reader.place]
		for n := 1; n <= p.sent; n++ {
			if !w.has(n) {
				f[lost]++
			}
		}
		f[doubled] += float64(w.doubled)
		f[back] = max(f[back], ms(w.back-killed))
		f[caughtUp] = max(f[caughtUp], ms(w.caught-killed))
	}
	if f[lost] > 0 {
		delete(f, caughtUp) // never
	}
	f.delays(c.delays)
	b.add(r, load, s, f)
	return nil
}

// unread is what a second server uses, in µs for each message of rooms that have no
// readers there.
func (b *bench) unread(ctx context.Context, r round, s *system) error {
	if err := s.fresh(ctx, maxServers); err != nil {
		return err
	}
	c, err := b.crowd(ctx, s, s.logins[:b.Sizes.Rooms], b.Sizes.Rooms, false)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.openAndJoin(ctx, b.Sizes.Silence); err != nil {
		return err
	}
	second := &system{servers: s.servers[1:]}
	var used [2]time.Duration
	d := b.Sizes.Sends
	for i := range used { // in silence, then with messages
		m, err := second.meter()
		if err != nil {
			return err
		}
		for end := c.now() + d; c.now() < end; {
			if i == 1 && c.received >= int64(c.sent) {
				c.sayNext(c.sent % len(c.rooms))
			}
			if err := c.turn(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		if used[i], _, _, err = m.since(); err != nil {
			return err
		}
	}
	f := Figures{serverCPU: max(0, each(used[1]-used[0], int64(c.sent))), rate: float64(c.sent) / d.Seconds()}
	b.add(r, unread, s, f)
	return nil
}
