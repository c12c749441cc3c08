package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"chatd/internal/cluster"
	"chatd/internal/judge"
)

const (
	awayFor   = 3 * time.Second // a Redis that is there and takes no writes
	tornBytes = 32 << 10        // of the end of Redis's file: some messages
	roomBytes = 8 << 10         // what a disk has left: some more
)

func (a *act) redisSays(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		if _, err := a.cluster.RedisSay(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// kept says in the history that all that is confirmed so far outlives the loss of
// data that comes.
func (a *act) kept() { a.rec.add(judge.Entry{Kind: judge.Kept}) }

// mayLose says that Redis has lost, or may be about to lose, what was sent so far.
func (a *act) mayLose() { a.rec.add(judge.Entry{Kind: judge.DataLost}) }

// stall makes Redis refuse writes for a while.
func stall(refuse ...string) func(context.Context, *act) error {
	return func(ctx context.Context, a *act) error {
		if err := a.crowd.burst(ctx); err != nil {
			return err
		}
		if err := a.redisSays(ctx, refuse...); err != nil {
			return err
		}
		return a.pass(ctx, awayFor)
	}
}

func saying(commands ...string) func(context.Context, *act) error {
	return func(ctx context.Context, a *act) error { return a.redisSays(ctx, commands...) }
}

func freezeRedis(ctx context.Context, a *act) error {
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	a.cluster.Redis.Pause()
	return a.pass(ctx, 5*time.Second) // longer than an instance waits for an answer
}

func thawRedis(_ context.Context, a *act) error {
	a.cluster.Redis.Resume()
	return nil
}

// killCommands closes the connections that commands go through, answers on their way
// included.
func killCommands(ctx context.Context, a *act) error {
	for range 10 {
		if err := a.crowd.burst(ctx); err != nil {
			return err
		}
		if err := a.redisSays(ctx, "CLIENT KILL TYPE normal"); err != nil {
			return err
		}
		if err := a.pass(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func flushScripts(ctx context.Context, a *act) error {
	for range 10 {
		if err := a.redisSays(ctx, "SCRIPT FLUSH"); err != nil {
			return err
		}
		if err := a.pass(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// fillDisk leaves Redis room for a few messages more. One that may not confirm what is
// not on the disk then ends by itself.
func fillDisk(ctx context.Context, a *act) error {
	redis := a.cluster.Redis
	file, size, err := tail(a.cluster.RedisDir())
	if err != nil {
		return err
	}
	if err := redis.LimitFiles(size + roomBytes); err != nil {
		return err
	}
	writing, enough := context.WithCancel(ctx)
	defer enough()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for a.crowd.burst(writing) == nil { // until nothing is confirmed any more
		}
	})
	if err := redis.Wait(ctx); err != nil {
		return fmt.Errorf("the disk of %s is full, and Redis goes on: %w", file, err)
	}
	enough()
	return a.pass(ctx, 2*time.Second)
}

// tail is the file that Redis appends to, and its size.
func tail(dir string) (file string, size int64, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		return "", 0, errors.Join(fmt.Errorf("%d append-only files in %s, want one", len(files), dir), err)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return "", 0, err
	}
	return files[0], info.Size(), nil
}

// lose kills Redis in a burst, changes what it had on the disk, and starts it again.
func lose(ctx context.Context, a *act, change func(dir string) error) error {
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	a.mayLose()
	a.cluster.Redis.Kill()
	if err := change(a.cluster.RedisDir()); err != nil {
		return err
	}
	if err := a.cluster.Redis.Start(ctx); err != nil {
		return err
	}
	a.mayLose()
	return nil
}

func emptyRedis(ctx context.Context, a *act) error {
	return lose(ctx, a, func(dir string) error { return os.RemoveAll(filepath.Join(dir, "appendonlydir")) })
}

func tearFile(ctx context.Context, a *act) error {
	a.kept()
	_, before, err := tail(a.cluster.RedisDir())
	if err != nil {
		return err
	}
	if err := a.pass(ctx, time.Second); err != nil { // in which enough is said to tear off
		return err
	}
	return lose(ctx, a, func(dir string) error {
		file, size, err := tail(dir)
		if err != nil {
			return err
		}
		return os.Truncate(file, max(before, size-tornBytes))
	})
}

func olderRedis(ctx context.Context, a *act) error {
	a.kept()
	copied, err := os.MkdirTemp(a.Dir, "copy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	if err := os.CopyFS(copied, os.DirFS(a.cluster.RedisDir())); err != nil {
		return err
	}
	if err := a.pass(ctx, 2*time.Second); err != nil { // what is said now will be missing
		return err
	}
	return lose(ctx, a, func(dir string) error {
		return errors.Join(os.RemoveAll(filepath.Join(dir, "appendonlydir")), os.CopyFS(dir, os.DirFS(copied)))
	})
}

// replicated waits until the replicas have all that was confirmed so far, and returns
// the master.
func (a *act) replicated(ctx context.Context) (*cluster.Process, error) {
	a.kept()
	if err := a.cluster.AwaitReplicas(ctx); err != nil {
		return nil, err
	}
	return a.cluster.Master(ctx)
}

// handOver ends the master as its supervisor would: it waits for its replicas.
func handOver(ctx context.Context, a *act) error {
	was, err := a.cluster.Master(ctx)
	if err != nil {
		return err
	}
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	was.Term()
	return a.cluster.AwaitFailover(ctx, was)
}

func killMaster(ctx context.Context, a *act) error {
	was, err := a.replicated(ctx)
	if err != nil {
		return err
	}
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	was.Kill()
	a.mayLose()
	return a.cluster.AwaitFailover(ctx, was)
}

// startRedises starts those that do not run, as replicas of the master of now.
func startRedises(ctx context.Context, a *act) error {
	for _, p := range a.cluster.Redises {
		if p.PID() == 0 {
			if err := p.Start(ctx); err != nil {
				return err
			}
		}
	}
	return a.cluster.AwaitReplicas(ctx)
}

// failOver makes sentinels change the master while it lives and is written to.
func failOver(ctx context.Context, a *act) error {
	was, err := a.replicated(ctx)
	if err != nil {
		return err
	}
	a.mayLose()
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	if err := a.cluster.Failover(ctx); err != nil {
		return err
	}
	if err := a.cluster.AwaitFailover(ctx, was); err != nil {
		return err
	}
	// Until the former master follows, somebody may still be confirmed by it.
	err = a.cluster.AwaitReplicas(ctx)
	a.mayLose()
	return err
}

func freezeMaster(ctx context.Context, a *act) error {
	was, err := a.replicated(ctx)
	if err != nil {
		return err
	}
	if err := a.crowd.burst(ctx); err != nil {
		return err
	}
	was.Pause()
	a.mayLose()
	err = a.cluster.AwaitFailover(ctx, was)
	return errors.Join(err, a.pass(ctx, time.Second))
}

// thawMaster lets a master go on that is one no more, and does not know it.
func thawMaster(ctx context.Context, a *act) error {
	for _, p := range a.cluster.Redises {
		p.Resume()
	}
	err := a.cluster.AwaitReplicas(ctx)
	a.mayLose()
	return err
}
