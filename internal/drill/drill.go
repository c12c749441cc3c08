package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"chatd/internal/client"
	"chatd/internal/cluster"
	"chatd/internal/judge"
)

const (
	startWithin  = time.Minute      // the system
	gatherWithin = time.Minute      // a crowd
	faultWithin  = 2 * time.Minute  // to make a fault, or to heal it
	settleWithin = 45 * time.Second // the last confirmations, and each reader's end

	drainTime   = 4 * time.Second         // of the instances: as short as an operator would dare
	quietBefore = 1500 * time.Millisecond // of chatting before a fault: there must be something to lose
	textMax     = 16_000                  // long lines fill a queue sooner
)

// Options say what a run does. Only Dir is always needed.
type Options struct {
	Faults []Fault       // see Standard; each is an act of its own
	Random time.Duration // after them, random mixtures for so long; 0 for none
	Seed   uint64        // whose turn it is, and who says what when; the rest is up to the system
	People int           // at least 2 per room
	Rooms  int
	Pace   time.Duration // between two messages of one person, on average

	Logins []Login // for Watch, as many as People; nil: guests

	Instances int
	Dir       string // a short path: logs, sockets, Redis's data
	Chatd     string // the program; see cluster.Build

	Browsers int    // headless Chromiums among the people of each act
	Script   string // cmd/drill/browsers.js, if there are any

	History  io.Writer         // nil: not written
	Progress func(line string) // what happens now; nil: nobody asks
	Row      func(Row)         // called with each row as it is done
}

// A Row is what became of one act.
type Row struct {
	Name   string    `json:"name"`
	What   string    `json:"what"`
	Began  time.Time `json:"began"`
	Made   time.Time `json:"made"`   // when the fault was made
	Healed time.Time `json:"healed"` // when it was undone, or over
	Ended  time.Time `json:"ended"`

	People    int `json:"people"`
	Pages     int `json:"browsers"`
	Confirmed int `json:"confirmed"`

	Lost        int `json:"lost"`
	LostByRedis int `json:"lost_by_redis"` // by its settings' or its disk's fault, and said honestly
	OutByRedis  int `json:"logged_out_by_redis"`

	Doubled   int `json:"doubled"`
	Reordered int `json:"reordered"`
	LoggedOut int `json:"wrongly_logged_out"`
	Disagree  int `json:"readers_that_disagree"` // people whose view is not the feed
	Other     int `json:"other_faults"`

	OfflineLongest time.Duration `json:"offline_longest_ns"` // without a socket
	OfflineP99     time.Duration `json:"offline_p99_ns"`     // of each person's longest
	DelayLongest   time.Duration `json:"delay_longest_ns"`   // from writing to another's eyes
	DelayP99       time.Duration `json:"delay_p99_ns"`
	CaughtUp       time.Duration `json:"caught_up_ns"` // from the fault until everyone's next line was seen by all

	SocketsLost  int `json:"sockets_lost"`
	SocketsMoved int `json:"sockets_moved"`
	Resumed      int `json:"events_resumed"`
	Repeated     int `json:"kept_before_the_answer_was_lost"`
	Failed       int `json:"failed_connects"`

	Faults []judge.Fault `json:"faults,omitempty"` // what the judge found, the first of them
	Broken []string      `json:"broken,omitempty"` // which promises were not kept, in words
}

// Held says that every promise held.
func (r *Row) Held() bool { return len(r.Broken) == 0 }

// A Result is a whole run.
type Result struct {
	Seed    uint64    `json:"seed"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Rows    []Row     `json:"rows"`
	Seconds []Second  `json:"seconds"`
}

// Held says that every promise held in every row.
func (r *Result) Held() bool {
	for i := range r.Rows {
		if !r.Rows[i].Held() {
			return false
		}
	}
	return len(r.Rows) > 0
}

// A drill is a run under way.
type drill struct {
	Options
	rec     *record
	cluster *cluster.Cluster
	links   *links // nil: there are none
	rand    *rand.Rand
	id      string // of this run, in all names
	n       int    // acts so far

	mu   sync.Mutex
	died []string // processes that ended unasked, since the last act
}

// Run starts a system, runs its acts one after another, and stops the system. Faults
// of links get a system of their own, whose parts reach each other through links, and
// faults of replicas one with replicas and sentinels.
// The error is about what kept it from judging; a broken promise is none.
func Run(ctx context.Context, opts Options) (*Result, error) {
	d := begin(opts)
	result := &Result{Seed: opts.Seed, Began: time.Now()}
	d.rec.series.begin = result.Began
	var plain, linked, replicated []Fault
	for _, f := range opts.Faults {
		switch {
		case f.links:
			linked = append(linked, f)
		case f.replicas:
			replicated = append(replicated, f)
		default:
			plain = append(plain, f)
		}
	}
	var random time.Time
	mixtures := func() (Fault, bool) {
		if random.IsZero() {
			random = time.Now().Add(opts.Random)
		}
		return mixture(d.rand), time.Now().Before(random)
	}
	if len(plain) > 0 || opts.Random > 0 {
		if err := d.system(ctx, result, "system", cluster.Options{}, nil, each(plain, mixtures)); err != nil {
			return nil, err
		}
	}
	if len(linked) > 0 {
		l := newLinks()
		defer l.close()
		err := d.system(ctx, result, "linked", cluster.Options{RedisAddr: l.redis, FrontAddr: l.front}, l, each(linked, nil))
		if err = errors.Join(err, l.err); err != nil {
			return nil, err
		}
	}
	if len(replicated) > 0 {
		// As an operator would have it who does not want to wait for replicas, nor to go
		// on alone.
		opts := cluster.Options{Replicas: 2, RedisArgs: []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"}}
		if err := d.system(ctx, result, "replicated", opts, nil, each(replicated, nil)); err != nil {
			return nil, err
		}
	}
	return result, d.end(result)
}

// each gives out the faults in their order, and then what more gives, if it is not nil.
func each(faults []Fault, more func() (Fault, bool)) func() (Fault, bool) {
	return func() (Fault, bool) {
		switch {
		case len(faults) > 0:
			f := faults[0]
			faults = faults[1:]
			return f, true
		case more != nil:
			return more()
		}
		return Fault{}, false
	}
}

// system starts a system in the folder dir, runs acts on it while there is a next
// one, and stops it. opts say what is special about it.
func (d *drill) system(ctx context.Context, result *Result, dir string, opts cluster.Options, l *links, next func() (Fault, bool)) error {
	d.say("starting Redis, %d instances and HAProxy", d.Instances)
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	opts.Dir, opts.Chatd, opts.Instances = filepath.Join(d.Dir, dir), d.Chatd, d.Instances
	opts.Env = []string{"CHATD_DRAIN=" + drainTime.String(), "CHATD_HISTORY=1000000", fmt.Sprint("CHATD_TEXT_MAX=", textMax)}
	opts.Died = func(p *cluster.Process, how error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.died = append(d.died, fmt.Sprintf("%s %v", p.Name, how))
	}
	d.links = l
	var err error
	if d.cluster, err = cluster.Start(starting, opts); err != nil {
		return err
	}
	defer d.cluster.Close()
	for f, ok := next(); ok; f, ok = next() {
		row, err := d.act(ctx, d.cluster.URL(), f)
		if err != nil {
			return err
		}
		result.Rows = append(result.Rows, row)
	}
	return nil
}

func begin(opts Options) *drill {
	return &drill{Options: opts, rec: newRecord(opts.History), rand: rand.New(rand.NewPCG(opts.Seed, 1)),
		id: fmt.Sprintf("d%04x", rand.Uint32()&0xffff)}
}

func (d *drill) end(result *Result) error {
	result.Ended = time.Now()
	d.rec.mu.Lock()
	d.rec.series.at(result.Ended)
	d.rec.series.close()
	result.Seconds = d.rec.series.seconds
	d.rec.mu.Unlock()
	return d.rec.flush()
}

func (d *drill) say(format string, args ...any) {
	if d.Progress != nil {
		d.Progress(fmt.Sprintf(format, args...))
	}
}

// An act is one fault and its crowd.
type act struct {
	*drill
	name  string // begins all names
	fault Fault
	crowd *crowd
	row   Row
}

func (a *act) broken(format string, args ...any) {
	a.row.Broken = append(a.row.Broken, fmt.Sprintf(format, args...))
}

// act runs one fault. The error is that the act could not be held at all.
func (d *drill) act(ctx context.Context, url string, f Fault) (Row, error) {
	d.n++
	name := fmt.Sprintf("%s-a%d", d.id, d.n)
	a := &act{drill: d, name: name, fault: f, row: Row{Name: f.Name, What: f.What, Began: time.Now(), People: d.People}}
	d.rec.act(f.Name)
	d.say("%s: %d people come", f.Name, d.People)
	coming, cancel := context.WithTimeout(ctx, gatherWithin)
	defer cancel()
	g := gathering{name: name, url: url, people: d.People, rooms: d.Rooms, pace: d.Pace, seed: d.Seed + uint64(d.n), logins: d.Logins,
		universe: d.cluster != nil, immediate: f.herd} // who reads all rooms of somebody's own system is no guest
	if d.links != nil { // one in three takes the link
		way := d.links.people(d.cluster.HAProxy.Addr)
		g.way = func(n int) string {
			if n%3 == 0 {
				return way
			}
			return ""
		}
	}
	var err error
	a.crowd, err = gather(coming, d.rec, g)
	if err != nil {
		return a.row, fmt.Errorf("%s: %w", f.Name, err)
	}
	defer a.crowd.leave()
	a.crowd.start()
	var typing error
	var typed sync.WaitGroup
	var b *browsers
	if d.Browsers > 0 {
		if b, err = startBrowsers(ctx, d.Script, d.Browsers, name, url, a.crowd.rooms[0]); err != nil {
			return a.row, err
		}
		defer b.close()
		typed.Go(func() { typing = b.chatter(a.crowd.quiet) })
	}
	if _, err := a.crowd.mark(ctx, f.within()); err != nil {
		a.broken("before the fault: %v", err)
	}
	if err := a.pass(ctx, quietBefore); err != nil {
		return a.row, err
	}

	d.say("%s: %s", f.Name, f.What)
	a.row.Made = time.Now()
	a.do(ctx, "make", f.make)
	a.row.Healed = time.Now()
	if !f.silent {
		a.mark(ctx)
	}
	if f.heal != nil {
		d.say("%s: healing", f.Name)
		a.do(ctx, "heal", f.heal)
		a.row.Healed = time.Now()
		a.mark(ctx)
	}
	d.say("%s: the last words, and what a fresh login reads", f.Name)
	if err := a.crowd.settle(ctx, name, settleWithin); err != nil {
		a.broken("%v", err)
	}
	if b != nil {
		if typed.Wait(); typing != nil {
			a.broken("%v", typing)
		}
		a.pages(ctx, b, name)
	}
	if err := ctx.Err(); err != nil {
		return a.row, context.Cause(ctx)
	}
	a.row.Ended = time.Now()
	a.judge()
	if d.Row != nil {
		d.Row(a.row)
	}
	return a.row, nil
}

// pages judges what browsers show.
func (a *act) pages(ctx context.Context, b *browsers, name string) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	wrong, err := b.judge(ctx, func(ctx context.Context, rooms ...string) (map[string][]client.Event, error) {
		return a.crowd.page(ctx, name+"-fresh", nil, rooms...)
	})
	for _, what := range wrong {
		a.broken("%s", what)
	}
	if err != nil {
		a.broken("%v", err)
	}
	a.row.Pages = len(b.names)
}

func (a *act) do(ctx context.Context, what string, f func(context.Context, *act) error) {
	ctx, cancel := context.WithTimeout(ctx, faultWithin+a.fault.long)
	defer cancel()
	if err := f(ctx, a); err != nil {
		a.broken("%s: %v", what, err)
	}
}

// mark measures how long everybody takes to be heard by everybody.
func (a *act) mark(ctx context.Context) {
	took, err := a.crowd.mark(ctx, a.fault.within())
	a.row.CaughtUp = max(a.row.CaughtUp, took)
	if err != nil {
		a.broken("%v", err)
	}
}

// pass lets time pass, in which people chat.
func (a *act) pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const faultsKept = 20 // of the judge's, in a row

// judge fills in the row.
func (a *act) judge() {
	report := a.rec.verdict()
	a.rec.mu.Lock()
	c, row := a.crowd, &a.row
	row.LostByRedis, row.OutByRedis = report.LostByRedis, report.OutByRedis
	row.Confirmed, row.Resumed, row.Repeated = report.Confirmed, report.Recovered, c.duplicates
	row.SocketsLost, row.SocketsMoved, row.Failed = c.closed, c.moved, c.failed
	row.DelayLongest, row.DelayP99 = c.delays.longest, c.delays.quantile(0.99)
	var longest []time.Duration
	for _, p := range c.people {
		longest = append(longest, p.longest)
	}
	row.OfflineLongest, row.OfflineP99 = quantile(longest, 1), quantile(longest, 0.99)
	a.rec.mu.Unlock()

	disagree := map[string]bool{}
	for _, f := range report.Faults {
		switch f.What {
		case "lost":
			row.Lost++
		case "doubled":
			row.Doubled++
		case "out of order":
			row.Reordered++
		case "wrongly out", "wrongly in":
			row.LoggedOut++
		case "wrong":
			row.Other++
		default:
			disagree[f.Client+" "+f.Room] = true
		}
	}
	row.Disagree = len(disagree)
	if n := len(report.Faults); n > 0 {
		a.broken("the judge found %d faults, the first: %s", n, report.Faults[0])
		row.Faults = report.Faults[:min(n, faultsKept)]
	}
	if report.Unknown > 0 {
		a.broken("%d messages were never answered", report.Unknown)
	}
	if report.Refused > 0 && !a.fault.loses { // there may be nothing left to edit
		a.broken("%d messages were refused", report.Refused)
	}
	if row.Confirmed == 0 {
		a.broken("nothing was confirmed: there was nothing to lose")
	}
	a.fault.hold(a)
	a.mu.Lock()
	for _, p := range a.died {
		a.broken("%s, and nobody had asked it to", p)
	}
	a.died = nil
	a.mu.Unlock()
}

// hold checks what the fault itself promises.
func (f *Fault) hold(a *act) {
	row := &a.row
	if f.unnoticed && (row.OfflineLongest > 0 || row.SocketsLost > 0 || row.Failed > 0) {
		a.broken("it was noticed: %d sockets lost, %d connects failed, %v without a socket", row.SocketsLost, row.Failed, row.OfflineLongest)
	}
	if f.delay > 0 && row.DelayLongest > f.delay {
		a.broken("somebody waited %v for another's line, and %v is the most", row.DelayLongest, f.delay)
	}
	if f.bites != nil {
		if err := f.bites(row); err != nil {
			a.broken("the fault did not bite: %v", err)
		}
	}
}

var errNobody = errors.New("nobody was there")
