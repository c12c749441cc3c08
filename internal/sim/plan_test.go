package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chatd/internal/chat"
	"chatd/internal/client"
	"chatd/internal/judge"
)

// A plan is what happens in a run. Less of it is a plan too, which is how a story
// gets short.
type plan struct {
	Seed      uint64
	Instances int
	Tabs      int
	Users     int // fewer than tabs: some have two
	Rooms     int
	History   int // events that a feed keeps, about
	Nodes     int // events that a feed lets go at once
	Window    int
	Share     int // rooms among which an answer is divided
	Length    time.Duration
	Acts      []act
}

// An act is one thing that somebody does or that fails.
type act struct {
	At   time.Duration
	What string
	I, N int // who or which, and how many
	D    time.Duration
}

func (a act) String() string {
	return fmt.Sprintf("%9.4f  %s (i=%d n=%d d=%v)", a.At.Seconds(), a.What, a.I, a.N, a.D.Round(time.Millisecond))
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d instances, %d tabs of %d people, %d rooms, history %d/%d, window %d, share %d\n",
		p.Seed, p.Instances, p.Tabs, p.Users, p.Rooms, p.History, p.Nodes, p.Window, p.Share)
	for _, a := range p.Acts {
		fmt.Fprintln(&b, a)
	}
	return b.String()
}

func (p *plan) roomNames() []chat.Room {
	return []chat.Room{"general", "random", "lunch"}[:p.Rooms]
}

// roomsOf returns the rooms of a tab: at least one, and everyone is in the first.
func (p *plan) roomsOf(tab int) []chat.Room {
	names := p.roomNames()
	if tab%3 == 2 {
		return names[:1]
	}
	return names
}

// A deed is a kind of act. Those that lose data are in a part of the plans only:
// where Redis loses nothing, more is promised.
type deed struct {
	name   string
	weight int
	loses  bool
	do     func(w *world, a act)
}

var deeds = []deed{
	{"send", 60, false, func(w *world, a act) {
		t := w.tab(a.I)
		for range a.N {
			t.say("send", t.room(a.I/7))
		}
	}},
	{"edit", 4, false, func(w *world, a act) { t := w.tab(a.I); t.say("edit", t.room(a.I/7)) }},
	{"retract", 4, false, func(w *world, a act) { t := w.tab(a.I); t.say("retract", t.room(a.I/7)) }},
	{"reload", 4, false, func(w *world, a act) { w.tab(a.I).reload() }},
	{"relogin", 2, false, func(w *world, a act) { w.tab(a.I).relogin() }},
	{"socket cut", 6, false, func(w *world, a act) { w.tab(a.I).cutSocket(false) }},
	{"socket half open", 3, false, func(w *world, a act) { w.tab(a.I).cutSocket(true) }},
	{"all sockets cut", 3, false, func(w *world, a act) {
		for _, t := range w.tabs {
			t.cutSocket(false)
		}
	}},
	{"move", 4, false, func(w *world, a act) { w.tab(a.I).move() }},

	{"kill", 4, false, func(w *world, a act) { w.kill(w.slot(a.I), a.D/8) }},
	{"drain", 2, false, func(w *world, a act) { w.drain(w.slot(a.I), a.D) }},
	{"freeze", 5, false, func(w *world, a act) { w.freeze(w.slot(a.I), a.D) }},

	{"relay cut", 3, false, func(w *world, a act) {
		if sub := w.slot(a.I).sub; sub != nil {
			sub.cut()
		}
	}},
	{"relay deaf", 4, false, func(w *world, a act) { w.deafen(w.slot(a.I)) }},
	{"relay drops", 6, false, func(w *world, a act) {
		if sub := w.slot(a.I).sub; sub != nil {
			sub.drop = a.N
		}
	}},
	{"relay lags", 4, false, func(w *world, a act) {
		in := w.slot(a.I)
		in.lag = min(a.D/4, 2*time.Second) // or its probe would find it deaf
		w.after(a.D/2, func() { in.lag = 0 })
	}},

	{"answers cut", 6, false, func(w *world, a act) { w.slot(a.I).cut = a.N }},
	{"commands refused", 3, false, func(w *world, a act) { w.slot(a.I).refuse = a.N }},
	{"commands late", 4, false, func(w *world, a act) { w.slot(a.I).late = a.N }},
	{"commands unanswered", 2, false, func(w *world, a act) { w.slot(a.I).silent = a.N }},

	{"redis restarts", 4, false, func(w *world, a act) { w.restart(w.master, a.D/10, nil) }},
	{"redis forgets scripts", 3, false, func(w *world, a act) { w.master.scripts = map[string]string{} }},
	{"redis is full", 3, false, func(w *world, a act) {
		s := w.master
		s.full = true
		w.after(a.D/3, func() { s.full = false })
	}},

	{"redis restarts empty", 8, true, func(w *world, a act) { w.restart(w.master, a.D/10, newStore(w.plan.Nodes)) }},
	{"redis restarts older", 10, true, func(w *world, a act) {
		old := w.master.data.clone()
		w.after(a.D, func() {
			if !w.calm {
				w.restart(w.master, w.delay(), old)
			}
		})
	}},
	{"failover", 12, true, func(w *world, a act) {
		replica := w.master.data.clone()
		w.after(a.D/40, func() {
			if !w.calm {
				w.failover(replica, a.D/2)
			}
		})
	}},
}

// newPlan returns the plan of a seed: one of a few kinds of deeds, or of those in
// focus.
func newPlan(seed uint64, focus ...string) *plan {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := &plan{
		Seed: seed, Instances: 2 + rng.IntN(3), Tabs: 3 + rng.IntN(6), Rooms: 1 + rng.IntN(3),
		History: 1000, Nodes: 1, Window: 50, Share: 1, Length: time.Duration(4+rng.IntN(12)) * time.Second,
	}
	p.Users = max(2, p.Tabs-rng.IntN(3))
	if rng.IntN(8) == 0 {
		p.History, p.Nodes = 5+rng.IntN(20), 1+rng.IntN(5)
	}
	if rng.IntN(3) == 0 {
		p.Window = 3 + rng.IntN(5)
	}
	if rng.IntN(3) == 0 { // an answer takes one to ten events
		p.Share = 100 + rng.IntN(1000)
	}
	loses := rng.IntN(3) == 0
	only := map[string]bool{} // a few kinds of deeds in each plan go further than all of them
	for len(only) < 7 {
		only[pick(rng, loses).name] = true
	}
	for range 15 + rng.IntN(20) {
		what := pick(rng, loses).name
		if len(focus) > 0 && rng.IntN(2) == 0 {
			what = focus[rng.IntN(len(focus))]
		} else if len(focus) > 0 || !only[what] {
			what = "send"
		}
		p.Acts = append(p.Acts, act{
			At: time.Duration(rng.Int64N(int64(p.Length))), What: what, I: rng.IntN(1 << 16), N: 1 + rng.IntN(3),
			D: time.Duration(rng.ExpFloat64() * float64(4*time.Second)),
		})
	}
	slices.SortStableFunc(p.Acts, func(a, b act) int { return int(a.At - b.At) })
	return p
}

func pick(rng *rand.Rand, loses bool) *deed {
	for {
		total := 0
		for i := range deeds {
			if total += deeds[i].weight; deeds[i].loses && !loses {
				total -= deeds[i].weight
			}
		}
		n := rng.IntN(total)
		for i := range deeds {
			if deeds[i].loses && !loses {
				continue
			}
			if n -= deeds[i].weight; n < 0 {
				return &deeds[i]
			}
		}
	}
}

func (w *world) tab(i int) *tab       { return w.tabs[i%len(w.tabs)] }
func (w *world) slot(i int) *instance { return w.slots[i%len(w.slots)] }
func (t *tab) room(i int) chat.Room   { return t.rooms[i%len(t.rooms)] }
func (w *world) dataLost(note string) { w.log(judge.Entry{Kind: judge.DataLost, Note: note}) }

func (t *tab) cutSocket(half bool) {
	if t.cur != nil && t.cur.conn != nil {
		t.cur.conn.cut(half)
	}
}

// balance returns the instance that the next socket goes to, nil for none.
func (w *world) balance() *instance {
	var good []*instance
	for _, in := range w.slots {
		if !in.dead && !in.leaving && (!in.frozen || w.chance(0.1)) {
			good = append(good, in)
		}
	}
	if len(good) == 0 {
		return nil
	}
	return good[w.rng.IntN(len(good))]
}

func (w *world) kill(in *instance, restart time.Duration) {
	if in.dead {
		return
	}
	in.kill()
	w.after(restart, func() { w.replace(in) })
}

// replace starts an instance in a dead one's place.
func (w *world) replace(in *instance) {
	if w.slots[in.slot] == in && in.dead {
		w.slots[in.slot] = w.newInstance(in.slot, in.life+1)
	}
}

func (w *world) freeze(in *instance, d time.Duration) {
	if in.dead || in.frozen {
		return
	}
	in.frozen = true
	for _, c := range in.conns {
		if w.chance(0.8) { // the balancer notices; else only the page does
			w.after(w.between(time.Second, 3*time.Second), func() {
				if in.frozen {
					c.cut(false)
				}
			})
		}
	}
	w.after(d, func() {
		if in.frozen && !in.dead {
			w.bite("thawed")
			in.thaw()
		}
	})
}

func (w *world) drain(in *instance, d time.Duration) {
	if in.dead || in.leaving {
		return
	}
	in.leaving = true
	for _, c := range in.conns {
		w.after(w.between(0, d/2), func() {
			if t := c.tab; t.cur == c.sock {
				t.move()
			}
		})
	}
	w.after(d, func() { w.kill(in, w.delay()) })
}

// deafen makes a relay hear nothing until it finds out by its probe.
func (w *world) deafen(in *instance) {
	if sub := in.sub; sub != nil && !sub.broken {
		sub.deaf = true
		w.after(deafAfter+w.between(0, time.Second), func() { in.soon(sub.lost) })
	}
}

// restart stops a Redis and starts it again, with other data if any is given.
func (w *world) restart(s *server, down time.Duration, data *store) {
	if !s.up {
		return
	}
	s.stop()
	if data != nil {
		s.data = data
		w.dataLost("restarts with other data")
	}
	w.after(down, func() { s.up = true })
}

// failover makes a replica that is behind the master. Some instances do not notice
// for a while, or their relays do not.
func (w *world) failover(replica *store, split time.Duration) {
	w.retire()
	old := w.master
	w.old, w.master = old, w.newServer(old.name+"'", replica)
	w.dataLost("failover")
	for _, in := range w.slots {
		if w.chance(0.6) {
			in.server = w.master
		}
		if w.chance(0.6) {
			in.hears = w.master
		}
		if in.sub != nil && in.sub.srv == old && w.chance(0.6) {
			in.sub.cut()
		}
	}
	w.after(split, func() {
		if w.old == old {
			w.retire()
		}
	})
}

// retire ends the old master.
func (w *world) retire() {
	if w.old == nil {
		return
	}
	old := w.old
	w.old = nil
	for _, in := range w.slots {
		if in.server == old {
			in.server = w.master
		}
		if in.hears == old {
			in.hears = w.master
		}
	}
	old.stop()
	w.dataLost("the old master is gone")
}

// play runs a plan to its end and judges it.
func (b *bench) play(p *plan, bug bug, tells bool) *world {
	w := &world{
		bench: b, plan: p, bug: bug, rng: rand.New(rand.NewPCG(p.Seed, 1)), judge: judge.New(),
		decoded: map[string]*client.Event{}, byID: map[chat.EventID]*client.Event{}, bitten: map[string]int{}, tells: tells,
	}
	defer w.close()
	w.master = w.newServer("redis", newStore(p.Nodes))
	for i := range p.Instances {
		w.slots = append(w.slots, w.newInstance(i, 1))
	}
	for i := range p.Tabs {
		w.tabs = append(w.tabs, w.newTab(i))
	}
	for _, t := range w.tabs {
		w.after(w.between(0, p.Length/4), t.connect)
	}
	for _, a := range p.Acts {
		w.after(a.At, func() {
			if tells {
				w.say("--- %s (i=%d n=%d d=%v)", a.What, a.I, a.N, a.D.Round(time.Millisecond))
			}
			i := slices.IndexFunc(deeds, func(d deed) bool { return d.name == a.What })
			deeds[i].do(w, a)
			w.bite("act: " + a.What)
		})
	}
	if bug.staleFill {
		w.remember()
	}
	w.run(p.Length, nil)
	w.heal()
	w.quiesce()
	return w
}

// remember keeps what a replica has that is up to 300 ms behind.
func (w *world) remember() {
	w.master.past = w.master.data.clone()
	w.after(300*time.Millisecond, w.remember)
}

// close ends what still waits.
func (w *world) close() {
	for _, in := range w.slots {
		in.dead = true
		for p := range in.procs {
			p.dead = true
			p.stop()
		}
	}
}

// heal ends all that fails by itself. What a reader may find out only by what
// comes next (a message that its relay dropped) is left to be found out.
func (w *world) heal() {
	if w.tells {
		w.say("--- all is healed")
	}
	w.calm = true
	w.retire()
	w.master.full = false
	w.master.up = true
	for i, in := range w.slots {
		if in.leaving && !in.dead {
			in.kill()
		}
		if in.dead {
			w.replace(in)
			in = w.slots[i]
		}
		in.cut, in.refuse, in.late, in.silent, in.lag = 0, 0, 0, 0, 0
		if in.sub != nil {
			in.sub.drop = 0
		}
		if in.frozen {
			in.thaw()
		}
	}
}

// quiesce lets all come to an end, has one more thing said in each room, and looks
// at what is left.
func (w *world) quiesce() {
	w.settle()
	for i, name := range w.plan.roomNames() {
		t := w.tabs[i%len(w.tabs)]
		if slices.Contains(t.rooms, name) {
			t.say("send", name)
		} else {
			w.tabs[0].say("send", name)
		}
	}
	w.settle()
	w.run(w.now+12*time.Second, nil) // longer than a read that gets no answer takes
	w.settle()
	if w.faults > 0 {
		return
	}
	var feeds []judge.Entry
	for _, name := range w.plan.roomNames() {
		feeds = append(feeds, judge.Entry{Kind: judge.Feed, Room: string(name), Events: w.page(name)})
	}
	for _, e := range feeds {
		w.log(e)
	}
	for _, t := range w.tabs {
		for _, name := range t.rooms {
			w.log(judge.Entry{Kind: judge.End, Client: t.id, Room: string(name)})
		}
	}
}

// settle waits until nothing is owed to anyone.
func (w *world) settle() {
	for deadline := w.now + 3*time.Minute; w.now < deadline && w.faults == 0; {
		w.run(w.now+100*time.Millisecond, nil)
		if !slices.ContainsFunc(w.tabs, func(t *tab) bool { return !t.settled() }) {
			return
		}
	}
	for _, t := range w.tabs {
		if w.faults == 0 && !t.settled() {
			w.log(judge.Entry{Kind: judge.Wrong, Client: t.id, Note: fmt.Sprintf("nothing fails any more, and in 3 minutes not all was answered: %d items wait", t.out.Len())})
		}
	}
}

// page reads a room as a fresh login pages it.
func (w *world) page(name chat.Room) (all []judge.Event) {
	in := w.slots[0]
	done := false
	in.start(requestTimeout, func(ctx context.Context, p *proc) {
		defer func() { done = true }()
		const n = 7
		page, err := in.feed.Newest(ctx, name, "", n)
		for err == nil && len(page) > 0 {
			events := make([]judge.Event, 0, len(page))
			for _, ev := range page {
				events = append(events, seen(*w.decode(ev.Data)))
			}
			all = append(events, all...)
			p.deadline = w.now + requestTimeout
			page, err = in.feed.Before(ctx, name, page[0].ID, n)
		}
		if err != nil {
			w.log(judge.Entry{Kind: judge.Wrong, Room: string(name), Note: "paging back: " + err.Error()})
		}
	})
	w.run(w.now+time.Minute, func() bool { return done })
	return all
}
