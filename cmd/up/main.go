// Command up runs a whole chatd on this machine, as `make up` does: Redis with its
// append-only file, N instances and HAProxy, on loopback, until Ctrl-C. What ends
// unasked is started again, as a service manager would.
//
// Where everything is, stands in up.json in its folder while it runs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"chatd/internal/cluster"
)

func main() {
	if err := run(os.Args[1:], os.Environ(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

const (
	startWithin = time.Minute      // for all together; Redis may have a long file to read
	firstRetry  = time.Second      // until a process that ended is started again; doubled while it ends soon after
	lastRetry   = 15 * time.Second // the longest such pause, and what is not soon
	stopWithin  = time.Minute      // for the drains; then what is left is killed
)

func run(args, environ []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	n := flags.Int("n", 3, fmt.Sprintf("`number` of instances, 1 to %d", cluster.Slots))
	addr := flags.String("addr", "127.0.0.1:8000", "`host:port` of HAProxy, where people connect; port 0 takes a free one")
	dir := flags.String("dir", "run", "`folder` for logs and Redis's data, which are kept, and up.json")
	chatd := flags.String("chatd", "", "run this chatd `program`; empty: build it")
	noRestart := flags.Bool("no-restart", false, "leave what ended as it is")
	untilEOF := flags.Bool("until-eof", false, "stop also when standard input ends, that is, with the program that started this one")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	stop := stopSignals(*untilEOF, stdin)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stopped := make(chan struct{}) // closed at the first signal
	go func() {
		<-stop
		close(stopped)
		cancel(errors.New("interrupted"))
	}()

	u := &up{out: stdout, file: filepath.Join(*dir, "up.json"), restart: !*noRestart, died: make(chan death, 4*cluster.Slots)}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	if *chatd == "" {
		*chatd = filepath.Join(*dir, "chatd")
		u.say("building chatd")
		if err := cluster.Build(ctx, *chatd); err != nil {
			return err
		}
	}
	u.say("starting Redis, %d instances and HAProxy", *n)
	starting, done := context.WithTimeout(ctx, startWithin)
	c, err := cluster.Start(starting, cluster.Options{
		Dir: *dir, Chatd: *chatd, Instances: *n, Addr: *addr, Env: chatdEnv(environ),
		Died: func(p *cluster.Process, how error) { u.died <- death{p, how} },
	})
	done()
	if errors.Is(err, cluster.ErrTaken) {
		return fmt.Errorf("%s is in use: end what runs there, or choose another (make up ADDR=127.0.0.1:8001)", *addr)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	u.cluster = c
	if err := u.writeState(); err != nil {
		return err
	}
	defer os.Remove(u.file)
	u.announce()

	u.watch(ctx)

	<-stopped
	u.say("stopping; once more, and it stops at once")
	ending, now := context.WithTimeout(context.Background(), stopWithin)
	defer now()
	go func() {
		select {
		case <-stop:
			now()
		case <-ending.Done():
		}
	}()
	if err := c.Shutdown(ending); err != nil && !errors.Is(ending.Err(), context.Canceled) {
		return err
	}
	u.say("stopped")
	return nil
}

// stopSignals tells of each wish to stop.
func stopSignals(untilEOF bool, stdin io.Reader) <-chan struct{} {
	stop := make(chan struct{}, 2)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the program
		for range signals {
			stop <- struct{}{}
		}
	}()
	if untilEOF {
		go func() { // ends with its input
			_, _ = io.Copy(io.Discard, stdin) // an error is an end too
			stop <- struct{}{}
		}()
	}
	return stop
}

// chatdEnv is what the person set for chatd: CHATD_DRAIN=5s make up.
func chatdEnv(environ []string) []string {
	var env []string
	for _, v := range environ {
		if strings.HasPrefix(v, "CHATD_") {
			env = append(env, v)
		}
	}
	return env
}

type up struct {
	out     io.Writer
	file    string
	restart bool
	died    chan death
	cluster *cluster.Cluster

	mu sync.Mutex // one line, one up.json at a time
}

type death struct {
	process *cluster.Process
	how     error
}

func (u *up) say(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fmt.Fprintf(u.out, format+"\n", args...)
}

// watch starts again what ends, until ctx does.
func (u *up) watch(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	pause, last := make(map[string]time.Duration), make(map[string]time.Time)
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-u.died:
			name := d.process.Name
			if !u.restart {
				u.say("%s %v", name, d.how)
				u.stateOrSay()
				continue
			}
			if pause[name] *= 2; pause[name] == 0 || time.Since(last[name]) > lastRetry {
				pause[name] = firstRetry
			}
			pause[name] = min(pause[name], lastRetry)
			last[name] = time.Now().Add(pause[name])
			u.say("%s %v; it starts again in %s", name, d.how, pause[name])
			wg.Go(func() { u.startAgain(ctx, d.process, pause[name]) })
		}
	}
}

func (u *up) startAgain(ctx context.Context, p *cluster.Process, pause time.Duration) {
	u.stateOrSay()
	select {
	case <-ctx.Done():
		return
	case <-time.After(pause):
	}
	starting, done := context.WithTimeout(ctx, startWithin)
	defer done()
	if err := p.Start(starting); err != nil {
		if ctx.Err() == nil {
			u.died <- death{p, err} // once more, after a longer pause
		}
		return
	}
	u.stateOrSay()
	u.say("%s is back, pid %d", p.Name, p.PID())
}

func (u *up) announce() {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.cluster
	fmt.Fprintf(u.out, "\nchatd is up: %s\n\n", c.URL())
	table := tabwriter.NewWriter(u.out, 0, 8, 2, ' ', 0)
	for _, i := range c.Instances() {
		fmt.Fprintf(table, "  %s\t%s\tpid %d\tadmin %s\t%s\n", i.Name, i.Addr, i.PID(), i.Admin, relative(i.Log))
	}
	fmt.Fprintf(table, "  redis\t%s\tpid %d\t\t%s\n", c.Redis.Addr, c.Redis.PID(), relative(c.Redis.Log))
	fmt.Fprintf(table, "  haproxy\t%s\tpid %d\t\t%s\n", c.HAProxy.Addr, c.HAProxy.PID(), relative(c.HAProxy.Log))
	_ = table.Flush() // a closed standard output is nobody's loss
	fmt.Fprintf(u.out, "\nAll of this stands in %s, kept true while it runs. Ctrl-C stops everything; messages and logins are kept.\n", u.file)
}

func relative(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

// state is up.json. A pid is 0 while that process does not run.
type state struct {
	URL       string          `json:"url"`
	PID       int             `json:"pid"` // of this program: SIGTERM stops everything
	Instances []instanceState `json:"instances"`
	Redis     redisState      `json:"redis"`
	HAProxy   haproxyState    `json:"haproxy"`
}

type processState struct {
	Name string `json:"name"`
	Addr string `json:"addr"`
	PID  int    `json:"pid"`
	Log  string `json:"log"`
}

type instanceState struct {
	processState
	Admin string `json:"admin"`
}

type redisState struct {
	processState
	URL string `json:"url"`
}

type haproxyState struct {
	processState
	Runtime string `json:"runtime"` // its runtime socket
}

func (u *up) stateOrSay() {
	if err := u.writeState(); err != nil {
		u.say("%v", err)
	}
}

// writeState replaces up.json as a whole: whoever reads it sees the old or the new.
func (u *up) writeState() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.cluster
	of := func(p *cluster.Process) processState { return processState{p.Name, p.Addr, p.PID(), p.Log} }
	s := state{
		URL: c.URL(), PID: os.Getpid(),
		Redis:   redisState{of(c.Redis), c.RedisURL()},
		HAProxy: haproxyState{of(c.HAProxy), c.RuntimeSocket()},
	}
	for _, i := range c.Instances() {
		s.Instances = append(s.Instances, instanceState{of(i.Process), i.Admin})
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(u.file+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(u.file+".new", u.file)
}
