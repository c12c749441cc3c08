package web

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"chatd/internal/chat"
	"chatd/internal/session"
	"chatd/internal/throttle"
)

const (
	// atOnce is how many seconds' worth of requests may come at once: after a restart of
	// everything, an office does.
	atOnce = 10
	// pagesPerSecond bounds how many lists and pages of history one person reads by HTTP on
	// this instance; a page for which more than pageBytes are looked at counts for several.
	pagesPerSecond = 20
	pageBytes      = 256 << 10
	// historiesAtOnce is how many pages of history are answered by HTTP at one time: each
	// takes up to a megabyte until it is written.
	historiesAtOnce = 64
	// mostKept bounds the keys that are counted; more are strangers who change theirs.
	mostKept = 10_000
)

// limits count by key how fast requests come, on this instance.
type limits[K comparable] struct {
	perSecond int

	mu   sync.Mutex
	kept map[K]*rate.Limiter
}

func newLimits[K comparable](perSecond int) *limits[K] {
	return &limits[K]{perSecond: perSecond, kept: map[K]*rate.Limiter{}}
}

// allow reports whether one more may come.
func (l *limits[K]) allow(key K) bool { return l.of(key).Allow() }

// charge counts more than the one that was allowed.
func (l *limits[K]) charge(key K, more int) {
	limiter := l.of(key)
	limiter.ReserveN(time.Now(), min(more, limiter.Burst()))
}

func (l *limits[K]) of(key K) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.kept[key]
	if limiter == nil {
		burst := atOnce * l.perSecond
		if len(l.kept) >= mostKept {
			maps.DeleteFunc(l.kept, func(_ K, each *rate.Limiter) bool { return each.Tokens() >= float64(burst) })
		}
		if len(l.kept) >= mostKept {
			clear(l.kept)
		}
		limiter = rate.NewLimiter(rate.Limit(l.perSecond), burst)
		l.kept[key] = limiter
	}
	return limiter
}

var errTooFast = &chat.Error{Code: chat.CodeTooFast, Message: "Too many requests at once: slow down a little."}

// paced puts off requests of an address from which too many come. Proxies that are
// believed are not counted, nor is health.
func (s *Server) paced(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path := c.Request().URL.Path
		if path == "/livez" || path == "/readyz" {
			return next(c)
		}
		if from := s.counted(c); from.IsValid() && !s.addresses.allow(throttle.Neighbours(from)) {
			s.crowd(from)
			return errTooFast
		}
		return next(c)
	}
}

// crowd says, once a minute, that an address is over a limit: it may be a proxy that
// chatd has not been told of.
func (s *Server) crowd(from netip.Addr) {
	if minute := time.Now().Unix() / 60; s.crowded.Swap(minute) != minute {
		s.Log.Warn("too much comes from one address; if it is a proxy, CHATD_PROXIES must name it", "address", from.String())
	}
}

// reader returns who reads a list or history, or the error that is the answer.
func (s *Server) reader(c echo.Context) (session.Session, error) {
	ses, err := s.Sessions.Read(c.Request())
	if err == nil {
		err = s.admitted(c, ses)
	}
	if err == nil && !s.people.allow(ses.User) {
		err = errTooFast
	}
	return ses, err
}
