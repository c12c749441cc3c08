package drill

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

const (
	watchLimit = time.Minute // until everybody is caught up: what is done to the system is not ours
	watchLook  = time.Second
	tailBytes  = 500
)

// Watch puts people on the system at url, which is somebody's own, for so long, and
// makes no fault, but for command, which a shell runs once after a quarter of the
// time; "" for none. It counts like Run. Guests must be allowed to log in, or
// Logins given; Dir, Chatd, Faults and Random are not used.
func Watch(ctx context.Context, opts Options, url string, long time.Duration, command string) (*Result, error) {
	d := begin(opts)
	result := &Result{Seed: opts.Seed, Began: time.Now()}
	d.rec.series.begin = result.Began
	what := "people chat, and whatever happens to the system happens"
	if command != "" {
		what = "people chat, and " + command
	}
	row, err := d.act(ctx, url, Fault{Name: "watch", What: what, limit: watchLimit,
		make: func(ctx context.Context, a *act) error {
			quarter := long / 4
			if command == "" {
				return a.watch(ctx, long, long)
			}
			if err := a.watch(ctx, quarter, long); err != nil {
				return err
			}
			d.say("%s", command)
			done := make(chan error, 1)
			go func() {
				out, err := exec.CommandContext(ctx, "sh", "-c", command).CombinedOutput()
				if err != nil {
					err = fmt.Errorf("%s: %w: %s", command, err, out[max(0, len(out)-tailBytes):])
				}
				done <- err
			}()
			return errors.Join(a.watch(ctx, long-quarter, long), <-done)
		}, long: long})
	if err != nil {
		return nil, err
	}
	result.Rows = []Row{row}
	return result, d.end(result)
}

// watch lets time pass and says how it goes.
func (a *act) watch(ctx context.Context, d, of time.Duration) error {
	again := time.NewTicker(watchLook)
	defer again.Stop()
	for until := time.Now().Add(d); time.Now().Before(until); {
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c := a.crowd
		var open, waiting int
		var longest time.Duration
		a.rec.mu.Lock()
		for _, p := range c.people {
			if p.open > 0 {
				open++
			}
			longest = max(longest, p.longest)
			waiting += p.Queued()
		}
		confirmed := c.confirmed
		a.rec.mu.Unlock()
		a.say("%v of %v: %d of %d people connected, %d messages confirmed, %d wait, nobody without a socket for more than %s",
			time.Since(a.row.Made).Round(time.Second), of, open, len(c.people), confirmed, waiting, Short(longest))
	}
	return nil
}
