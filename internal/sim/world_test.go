package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
	"chatd/internal/client"
	"chatd/internal/feed"
	"chatd/internal/judge"
)

var epoch = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// A bench holds what is costly to make. One run at a time may use it.
type bench struct {
	machine *machine
	rdb     *redis.Client
}

func newBench() *bench {
	return &bench{newMachine(), newRedisClient(func(ctx context.Context, args []string) (any, error) {
		return ctx.Value(procKey{}).(*proc).redis(args)
	})}
}

func (b *bench) close() {
	b.rdb.Close()
	b.machine.l.Close()
}

// A world is one run.
type world struct {
	bench *bench
	plan  *plan
	bug   bug
	rng   *rand.Rand
	judge *judge.Judge

	now   time.Duration
	tasks tasks
	n     int

	master  *server
	old     *server // a master that was one until a failover, while somebody talks to it
	slots   []*instance
	tabs    []*tab
	decoded map[string]*client.Event
	byID    map[chat.EventID]*client.Event
	calm    bool // nothing fails any more

	faults int
	bitten map[string]int // what happened, and how often
	tells  bool
	story  []string
	all    []judge.Entry
}

// say adds a line to the story. Callers ask w.tells first: it is costly.
func (w *world) say(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%9.4f  ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) log(e judge.Entry) {
	e.At = epoch.Add(w.now)
	w.faults = w.judge.Add(e)
	if w.tells {
		w.all = append(w.all, e)
	}
}

// after has f called when d has passed.
func (w *world) after(d time.Duration, f func()) {
	w.n++
	w.tasks.push(task{w.now + d, w.n, f})
}

// run carries out what is due, until the given time or until done.
func (w *world) run(until time.Duration, done func() bool) {
	for len(w.tasks) > 0 && w.tasks[0].at <= until && w.faults == 0 {
		t := w.tasks.pop()
		w.now = t.at
		t.do()
		if done != nil && done() {
			return
		}
	}
	if w.faults == 0 && (done == nil || !done()) {
		w.now = until
	}
}

// A task is one step. Tasks of one moment are done in the order in which they
// were asked for.
type task struct {
	at time.Duration
	n  int
	do func()
}

func (t task) before(u task) bool { return t.at < u.at || t.at == u.at && t.n < u.n }

// tasks is a heap. (container/heap would allocate for each.)
type tasks []task

func (h *tasks) push(t task) {
	*h = append(*h, t)
	q := *h
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q[i].before(q[up]) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

func (h *tasks) pop() task {
	q := *h
	first := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q[last] = task{}
	q = q[:last]
	*h = q
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < last && q[down].before(q[least]) {
				least = down
			}
		}
		if least == i {
			return first
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}

// chance is true with the given probability.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// between returns a random time.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

// delay is how long something takes on its way: mostly little, at times long.
func (w *world) delay() time.Duration {
	switch x := w.rng.Float64(); {
	case x < 0.85 || w.calm:
		return w.between(50*time.Microsecond, 3*time.Millisecond)
	case x < 0.98:
		return w.between(3*time.Millisecond, 60*time.Millisecond)
	default:
		return w.between(60*time.Millisecond, 900*time.Millisecond)
	}
}

func (w *world) bite(what string) { w.bitten[what]++ }

// A proc is work of an instance that has to wait in between: a coroutine, which
// gives way to the rest of the world in wait and goes on when it is woken.
type proc struct {
	in       *instance
	next     func() (func(wake func()), bool)
	stop     func()
	yield    func(func(wake func())) bool
	dead     bool
	deadline time.Duration // commands to Redis give up then
	behind   bool          // a mistake: its reads reach a replica that is behind
}

type procKey struct{}

var errKilled = errors.New("the instance was killed")

// start runs body until it ends or the instance dies.
func (in *instance) start(timeout time.Duration, body func(ctx context.Context, p *proc)) {
	p := &proc{in: in, deadline: in.w.now + timeout}
	p.next, p.stop = iter.Pull(func(yield func(func(wake func())) bool) {
		p.yield = yield
		body(context.WithValue(context.Background(), procKey{}, p), p)
	})
	in.procs[p] = true
	p.step()
}

func (p *proc) step() {
	begin, more := p.next()
	if !more {
		delete(p.in.procs, p)
		return
	}
	woken := false
	begin(func() {
		if !woken {
			woken = true
			p.in.soon(p.step)
		}
	})
}

// wait lets others go on until wake is called. It returns false when the instance
// has died: then the proc must end without another effect.
func (p *proc) wait(begin func(wake func())) bool {
	if p.dead || !p.yield(begin) {
		p.dead = true
	}
	return !p.dead
}

func (p *proc) sleep(d time.Duration) bool {
	return p.wait(func(wake func()) { p.in.w.after(d, wake) })
}

// feed returns the product's feed on this run's Redis.
func (w *world) feed() *feed.Feed { return feed.New(w.bench.rdb, w.plan.History).Alone() }
