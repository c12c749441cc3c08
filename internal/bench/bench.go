package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what to measure.
type Options struct {
	Dir    string   // required: logs and Redis's data; a short path
	Chatd  string   // required: the program
	Floor  []string // required: a command that calls Floor with the address that is added to it
	Peers  Peers
	Rounds int
	Sizes  Sizes
	Loads  []string // parts of the names of loads; none: all
	Report func(text string)

	// Profile is a folder for profiles of chatd's first instance under its loads, which
	// cost something themselves; "": none.
	Profile string
}

type bench struct {
	Options
	made   int // sets of rooms
	failed []string

	chatd, floor, centrifugo, socketIO *system // nil: left out
}

// Run measures. It takes some minutes for each round.
func Run(ctx context.Context, opts Options) (*Result, error) {
	b := &bench{Options: opts}
	files, err := raiseFiles()
	if err != nil {
		return nil, err
	}
	// Besides sockets there are listeners, logs, Redis.
	const others = 300
	b.Sizes.Most = min(b.Sizes.Most, (files-others)/roomSize*roomSize)
	if files < 2*b.Sizes.Idle {
		return nil, fmt.Errorf("only %d files may be open at once (ulimit -n)", files)
	}
	result := &Result{Sizes: b.Sizes, Began: time.Now(), Machine: aboutMachine()}
	if err := os.MkdirAll(filepath.Join(opts.Dir, "log"), 0o755); err != nil {
		return nil, err
	}
	systems, err := b.start(ctx)
	defer func() {
		for _, s := range systems {
			for _, p := range s.servers {
				p.Kill()
			}
			s.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	for _, s := range systems {
		result.Systems = append(result.Systems, s.name)
		result.Versions = append(result.Versions, s.name+" "+s.version)
	}
	for n := range opts.Rounds {
		r := round{}
		b.Report(fmt.Sprintf("round %d of %d", n+1, opts.Rounds))
		b.round(ctx, r, n == 0)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		result.rounds = append(result.rounds, r)
	}
	result.Ended, result.Failed = time.Now(), b.failed
	return result, nil
}

// start starts what Redis there is, and all people's logins; servers come with loads.
func (b *bench) start(ctx context.Context) ([]*system, error) {
	people := max(b.Sizes.Sockets+b.Sizes.Rooms, b.Sizes.Idle, b.Sizes.Herd+b.Sizes.Herd/roomSize, b.Sizes.Senders, b.Sizes.SendRooms, b.Sizes.Most/roomSize, 2)
	var systems []*system
	for _, s := range []struct {
		is    **system
		start func() (*system, error)
		out   bool
	}{
		{&b.chatd, func() (*system, error) { return startChatd(ctx, b.Dir, b.Chatd, people) }, false},
		{&b.floor, func() (*system, error) { return startFloor(ctx, b.Dir, b.Options.Floor, people) }, false},
		{&b.centrifugo, func() (*system, error) { return startCentrifugo(ctx, b.Dir, b.Peers.Centrifugo, people) }, b.Peers.Centrifugo == ""},
		{&b.socketIO, func() (*system, error) { return startSocketIO(ctx, b.Dir, b.Peers.SocketIO, people) }, b.Peers.SocketIO == ""},
	} {
		if s.out {
			continue
		}
		started, err := s.start()
		if err != nil {
			return systems, err
		}
		*s.is = started
		systems = append(systems, started)
	}
	return systems, nil
}

// round puts all loads on all systems. One system runs its servers at a time, but for
// idle ones. A load that fails has no figures, and the others go on.
func (b *bench) round(ctx context.Context, r round, first bool) {
	all := []*system{b.floor, b.chatd, b.centrifugo, b.socketIO}
	real := all[1:]
	keeping := []*system{b.chatd, b.centrifugo} // Socket.IO confirms nothing
	for _, l := range []struct {
		names   []string
		systems []*system
		put     func(s *system) error
	}{
		{[]string{fanOut, saturated}, all, func(s *system) error { return b.fanOut(ctx, r, s, fanOut, saturated, 1) }},
		{[]string{fanOutTwo}, real, func(s *system) error { return b.fanOut(ctx, r, s, fanOutTwo, "", maxServers) }},
		{[]string{sendsOne}, keeping, func(s *system) error { return b.sends(ctx, r, s, sendsOne, 1) }},
		{[]string{sendsMany}, keeping, func(s *system) error { return b.sends(ctx, r, s, sendsMany, b.Sizes.SendRooms) }},
		{[]string{quietSend}, keeping, func(s *system) error { return b.quiet(ctx, r, s) }},
		{[]string{resume}, []*system{b.chatd}, func(s *system) error { return b.resume(ctx, r, s) }},
		{[]string{unread}, keeping, func(s *system) error { return b.unread(ctx, r, s) }},
		{[]string{kill}, real, func(s *system) error {
			return b.kill(ctx, r, s, kill, b.Sizes.Sockets, b.Sizes.Rooms, b.Sizes.Sockets/2, b.Sizes.KillRate)
		}},
		{[]string{herd}, real, func(s *system) error {
			return b.kill(ctx, r, s, herd, b.Sizes.Herd, b.Sizes.Herd/roomSize, b.Sizes.Herd, b.Sizes.KillRate/2)
		}},
	} {
		for _, s := range l.systems {
			if s != nil && b.wanted(l.names...) {
				b.try(ctx, l.names[0], []*system{s}, func() error { return l.put(s) })
			}
		}
	}
	if b.wanted(opening, joiningOne, idle) {
		systems := slices.DeleteFunc(slices.Clone(real), func(s *system) bool { return s == nil })
		b.try(ctx, idle, systems, func() error { return b.sockets(ctx, r, systems) })
	}
	if first && b.Sizes.Most > 0 && b.wanted(idleMost) {
		b.try(ctx, idleMost, []*system{b.chatd}, func() error { return b.most(ctx, r, b.chatd) })
	}
}

// try puts a load on systems, notes if it fails, and stops the servers.
func (b *bench) try(ctx context.Context, load string, systems []*system, put func() error) {
	if ctx.Err() != nil {
		return
	}
	err := put()
	var names []string
	for _, s := range systems {
		names = append(names, s.name)
		err = errors.Join(err, s.fresh(ctx, 0))
	}
	if err != nil {
		text := fmt.Sprintf("%s, %s: %v", load, strings.Join(names, " and "), err)
		b.failed = append(b.failed, text)
		b.Report("failed: " + text)
	}
}

func (b *bench) wanted(names ...string) bool {
	return len(b.Loads) == 0 || slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(b.Loads, func(part string) bool { return strings.Contains(name, part) })
	})
}

// add notes figures, and says them.
func (b *bench) add(r round, load string, s *system, f Figures) {
	r.add(load, s.name, f)
	var said []string
	for _, m := range measures {
		if v, ok := f[m]; ok {
			said = append(said, fmt.Sprintf("%s %s", m, number(v)))
		}
	}
	b.Report(fmt.Sprintf("%s, %s: %s", load, s.name, strings.Join(said, ", ")))
}

// raiseFiles allows this process and those that it starts as many files as it may.
func raiseFiles() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return int(min(limit.Max, 1_000_000)), nil
}
