// Package chattest helps the tests of the other packages: an embedded Redis, a
// real one where it is installed, waiting for what is to come, and a watch on the machine.
package chattest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Embedded starts an embedded Redis for the test, and a client that does not
// repeat commands.
func Embedded(t testing.TB) (*redis.Client, *miniredis.Miniredis) {
	t.Helper()
	m := miniredis.RunT(t)
	return client(t, &redis.Options{Addr: m.Addr()}), m
}

// EachRedis runs a test on the embedded Redis and, where redis-server is
// installed, on the real one: the embedded Redis is to be a Redis too.
func EachRedis(t *testing.T, test func(t *testing.T, rdb *redis.Client)) {
	t.Run("embedded", func(t *testing.T) {
		rdb, _ := Embedded(t)
		test(t, rdb)
	})
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Log("redis-server is not installed: its half is left to make test, which installs it")
		return
	}
	t.Run("redis-server", func(t *testing.T) { test(t, Real(t)) })
}

// Real starts a redis-server for the test, which forgets all, and a client that does
// not repeat commands.
func Real(t testing.TB) *redis.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); os.RemoveAll(dir) })
	rdb := client(t, &redis.Options{Network: "unix", Addr: socket})
	Eventually(t, "redis-server answers", func() bool { return rdb.Ping(t.Context()).Err() == nil })
	return rdb
}

func client(t testing.TB, opts *redis.Options) *redis.Client {
	opts.MaxRetries = -1
	opts.ReadTimeout = patience // the library's are 3 s, which a busy machine takes
	opts.DialTimeout = patience
	rdb := redis.NewClient(opts)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

const patience = 30 * time.Second

// Eventually fails the test unless ok becomes true within half a minute, which is more than a
// busy machine needs, and costs nothing where it does become true.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// Late watches how late this machine is from now on, and returns how to ask for it: by
// how much, all in all, somebody who waits was woken later than they should have been.
// What is promised by the clock is promised on a machine that is not late, where it is 0.
func Late(t testing.TB) func() time.Duration {
	const tick, usual = 5 * time.Millisecond, 5 * time.Millisecond
	var late atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			before := time.Now()
			select {
			case <-time.After(tick):
				late.Add(int64(max(0, time.Since(before)-tick-usual)))
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return func() time.Duration { return time.Duration(late.Load()) }
}
