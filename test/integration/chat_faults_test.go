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

// TestChatSurvives lets people talk while parts of the cluster die, one after
// the other, and holds what they saw against the feed.
func TestChatSurvives(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "CHATD_DRAIN=3s")
	for _, part := range []part{
		{"KillingEachInstance", testKillEach},
		{"StoppingAnInstanceInItsTracks", testPause},
		{"RestartingEachInstance", testRestartEach},
		{"RestartingAllInstancesAtOnce", testRestartAll},
		{"LosingPubSub", testPubSubKilled},
		{"LosingTheLastWord", testLastWord},
		{"LosingTheWordOfABan", testLostBan},
		{"RestartingRedis", testRedisRestart},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, c) })
	}
}

// A talk is people who say something in each of their rooms, over and over.
type talk struct {
	t      *testing.T
	c      *cluster.Cluster
	rooms  []string
	people []*chatter
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

const talkPace = 20 * time.Millisecond // between two messages of one person

// startTalk lets five people talk in two rooms through HAProxy. name begins the
// names of all.
func startTalk(t *testing.T, c *cluster.Cluster, name string) *talk {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	talk := &talk{t: t, c: c, rooms: []string{name + "-one", name + "-two"}, stop: stop}
	for n := range 5 {
		talk.people = append(talk.people, enter(t, c.URL(), fmt.Sprint(name, "-", n), client.Options{Keep: 1000}, talk.rooms...))
	}
	for _, p := range talk.people {
		talk.wg.Go(func() {
			pace := time.NewTicker(talkPace)
			defer pace.Stop()
			for n := 0; ; n++ {
				if p.Queued() < 20 { // they see that nothing goes out, and pause
					p.say(talk.rooms[n%2], fmt.Sprint(p.User(), " ", n))
				}
				select {
				case <-pace.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	t.Cleanup(func() { stop(); talk.wg.Wait() })
	talk.more(20)
	return talk
}

// more waits until everyone has been confirmed n more messages, and has seen all
// of them in the feed.
func (talk *talk) more(n int) {
	talk.t.Helper()
	for _, p := range talk.people {
		p.mu.Lock()
		want := len(p.kept) + n
		p.mu.Unlock()
		p.await(fmt.Sprintf("%d more messages", n), func() bool { return len(p.kept) >= want })
	}
}

// on counts who is connected to the instance.
func (talk *talk) on(instance string) (n int) {
	for _, p := range talk.people {
		if p.instance() == instance {
			n++
		}
	}
	return n
}

func (talk *talk) sum(of func(*chatter) int) (n int) {
	for _, p := range talk.people {
		p.mu.Lock()
		n += of(p)
		p.mu.Unlock()
	}
	return n
}

// pause is the longest time in which somebody who talks was not confirmed anything.
func (talk *talk) pause() (longest time.Duration) {
	for _, p := range talk.people {
		p.mu.Lock()
		longest = max(longest, p.pause)
		p.mu.Unlock()
	}
	return longest
}

// end ends the talk: nobody had to wait longer than at most, everyone still has the login they began with, everything
// confirmed is there once and in order, and everyone saw the same.
func (talk *talk) end(atMost time.Duration) {
	t := talk.t
	t.Helper()
	talk.more(20) // and it works as before
	talk.stop()
	talk.wg.Wait()
	judge(t, talk.c.URL(), talk.rooms, talk.people...)
	if pause := talk.pause(); pause > atMost {
		t.Errorf("somebody was not confirmed anything for %v, want %v at most", pause, atMost)
	}
	sent := 0
	for _, p := range talk.people {
		p.mu.Lock()
		if p.out != nil || p.ended != nil {
			t.Errorf("%s was logged out: %v (%v)", p.User(), p.out, p.ended)
		}
		if p.jumps > 0 {
			t.Errorf("%s saw a jump where nothing was lost", p.User())
		}
		sent += len(p.said)
		p.mu.Unlock()
	}
	t.Logf("%d messages, %d of them kept before their answer was lost, %d sockets lost, %d moved, %d events through a replay, %d gaps shown, the longest pause %v", sent,
		talk.sum(func(p *chatter) int { return p.repeated }),
		talk.sum(func(p *chatter) int { return p.closed }), talk.sum(func(p *chatter) int { return p.moved }),
		talk.sum(func(p *chatter) int { return p.resumed }), talk.sum(func(p *chatter) int { return p.gaps }), talk.pause().Round(time.Millisecond))
}

func testKillEach(t *testing.T, c *cluster.Cluster) {
	talk := startTalk(t, c, "kl")
	for _, i := range c.Instances() {
		on := talk.on(i.Name)
		lost := talk.sum(func(p *chatter) int { return p.closed })
		i.Kill()
		talk.more(10)
		if now := talk.sum(func(p *chatter) int { return p.closed }); now-lost < on {
			t.Errorf("%d were on %s, and only %d lost their socket", on, i.Name, now-lost)
		}
		if err := i.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		talk.more(10)
	}
	if talk.sum(func(p *chatter) int { return p.closed }) == 0 || talk.sum(func(p *chatter) int { return p.resumed }) == 0 {
		t.Error("the kills did not bite")
	}
	talk.end(5 * time.Second)
}

// An instance that hangs, and wakes up when its people have long been elsewhere:
// what it had read but not done comes late, and must not count twice.
func testPause(t *testing.T, c *cluster.Cluster) {
	talk := startTalk(t, c, "pa")
	i := c.Instances()[0]
	for _, other := range c.Instances() {
		if talk.on(other.Name) > talk.on(i.Name) {
			i = other
		}
	}
	lost := talk.sum(func(p *chatter) int { return p.closed })
	i.Pause()
	talk.more(10)
	if now := talk.sum(func(p *chatter) int { return p.closed }); now == lost {
		t.Error("nobody was on the instance that hung")
	}
	i.Resume()
	talk.more(20)
	talk.end(10 * time.Second)
}

// A planned restart is not noticed: nobody is without a socket for a moment.
func testRestartEach(t *testing.T, c *cluster.Cluster) {
	talk := startTalk(t, c, "ro")
	for _, i := range c.Instances() {
		if err := i.Restart(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
		talk.more(10)
	}
	if talk.sum(func(p *chatter) int { return p.moved }) == 0 {
		t.Error("nobody moved: the restarts did not bite")
	}
	if lost := talk.sum(func(p *chatter) int { return p.closed }); lost > 0 {
		t.Errorf("%d sockets were closed before their client had moved", lost)
	}
	talk.end(2 * time.Second)
}

func testRestartAll(t *testing.T, c *cluster.Cluster) {
	talk := startTalk(t, c, "ra")
	tab := guest(t, c.URL(), "ra-tab")
	for _, i := range c.Instances() {
		i.Kill()
	}
	for _, i := range c.Instances() {
		if err := i.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range talk.people {
		p.await("is back", func() bool { return p.on != "" && p.closed > 0 })
	}
	// HAProxy may take a moment to find all of them, but nobody is sent to log in.
	eventually(t, 10*time.Second, "the page of somebody without a socket", func() bool {
		a := tab.get(t, "/")
		if a.status != 200 && a.status != 503 {
			t.Fatalf("their page is %d to %q", a.status, a.header.Get("Location"))
		}
		return a.status == 200
	})
	talk.end(10 * time.Second)
}

func testPubSubKilled(t *testing.T, c *cluster.Cluster) {
	talk := startTalk(t, c, "ps")
	r := rdb(t, c)
	killed, filled := int64(0), metric(t, c, `chatd_room_gaps_total{result="filled"}`)
	for range 10 {
		n, err := r.ClientKillByFilter(within(t, 10*time.Second), "TYPE", "pubsub").Result()
		if err != nil {
			t.Fatal(err)
		}
		killed += n
		talk.more(5)
	}
	if killed < 10 {
		t.Errorf("only %d subscriptions were killed", killed)
	}
	if metric(t, c, `chatd_room_gaps_total{result="filled"}`) == filled {
		t.Error("the relay missed nothing: the kills did not bite")
	}
	if n := talk.sum(func(p *chatter) int { return p.closed + p.gaps }); n > 0 {
		t.Errorf("%d sockets lost or gaps shown: the instances' own affair reached people", n)
	}
	talk.end(2 * time.Second)
}

// A message that no other follows tells nobody by its prev that it was missed.
func testLastWord(t *testing.T, c *cluster.Cluster) {
	const room = "lw-room"
	alice := enter(t, c.Instances()[0].URL(), "lw-alice", client.Options{}, room)
	bob := enter(t, c.Instances()[1].URL(), "lw-bob", client.Options{}, room)
	r := rdb(t, c)
	refilled := metric(t, c, "chatd_events_refilled_total")
	for n := range 20 {
		if err := r.ClientKillByFilter(within(t, 10*time.Second), "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		alice.say(room, fmt.Sprint("word ", n))
		for _, p := range []*chatter{alice, bob} {
			p.await(fmt.Sprint("sees word ", n), func() bool { return len(p.views[room]) == n+1 })
		}
	}
	if metric(t, c, "chatd_events_refilled_total") == refilled {
		t.Error("no word was missed: the kills did not bite")
	}
	judge(t, c.URL(), []string{room}, alice, bob)
}

func testRedisRestart(t *testing.T, c *cluster.Cluster) {
	talk := startTalk(t, c, "rr")
	for range 2 {
		c.Redis.Kill()
		// While it is away people go on writing, and their instances live.
		for _, p := range talk.people {
			p.await("something waits", func() bool { return p.Queued() > 10 })
		}
		for _, i := range c.Instances() {
			if a := visitor(t, i.URL()).get(t, "/livez"); a.status != 200 {
				t.Errorf("%s/livez is %d while Redis is away", i.Name, a.status)
			}
		}
		if err := c.Redis.Start(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		talk.more(25)
	}
	talk.end(15 * time.Second)
}
