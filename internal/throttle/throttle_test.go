package throttle_test

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/chattest"
	"chatd/internal/throttle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGoesComeBack(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	now := time.Now()
	bucket := throttle.Bucket{Key: "x", Holds: 3, Each: 10 * time.Second}
	var waits []time.Duration
	take := func(at time.Duration) {
		m.SetTime(now.Add(at))
		wait, err := throttle.Take(t.Context(), rdb, bucket)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, wait)
	}
	for range 4 {
		take(0)
	}
	take(4 * time.Second)
	take(11 * time.Second)
	take(11 * time.Second)
	if err := throttle.GiveBack(t.Context(), rdb, bucket); err != nil {
		t.Fatal(err)
	}
	take(11 * time.Second)
	want := []time.Duration{0, 0, 0, 10 * time.Second, 6 * time.Second, 0, 9 * time.Second, 0}
	if !slices.Equal(waits, want) {
		t.Fatalf("waits %v, want %v", waits, want)
	}
}

func TestAllBucketsOrNone(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		wide, narrow := throttle.Bucket{Key: "{b}:wide", Holds: 3, Each: time.Hour}, throttle.Bucket{Key: "{b}:narrow", Holds: 2, Each: time.Minute}
		var took atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if wait, err := throttle.Take(t.Context(), rdb, wide, narrow); err != nil {
					t.Error(err)
				} else if wait == 0 {
					took.Add(1)
				} else if wait > time.Minute {
					t.Errorf("wait %v", wait)
				}
			})
		}
		wg.Wait()
		if took.Load() != 2 {
			t.Errorf("%d took both", took.Load())
		}
		// Who was refused took nothing.
		for i, want := range []bool{true, false} {
			if wait, err := throttle.Take(t.Context(), rdb, wide); err != nil || (wait == 0) != want {
				t.Errorf("take %d waits %v, %v", i, wait, err)
			}
		}
	})
}

func TestNeighbours(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.1": "203.0.113.1/32", "::ffff:203.0.113.1": "203.0.113.1/32",
		"2001:db8:0:7::1": "2001:db8:0:7::/64", "2001:db8:0:7:ffff::2": "2001:db8:0:7::/64", "2001:db8:0:8::1": "2001:db8:0:8::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := throttle.Neighbours(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s is among %s, want %s", address, got, want)
		}
	}
}
