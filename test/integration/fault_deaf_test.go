//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatd/internal/client"
	"chatd/internal/cluster"
)

// TestDeafInstances cuts instances off from Redis without a word: no connection is
// closed, and nothing arrives any more.
func TestDeafInstances(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	lines := map[string]*redisLine{}
	c := startClusterWith(t, cluster.Options{Instances: 3, Env: []string{"CHATD_SEND_RATE=1000"}, RedisAddr: func(instance, real string) string {
		mu.Lock()
		defer mu.Unlock()
		lines[instance] = newRedisLine(t, real)
		return lines[instance].addr()
	}})
	t.Run("OnlyTheSubscription", func(t *testing.T) { testDeafSubscription(t, c, lines["chatd-1"]) })
	t.Run("SubscriptionsAreKilledOverAndOver", func(t *testing.T) { testSubscriptionsKilled(t, c) })
	t.Run("AllOfAnInstance", func(t *testing.T) { testCutOff(t, c, lines) })
}

// Only the subscription is silent: messages can be sent, and none would come. The
// instance finds that out by itself, and its people get all, in order.
func testDeafSubscription(t *testing.T, c *cluster.Cluster, line *redisLine) {
	const room = "ds-room"
	crowd := startCrowd(t, 2, client.Options{Keep: 1000}, func(n int) (string, string, []string) {
		return fmt.Sprint("ds-", n), c.Instances()[n].URL(), []string{room} // the first one's instance is deaf
	})
	deaf, well := crowd[0], crowd[1]
	reconnects := func() float64 { return metric(t, c, `chatd_relay_reconnects_total{reason="deaf"}`) }
	deaf.speak(room, 30*time.Millisecond, func(n int) string { return fmt.Sprint("deaf says ", n) })
	well.speak(room, 30*time.Millisecond, func(n int) string { return fmt.Sprint("well says ", n) })
	deaf.await("both talk", func() bool { return len(deaf.views[room]) > 40 })

	var found []time.Duration
	for range 3 {
		before := reconnects()
		if n := line.silence(false); n != 1 {
			t.Fatalf("%d subscriptions went silent, want 1", n)
		}
		began := time.Now()
		kept := total(crowd[:1], keptBy)
		eventually(t, 10*time.Second, "the instance drops its deaf subscription", func() bool {
			lasts(t, 50*time.Millisecond) // each look costs the instances connections
			return reconnects() > before
		})
		deaf.await("hears again", func() bool {
			view := deaf.views[room]
			return view[len(view)-1].At.After(began.Add(3 * time.Second))
		})
		found = append(found, time.Since(began))
		if kept = total(crowd[:1], keptBy) - kept; kept < 20 {
			t.Errorf("only %d messages were confirmed while the subscription was deaf, though commands went on", kept)
		}
	}
	line.heal()
	longest := quantile(delaysOf(crowd[:1], time.Time{}, time.Now()), 1)
	if longest > 4500*time.Millisecond {
		t.Errorf("somebody got a message %v late, want 4.5 s at most", longest)
	}
	if longest < 2*time.Second {
		t.Errorf("nobody got a message later than %v: the silence did not bite", longest)
	}
	if other := quantile(delaysOf(crowd[1:], time.Time{}, time.Now()), 1); other > 2*time.Second {
		t.Errorf("on the instance that hears a message came %v late", other)
	}
	wantNotNoticed(t, crowd)
	finish(t, c, room, crowd)
	t.Logf("hears again %v after the subscription went silent; the longest delay of a message %v", rounded(found), longest)
}

// An instance is cut off from Redis as a whole, the others are not.
func testCutOff(t *testing.T, c *cluster.Cluster, lines map[string]*redisLine) {
	const long = 20 * time.Second
	talk := startTalk(t, c, "co")
	i := c.Instances()[0]
	for _, other := range c.Instances() {
		if talk.on(other.Name) > talk.on(i.Name) {
			i = other
		}
	}
	on := talk.on(i.Name)
	alice := guest(t, i.URL(), "co-alice").connect(t)
	alice.ok("join", fields{"room": "co-alone"})
	tab := guest(t, c.URL(), "co-tab")
	for tab.pin() != i.Name {
		tab = guest(t, c.URL(), "co-tab")
	}
	// Somebody without a socket looks at pages all the while.
	var pages []time.Duration
	ctx, stop := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	looks.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if err := tab.page(t.Context()); err != nil {
				t.Error(err)
				return
			}
			pages = append(pages, time.Since(began))
			select {
			case <-time.After(100 * time.Millisecond): // a person's pace
			case <-ctx.Done():
			}
		}
	})
	defer looks.Wait()
	defer stop()

	line := lines[i.Name]
	if n := line.silence(true); n < 2 {
		t.Fatalf("%d connections went silent", n)
	}
	began := time.Now()
	asked := alice.request("send", fields{"room": "co-alone", "key": "k", "text": "nobody can keep this now"})
	if a := alice.answer(asked); a["type"] != "error" || a["code"] != "unavailable" {
		t.Errorf("a send without Redis is answered %v", a)
	}
	eventually(t, 20*time.Second, "its people are elsewhere", func() bool { return talk.on(i.Name) == 0 })
	elsewhere := time.Since(began)
	if elsewhere > 12*time.Second {
		t.Errorf("its people were elsewhere after %v", elsewhere)
	}
	if on == 0 {
		t.Error("nobody was on the instance that was cut off")
	}
	for _, p := range talk.people { // there they talk on, while it lasts
		p.mu.Lock()
		want := len(p.kept) + 20
		p.mu.Unlock()
		p.await("is confirmed elsewhere", func() bool { return len(p.kept) >= want })
	}
	flowing := time.Since(began)
	if flowing > long {
		t.Errorf("they talked on after %v only", flowing)
	}
	lasts(t, time.Until(began.Add(long)))
	line.heal()
	healed := time.Now()
	bob := guest(t, i.URL(), "co-bob-2") // a login there must work again
	eventually(t, 10*time.Second, "the instance serves again", func() bool { return bob.get(t, "/").status == 200 })
	again := time.Since(healed)
	stop()
	looks.Wait()
	// What was held up may have been done late: as one and the same message.
	if a := alice.ok("send", fields{"room": "co-alone", "key": "k", "text": "nobody can keep this now"}); a["seq"] != 1.0 {
		t.Errorf("the message that was put off stands at %v", a["seq"])
	}
	if got := texts(alice.ok("history", fields{"room": "co-alone"})["events"]); len(got) != 1 {
		t.Errorf("it is there %d times", len(got))
	}
	for _, p := range talk.people {
		p.mu.Lock()
		if p.closed > 0 {
			t.Errorf("%s lost %d sockets: they were to move", p.User(), p.closed)
		}
		p.mu.Unlock()
	}
	t.Logf("%d of %d people were on the instance; all were elsewhere %v after the cut, and had talked on by %v; %d pages, the slowest took %v; it served again %v after the end",
		on, len(talk.people), elsewhere.Round(time.Millisecond), flowing.Round(time.Millisecond), len(pages), quantile(pages, 1), again.Round(time.Millisecond))
	talk.end(15 * time.Second)
}

// All subscriptions are cut, over and over, while commands go on.
func testSubscriptionsKilled(t *testing.T, c *cluster.Cluster) {
	const room, long = "sk-cut", 6 * time.Second
	crowd := startCrowd(t, 6, client.Options{Keep: 1000}, func(n int) (string, string, []string) {
		return fmt.Sprint("sk-", n), c.Instances()[n%3].URL(), []string{room}
	})
	for _, f := range crowd {
		f.speak(room, 40*time.Millisecond, func(n int) string { return fmt.Sprint(f.User(), " says ", n) })
	}
	r := rdb(t, c)
	refilled := metric(t, c, "chatd_events_refilled_total")
	killed := int64(0)
	began := time.Now()
	for time.Since(began) < long {
		n, err := r.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result()
		if err != nil {
			t.Fatal(err)
		}
		killed += n
		lasts(t, 200*time.Millisecond)
	}
	refilled = metric(t, c, "chatd_events_refilled_total") - refilled
	finish(t, c, room, crowd)
	longest := quantile(delaysOf(crowd, began, time.Now()), 1)
	if longest > 2*time.Second {
		t.Errorf("somebody got a message %v late", longest)
	}
	if killed < 20 || refilled == 0 {
		t.Errorf("%d subscriptions were killed, %v events had to be read: the kills did not bite", killed, refilled)
	}
	wantNotNoticed(t, crowd)
	t.Logf("%d subscriptions killed, %v events read from the feed, the longest delay of a message %v", killed, refilled, longest)
}

// finish lets a crowd fall silent and judges what they sent and saw.
func finish(t *testing.T, c *cluster.Cluster, room string, crowd []*follower) {
	t.Helper()
	hush(crowd)
	judge(t, c.URL(), []string{room}, chatters(crowd)...)
}

func rounded(all []time.Duration) (out []time.Duration) {
	for _, d := range all {
		out = append(out, d.Round(time.Millisecond))
	}
	return out
}

func keptBy(f *follower) int { return len(f.kept) }
