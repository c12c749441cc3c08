//go:build integration

package integration_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"chatd/internal/client"
)

// An instance that holds 2,000 sockets is killed: all its people come back to the other
// one, at a rate that it can take, and nobody misses anything.
func TestHerdComesBack(t *testing.T) {
	const people, more, rooms, rate = 2000, 100, 50, 300
	c := startCluster(t, 1, fmt.Sprint("CHATD_HANDSHAKES=", rate))
	roomOf := func(n int) string { return fmt.Sprint("hd-room-", n%rooms) }
	gather := func(n int, prefix string, url string) []*follower {
		return startCrowd(t, n, client.Options{MaxWait: 20 * time.Second, Keep: 200}, func(n int) (string, string, []string) {
			return fmt.Sprint(prefix, n), url, []string{roomOf(n)}
		})
	}
	lost := gather(people, "hd-", c.URL())
	dead := c.Instances()[0]
	other, err := c.Add(within(t, 20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	others := gather(more, "hd-other-", other.URL())
	crowd := slices.Concat(others, lost)
	for n := range rooms { // one of each room talks
		crowd[n].speak(roomOf(n), time.Second+time.Duration(n)*4*time.Millisecond, func(m int) string { return fmt.Sprint(roomOf(n), " ", m) })
	}
	for n, f := range crowd {
		f.await("hears somebody", func() bool { return len(f.views[roomOf(n)]) > 0 })
	}

	putOff := metric(t, c, `chatd_handshakes_total{result="429"}`)
	dead.Kill()
	began := time.Now()
	var back []time.Duration
	var shakes []time.Time
	for _, f := range lost {
		f.await("is back", func() bool { return f.closed > 0 && f.on == other.Name })
		f.times.mu.Lock()
		back, shakes = append(back, f.lives[len(f.lives)-1].Sub(began)), append(shakes, f.opens[len(f.opens)-1])
		f.times.mu.Unlock()
	}
	t95, t100 := quantile(back, 0.95), quantile(back, 1)
	if t100 > 30*time.Second {
		t.Errorf("all were back after %v, want 30 s at most", t100)
	}
	end := began.Add(t100)
	if err := dead.Start(within(t, 20*time.Second)); err != nil { // its metrics are asked for too
		t.Fatal(err)
	}
	putOff = metric(t, c, `chatd_handshakes_total{result="429"}`) - putOff
	// Caught up is who has the newest of their room; and it goes on.
	for n, f := range crowd {
		f.await("hears what is said now", func() bool {
			view := f.views[roomOf(n)]
			return view[len(view)-1].At.After(end)
		})
	}
	felt := delaysOf(others, began, end)
	hush(crowd)
	for r := range rooms {
		var own []*chatter
		for n := r; n < len(crowd); n += rooms {
			own = append(own, crowd[n].chatter)
		}
		judge(t, c.URL(), []string{roomOf(r)}, own...)
	}
	failures := map[int]int{}
	for _, f := range crowd {
		f.times.mu.Lock()
		for _, fail := range f.failed {
			failures[fail.Status]++
		}
		f.times.mu.Unlock()
		f.chatter.mu.Lock()
		if f.out != nil || f.ended != nil || f.jumps > 0 {
			t.Errorf("%s: out %v (%v), %d jumps", f.User(), f.out, f.ended, f.jumps)
		}
		f.chatter.mu.Unlock()
	}
	if n := total(others, func(f *follower) int { return f.closed }); n > 0 {
		t.Errorf("%d who were on the other instance lost their socket too", n)
	}
	// The bound on handshakes holds: this many cannot have come sooner.
	last := slices.MaxFunc(shakes, time.Time.Compare).Sub(began)
	if soonest := time.Duration(len(lost)-rate) * time.Second / rate; last < soonest {
		t.Errorf("%d handshakes in %v: %d per second, and so many more at once, would have taken %v", len(lost), last, rate, soonest)
	}
	if putOff == 0 {
		t.Error("nobody was put off: it was no herd")
	}
	t.Logf("%d lost their socket: 95 %% were back after %v, all after %v; %.0f handshakes per second; %.0f were put off, tries that failed by status %v; 99 %% of the others' messages took up to %v",
		len(lost), t95, t100, float64(len(lost))/last.Seconds(), putOff, failures, quantile(felt, 0.99))
}
