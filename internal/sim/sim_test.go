package sim

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"chatd/internal/judge"
)

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSeeds plays many plans. A seed that fails is told with its shortest story;
// CHATD_SIM_SEED=N plays that one alone, and tells it even when all is well.
func TestSeeds(t *testing.T) {
	if seed := setting(t, "CHATD_SIM_SEED", 0); seed > 0 {
		tell(t, seed)
		return
	}
	n := setting(t, "CHATD_SIM_SEEDS", seeds)
	var (
		next   atomic.Uint64
		mu     sync.Mutex
		total  judge.Report
		bitten = map[string]int{}
		failed []uint64
		wg     sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			b := newBench()
			defer b.close()
			for seed := next.Add(1); seed <= n; seed = next.Add(1) {
				w := b.play(newPlan(seed), bug{}, false)
				r := w.judge.Report()
				mu.Lock()
				if len(r.Faults) > 0 {
					failed = append(failed, seed)
				}
				add(&total, r)
				for what, n := range w.bitten {
					bitten[what] += n
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds: %d sent, %d confirmed, %d refused, %d unknown (%d of them kept), %d shown (%d recovered), %d gaps shown, %d lost by Redis, %d aged",
		n, total.Sent, total.Confirmed, total.Refused, total.Unknown, total.UnknownKept, total.Shown, total.Recovered, total.Gaps, total.LostByRedis, total.Aged)
	for _, what := range slices.Sorted(maps.Keys(bitten)) {
		t.Logf("%8d %s", bitten[what], what)
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		t.Errorf("%d seeds failed: %v", len(failed), failed[:min(len(failed), 20)])
		tell(t, failed[0])
		return
	}
	bitten["confirmed"] += total.Confirmed
	bitten["recovered"] += total.Recovered
	if n >= 1000 { // fewer may lack what is rare
		bitten["refused item"] += total.Refused
		bitten["unknown, but kept"] += total.UnknownKept
		bitten["gap shown"] += total.Gaps
		bitten["lost by Redis"] += total.LostByRedis
		bitten["aged"] += total.Aged
		for _, d := range deeds {
			bitten["act: "+d.name] += 0
		}
		for _, what := range bites {
			bitten[what] += 0
		}
	}
	for what, times := range bitten {
		if times == 0 {
			t.Errorf("in %d seeds there was not one: %s", n, what)
		}
	}
}

// bites are what has to happen in a campaign, or it proves nothing.
var bites = []string{
	"gap found", "gap filled", "fill failed", "no gap after all", "room reset", "reset", "resumed", "resume in parts", "gap shown",
	"join ahead of the room", "join found a loss", "join overtaken", "repeat dropped",
	"duplicate answered", "confirmed item sent again", "repeat asked for",
	"relay lost", "dropped", "unheard", "answer cut", "refused", "no answer", "carried out late",
	"buffered at a frozen instance", "thawed", "move",
}

func add(total *judge.Report, r judge.Report) {
	total.Sent += r.Sent
	total.Confirmed += r.Confirmed
	total.Refused += r.Refused
	total.Unknown += r.Unknown
	total.UnknownKept += r.UnknownKept
	total.Shown += r.Shown
	total.Recovered += r.Recovered
	total.Gaps += r.Gaps
	total.LostByRedis += r.LostByRedis
	total.Aged += r.Aged
}

// tell plays a seed and tells its story: the shortest one, if it fails.
func tell(t *testing.T, seed uint64) {
	t.Helper()
	b := newBench()
	defer b.close()
	p := newPlan(seed)
	if w := b.play(p, bug{}, false); len(w.judge.Report().Faults) > 0 {
		p = b.shrink(p, bug{})
	}
	w := b.play(p, bug{}, true)
	t.Logf("%v\n%s", w.plan, strings.Join(w.story, "\n"))
	for _, f := range w.judge.Report().Faults {
		t.Error(f)
	}
}

// TestSameSeedSameStory: or a seed would be worth nothing.
func TestSameSeedSameStory(t *testing.T) {
	a, b := newBench(), newBench()
	defer a.close()
	defer b.close()
	for seed := uint64(1); seed <= 20; seed++ {
		b.play(newPlan(seed+1000), bug{}, false) // what ran before must not matter
		one, two := a.play(newPlan(seed), bug{}, true), b.play(newPlan(seed), bug{}, true)
		if len(one.story) < 20 {
			t.Errorf("seed %d has a story of %d lines", seed, len(one.story))
		}
		for i := range max(len(one.story), len(two.story)) {
			if i >= len(one.story) || i >= len(two.story) || one.story[i] != two.story[i] {
				t.Fatalf("seed %d has two stories, which part at line %d", seed, i)
			}
		}
	}
}

// A bug is a mistake in the wiring, or in the script's text.
type bug struct {
	script     func(src string) string
	retries    bool // the Redis client's library repeats commands
	lookFirst  bool // the instance looks for a key itself, before the append
	roomBySeq  bool // the room takes what has the next seq
	noDoubt    bool // a subscription that comes back is no reason to look
	staleFill  bool // what was read before is taken for what was read now
	joinUnheld bool // what comes while a history is read is not held
	joinBehind bool // a room answers a client who has more than itself
	pageBySeq  bool // the page takes what has the next seq
	resendLast bool // what had no answer goes behind what waits
}

func replace(old, by string) func(string) string {
	return func(src string) string {
		if strings.Count(src, old) != 1 {
			panic("the script has changed; this is not once in it: " + old)
		}
		return strings.Replace(src, old, by, 1)
	}
}

const (
	scriptKnows  = "if known then"
	scriptAppend = "redis.call('XADD', feed, "
	scriptKeeps  = "redis.call('SET', key, ARGV[4] .. ' ' .. event, 'EX', ARGV[3])\n"
	scriptTells  = "redis.call('PUBLISH', ARGV[10],"
)

func both(f, g func(string) string) func(string) string {
	return func(src string) string { return g(f(src)) }
}

// TestMistakesAreCaught shows that the simulation can fail: each mistake is found
// within some seeds, as one of the faults that it leads to.
func TestMistakesAreCaught(t *testing.T) {
	for _, c := range []struct {
		name   string
		bug    bug
		within uint64
		as     string
		focus  []string
	}{
		{"no dedupe", bug{script: replace(scriptKnows, "if false then")}, 30, "doubled", nil},
		{"key remembered before the append", bug{script: both(replace(scriptKeeps, ""), replace(scriptAppend, scriptKeeps+scriptAppend))}, 300, "lost", nil},
		{"keys looked up before the append", bug{lookFirst: true, script: replace(scriptKnows, "if false then")}, 400, "doubled", nil},
		{"keys looked up before the append, which the library repeats", bug{retries: true, lookFirst: true, script: replace(scriptKnows, "if false then")}, 30, "doubled", nil},
		{"told, but not kept", bug{script: replace(scriptTells, "redis.call('XDEL', feed, event) "+scriptTells)}, 30, "lost clash wrong", nil},
		{"the room takes by seq", bug{roomBySeq: true}, 200, "wrong", []string{"failover"}},
		{"the room and the page take by seq", bug{roomBySeq: true, pageBySeq: true}, 200, "hole", []string{"failover"}},
		{"no look after a resubscription", bug{noDoubt: true}, 200, "stale", nil},
		{"a fill from a replica that is behind", bug{staleFill: true}, 300, "stale gap", nil},
		{"a join that holds nothing", bug{joinUnheld: true}, 100, "wrong", nil},
		{"a join at a room that is behind", bug{joinBehind: true}, 600, "gap wrong", nil},
		{"resent behind what waits", bug{resendLast: true}, 100, "out of order", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench()
			defer b.close()
			for seed := uint64(1); seed <= c.within; seed++ {
				faults := b.play(newPlan(seed, c.focus...), c.bug, false).judge.Report().Faults
				if len(faults) == 0 {
					continue
				}
				if !slices.Contains(strings.Fields(strings.ReplaceAll(c.as, "out of order", "order")), strings.TrimPrefix(faults[0].What, "out of ")) {
					t.Errorf("seed %d: %v; want %s", seed, faults[0], c.as)
				}
				t.Logf("seed %d: %v", seed, faults[0])
				return
			}
			t.Errorf("not caught in %d seeds", c.within)
		})
	}
}
