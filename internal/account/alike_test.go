package account

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chattest"
)

// Nobody makes an account, or is a guest, under a name that people take for somebody's.
func TestNamesThatLookLikeSomebodysAreRefused(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
		owner, err := a.Register(ctx, From{}, "modern0", phrase)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"rnodern0", "moderno", "modem0", "modernо"} {
			wantCode(t, a.CheckAlike(ctx, name), CodeAlike)
			_, err := a.Register(ctx, From{}, name, phrase)
			wantCode(t, err, CodeAlike)
			_, err = a.Adopt(ctx, From{}, name, Identity{"https://login.example", name})
			wantCode(t, err, CodeAlike)
		}
		for _, name := range []string{"modern0", "modern", "modern1"} {
			if err := a.CheckAlike(ctx, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := a.Delete(ctx, From{}, owner); err != nil {
			t.Fatal(err)
		}
		wantCode(t, a.CheckAlike(ctx, "moderno"), CodeAlike) // what was said stays, and was theirs

		if ttl := rdb.TTL(ctx, alikeKey("modern0")).Val(); ttl != -1 {
			t.Errorf("the name is held for %v only", ttl)
		}
		// A claim of which nothing came is over soon, and what was not held is at a login.
		if err := a.claim(ctx, "he11o"); err != nil {
			t.Fatal(err)
		}
		if ttl := rdb.TTL(ctx, alikeKey("hello")).Val(); ttl <= 0 || ttl > claimFor {
			t.Errorf("a claim is held for %v", ttl)
		}
		if _, err := a.Register(ctx, From{}, "bob", phrase); err != nil {
			t.Fatal(err)
		}
		rdb.Del(ctx, alikeKey("bob"), alikeKey("hello"))
		if _, err := a.Check(ctx, From{}, "bob", phrase); err != nil {
			t.Fatal(err)
		}
		wantCode(t, a.CheckAlike(ctx, "b0b"), CodeAlike)

		var made atomic.Int32
		var wg sync.WaitGroup
		for _, name := range []string{"hello", "hell0", "he1lo", "hel10"} {
			wg.Go(func() {
				if _, err := a.Register(ctx, From{}, name, phrase); err == nil {
					made.Add(1)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("of four that look alike %d were made", made.Load())
		}
	})
}
