package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one program that the cluster looks after: an instance, Redis or
// HAProxy. Its methods may be called from any goroutine.
type Process struct {
	Name string // chatd-1, redis, haproxy
	Addr string // host:port where it serves
	Log  string // the file with its output, of all its runs

	command func() *exec.Cmd            // what a start runs
	ready   func(context.Context) error // one look: nil once it serves
	died    func(*Process, error)       // it ended and nobody had asked for it

	mu     sync.Mutex
	run    *run // the last one; nil before the first
	closed bool // no further run
}

// run is one life of a process.
type run struct {
	pid   int
	ended chan struct{} // closed once it is gone
	err   error         // how it ended; read it after ended

	watched bool // its end is reported; guarded by Process.mu
}

// NewProcess returns a process beside a cluster, which nobody else looks after: what
// runs it, each time, and what finds out whether it serves, nil once it does. Its
// output goes to the file log. It is killed with this program at the latest.
func NewProcess(name, log string, command func() *exec.Cmd, ready func(context.Context) error) *Process {
	return &Process{Name: name, Log: log, command: command, ready: ready}
}

// Start runs the program, and waits until it serves or ctx ends. A program that
// ends before, or is not ready in time, is an error with the tail of its log, and
// nothing of it is left running.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	switch {
	case p.closed:
		p.mu.Unlock()
		return fmt.Errorf("%s: the cluster is closed", p.Name)
	case p.run != nil && p.run.alive():
		p.mu.Unlock()
		return fmt.Errorf("%s: already running", p.Name)
	}
	logged, err := size(p.Log)
	if err != nil {
		p.mu.Unlock()
		return err
	}
	r, err := p.launch()
	if err != nil {
		p.mu.Unlock()
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.run = r
	p.mu.Unlock()

	if err := p.awaitReady(ctx, r); err != nil {
		p.signalGroup(r, syscall.SIGKILL)
		<-r.ended
		return fmt.Errorf("%s: %w%s", p.Name, err, tail(p.Log, logged))
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if !r.alive() {
		return fmt.Errorf("%s: ended just after it was ready%s", p.Name, tail(p.Log, logged))
	}
	r.watched = true
	return nil
}

// launch starts the program, and the goroutine that stays with it until its end.
func (p *Process) launch() (*run, error) {
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,            // a Ctrl-C at the terminal is for us, not for them
		Pdeathsig: syscall.SIGKILL, // nothing survives us, however we end
	}

	r := &run{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux sends Pdeathsig when the thread that started the child ends, and Go ends
		// idle threads as it likes: this goroutine keeps its thread as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			r.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		r.err = cmd.Wait()
		p.signalGroup(r, syscall.SIGKILL) // what it has left behind, such as HAProxy's workers

		p.mu.Lock()
		watched := r.watched
		close(r.ended)
		p.mu.Unlock()
		if watched && p.died != nil {
			p.died(p, how(r.err))
		}
	}()
	return r, <-started
}

func (p *Process) awaitReady(ctx context.Context, r *run) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-r.ended:
			return how(r.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w (%w)", err, context.Cause(ctx))
		}
	}
}

// PID is the process's id, 0 while it does not run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || !p.run.alive() {
		return 0
	}
	return p.run.pid
}

// Kill ends the process without a word (SIGKILL) and waits until it is gone. One
// that does not run is left alone.
func (p *Process) Kill() {
	if r := p.expectEnd(); r != nil {
		p.signalGroup(r, syscall.SIGKILL)
		<-r.ended
	}
}

// Term asks the process to end (SIGTERM) and does not wait: see [Process.Wait].
func (p *Process) Term() {
	if r := p.expectEnd(); r != nil {
		// Not the group: HAProxy's master tells its workers itself.
		_ = syscall.Kill(r.pid, syscall.SIGTERM) // it may have ended by itself
	}
}

// Pause stops the process in its tracks (SIGSTOP): its connections stay open, and
// nobody answers. Resume lets it go on.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on (SIGCONT).
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// LimitFiles makes each write of the process fail that would make a file longer than
// so many bytes, as on a disk that is full; where the program can not do without, it
// ends, which is no news. The limit ends with the run. One that does not run is left
// alone.
func (p *Process) LimitFiles(bytes int64) error {
	r := p.expectEnd()
	if r == nil {
		return nil
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(r.pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	limit.Cur = uint64(bytes)
	if err := unix.Prlimit(r.pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// Wait waits until the process does not run, or ctx ends.
func (p *Process) Wait(ctx context.Context) error {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: still running: %w", p.Name, context.Cause(ctx))
	}
}

// ExitCode is the status that the last run ended with: -1 while it runs, before the
// first, and where a signal ended it.
func (p *Process) ExitCode() int {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	if r == nil || r.alive() {
		return -1
	}
	var failed *exec.ExitError
	switch {
	case r.err == nil:
		return 0
	case errors.As(r.err, &failed):
		return failed.ExitCode()
	}
	return -1
}

// Restart is a planned restart: Term, Wait, Start.
func (p *Process) Restart(ctx context.Context) error {
	p.Term()
	if err := p.Wait(ctx); err != nil {
		return err
	}
	return p.Start(ctx)
}

// close kills what runs and lets nothing run again.
func (p *Process) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Kill()
}

// expectEnd is the living run, whose end is no news from now on; nil if there is none.
func (p *Process) expectEnd() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || !p.run.alive() {
		return nil
	}
	p.run.watched = false
	return p.run
}

func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	r := p.run
	p.mu.Unlock()
	if r != nil && r.alive() {
		p.signalGroup(r, sig)
	}
}

// signalGroup reaches HAProxy's workers too. The group may be gone already: that
// is what the caller wants, or will see.
func (p *Process) signalGroup(r *run, sig syscall.Signal) {
	_ = syscall.Kill(-r.pid, sig)
}

func (r *run) alive() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

func how(err error) error {
	if err == nil {
		return errors.New("ended with status 0")
	}
	return fmt.Errorf("ended: %w", err)
}

func size(file string) (int64, error) {
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

const tailBytes = 2000

// tail is the end of a log as part of an error's text, of what was written behind
// offset.
func tail(file string, offset int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, offset, 1<<30))
	if text = bytes.TrimSpace(text); err != nil || len(text) == 0 {
		return " (its log is empty: " + file + ")"
	}
	if len(text) > tailBytes {
		text = text[len(text)-tailBytes:]
	}
	return "; its log ends:\n  " + string(bytes.ReplaceAll(text, []byte("\n"), []byte("\n  ")))
}
