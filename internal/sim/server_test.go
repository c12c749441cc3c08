package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"chatd/internal/chat"
)

var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset")
)

// A server is one Redis process, restarts included.
type server struct {
	w       *world
	name    string
	up      bool
	boot    int
	data    *store
	scripts map[string]string
	subs    []*subscription
	past    *store // for a mistake: the data a moment ago
	full    bool   // XADD fails
}

func (w *world) newServer(name string, data *store) *server {
	return &server{w: w, name: name, up: true, data: data, scripts: map[string]string{}}
}

// stop ends the process: connections break, and what runs next knows no scripts.
func (s *server) stop() {
	s.up = false
	s.boot++
	s.scripts = map[string]string{}
	subs := s.subs
	s.subs = nil
	for _, sub := range subs {
		sub.cut()
	}
}

func (s *server) exec(args []string, data *store) (any, error) {
	// The append's nonce comes from the seed's own chance, so that a run can be had
	// again.
	const nonce = 8
	if len(args) > nonce {
		args[nonce] = fmt.Sprint(s.w.rng.Uint64() >> 1)
	}
	m := s.w.bench.machine
	m.rewrite = s.w.bug.script
	return m.serve(data, effects{epoch.Add(s.w.now), s.publish, s.full}, s.scripts, args)
}

func (s *server) publish(channel, payload string) {
	for _, sub := range s.subs {
		if sub.channels[channel] {
			sub.send(channel, payload)
		}
	}
}

// A subscription is one connection of an instance's relay.
type subscription struct {
	in       *instance
	srv      *server
	channels map[string]bool
	last     time.Duration // when what was sent last arrives
	deaf     bool          // nothing arrives any more, and nobody knows
	drop     int           // so many messages are lost
	broken   bool          // the server's end is gone
	gone     bool          // the instance knows
}

// send lets something arrive behind all that was sent before.
func (s *subscription) send(channel, payload string) {
	w := s.in.w
	switch {
	case s.broken:
		return
	case s.deaf:
		w.bite("unheard")
		return
	case s.drop > 0 && payload != "":
		s.drop--
		w.bite("dropped")
		if w.tells {
			w.say("relay of %s drops %s", s.in, firstLine(payload))
		}
		return
	}
	s.last = max(s.last, w.now+w.delay()+s.in.lag)
	w.after(s.last-w.now, func() {
		if s.gone {
			return
		}
		s.in.soon(func() {
			if s.gone {
				return
			}
			if payload == "" {
				s.in.subscribed(channel)
			} else {
				s.in.heard(channel, payload)
			}
		})
	})
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// cut ends the connection; the instance notices, at the latest by its probe.
func (s *subscription) cut() {
	if s.broken {
		return
	}
	s.broken = true
	if s.in.w.chance(0.5) {
		s.lost() // and with it what was on its way
		return
	}
	s.in.w.after(max(s.last-s.in.w.now, 0)+s.in.w.delay(), s.lost)
}

func (s *subscription) lost() {
	if s.gone {
		return
	}
	s.broken, s.gone = true, true
	for i, x := range s.srv.subs {
		if x == s {
			s.srv.subs = append(s.srv.subs[:i:i], s.srv.subs[i+1:]...)
			break
		}
	}
	s.in.w.bite("relay lost")
	s.in.w.after(redialWait, func() { s.in.soon(s.in.subscribeAll) })
}

const (
	redialWait = 250 * time.Millisecond
	deafAfter  = 3 * time.Second
)

// subscribeAll opens the relay's connection, as feed.Relay does.
func (in *instance) subscribeAll() {
	if !in.hears.up {
		in.w.after(redialWait, func() { in.soon(in.subscribeAll) })
		return
	}
	in.sub = &subscription{in: in, srv: in.hears, channels: map[string]bool{}}
	in.hears.subs = append(in.hears.subs, in.sub)
	in.dirty = nil
	for _, name := range in.w.plan.roomNames() {
		if in.wanted[name] {
			in.dirty = append(in.dirty, name)
		}
	}
	in.follow()
}

// want asks for a room's events, or for no more of them.
func (in *instance) want(name chat.Room, want bool) {
	in.wanted[name] = want
	in.dirty = append(in.dirty, name)
	in.follow()
}

// follow brings the subscriptions to what is wanted when the commands arrive.
func (in *instance) follow() {
	sub := in.sub
	if sub == nil || in.following {
		return // done when there is a connection
	}
	in.following = true
	in.w.after(in.w.delay(), func() {
		in.soon(func() {
			in.following = false
			if sub != in.sub || sub.gone {
				if in.sub != nil && in.sub != sub {
					in.follow()
				}
				return
			}
			dirty := in.dirty
			in.dirty = nil
			for _, name := range dirty {
				channel := "chatd:{" + string(name) + "}:live"
				sub.channels[channel] = in.wanted[name]
				if in.wanted[name] {
					sub.send(channel, "")
				}
			}
		})
	})
}

// redis carries out one command for a proc, with all that may happen on the way.
func (p *proc) redis(args []string) (reply any, err error) {
	if reply, err = p.attempt(args); err != nil && p.in.w.bug.retries {
		for range 3 {
			var answer redisError
			if err == nil || p.dead || errors.As(err, &answer) {
				break
			}
			p.deadline = p.in.w.now + requestTimeout
			p.in.w.bite("library repeats")
			reply, err = p.attempt(args)
		}
	}
	return reply, err
}

func (p *proc) attempt(args []string) (reply any, err error) {
	if !p.wait(func(wake func()) {
		p.in.command(args, p.behind, p.deadline, func(r any, e error) { reply, err = r, e; wake() })
	}) {
		return nil, errKilled
	}
	return reply, err
}

// command sends a command and tells its answer, or that none came in time.
func (in *instance) command(args []string, behind bool, deadline time.Duration, answer func(any, error)) {
	w, srv := in.w, in.server
	boot, write := srv.boot, strings.HasPrefix(strings.ToUpper(args[0]), "EVAL")
	timeout := max(deadline-w.now, 0)
	if write && in.silent > 0 || !srv.up && w.chance(0.3) {
		in.silent = max(in.silent-1, 0)
		w.bite("no answer")
		w.after(timeout, func() { answer(nil, context.DeadlineExceeded) })
		return
	}
	if !srv.up || write && in.refuse > 0 {
		in.refuse = max(in.refuse-1, 0)
		w.bite("refused")
		w.after(w.delay(), func() { answer(nil, errRefused) })
		return
	}
	late, cut := write && in.late > 0, write && in.cut > 0
	there := w.delay()
	if late {
		in.late--
		there = timeout + w.between(-time.Second, 3*time.Second)
		w.after(timeout, func() { answer(nil, context.DeadlineExceeded) })
		answer = func(any, error) {}
	} else if cut {
		in.cut--
	}
	w.after(max(there, 0), func() {
		if srv.boot != boot {
			answer(nil, errReset)
			return
		}
		data := srv.data
		if behind && srv.past != nil {
			data = srv.past
		}
		reply, err := srv.exec(args, data)
		if w.tells && write {
			w.say("%s carries out %s for %s: %v %v", srv.name, describe(args), in, reply, err)
		}
		if write && srv == w.old && err == nil {
			w.dataLost("the old master takes what nobody will have")
		}
		switch {
		case late:
			w.bite("carried out late")
		case cut:
			w.bite("answer cut")
			err = errReset
		}
		w.after(w.delay(), func() {
			if srv.boot != boot {
				err = errReset
			}
			answer(reply, err)
		})
	})
}

func describe(args []string) string {
	if len(args) < 14 {
		return args[0]
	}
	const key, kind, target = 4, 11, 12
	return strings.TrimSpace(fmt.Sprint(args[kind], " ", args[target], " as ", args[key]))
}
