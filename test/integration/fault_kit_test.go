//go:build integration

package integration_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/internal/client"
)

// A follower is a chatter of whom the times are of interest too.
type follower struct {
	*chatter
	*times

	speakers []func() // each ends one
}

// times is what a stopwatch beside a client shows.
type times struct {
	mu     sync.Mutex
	open   int           // sockets that are open now
	since  time.Time     // without an open socket since then, where there is none
	away   time.Duration // the longest time without an open socket
	opens  []time.Time   // when a socket was welcomed
	lives  []time.Time   // when a socket became the one that is used
	codes  map[int]int   // of closes that the client did not make
	failed []client.Failed
	delays []delay
}

// A delay is how long a message took from the feed to somebody's view.
type delay struct {
	at   time.Time // when it was shown
	long time.Duration
}

// Observe implements client.Observer.
func (w *times) Observe(f client.Fact) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f := f.(type) {
	case client.Opened:
		w.opens = append(w.opens, now)
		if w.open++; w.open == 1 && !w.since.IsZero() {
			w.away = max(w.away, now.Sub(w.since))
		}
	case client.Live:
		w.lives = append(w.lives, now)
	case client.Closed:
		if f.Instance == "" { // it was not welcomed yet
			return
		}
		if w.open--; w.open == 0 {
			w.since = now
		}
		if !strings.Contains(f.Err.Error(), "moved") {
			w.codes[f.Code]++
		}
	case client.Failed:
		w.failed = append(w.failed, f)
	case client.Shown:
		if !f.Event.At.IsZero() {
			w.delays = append(w.delays, delay{now, now.Sub(f.Event.At)})
		}
	}
}

// startCrowd lets n people enter, several at a time. who says who the nth is, where
// they connect and what they join.
func startCrowd(t *testing.T, n int, opt client.Options, who func(n int) (name, base string, rooms []string)) []*follower {
	t.Helper()
	const atOnce = 16
	transport := &http.Transport{MaxIdleConnsPerHost: atOnce}
	t.Cleanup(transport.CloseIdleConnections)
	crowd := make([]*follower, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for n := range next {
				f := &follower{times: &times{codes: map[int]int{}}}
				own := opt
				own.Observer, own.Transport = f.times, transport
				name, base, rooms := who(n)
				f.chatter = enter(t, base, name, own, rooms...)
				crowd[n] = f
			}
		})
	}
	for n := range crowd {
		next <- n
	}
	close(next)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { // all at once, before each is waited for
		for _, f := range crowd {
			f.stop()
		}
	})
	return crowd
}

func chatters(crowd []*follower) (people []*chatter) {
	for _, f := range crowd {
		people = append(people, f.chatter)
	}
	return people
}

// delaysOf is what took how long in these people's views between from and to.
func delaysOf(crowd []*follower, from, to time.Time) (all []time.Duration) {
	for _, f := range crowd {
		f.times.mu.Lock()
		for _, d := range f.delays {
			if d.at.After(from) && !d.at.After(to) {
				all = append(all, d.long)
			}
		}
		f.times.mu.Unlock()
	}
	return all
}

// quantile is the value that a share q of all does not exceed.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, int(q*float64(len(all))))].Round(time.Millisecond)
}

// speak lets f say text(0), text(1), … in room at this pace until [hush]. They pause
// while much is not confirmed, as people do who see that nothing goes out.
func (f *follower) speak(room string, pace time.Duration, text func(n int) string) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for n := 0; ; n++ {
			if f.Queued() < 20 {
				f.say(room, text(n))
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	})
	end := sync.OnceFunc(func() { close(quit); wg.Wait() })
	f.speakers = append(f.speakers, end)
	f.t.Cleanup(end)
}

// hush ends all that these people say.
func hush(crowd []*follower) {
	for _, f := range crowd {
		for _, end := range f.speakers {
			end()
		}
	}
}

// total sums up a number of each.
func total(crowd []*follower, of func(*follower) int) (n int) {
	for _, f := range crowd {
		f.chatter.mu.Lock()
		f.times.mu.Lock()
		n += of(f)
		f.times.mu.Unlock()
		f.chatter.mu.Unlock()
	}
	return n
}

// wantNotNoticed checks that these people noticed nothing: they lost no socket, and
// their views went on.
func wantNotNoticed(t *testing.T, crowd []*follower) {
	t.Helper()
	for what, of := range map[string]func(*follower) int{
		"sockets lost":   func(f *follower) int { return f.closed },
		"views replaced": func(f *follower) int { return f.jumps },
		"gaps shown":     func(f *follower) int { return f.gaps },
	} {
		if n := total(crowd, of); n > 0 {
			t.Errorf("%d %s: what people should not notice reached them", n, what)
		}
	}
}

// lasts lets a fault last: nothing is waited for.
func lasts(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.FailNow()
	}
}

// rss is the memory that a process occupies, in bytes.
func rss(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// A redisLine is the network between an instance and Redis. It can go silent, for
// all connections or some, as a network does that loses packets: nothing is closed,
// and what was sent meanwhile arrives when it is healed.
type redisLine struct {
	to string
	ln net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]bool
	silent bool          // connections made from now on are silent
	healed chan struct{} // closed when silence ends
	closed bool
}

type link struct {
	client, server *net.TCPConn
	sub            bool // it subscribes; guarded by redisLine.mu
	silent         bool // guarded by redisLine.mu
}

func newRedisLine(t *testing.T, to string) *redisLine {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &redisLine{to: to, ln: ln, links: map[*link]bool{}, healed: make(chan struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *redisLine) addr() string { return p.ln.Addr().String() }

func (p *redisLine) close() {
	p.ln.Close()
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.client.Close()
		l.server.Close()
	}
	p.mu.Unlock()
	p.heal()
	p.wg.Wait()
}

func (p *redisLine) accept() {
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			conn.Close()
			continue
		}
		l := &link{client: conn.(*net.TCPConn), server: server.(*net.TCPConn)}
		p.mu.Lock()
		l.silent = p.silent
		p.links[l] = true
		closed := p.closed
		p.mu.Unlock()
		if closed {
			l.client.Close()
			l.server.Close()
			return
		}
		p.wg.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { p.carry(l, l.client, l.server) })
			both.Go(func() { p.carry(l, l.server, l.client) })
			both.Wait()
			l.client.Close()
			l.server.Close()
			p.mu.Lock()
			delete(p.links, l)
			p.mu.Unlock()
		})
	}
}

// carry brings bytes, and in the end the end, from one side to the other.
func (p *redisLine) carry(l *link, from, to *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if from == l.client && bytes.Contains(bytes.ToLower(buf[:n]), []byte("subscribe")) {
			p.mu.Lock()
			l.sub = true
			p.mu.Unlock()
		}
		p.pass(l)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
				return
			}
		}
		if err != nil {
			_ = to.CloseWrite() // it may be closed already
			return
		}
	}
}

// pass waits while the link is silent.
func (p *redisLine) pass(l *link) {
	for {
		p.mu.Lock()
		silent, healed := l.silent && !p.closed, p.healed
		p.mu.Unlock()
		if !silent {
			return
		}
		<-healed
	}
}

// silence makes connections go silent: the subscription's only, or all, those that
// are made from now on too. It returns how many did.
func (p *redisLine) silence(all bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = all
	for l := range p.links {
		if (all || l.sub) && !l.silent {
			l.silent = true
			n++
		}
	}
	return n
}

func (p *redisLine) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = false
	for l := range p.links {
		l.silent = false
	}
	close(p.healed)
	p.healed = make(chan struct{})
}
