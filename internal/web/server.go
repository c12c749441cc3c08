// Package web is chatd over HTTP: pages, login and logout, the refresh, the way
// to a handshake, the little JSON API, health, and the one error handler. It is
// the only home of Echo.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/gate"
	"chatd/internal/session"
	"chatd/internal/socket"
)

const (
	// requestTimeout bounds how long a request waits for Redis.
	requestTimeout = 4 * time.Second
	// deafTooLong is when an instance that does not hear Redis leaves to others,
	// who may hear it, what they can do as well.
	deafTooLong  = 5 * time.Second
	maxBodyBytes = 16 << 10
	// minGzipBytes is below what net/http sends in one write, headers included: an
	// answer of two writes can be cut between them by a kill, and a balancer cannot
	// repeat a request whose answer has begun.
	minGzipBytes = 1 << 10
)

// The parts that a Server works with; the packages of these names say what their
// methods promise.
type (
	Sessions interface {
		Begin(w http.ResponseWriter, r *http.Request, who session.Who) (ses session.Session, former string, err error)
		List(ctx context.Context, user string) ([]session.Login, error)
		EndOf(ctx context.Context, user string, logins ...string) error
		Read(r *http.Request) (session.Session, error)
		Refresh(w http.ResponseWriter, r *http.Request) (session.Session, error)
		End(w http.ResponseWriter, r *http.Request) (login string, err error)
	}
	Sockets interface {
		Admit(ctx context.Context, from netip.Addr) error
		Reserve(user string, from netip.Addr) (release func(), err error)
		Actor(ses session.Session, address string) chat.Actor
		Serve(w http.ResponseWriter, r *http.Request, ses session.Session, address string, from netip.Addr, release func())
		LoginEnded(ctx context.Context, login string)
		History(ctx context.Context, who chat.Actor, room chat.Room, before string, limit int) (page []json.RawMessage, looked int, err error)
	}
	Audit interface {
		Write(ctx context.Context, e audit.Entry) error
		Read(ctx context.Context, before string, limit int) ([]audit.Line, error)
	}
	Directory interface {
		List(ctx context.Context, who chat.Actor) ([]chat.RoomInfo, error)
	}
	// Gate says whom administrators keep out.
	Gate interface {
		KeepsOut(ctx context.Context, from netip.Addr, guest bool) (bool, error)
		List(ctx context.Context) ([]gate.Bar, error)
		Bar(ctx context.Context, address string, b gate.Bar, long time.Duration) error
		Lift(ctx context.Context, address string, b gate.Bar) error
	}
	// Redis says how long this instance has not heard itself through Redis, and
	// whether it ever did.
	Redis interface {
		Deaf() (silence time.Duration, ever bool)
	}
)

// Options are what an operator decides, and the parts.
type Options struct {
	Instance     string
	Guests       bool           // people may log in by name alone
	Registers    bool           // people may make accounts
	Admins       []string       // canonical names, which nobody gets who has not got them
	PasswordMin  int            // the least length of a password, as the pages say it
	Hosts        []string       // by which people reach chatd; none: any
	Contact      string         // of security.txt; "": there is none
	Requests     int            // per second of one address
	PublicURL    string         // an origin; "" where there is no provider
	Provider     Provider       // of logins; nil: there is none
	ProviderName string         // for people
	Origins      []string       // allowed beyond the request's own
	Proxies      []netip.Prefix // whose X-Forwarded-* headers are believed
	Files        fs.FS          // static and templates
	Dev          bool           // read Files anew for each request
	Sessions     Sessions
	Accounts     Accounts
	Audit        Audit
	Sockets      Sockets
	Directory    Directory
	Gate         Gate
	Redis        Redis
	Log          *slog.Logger
}

// A Server answers HTTP requests. It is the handler that main serves.
type Server struct {
	Options
	echo     *echo.Echo
	pages    *pages
	leaving  atomic.Bool  // readyz says so
	draining atomic.Bool  // and so does all that others can do
	reported atomic.Int64 // the second of the last report that was logged
	crowded  atomic.Int64 // the minute in which an address was last said to be over a limit

	files     chan struct{} // of people's data that are being made
	addresses *limits[netip.Prefix]
	people    *limits[string]
	histories chan struct{} // held by who reads a page of history
}

// New returns a server, or an error if the pages do not parse.
func New(opts Options) (*Server, error) {
	p, err := newPages(opts.Files, opts.Dev)
	if err != nil {
		return nil, err
	}
	s := &Server{Options: opts, echo: echo.New(), pages: p, files: make(chan struct{}, dataAtOnce), addresses: newLimits[netip.Prefix](opts.Requests), people: newLimits[string](pagesPerSecond), histories: make(chan struct{}, historiesAtOnce)}
	e := s.echo
	e.HTTPErrorHandler = s.fail
	e.IPExtractor = s.realIP()
	e.Use(s.recover, s.securityHeaders, s.paced, s.knownHost, s.sameOrigin, plainBody, readOut, middleware.BodyLimit(strconv.Itoa(maxBodyBytes)), middleware.GzipWithConfig(middleware.GzipConfig{
		// The 101 of a handshake would wait in the compressor for ever.
		Skipper:   func(c echo.Context) bool { return c.Path() == "/ws" },
		MinLength: minGzipBytes,
	}))

	e.GET("/livez", func(c echo.Context) error { return c.String(http.StatusOK, "alive\n") })
	e.GET("/readyz", s.readyz)
	e.GET("/static/:hash/*", p.static)
	e.GET("/favicon.ico", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })

	e.GET("/.well-known/security.txt", s.securityText)
	e.POST("/report", s.report)

	people := e.Group("", s.turnAway, timeout, s.gated)
	people.GET("/", s.chatPage)
	people.HEAD("/", s.chatPage)
	people.GET("/login", s.loginPage)
	people.HEAD("/login", s.loginPage)
	people.POST("/login", s.login)
	people.POST("/logout", s.logout)
	people.GET("/register", s.registerPage)
	people.HEAD("/register", s.registerPage)
	people.POST("/register", s.register)
	people.GET("/account", s.accountPage)
	people.HEAD("/account", s.accountPage)
	people.POST("/account/end", s.endLogin)
	people.POST("/account/password", s.changePassword)
	people.POST("/account/delete", s.deleteAccount)
	e.POST("/account/data", s.takeData, s.turnAway, s.gated) // which takes its time
	people.GET("/login/oidc/name", s.namePage, s.provided)
	people.HEAD("/login/oidc/name", s.namePage, s.provided)
	people.POST("/login/oidc/name", s.chooseName, s.provided)
	people.GET("/admin", s.adminPage)
	people.POST("/admin/end", s.deedTo("end", s.endPerson))
	people.POST("/admin/lock", s.deedTo("lock", s.lockPerson))
	people.POST("/admin/unlock", s.deedTo("unlock", s.unlockPerson))
	people.POST("/admin/bar", s.bar)
	people.POST("/admin/lift", s.lift)
	people.GET("/admin/audit", s.auditLog)
	people.GET("/admin/audit.csv", s.auditTable)
	people.POST("/session/refresh", s.refresh)
	people.GET("/api/rooms", s.rooms)
	people.GET("/api/rooms/:room/events", s.events)
	e.GET("/login/oidc", s.goToProvider, s.turnAway, patient, s.gated, s.provided)
	e.GET(ReturnPath, s.comeBack, s.turnAway, patient, s.gated, s.provided)
	e.GET("/ws", s.handshake, s.turnAway, s.gated) // no deadline: it lasts
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Leave makes readyz answer 503. A balancer that looks there then prefers other
// instances, and does not repeat here what another one that leaves has turned away.
func (s *Server) Leave() { s.leaving.Store(true) }

// TurnAway makes the server answer with 503 whatever another instance can do as
// well: pages, refreshes and handshakes, all safe to repeat, so that a balancer
// repeats them there. What changes something is still done here. A server that
// does not hear Redis does the same; where none does, the last 503 is a page that
// explains.
func (s *Server) TurnAway() { s.draining.Store(true) }

func (s *Server) turnAway(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		safe := c.Request().Method == http.MethodGet || c.Request().Method == http.MethodHead || c.Path() == "/session/refresh"
		if s.draining.Load() && safe {
			return errDraining
		}
		if deaf, _ := s.Redis.Deaf(); safe && deaf > deafTooLong { // nothing can be read here, and waiting for it helps nobody
			return fmt.Errorf("redis was not heard for %v: %w", deaf.Round(time.Second), chat.ErrUnavailable)
		}
		return next(c)
	}
}

var errDraining = &statusError{http.StatusServiceUnavailable, "draining", "This instance restarts. Trying another one."}

func (s *Server) readyz(c echo.Context) error {
	deaf, ever := s.Redis.Deaf()
	switch {
	case s.leaving.Load(), s.draining.Load():
		return c.String(http.StatusServiceUnavailable, "draining\n")
	case !ever:
		return c.String(http.StatusServiceUnavailable, "starting: waiting for Redis\n")
	case deaf > deafTooLong:
		return c.String(http.StatusOK, fmt.Sprintf("ready, but Redis has not been heard for %d s\n", int(deaf.Seconds())))
	}
	return c.String(http.StatusOK, "ready\n")
}

func (s *Server) chatPage(c echo.Context) error {
	ses, err := s.Sessions.Read(c.Request())
	if errors.Is(err, session.ErrNone) {
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	if err == nil {
		err = s.admitted(c, ses)
	}
	if errors.Is(err, errNoGuestsHere) {
		return c.Redirect(http.StatusSeeOther, "/login") // which says so, and lets those in who have an account
	}
	if err != nil {
		return err
	}
	return s.pages.render(c, http.StatusOK, "chat.html", map[string]any{"User": ses.User, "Instance": s.Instance})
}

func (s *Server) refresh(c echo.Context) error {
	ses, err := s.Sessions.Refresh(c.Response(), c.Request())
	if err == nil {
		err = s.admitted(c, ses)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{
		"user": ses.User, "instance": s.Instance, "expires_at": ses.Expires.UTC().Format(time.RFC3339),
	})
}

func (s *Server) handshake(c echo.Context) error {
	err := s.shakeHands(c)
	if err != nil {
		handshakes.WithLabelValues(strconv.Itoa(statusOf(err).status)).Inc()
	}
	return err
}

func (s *Server) shakeHands(c echo.Context) error {
	r := c.Request()
	if !s.originAllowed(r) {
		return &statusError{http.StatusForbidden, "foreign_origin", "This page may not talk to this server."}
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	from := s.counted(c)
	if err := s.Sockets.Admit(ctx, from); err != nil {
		if errors.Is(err, socket.ErrTooMany) {
			s.crowd(from)
		}
		return err
	}
	ses, err := s.Sessions.Read(r.WithContext(ctx))
	if err == nil {
		err = s.admitted(c, ses)
	}
	if err != nil {
		return err
	}
	release, err := s.Sockets.Reserve(ses.User, from)
	if err != nil {
		return err
	}
	handshakes.WithLabelValues("ok").Inc() // now, not when the socket ends
	s.Sockets.Serve(c.Response(), r, ses, c.RealIP(), from, release)
	return nil
}

func (s *Server) rooms(c echo.Context) error {
	ses, err := s.reader(c)
	if err != nil {
		return err
	}
	rooms, err := s.Directory.List(c.Request().Context(), s.Sockets.Actor(ses, c.RealIP()))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"rooms": rooms})
}

func (s *Server) events(c echo.Context) error {
	ses, err := s.reader(c)
	if err != nil {
		return err
	}
	room, err := chat.ParseRoom(ses.User, c.Param("room"))
	if err != nil {
		return err
	}
	limit := 0
	if l := c.QueryParam("limit"); l != "" {
		if limit, err = strconv.Atoi(l); err != nil || limit == 0 {
			return chat.BadRequest("limit must be 1 to %d", chat.MaxHistory)
		}
	}
	select {
	case s.histories <- struct{}{}:
		defer func() { <-s.histories }()
	case <-c.Request().Context().Done():
		return errTooFast
	}
	events, looked, err := s.Sockets.History(c.Request().Context(), s.Sockets.Actor(ses, c.RealIP()), room, c.QueryParam("before"), limit)
	if err != nil {
		return err
	}
	s.people.charge(ses.User, looked/pageBytes)
	return c.JSON(http.StatusOK, map[string]any{"room": room, "events": events})
}

// retryAfter spreads those who come back, in whole seconds.
func retryAfter() string { return strconv.Itoa(1 + rand.N(5)) } // #nosec G404 -- a delay, no secret
