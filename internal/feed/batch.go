package feed

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// callsAtOnce bounds a batch, so that others' commands find their turn at Redis in
	// between.
	callsAtOnce = 128
	// batchesAtOnce are under way at most, so that one whose connection is dead does not
	// hold up all.
	batchesAtOnce = 3
	// batchTimeout bounds how long a batch waits for Redis.
	batchTimeout = 5 * time.Second
)

// A batcher calls a script for many. A few calls go by themselves; who comes while these
// are under way goes with all others who do, in one round trip.
type batcher struct {
	rdb    redis.UniversalClient
	script *redis.Script
	atOnce int // batches

	mu      sync.Mutex
	busy    int     // batches, those of one call included
	waiting []*call // only while busy is atOnce
}

type call struct {
	keys []string
	args []any
	cmd  *redis.Cmd
	done chan struct{}
}

// call returns what the script answers, and waits for it until ctx ends: then the call may
// be carried out all the same.
func (b *batcher) call(ctx context.Context, keys []string, args ...any) *redis.Cmd {
	b.mu.Lock()
	if b.busy < b.atOnce {
		b.busy++
		b.mu.Unlock()
		defer b.next()
		return b.script.Run(ctx, b.rdb, keys, args...)
	}
	c := &call{keys: keys, args: args, done: make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	select {
	case <-c.done:
		return c.cmd
	case <-ctx.Done():
		b.forget(c)
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(context.Cause(ctx))
		return cmd
	}
}

// forget takes c off those who wait, if it is still there: of a Redis that hangs for
// minutes there would be one for each repetition of each message.
func (b *batcher) forget(c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
}

// next has a batch follow the one that has ended, if anybody waits.
func (b *batcher) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), callsAtOnce)
	if n == 0 {
		b.busy--
		return
	}
	calls := slices.Clone(b.waiting[:n])
	b.waiting = slices.Delete(b.waiting, 0, n)
	go func() {
		defer b.next()
		b.run(calls)
	}()
}

func (b *batcher) run(calls []*call) {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	pipe := b.rdb.Pipeline()
	for _, c := range calls {
		c.cmd = b.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	for _, c := range calls {
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") { // it was not run
			c.cmd = b.script.Eval(ctx, b.rdb, c.keys, c.args...)
		}
		close(c.done)
	}
}
