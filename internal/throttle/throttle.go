// Package throttle counts in Redis, for all instances, how often somebody does a
// thing: so many times at once, and then once in a while.
package throttle

import (
	"context"
	_ "embed"
	"net/netip"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

// A Bucket holds so many goes, and one comes back each time.
type Bucket struct {
	Key   string // in Redis
	Holds int
	Each  time.Duration
}

//go:embed take.lua
var takeSource string

var takeScript = redis.NewScript(takeSource)

// Take takes a go from each bucket if all have one; wait is 0 then, and otherwise how
// long the last of them takes to have one. The keys of several are in one slot. It
// waits for Redis until ctx ends and fails with chat.ErrUnavailable.
func Take(ctx context.Context, rdb redis.UniversalClient, buckets ...Bucket) (wait time.Duration, err error) {
	return run(ctx, rdb, "take", buckets)
}

// GiveBack undoes a Take, as for what does not count in the end.
func GiveBack(ctx context.Context, rdb redis.UniversalClient, buckets ...Bucket) error {
	_, err := run(ctx, rdb, "back", buckets)
	return err
}

func run(ctx context.Context, rdb redis.UniversalClient, what string, buckets []Bucket) (time.Duration, error) {
	if len(buckets) == 0 {
		return 0, nil
	}
	keys, args := make([]string, len(buckets)), []any{what}
	for i, b := range buckets {
		keys[i] = b.Key
		args = append(args, b.Each.Milliseconds(), b.Holds)
	}
	ms, err := takeScript.Run(ctx, rdb, keys, args...).Int64()
	if err != nil {
		return 0, chat.Unavailable("count", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// Neighbours is as much of an address as one household or host has, and so may change
// at will; nothing for the zero address.
func Neighbours(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Unmap().WithZone("").Prefix(min(bits, addr.Unmap().BitLen()))
	return prefix
}
