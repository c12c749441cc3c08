// Package socket speaks the wire contract (docs/protocol.md) over WebSockets: a loop per
// connection that reads, a few for all that write, pings, the close handshake, and the
// drain of all of them. It is the only home of coder/websocket on the server.
//
// What a request means is decided in requests.go, by the rooms, the feed, the
// directory and presence. Who asks is known from the session, and from nothing else.
package socket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/directory"
	"chatd/internal/feed"
	"chatd/internal/room"
	"chatd/internal/session"
	"chatd/internal/throttle"
)

const (
	// keepInterval is how often the logins of open sockets are kept alive and
	// looked at, should the word that one has ended be lost.
	keepInterval = 20 * time.Second
	// forgetInterval is how often those are forgotten who are gone and might be as fast as
	// anybody new.
	forgetInterval = 10 * time.Second
	// beatInterval is how often the clock is looked at for all sockets.
	beatInterval = time.Second
	// requestTimeout bounds how long a request waits for Redis.
	requestTimeout = 5 * time.Second
	// deafTooLong is when the people of an instance that does not hear Redis are
	// asked to move, in case that others do; moveWithin is how fast, and
	// moveAgain when those who found no better place are asked again.
	deafTooLong = 6 * time.Second
	moveWithin  = 4 * time.Second
	moveAgain   = 20 * time.Second
	// regainAgain is how long to wait before who may hear what is looked up again.
	regainAgain = 250 * time.Millisecond
	// admitWithin is how long a handshake waits for its turn before it is put off.
	admitWithin = 300 * time.Millisecond
	// closeTimeout bounds a close handshake with a peer that does not answer: a
	// login that ended has no socket a second later.
	closeTimeout = 800 * time.Millisecond
	// endedFor is how long the end of a login is remembered for handshakes that
	// read it as good just before.
	endedFor = 4 * requestTimeout
)

// The parts that a Server works with; the packages of these names say what their
// methods promise.
type (
	Feed interface {
		Append(ctx context.Context, d feed.Draft) (feed.Receipt, error)
		Before(ctx context.Context, room chat.Room, before chat.EventID, n int) ([]chat.Event, error)
		Newest(ctx context.Context, room chat.Room, to chat.EventID, n int) ([]chat.Event, error)
		LastEdits(ctx context.Context, room chat.Room, messages []chat.EventID) (map[chat.EventID]chat.EventID, error)
	}
	Relay interface {
		Publish(ctx context.Context, room chat.Room, data []byte) error
		Notify(ctx context.Context, data []byte) error
		Deaf() (silence time.Duration, ever bool)
	}
	Directory interface {
		Join(ctx context.Context, who chat.Actor, room chat.Room) (directory.Joined, error)
		Begin(ctx context.Context, user string) error
		Takes(ctx context.Context, user string) error
		Leave(ctx context.Context, user string, room chat.Room) error
		Without(ctx context.Context, room chat.Room, users ...string) ([]string, error)
		Public(ctx context.Context) ([]chat.Room, error)
		Open(ctx context.Context, who chat.Actor) ([]chat.Room, error)
		List(ctx context.Context, who chat.Actor) ([]chat.RoomInfo, error)
		Check(ctx context.Context, who chat.Actor, room chat.Room) (role string, err error)
		Outsiders(ctx context.Context, room chat.Room, people []chat.Actor) ([]chat.Actor, error)
		Invite(ctx context.Context, who chat.Actor, room chat.Room, user string) error
		Expel(ctx context.Context, who chat.Actor, room chat.Room, user string) error
		SetRole(ctx context.Context, who chat.Actor, room chat.Room, user, role string) ([]directory.Change, error)
		Remove(ctx context.Context, who chat.Actor, room chat.Room) error
		Members(ctx context.Context, who chat.Actor, room chat.Room) ([]chat.Member, error)
		Mute(ctx context.Context, user string, room chat.Room, mute bool) error
		SetTopic(ctx context.Context, who chat.Actor, room chat.Room, topic string) error
		Find(ctx context.Context, who chat.Actor, query string) (found []chat.FoundRoom, more bool, err error)
		MarkRead(ctx context.Context, user string, room chat.Room, mark chat.Mark) (chat.Mark, error)
	}
	Presence interface {
		Enter(ctx context.Context, room chat.Room, user string, away bool) (chat.Roster, error)
		Extend(ctx context.Context, room chat.Room, user string) (chat.Roster, error)
		Away(ctx context.Context, room chat.Room, user string, away bool) error
		Leave(ctx context.Context, room chat.Room, user string, away, forGood bool)
	}
	// Audit is the audit log.
	Audit interface {
		Write(ctx context.Context, e audit.Entry) error
	}
	Sessions interface {
		Keep(ctx context.Context, logins []string) (ended []string, err error)
	}
)

// Options are what an operator decides, and the parts.
type Options struct {
	Instance  string
	TextMax   int // code points
	Max       int // sockets at once
	PerUser   int // of one person
	PerAddr   int // of one address
	Admit     int // handshakes per second
	SendRate  int // messages per second of one person
	Hub       *room.Hub
	Feed      Feed
	Relay     Relay
	Directory Directory
	Presence  Presence
	Sessions  Sessions
	Audit     Audit
	Barred    func(address string, guest bool) bool // whom administrators keep out; nil: nobody
	Admins    []string                              // canonical names
	Log       *slog.Logger
}

// A Server holds this instance's sockets. It is the relay's listener.
type Server struct {
	Options

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	wg      sync.WaitGroup
	admit   *rate.Limiter
	looks   chan struct{} // held by who looks through much
	writers writers

	regained atomic.Int64 // how often the relay was

	mu       sync.Mutex
	conns    map[*conn]bool
	pace     map[string]*pace // of the people who are here, and of those who left a moment ago
	near     map[netip.Prefix]*nearby
	users    map[string]int // sockets of a person, those included that just shake hands
	addrs    map[netip.Prefix]int
	ended    map[string]time.Time
	drained  chan struct{} // closed when draining and no socket is left
	draining time.Time     // when the sockets have to be gone; zero: not draining
}

// NewServer returns a server without sockets.
func NewServer(opts Options) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		Options: opts, ctx: ctx, stop: stop, admit: rate.NewLimiter(rate.Limit(opts.Admit), opts.Admit), looks: make(chan struct{}, looksAtOnce),
		conns: map[*conn]bool{}, pace: map[string]*pace{}, near: map[netip.Prefix]*nearby{}, users: map[string]int{}, addrs: map[netip.Prefix]int{}, ended: map[string]time.Time{}, drained: make(chan struct{}),
	}
	s.writers.start(runtime.GOMAXPROCS(0))
	return s
}

// ErrFull says that the instance takes no more sockets, for now.
var ErrFull = errors.New("no more sockets here")

// ErrPutOff says that too many want a socket at once: try again a little later.
var ErrPutOff = errors.New("too many handshakes at once")

// ErrTooMany says that the person, or the address, has as many sockets here as one may.
var ErrTooMany = errors.New("too many sockets of one person or address")

// Admit waits for the turn of a handshake from this address; the zero address is not
// counted. It returns ErrPutOff if the turn is too far away, ErrFull if no more sockets
// are to be had, and ErrTooMany. It comes before anything that costs: after a crash
// everybody comes at once.
func (s *Server) Admit(ctx context.Context, from netip.Addr) error {
	if s.Count() >= s.Max {
		return ErrFull
	}
	if s.crowded(from) {
		return ErrTooMany
	}
	ctx, cancel := context.WithTimeout(ctx, admitWithin)
	defer cancel()
	if s.admit.Wait(ctx) != nil {
		return ErrPutOff
	}
	return nil
}

func (s *Server) crowded(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return from.IsValid() && s.addrs[throttle.Neighbours(from)] >= s.PerAddr
}

// Reserve counts one more socket for the person and the address, until release is
// called, or returns ErrTooMany. It comes before Serve.
func (s *Server) Reserve(user string, from netip.Addr) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	near := throttle.Neighbours(from)
	if s.users[user] >= s.PerUser || from.IsValid() && s.addrs[near] >= s.PerAddr {
		return nil, ErrTooMany
	}
	s.users[user]++
	s.addrs[near]++
	return func() { s.release(user, near) }, nil
}

func (s *Server) release(user string, near netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[user]--; s.users[user] == 0 {
		delete(s.users, user)
	}
	if s.addrs[near]--; s.addrs[near] == 0 {
		delete(s.addrs, near)
	}
}

// Actor returns who asks for something by the login ses from this address.
func (s *Server) Actor(ses session.Session, address string) chat.Actor {
	return chat.Actor{Name: ses.User, Admin: !ses.Guest && slices.Contains(s.Admins, ses.User), Address: address}
}

// Serve shakes hands for the login ses from this address, as it is shown, and as it counts,
// the zero Addr where it does not; its Origin has been checked,
// and leaves the socket to goroutines of its own: the request's, with all that net/http
// keeps for it, ends. It has answered the request in any case, and calls release, which
// Reserve gave, when the socket is no more.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, ses session.Session, address string, from netip.Addr, release func()) {
	h := &hijacker{ResponseWriter: w}
	var c *conn
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols:       []string{chat.Subprotocol},
		InsecureSkipVerify: true, // package web compares scheme and port too, and wants an Origin
		CompressionMode:    websocket.CompressionDisabled,
		OnPongReceived: func(context.Context, []byte) {
			c.silent.Store(false)
			c.controlled()
		},
		OnPingReceived: func(_ context.Context, payload []byte) (pong bool) {
			if c.controlled() {
				c.out.Offer(pongFrame(payload))
			}
			return false
		},
	})
	if err != nil {
		release()
		return // answered, and the stranger's fault
	}
	ws.SetReadLimit(chat.MaxFrameBytes)
	who := s.Actor(ses, address)
	if from.IsValid() {
		who.Near = throttle.Neighbours(from).String()
	}
	c = newConn(s, ws, h.conn, ses, who)
	if !s.add(c, from) {
		release()
		c.cancel()
		_ = ws.Close(websocket.StatusCode(chat.CloseRestart), "restart")
		return
	}
	go func() {
		defer release()
		defer s.remove(c)
		c.serve()
	}()
}

// What a connection keeps: enough to read most messages in one go, and for the library to
// write a control frame.
const (
	readBytes  = 512
	writeBytes = 128
)

// A hijacker keeps hold of the network connection, because only closing that ends a close
// handshake whose peer does not answer, and gives it small buffers.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = conn
	// What the peer sent right behind its request must be in the new buffer too: that is
	// where websocket.Accept looks for it.
	early := make([]byte, rw.Reader.Buffered())
	if _, err := io.ReadFull(rw.Reader, early); err != nil {
		return nil, nil, err
	}
	reader := bufio.NewReaderSize(conn, readBytes)
	if len(early) > 0 {
		reader = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), conn), max(readBytes, len(early)))
		if _, err := reader.Peek(len(early)); err != nil {
			return nil, nil, err
		}
	}
	return conn, bufio.NewReadWriter(reader, bufio.NewWriterSize(conn, writeBytes)), nil
}

func (s *Server) add(c *conn, from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.conns[c] = true
	if s.pace[c.ses.User] == nil {
		s.pace[c.ses.User] = newPace(s.SendRate)
	}
	c.pace = s.pace[c.ses.User]
	c.pace.conns[c] = true
	if near := throttle.Neighbours(from); from.IsValid() {
		if s.near[near] == nil {
			s.near[near] = newNearby()
		}
		c.near = s.near[near]
		c.near.conns++
	}
	s.wg.Add(1)
	open.Inc()
	s.Hub.Add(c.out)
	c.out.Push(chat.Encode(chat.Welcome{
		Type: "welcome", User: c.ses.User, Instance: s.Instance, SessionExpiresAt: c.ses.Expires.UTC(),
		PingMillis: chat.PingInterval.Milliseconds(), Limits: chat.Limits{Text: s.TextMax},
	}))
	if _, ended := s.ended[c.ses.Login]; ended { // between the look at the session and here
		c.logOut()
	}
	if s.isBarred(c) { // since its handshake was let through
		c.end(errBarred)
	}
	if left := time.Until(s.draining); !s.draining.IsZero() {
		c.out.Push(drainNotice(left / 2))
	}
	return true
}

func (s *Server) isBarred(c *conn) bool {
	return s.Barred != nil && s.Barred(c.who.Address, c.ses.Guest)
}

// PutOutBarred closes the sockets of those who are not let in any more.
func (s *Server) PutOutBarred() {
	for _, c := range s.all() {
		if s.isBarred(c) {
			c.end(errBarred)
		}
	}
}

func (s *Server) remove(c *conn) {
	s.Hub.Remove(c.out)
	s.mu.Lock()
	delete(s.conns, c)
	delete(c.pace.conns, c)
	if c.near != nil {
		c.near.conns--
	}
	last := len(s.conns) == 0 && !s.draining.IsZero()
	s.mu.Unlock()
	open.Dec()
	if last {
		s.finish()
	}
	s.wg.Done()
}

func (s *Server) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// Count returns how many sockets are open.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Run looks after the open sockets until ctx ends: keeps their logins, finds out whether
// their peers live, and asks people to move while this instance does not hear Redis.
func (s *Server) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	// By themselves, because they wait for Redis.
	wg.Go(func() { every(ctx, keepInterval, func(time.Time) { _ = s.keep(ctx) }) })
	wg.Go(func() { every(ctx, beatInterval, func(now time.Time) { s.lookAtEnded(ctx, now) }) })
	wg.Go(func() { every(ctx, forgetInterval, func(time.Time) { s.forgetRested() }) })
	var asked time.Time
	every(ctx, beatInterval, func(now time.Time) {
		s.beat(now)
		if deaf, _ := s.Relay.Deaf(); deaf > deafTooLong && time.Since(asked) > moveAgain && s.Count() > 0 {
			asked = time.Now()
			s.Log.Warn("redis is not heard, people are asked to move", "deaf", deaf.Round(time.Second).String(), "sockets", s.Count())
			s.tell(drainNotice(moveWithin), "")
		}
	})
}

// every does something each so often until ctx ends.
func every(ctx context.Context, interval time.Duration, do func(now time.Time)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			do(now)
		case <-ctx.Done():
			return
		}
	}
}

// beat looks at the clock for all sockets, so that none needs a timer of its own.
func (s *Server) beat(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.beat(now)
	}
}

// lookAtEnded looks whether the logins are over whose time is. Redis' clock decides; a
// look in vain is repeated.
func (s *Server) lookAtEnded(ctx context.Context, now time.Time) {
	var ended []string
	s.mu.Lock()
	for c := range s.conns {
		if now.After(c.ses.Ends) {
			ended = append(ended, c.ses.Login)
		}
	}
	s.mu.Unlock()
	if len(ended) > 0 {
		_ = s.keepLogins(ctx, ended...)
	}
}

// keep keeps the logins of all sockets.
func (s *Server) keep(ctx context.Context) error {
	logins := map[string]bool{}
	for _, c := range s.all() {
		logins[c.ses.Login] = true
	}
	for some := range slices.Chunk(slices.Collect(maps.Keys(logins)), 500) {
		if err := s.keepLogins(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}

// keepLogins tells Redis that these logins are in use, and closes the sockets of
// those that have ended.
func (s *Server) keepLogins(ctx context.Context, logins ...string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ended, err := s.Sessions.Keep(ctx, logins)
	if err != nil {
		s.Log.Warn("logins not kept, trying again", "err", err)
		return err
	}
	s.logOut(ended)
	return nil
}

// logOut closes the sockets of logins that have ended.
func (s *Server) logOut(logins []string) {
	if len(logins) == 0 {
		return
	}
	now := time.Now()
	s.mu.Lock()
	maps.DeleteFunc(s.ended, func(_ string, at time.Time) bool { return now.Sub(at) > endedFor })
	for _, login := range logins {
		s.ended[login] = now
	}
	s.mu.Unlock()
	for _, c := range s.all() {
		if slices.Contains(logins, c.ses.Login) {
			c.logOut()
		}
	}
}

// A pace is how fast one person may be, by all connections here together.
type pace struct {
	sends *rate.Limiter
	asks  *rate.Limiter  // all requests
	notes *rate.Limiter  // lines of the audit log that say that they were refused something
	deeds *rate.Limiter  // changes of roles and topics, of which many hear and the audit log tells
	reads chan struct{}  // looks through much at once
	conns map[*conn]bool // guarded by Server.mu
}

// A nearby is how fast all people of one address may fill the audit log, which keeps a
// number of lines.
type nearby struct {
	notes, deeds *rate.Limiter // as those of a pace
	conns        int           // guarded by Server.mu
}

func newNearby() *nearby {
	return &nearby{notes: rate.NewLimiter(rate.Every(2*time.Second), 100), deeds: rate.NewLimiter(2, 500)}
}

// rested reports whether all of these allow as much as new ones.
func rested(limits ...*rate.Limiter) bool {
	return !slices.ContainsFunc(limits, func(l *rate.Limiter) bool { return l.Tokens() < float64(l.Burst()) })
}

// forgetRested forgets people and addresses that have no sockets here. Not before they
// have rested: who comes again at once is as fast as before.
func (s *Server) forgetRested() {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.pace, func(_ string, p *pace) bool { return len(p.conns) == 0 && rested(p.sends, p.asks, p.notes, p.deeds) })
	maps.DeleteFunc(s.near, func(_ netip.Prefix, n *nearby) bool { return n.conns == 0 && rested(n.notes, n.deeds) })
}

// readsAtOnce is how many looks through much a person may have under way, whose cost is
// known behind them only.
const readsAtOnce = 4

// asksPerSend is how many requests of any kind a person may make for each message
// that they may send. A page that comes back joins all its rooms at once.
const asksPerSend = 10

func newPace(sends int) *pace {
	asks := asksPerSend * sends
	return &pace{
		sends: rate.NewLimiter(rate.Limit(sends), 2*sends),
		asks:  rate.NewLimiter(rate.Limit(asks), max(1000, 2*asks)),
		notes: rate.NewLimiter(rate.Every(10*time.Second), 10), deeds: rate.NewLimiter(rate.Every(2*time.Second), 100), reads: make(chan struct{}, readsAtOnce),
		conns: map[*conn]bool{},
	}
}

// A notice is what instances tell one another.
type notice struct {
	Ended string    `json:"ended,omitempty"` // a login that has ended
	Made  chat.Room `json:"made,omitempty"`  // a public room that is new
	For   string    `json:"for,omitempty"`   // the person on whose list Room is new, or whose list has changed
	Room  chat.Room `json:"room,omitempty"`
	Out   bool      `json:"out,omitempty"`  // that person is not a member of Room any more
	Kick  bool      `json:"kick,omitempty"` // they are put out of Room, and may come back
	Role  bool      `json:"role,omitempty"` // they have another role in Room
	Gone  bool      `json:"gone,omitempty"` // Room was removed

	Read *chat.Mark `json:"read,omitempty"` // how far that person has read Room
}

func (s *Server) notify(ctx context.Context, n notice) error {
	return s.Relay.Notify(ctx, n.encode())
}

// LoginEnded tells all instances, this one included, to close the login's sockets.
func (s *Server) LoginEnded(ctx context.Context, login string) {
	// Not the request's: who logs out may not wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if err := s.notify(ctx, notice{Ended: login}); err != nil {
		s.Log.Warn("end of a login not told, instances find out by themselves", "err", err)
		s.logOut([]string{login})
	}
}

// Event is the relay's.
func (s *Server) Event(name chat.Room, ev chat.Event) { s.Hub.Event(name, ev) }

// Ephemeral is the relay's.
func (s *Server) Ephemeral(name chat.Room, data []byte) { s.Hub.Ephemeral(name, data) }

// Subscribed is the relay's.
func (s *Server) Subscribed(name chat.Room) { s.Hub.Subscribed(name) }

// Control is the relay's.
func (s *Server) Control(data []byte) {
	var n notice
	if err := json.Unmarshal(data, &n); err != nil {
		s.Log.Warn("notice not understood", "err", err)
		return
	}
	switch {
	case n.Ended != "":
		s.logOut([]string{n.Ended})
	case n.Made != "":
		joined := false
		tell := chat.Encode(chat.Notice{Type: "room", Room: n.Made, Joined: &joined})
		s.tell(tell, "")
		s.Hub.Appeared([]chat.Room{n.Made})
	case n.Read != nil:
		s.tell(chat.Encode(chat.Read{Type: "read", Room: n.Room, MarkInfo: n.Read.Info()}), n.For)
	case n.Gone, n.Kick:
		conns := s.all()
		if n.Kick {
			conns = s.of(n.For)
		}
		s.background(func(ctx context.Context) {
			for _, c := range conns {
				if c.doubts.Add(1); n.Kick || s.Hub.Reads(c.out, n.Room) {
					c.putOut(ctx, n.Room, n.Gone)
				}
			}
		})
	case n.Out, n.Role:
		s.background(func(ctx context.Context) {
			for _, c := range s.of(n.For) {
				role := c.check(ctx, n.Room) // who was invited again meanwhile stays
				if n.Role && role != "" {
					c.out.Push(chat.Encode(chat.Notice{Type: "role", Room: n.Room, User: n.For, Role: role}))
				}
			}
			if n.Role && n.Room.Public() {
				s.Hub.Appeared([]chat.Room{n.Room}) // to a reader of universe who is no longer banned
			}
		})
	case n.For != "":
		joined := true
		tell := chat.Encode(chat.Notice{Type: "room", Room: n.Room, Joined: &joined, With: n.Room.With(n.For)})
		if n.Room == "" {
			tell = chat.Encode(chat.Notice{Type: "relist"})
		}
		for _, c := range s.of(n.For) {
			if n.Room == "" {
				c.doubts.Add(1)
			}
			c.out.Push(tell)
		}
	}
}

// News is how the relay's control channel tells of what changed in the directory.
type News struct{}

// Channel is the relay's control channel.
func (News) Channel() string { return feed.Control }

// Made tells of a public room that is new.
func (News) Made(room chat.Room) []byte { return notice{Made: room}.encode() }

// Read tells of how far a person has read a room.
func (News) Read(user string, room chat.Room, mark chat.Mark) []byte {
	return notice{For: user, Room: room, Read: &mark}.encode()
}

// Topic says where a room's readers are told of its topic.
func (News) Topic(room chat.Room) (channel, prefix string) { return feed.News(room) }

func (n notice) encode() []byte {
	data, err := json.Marshal(n)
	if err != nil {
		panic("socket: " + err.Error()) // plain strings and numbers
	}
	return data
}

// tell pushes data to the sockets of a person, or to all if user is "".
func (s *Server) tell(data []byte, user string) {
	list := s.all
	if user != "" {
		list = func() []*conn { return s.of(user) }
	}
	for _, c := range list() {
		c.out.Push(data)
	}
}

func (s *Server) of(user string) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pace[user]
	if p == nil {
		return nil
	}
	return slices.Collect(maps.Keys(p.conns))
}

// putOutStrangers looks whether those who read something here may still do so.
func (s *Server) putOutStrangers(ctx context.Context) error {
	readers := map[chat.Room][]*conn{}
	for _, c := range s.all() {
		c.doubts.Add(1)
		for _, name := range s.Hub.Rooms(c.out) {
			readers[name] = append(readers[name], c)
		}
	}
	for name, conns := range readers {
		people := make([]chat.Actor, len(conns))
		for i, c := range conns {
			people[i] = c.who
		}
		out, err := s.Directory.Outsiders(ctx, name, people)
		if err != nil {
			return err
		}
		for _, c := range conns {
			if slices.Contains(out, c.who) {
				c.putOut(ctx, name, true)
			}
		}
	}
	return nil
}

// Regained is the relay's. What notices would have said is looked up: which logins are
// still good, and who may be in the rooms, before any of these rooms' events come; then
// which rooms there are. It is looked up until Redis says it.
func (s *Server) Regained() <-chan struct{} {
	ready := make(chan struct{})
	turn := s.regained.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		close(ready)
		return ready
	}
	s.wg.Go(func() {
		defer close(ready)
		for warned := false; turn == s.regained.Load(); warned = true {
			ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
			err := errors.Join(s.keep(ctx), s.putOutStrangers(ctx))
			cancel()
			if err == nil {
				s.background(s.listRooms)
				return
			}
			if !warned {
				s.Log.Warn("who may hear what is not known, trying again", "err", err)
			}
			select {
			case <-time.After(regainAgain):
			case <-s.ctx.Done():
				return
			}
		}
	})
	return ready
}

func (s *Server) listRooms(ctx context.Context) {
	rooms, err := s.Directory.Public(ctx)
	if err != nil {
		s.Log.Warn("rooms not listed", "err", err)
		return
	}
	s.Hub.Appeared(rooms)
	s.tell(chat.Encode(chat.Notice{Type: "relist"}), "")
}

func (s *Server) background(f func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
		defer cancel()
		f(ctx)
	})
}

func drainNotice(within time.Duration) []byte {
	return chat.Encode(chat.Notice{Type: "drain", WithinMS: max(1, within.Milliseconds())})
}

// Drain asks all clients to move within the first half of the time until ctx's
// deadline, waits for them, and closes what is left in its last quarter, at
// random moments, with 1012. It returns when no socket is left or ctx has ended.
// New handshakes must be turned away by then; one that was under way is asked to
// move like the others.
func (s *Server) Drain(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	total := time.Until(deadline)
	s.mu.Lock()
	s.draining = deadline
	left := len(s.conns)
	s.mu.Unlock()
	if left == 0 {
		s.finish()
	}
	s.tell(drainNotice(total/2), "")
	select {
	case <-s.drained:
		return
	case <-time.After(total * 3 / 4):
	case <-ctx.Done():
		return
	}
	for _, c := range s.all() {
		time.AfterFunc(rand.N(total/5+1), func() { c.end(errRestart) }) // #nosec G404 -- a delay, no secret
	}
	select {
	case <-s.drained:
	case <-ctx.Done():
	}
}

// Close closes what sockets are left, with 1012, and waits for all that the
// server does.
func (s *Server) Close() {
	for _, c := range s.all() {
		c.end(errRestart)
	}
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	for _, c := range s.all() { // one may have come meanwhile
		c.end(errRestart)
	}
	s.wg.Wait()
	s.writers.end()
}
