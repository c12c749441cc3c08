package drill

import (
	"context"
	"fmt"
	"strings"
	"sync"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// links are ways between the parts of a system that can be made bad: one from each
// instance to Redis, one from HAProxy to each instance, and one that some people
// take to HAProxy.
type links struct {
	server *toxiproxy.ApiServer // never listens; the library wants one

	mu  sync.Mutex
	all map[string]*toxiproxy.Proxy
	err error // the first that kept a link from being made
}

func newLinks() *links {
	zerolog.SetGlobalLevel(zerolog.Disabled) // one toxic logs beside the logger that it is given
	return &links{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), all: map[string]*toxiproxy.Proxy{}}
}

// way returns where the link of this name begins, which ends at the address real.
func (l *links) way(name, real string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.all[name]; p != nil {
		if p.Upstream == real {
			return p.Listen
		}
		p.Stop()
	}
	p := toxiproxy.NewProxy(l.server, name, "127.0.0.1:0", real)
	if err := p.Start(); err != nil {
		l.err = fmt.Errorf("link %s: %w", name, err)
		return real
	}
	l.all[name] = p
	return p.Listen
}

func (l *links) redis(instance, real string) string { return l.way("redis of "+instance, real) }
func (l *links) front(instance, real string) string { return l.way("front of "+instance, real) }
func (l *links) people(real string) string          { return l.way("people", real) }

// silence lets nothing more through, in both directions: connections stay open, and
// nobody is told.
func (l *links) silence(name string) error {
	return l.make(name, `"type":"timeout","attributes":{"timeout":0}`)
}

// slow lets everything come later by ms milliseconds, and up to jitter more or less.
func (l *links) slow(name string, ms, jitter int) error {
	return l.make(name, fmt.Sprintf(`"type":"latency","attributes":{"latency":%d,"jitter":%d}`, ms, jitter))
}

// narrow lets no more than so many KB through in a second, on each connection.
func (l *links) narrow(name string, kbps int) error {
	return l.make(name, fmt.Sprintf(`"type":"bandwidth","attributes":{"rate":%d}`, kbps))
}

var directions = []string{"upstream", "downstream"}

func (l *links) make(name, toxic string) error {
	l.mu.Lock()
	p := l.all[name]
	l.mu.Unlock()
	if p == nil {
		return fmt.Errorf("no link %q", name)
	}
	for _, d := range directions {
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":%q,"stream":%q,%s}`, d, d, toxic))); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

// heal makes all links good again. Connections that were silenced are closed.
func (l *links) heal(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.all {
		p.Toxics.ResetToxics(ctx)
	}
}

func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.all {
		p.Stop()
	}
}
