package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"chatd/internal/cluster"
)

// A Fault is something that is done to a system.
type Fault struct {
	Name string // one word
	What string // one line

	on        string        // what it is done to: instances, redis, haproxy, people
	limit     time.Duration // until everybody is caught up; 0: the usual
	unnoticed bool          // nobody may be without a socket, or see a request fail
	silent    bool          // nothing can be confirmed before it is healed
	herd      bool          // its people come back all at once
	long      time.Duration // how long making it takes, beyond the usual
	links     bool          // it is done to a link: a system with links is needed
	replicas  bool          // a system with replicas and sentinels is needed
	loses     bool          // Redis may lose what it confirmed: its settings, or its disk, allow it
	alone     bool          // not part of mixtures
	delay     time.Duration // nobody may wait longer for another's line; 0: no bound

	make  func(ctx context.Context, a *act) error
	heal  func(ctx context.Context, a *act) error // nil: there is nothing to undo
	bites func(row *Row) error                    // whether anybody felt it
}

const (
	usualLimit     = 15 * time.Second
	unnoticedDelay = 2 * time.Second
)

func (f *Fault) within() time.Duration {
	if f.limit > 0 {
		return f.limit
	}
	return usualLimit
}

// Standard is the standard plan.
func Standard() []Fault {
	return []Fault{
		{Name: "kill", What: "kill -9 of the instance with the most people, started again later", on: "instances",
			make: killOne, heal: startDead, bites: socketsLost},
		{Name: "term", What: "SIGTERM of an instance, which drains and ends, then a new start", on: "instances", unnoticed: true, delay: unnoticedDelay,
			make: endOne, heal: startDead, bites: socketsMoved},
		{Name: "freeze", What: "SIGSTOP of an instance until everybody is elsewhere, then SIGCONT", on: "instances",
			make: freezeOne, heal: thaw, bites: socketsLost},
		{Name: "rolling", What: "rolling restart of all instances, one after another", on: "instances", unnoticed: true, delay: unnoticedDelay,
			make: rolling, bites: socketsMoved},
		{Name: "scale", What: "scale 3 to 1 to 5 and back to 3, at run time", on: "instances", unnoticed: true, delay: unnoticedDelay,
			make: scale, bites: socketsMoved},
		{Name: "all", What: "kill -9 of all instances at once, then a start of all", on: "instances", silent: true,
			make: killAll, heal: startDead, bites: socketsLost},
		{Name: "redis", What: "kill -9 of Redis, started again after 2 s with its file", on: "redis", silent: true,
			make: killRedis, heal: startRedis, bites: slow(time.Second)},
		{Name: "stuck", What: "SIGSTOP of Redis for 5 s, then SIGCONT: late commands are run, late answers nobody hears", on: "redis", silent: true,
			make: freezeRedis, heal: thawRedis, bites: slow(5 * time.Second)},
		{Name: "memory", What: "Redis's memory is full for 3 s: it refuses all writes", on: "redis", silent: true,
			make: stall("CONFIG SET maxmemory 1"), heal: saying("CONFIG SET maxmemory 0"), bites: slow(awayFor)},
		{Name: "disk", What: "Redis's disk is full until it ends by itself, started again 2 s later with room", on: "redis", silent: true,
			make: fillDisk, heal: startRedis, bites: slow(time.Second)},
		{Name: "readonly", What: "Redis is made a replica of nobody for 3 s: it refuses all writes", on: "redis", silent: true,
			make: stall("REPLICAOF 127.0.0.1 1"), heal: saying("REPLICAOF NO ONE"), bites: slow(awayFor)},
		{Name: "commands", What: "CLIENT KILL of all connections that commands go through, ten times, in bursts", on: "redis",
			make: killCommands},
		{Name: "scripts", What: "SCRIPT FLUSH, ten times", on: "redis", unnoticed: true, delay: unnoticedDelay,
			make: flushScripts},
		{Name: "pubsub", What: "CLIENT KILL of all subscriptions, ten times and more", on: "redis",
			make: killPubSub},
		{Name: "reload", What: "reload of HAProxy, three times", on: "haproxy", unnoticed: true, delay: unnoticedDelay,
			make: reloadHAProxy},
		{Name: "haproxy", What: "kill -9 of HAProxy, started again after 1 s", on: "haproxy", silent: true,
			make: killHAProxy, heal: startHAProxy, bites: socketsLost},
		{Name: "herd", What: "every connection cut at once, and everybody back at once", on: "people", herd: true,
			make: cutAll, bites: socketsLost},
		{Name: "slow", What: "somebody stops reading while others flood their room, and reads on later", on: "people",
			alone: true, delay: unnoticedDelay, // who is given up twice may be too far behind for a resume
			make: stopReading, heal: readOn, bites: socketsLost},
		{Name: "revoke", What: "logins of one in six ended in mid-chat from elsewhere; they log in again", on: "people",
			make: revoke},
		{Name: "deaf", What: "everything between one instance and Redis silently lost, until everybody was heard elsewhere", on: "links", links: true,
			limit: 30 * time.Second, make: silenceRedis, heal: healLinks, bites: socketsMoved},
		{Name: "cut", What: "everything between HAProxy and one instance silently lost, until everybody was heard elsewhere", on: "links", links: true,
			make: silenceFront, heal: healLinks, bites: socketsLost},
		{Name: "silent", What: "everything between one in three people and HAProxy silently lost for 5 s", on: "links", links: true,
			silent: true, make: silencePeople, heal: healLinks, bites: slow(5 * time.Second)},
		{Name: "far", What: "Redis far away for 5 s: 200 ms, and up to 100 ms more or less", on: "links", links: true,
			make: slowRedis, heal: healLinks, bites: slow(200 * time.Millisecond)},
		{Name: "narrow", What: "one in three people behind 1 KB/s for 5 s", on: "links", links: true,
			silent: true, make: narrowPeople, heal: healLinks, bites: slow(time.Second)},
		{Name: "handover", What: "SIGTERM of the master of Redis, which waits for its replicas; sentinels name another", on: "redis", replicas: true,
			silent: true, make: handOver, heal: startRedises, bites: slow(time.Second)},
		{Name: "master", What: "kill -9 of the master of Redis; sentinels name another", on: "redis", replicas: true, loses: true,
			silent: true, make: killMaster, heal: startRedises, bites: slow(time.Second)},
		{Name: "failover", What: "SENTINEL FAILOVER: another Redis becomes the master while the former lives and is written to", on: "redis", replicas: true, loses: true,
			make: failOver},
		{Name: "zombie", What: "SIGSTOP of the master of Redis until there is another, then SIGCONT", on: "redis", replicas: true, loses: true,
			silent: true, make: freezeMaster, heal: thawMaster, bites: slow(time.Second)},
		{Name: "torn", What: "kill -9 of Redis, the last 32 KiB of its file cut off, started again", on: "redis", alone: true, loses: true,
			make: tearFile, bites: dataLost},
		{Name: "older", What: "kill -9 of Redis, started again with a copy of its file that is 2 s older", on: "redis", alone: true, loses: true,
			make: olderRedis, bites: dataLost},
		{Name: "empty", What: "kill -9 of Redis, started again without its file; everybody logs in again", on: "redis", alone: true, loses: true,
			make: emptyRedis, bites: dataLost},
	}
}

// Find returns the faults of these names, in this order; kill+redis is two at once.
func Find(names []string) ([]Fault, error) {
	all := Standard()
	find := func(name string) (Fault, error) {
		i := slices.IndexFunc(all, func(f Fault) bool { return f.Name == name })
		if i < 0 {
			return Fault{}, fmt.Errorf("no fault %q; -list names them", name)
		}
		return all[i], nil
	}
	var found []Fault
	for _, name := range names {
		first, second, two := strings.Cut(name, "+")
		f, err := find(first)
		if err == nil && two {
			var other Fault
			other, err = find(second)
			f = both(f, other)
		}
		if err == nil && f.links && f.replicas {
			err = fmt.Errorf("%s: one needs links, the other replicas: there is no such system", name)
		}
		if err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, nil
}

// mixture is two faults that are made to different things.
func mixture(r *rand.Rand) Fault {
	all := slices.DeleteFunc(Standard(), func(f Fault) bool { return f.alone || f.links || f.replicas })
	one := all[r.IntN(len(all))]
	other := one
	for other.on == one.on {
		other = all[r.IntN(len(all))]
	}
	return both(one, other)
}

// both is two faults that overlap, each healed a while after it was made.
func both(one, other Fault) Fault {
	return Fault{
		Name: one.Name + "+" + other.Name, What: one.What + "; meanwhile " + other.What,
		herd: one.herd || other.herd, links: one.links || other.links,
		replicas: one.replicas || other.replicas, loses: one.loses || other.loses, limit: 2 * usualLimit,
		make: func(ctx context.Context, a *act) error {
			// Side by side: which comes first differs from run to run.
			var wg sync.WaitGroup
			var errs [2]error
			for i, f := range []Fault{one, other} {
				wg.Go(func() {
					errs[i] = f.make(ctx, a)
					if f.heal != nil {
						errs[i] = errors.Join(errs[i], a.pass(ctx, time.Second), f.heal(ctx, a))
					}
				})
			}
			wg.Wait()
			for i, err := range errs {
				if errors.Is(err, errNobody) { // the other one was faster
					errs[i] = nil
				}
			}
			return errors.Join(errs[:]...)
		},
	}
}

func socketsLost(row *Row) error {
	if row.SocketsLost == 0 {
		return errors.New("no socket was lost")
	}
	return nil
}

func socketsMoved(row *Row) error {
	if row.SocketsMoved == 0 {
		return errors.New("nobody moved")
	}
	return nil
}

func dataLost(row *Row) error {
	if row.LostByRedis == 0 {
		return errors.New("nothing was lost with Redis")
	}
	return nil
}

func slow(atLeast time.Duration) func(*Row) error {
	return func(row *Row) error {
		if row.DelayLongest < atLeast {
			return fmt.Errorf("nothing took longer than %v", row.DelayLongest)
		}
		return nil
	}
}

// busiest is the running instance with the most people.
func (a *act) busiest() (*cluster.Instance, error) {
	var most *cluster.Instance
	for _, i := range a.cluster.Instances() {
		if i.PID() != 0 && (most == nil || a.crowd.on(i.Name) > a.crowd.on(most.Name)) {
			most = i
		}
	}
	if most == nil || a.crowd.on(most.Name) == 0 {
		return nil, errNobody
	}
	return most, nil
}

func killOne(ctx context.Context, a *act) error {
	i, err := a.busiest()
	if err != nil {
		return err
	}
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	i.Kill()
	return nil
}

func endOne(ctx context.Context, a *act) error {
	i, err := a.busiest()
	if err != nil {
		return err
	}
	i.Term()
	if err := i.Wait(ctx); err != nil {
		return err
	}
	if code := i.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with status %d after its drain", i.Name, code)
	}
	return nil
}

func killAll(ctx context.Context, a *act) error {
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	for _, i := range a.cluster.Instances() {
		i.Kill()
	}
	return nil
}

// startDead starts all instances that do not run.
func startDead(ctx context.Context, a *act) error {
	var wg sync.WaitGroup
	instances := a.cluster.Instances()
	errs := make([]error, len(instances))
	for n, i := range instances {
		if i.PID() == 0 {
			wg.Go(func() {
				if errs[n] = i.Start(ctx); errs[n] == nil {
					errs[n] = a.cluster.AwaitState(ctx, i, "UP")
				}
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

func freezeOne(_ context.Context, a *act) error {
	i, err := a.busiest()
	if err != nil {
		return err
	}
	i.Pause()
	return nil
}

func thaw(_ context.Context, a *act) error {
	for _, i := range a.cluster.Instances() {
		i.Resume()
	}
	return nil
}

func rolling(ctx context.Context, a *act) error {
	for _, i := range a.cluster.Instances() {
		if i.PID() == 0 {
			continue
		}
		if err := i.Restart(ctx); err != nil {
			return err
		}
		if err := a.cluster.AwaitState(ctx, i, "UP"); err != nil {
			return err
		}
	}
	return nil
}

func scale(ctx context.Context, a *act) error {
	shrink := func(to int) error {
		for all := a.cluster.Instances(); len(all) > to; all = all[:len(all)-1] {
			if err := a.cluster.Remove(ctx, all[len(all)-1]); err != nil {
				return err
			}
		}
		return nil
	}
	was := len(a.cluster.Instances())
	if err := shrink(1); err != nil {
		return err
	}
	var added []*cluster.Instance
	for len(a.cluster.Instances()) < was+2 {
		i, err := a.cluster.Add(ctx)
		if err != nil {
			return err
		}
		added = append(added, i)
	}
	// Who is here stays where they are; who comes now must find the new ones.
	newcomers, err := gather(ctx, a.rec, gathering{name: a.name + "n", url: a.crowd.url, people: 2 * (was + 2), rooms: 1, pace: a.Pace})
	if err != nil {
		return err
	}
	defer newcomers.leave()
	for _, i := range added {
		if newcomers.on(i.Name) == 0 {
			return fmt.Errorf("%s is new, and nobody who came since is on it", i.Name)
		}
	}
	return shrink(was)
}

func killRedis(ctx context.Context, a *act) error {
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	a.cluster.Redis.Kill()
	return a.pass(ctx, 2*time.Second)
}

func startRedis(ctx context.Context, a *act) error { return a.cluster.Redis.Start(ctx) }

func killPubSub(ctx context.Context, a *act) error {
	const refilled = "chatd_events_refilled_total"
	last, err := a.cluster.Metric(ctx, refilled)
	if err != nil {
		return err
	}
	missed := false
	// Ten times, and then until a message was missed: most often nothing is on its way
	// in the moment that a new connection takes.
	for n, killed := 0, 0; ; n++ {
		// In mixtures instances freeze, die, and count anew.
		if now, err := a.cluster.Metric(ctx, refilled); err == nil {
			missed = missed || now > last
			last = now
		}
		a.rec.mu.Lock()
		missed = missed || a.crowd.rejoined > 0 // by people, which is worse, and for the judge
		a.rec.mu.Unlock()
		if n >= 10 && killed >= 10 && missed {
			return nil
		}
		answer, err := a.cluster.RedisSay(ctx, "CLIENT KILL TYPE pubsub")
		if err != nil {
			return err
		}
		some, err := strconv.Atoi(answer)
		if err != nil {
			return fmt.Errorf("redis says %q", answer)
		}
		killed += some
		if err := a.pass(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("%d subscriptions were killed, and no message missed: %w", killed, err)
		}
	}
}

func reloadHAProxy(ctx context.Context, a *act) error {
	for range 3 {
		if err := a.cluster.ReloadHAProxy(ctx); err != nil {
			return err
		}
		if err := a.pass(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func killHAProxy(ctx context.Context, a *act) error {
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	a.cluster.HAProxy.Kill()
	return a.pass(ctx, time.Second)
}

func startHAProxy(ctx context.Context, a *act) error { return a.cluster.HAProxy.Start(ctx) }

func cutAll(ctx context.Context, a *act) error {
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	for _, p := range a.crowd.people {
		p.line.cut()
	}
	return nil
}

func silenceRedis(ctx context.Context, a *act) error {
	i, err := a.busiest()
	if err != nil {
		return err
	}
	return a.links.silence("redis of " + i.Name)
}

func silenceFront(ctx context.Context, a *act) error {
	i, err := a.busiest()
	if err != nil {
		return err
	}
	return a.links.silence("front of " + i.Name)
}

func silencePeople(ctx context.Context, a *act) error {
	if err := a.links.silence("people"); err != nil {
		return err
	}
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	return a.pass(ctx, 5*time.Second)
}

func narrowPeople(ctx context.Context, a *act) error {
	if err := a.links.narrow("people", 1); err != nil {
		return err
	}
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	return a.pass(ctx, 5*time.Second)
}

func slowRedis(ctx context.Context, a *act) error {
	for _, i := range a.cluster.Instances() {
		if err := a.links.slow("redis of "+i.Name, 100, 50); err != nil { // there and back
			return err
		}
	}
	return a.pass(ctx, 5*time.Second)
}

func healLinks(ctx context.Context, a *act) error {
	a.links.heal(ctx)
	return nil
}
