package feed_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
	"chatd/internal/chattest"
	"chatd/internal/feed"
)

// A gate keeps single commands from Redis, and counts what passes it.
type gate struct {
	redis.Hook
	open  chan struct{}
	came  chan struct{} // a word for each command that is kept
	mu    sync.Mutex
	pipes []int // of how many calls each is
}

func (*gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		select {
		case g.came <- struct{}{}:
		default:
		}
		<-g.open
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "evalsha" { // and not what begins a connection
			g.mu.Lock()
			g.pipes = append(g.pipes, len(cmds))
			g.mu.Unlock()
		}
		return next(ctx, cmds)
	}
}

// Appends that come while others are under way go in one round trip, each with its own
// answer; also where Redis has forgotten the script. Who does not wait any more is not among
// them.
func TestAppendsGoTogether(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		for _, forgotten := range []bool{false, true} {
			name := chat.Room(fmt.Sprint("room-", forgotten))
			say := func(ctx context.Context, f *feed.Feed, key string) (feed.Receipt, error) {
				return f.Append(ctx, feed.Draft{Kind: chat.Message, Room: name, From: "alice", Key: key, Text: "text of " + key[:1]})
			}
			f := feed.New(rdb, 1000)
			first, err := say(t.Context(), f, "0")
			if err != nil {
				t.Fatal(err)
			}
			if forgotten {
				if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			gated := redis.NewClient(rdb.Options())
			t.Cleanup(func() { _ = gated.Close() })
			g := &gate{open: make(chan struct{}), came: make(chan struct{}, 100)}
			gated.AddHook(g)
			f = feed.New(gated, 1000)

			const ahead, behind = 3, 40
			var wg sync.WaitGroup
			receipts, errs := make([]feed.Receipt, ahead+behind), make([]error, ahead+behind)
			start := func(i int, key string) {
				wg.Go(func() { receipts[i], errs[i] = say(t.Context(), f, key) })
			}
			for i := range ahead {
				start(i, fmt.Sprint("a", i))
				<-g.came
			}
			start(ahead, "0") // a duplicate
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := say(ctx, f, "nobody waits"); !errors.Is(err, chat.ErrUnavailable) {
				t.Fatalf("who does not wait is told %v", err)
			}
			for i := ahead + 1; i < ahead+behind; i++ {
				start(i, fmt.Sprint("b", i))
			}
			chattest.Eventually(t, "all wait", func() bool { return feed.Waiting(f) == behind })
			close(g.open)
			wg.Wait()
			seen := map[chat.EventID]bool{}
			for i, r := range receipts {
				if errs[i] != nil {
					t.Fatalf("append %d: %v", i, errs[i])
				}
				if r.Duplicate != (i == ahead) || (i == ahead) != (r.Event == first.Event) || seen[r.Event] {
					t.Errorf("append %d became %+v", i, r)
				}
				seen[r.Event] = true
			}
			events, err := f.After(t.Context(), name, "", "", 1000)
			if err != nil || len(events) != len(seen) {
				t.Fatalf("%d events, %v", len(events), err)
			}
			g.mu.Lock()
			if len(g.pipes) != 1 || g.pipes[0] != behind {
				t.Errorf("round trips of %v appends", g.pipes)
			}
			g.mu.Unlock()
		}
	})
}
