//go:build integration

package integration_test

import (
	"slices"
	"testing"
	"time"

	"chatd/internal/cluster"
)

// Sentinels make another Redis the master while people talk. A master that is ended
// by SIGTERM waits until its replicas have everything, so nothing may be lost.
func TestMasterIsEndedAndSentinelsNameAnother(t *testing.T) {
	t.Parallel()
	c := startClusterWith(t, cluster.Options{Instances: 2, Replicas: 2, RedisArgs: []string{"--min-replicas-to-write", "1"}})
	talk := startTalk(t, c, "fo")
	was, err := c.Master(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	was.Term()
	if err := c.AwaitFailover(within(t, 20*time.Second), was); err != nil {
		t.Fatal(err)
	}
	took := time.Since(ended)
	talk.more(5)
	again := time.Since(ended)
	if again > 10*time.Second {
		t.Errorf("everybody was confirmed something %v after the end of the master", again)
	}

	// It comes back as a replica of the new one.
	if err := was.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitReplicas(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if now, err := c.Master(within(t, 10*time.Second)); err != nil || now == was || !slices.Contains(c.Redises, now) {
		t.Errorf("the master is %v, %v", now, err)
	}
	t.Logf("another master after %v, everybody confirmed again after %v", took.Round(time.Millisecond), again.Round(time.Millisecond))
	talk.stop()
	talk.wg.Wait()
	judge(t, c.URL(), talk.rooms, talk.people...)
	for _, p := range talk.people {
		p.mu.Lock()
		if p.out != nil || p.ended != nil || p.jumps > 0 || p.closed > 0 {
			t.Errorf("%s: out %v (%v), %d jumps, %d sockets lost", p.User(), p.out, p.ended, p.jumps, p.closed)
		}
		p.mu.Unlock()
	}
}
