//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/internal/client"
	"chatd/internal/cluster"
)

// TestDrain restarts instances as planned while 300 people chat, and then with people
// who do not do as they are asked.
func TestDrain(t *testing.T) {
	const drain = 8 * time.Second // in whose first half 300 people have to move, on two cores
	c := startCluster(t, 3, fmt.Sprint("CHATD_DRAIN=", drain))
	t.Run("NobodyNotices", func(t *testing.T) { testDrainUnnoticed(t, c, drain) })
	t.Run("WhoStaysIsClosed", func(t *testing.T) { testDrainIgnored(t, c, drain) })
	t.Run("ASecondSignalEndsAtOnce", func(t *testing.T) { testDrainCutShort(t, c) })
}

func testDrainUnnoticed(t *testing.T, c *cluster.Cluster, drain time.Duration) {
	const people, rooms, visitors = 300, 10, 4
	roomOf := func(n int) string { return fmt.Sprint("dr-room-", n%rooms) }
	crowd := startCrowd(t, people, client.Options{Keep: 2000}, func(n int) (string, string, []string) {
		return fmt.Sprint("dr-", n), c.URL(), []string{roomOf(n)}
	})
	for n, f := range crowd {
		f.speak(roomOf(n), 2500*time.Millisecond+time.Duration(n)*4*time.Millisecond, func(m int) string { return fmt.Sprint(f.User(), " says ", m) })
	}

	// Some have no socket and look at pages, refreshing their session in between.
	ctx, stop := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	defer looks.Wait()
	defer stop()
	requests := make([]int, visitors)
	for n := range visitors {
		tab := guest(t, c.URL(), fmt.Sprint("dr-tab-", n))
		looks.Go(func() {
			pace := time.NewTicker(40 * time.Millisecond)
			defer pace.Stop()
			for {
				err := tab.page(t.Context())
				if err == nil {
					_, err = tab.refresh(t.Context())
				}
				if err != nil {
					t.Errorf("a request failed: %v", err)
				}
				requests[n] += 2
				select {
				case <-pace.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for _, f := range crowd {
		f.await("has said something", func() bool { return len(f.kept) > 0 })
	}

	on := func(i *cluster.Instance) int {
		return total(crowd, func(f *follower) int {
			if f.on == i.Name {
				return 1
			}
			return 0
		})
	}
	// One alone, and then each, the one that nobody has come back to yet last.
	all := c.Instances()
	for step, i := range []*cluster.Instance{all[0], all[1], all[2], all[0]} {
		had, began := on(i), time.Now()
		i.Term()
		if err := i.Wait(within(t, drain+10*time.Second)); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if code := i.ExitCode(); code != 0 || took > drain {
			t.Errorf("%s ended with %d after %v, want 0 within %v: all had moved", i.Name, code, took, drain)
		}
		if had == 0 {
			t.Errorf("nobody was on %s", i.Name)
		}
		var first, last time.Time
		came := total(crowd, func(f *follower) int {
			live := f.lives[len(f.lives)-1]
			if live.Before(began) {
				return 0
			}
			if first.IsZero() || live.Before(first) {
				first = live
			}
			if live.After(last) {
				last = live
			}
			return 1
		})
		if came < had {
			t.Errorf("%d were on %s, and %d moved", had, i.Name, came)
		}
		t.Logf("step %d: %d people left %s, %.0f per second; it ended after %v", step, came, i.Name,
			float64(came)/max(last.Sub(first).Seconds(), 0.001), took.Round(time.Millisecond))
		if err := i.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitState(within(t, 10*time.Second), i, "UP"); err != nil {
			t.Fatal(err)
		}
	}
	talked := make([]int, people) // and they talk on
	for n := range crowd {
		talked[n] = total(crowd[n:n+1], keptBy)
	}
	for n, f := range crowd {
		f.await("says more", func() bool { return len(f.kept) > talked[n] })
	}
	stop()
	looks.Wait()
	hush(crowd)
	for r := range rooms {
		var own []*chatter
		for n := r; n < people; n += rooms {
			own = append(own, crowd[n].chatter)
		}
		judge(t, c.URL(), []string{roomOf(r)}, own...)
	}

	wantNotNoticed(t, crowd)
	var away time.Duration
	failed := 0
	for _, f := range crowd {
		f.times.mu.Lock()
		away = max(away, f.away)
		for _, fail := range f.failed {
			t.Errorf("%s: a try to connect failed: %d (%v)", f.User(), fail.Status, fail.Err)
		}
		failed += len(f.failed)
		if f.open != 1 {
			t.Errorf("%s has %d sockets in the end", f.User(), f.open)
		}
		f.times.mu.Unlock()
		f.chatter.mu.Lock()
		if f.out != nil || f.ended != nil {
			t.Errorf("%s was logged out: %v (%v)", f.User(), f.out, f.ended)
		}
		f.chatter.mu.Unlock()
	}
	if away > 0 {
		t.Errorf("somebody had no open socket for %v", away)
	}
	sum := 0
	for _, n := range requests {
		sum += n
	}
	t.Logf("%d people, %d messages, %d moves; the longest time without a socket %v; %d of %d connects and %d page requests failed",
		people, total(crowd, func(f *follower) int { return len(f.said) }), total(crowd, func(f *follower) int { return f.moved }),
		away, failed, total(crowd, func(f *follower) int { return len(f.lives) }), sum)
}

// A socket whose client ignores what it is asked is closed before the time is over.
func testDrainIgnored(t *testing.T, c *cluster.Cluster, drain time.Duration) {
	i := c.Instances()[1]
	const people = 10
	type end struct {
		code int
		took time.Duration
	}
	ends := make(chan end, people)
	var wires []*wire
	for n := range people {
		wires = append(wires, guest(t, i.URL(), fmt.Sprint("di-", n)).connect(t))
	}
	began := time.Now()
	i.Term()
	for _, w := range wires {
		go func() { ends <- end{w.end(), time.Since(began)} }()
	}
	var first, last time.Duration
	for range people {
		e := <-ends
		if e.code != 1012 || e.took > drain {
			t.Errorf("a socket was closed with %d after %v, want 1012 within %v", e.code, e.took, drain)
		}
		if first == 0 {
			first = e.took
		}
		last = e.took
	}
	if err := i.Wait(within(t, drain+10*time.Second)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if code := i.ExitCode(); code != 0 || took > drain+2*time.Second {
		t.Errorf("it ended with %d after %v, want 0 within %v", code, took, drain+2*time.Second)
	}
	t.Logf("the drain may take %v: the first was closed after %v, the last after %v, the instance ended after %v",
		drain, first.Round(time.Millisecond), last.Round(time.Millisecond), took.Round(time.Millisecond))
}

func testDrainCutShort(t *testing.T, c *cluster.Cluster) {
	i := c.Instances()[2]
	w := guest(t, i.URL(), "dc-alice").connect(t)
	i.Term()
	w.until("the drain", func(o map[string]any) bool { return o["type"] == "drain" })
	if i.PID() == 0 {
		t.Fatal("it ended at the first signal")
	}
	began := time.Now()
	if err := syscall.Kill(i.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := i.Wait(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if code := i.ExitCode(); code != 1 || took > time.Second {
		t.Errorf("after the second signal it ended with %d after %v, want 1 at once", code, took)
	}
	t.Logf("ended %v after the second signal", took.Round(time.Millisecond))
}
