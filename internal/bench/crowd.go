package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

type state int

const (
	closed     state = iota
	connecting       // TCP
	asking           // the request before
	shaking          // the WebSocket's handshake
	greeting         // until it is welcome
	outside          // connected, in no room
	joining
	inside // a room
)

// A socket is one client. All of it is the crowd's.
type socket struct {
	n     int // its place in the crowd
	room  string
	place int     // of the room among the crowd's
	addr  int     // among the crowd's
	login *string // of its person, as it is now

	fd     int
	life   int32 // counts its connections: what epoll says of one before does not matter
	state  state
	was    bool   // open before
	asked  bool   // and the request before was answered since
	rest   []byte // the beginning of a frame
	out    []byte // what the network did not take yet
	id     int    // of its last request
	joins  bool   // once it is welcome
	writes bool   // answers to what it sends are looked for

	// Where it is in its room, in its dialect's words.
	last, epoch string
	lostTrack   bool

	watch *watch // nil: nobody asks
	then  func() // called for each confirmed send, if it is not nil
}

// A watch is what one socket was given of its room's messages, which have the numbers
// 1, 2, and so on.
type watch struct {
	seen    []uint64 // a bit for each
	next    int      // all before were seen
	doubled int
	afresh  bool // the server said that something was lost

	target int           // what it had to catch up with when it was back
	back   time.Duration // when it was in its room again; 0: was never away
	caught time.Duration // when it had all up to target
}

func (w *watch) saw(number int) {
	for len(w.seen) <= number/64 {
		w.seen = append(w.seen, 0)
	}
	if w.has(number) {
		w.doubled++
		return
	}
	w.seen[number/64] |= 1 << (number % 64)
	for w.next == 0 || w.has(w.next) {
		w.next++
	}
}

func (w *watch) has(number int) bool {
	return number/64 < len(w.seen) && w.seen[number/64]&(1<<(number%64)) != 0
}

// A crowd is sockets at one system, and the thread that reads and writes them: one,
// which calls the crowd's methods. Nothing of it is safe for others.
type crowd struct {
	dialect dialect
	addrs   []netip.AddrPort
	sockets []*socket
	rooms   []*place

	// comesBack says that a socket whose connection ends is to connect again, at once, at
	// the last address. Otherwise it is an error.
	comesBack bool
	// width bounds the sockets that are being opened at one time.
	width int
	// sampled is which part of the sockets have their messages' delays noted: each n-th.
	sampled int

	received  int64 // messages, by all
	confirmed int64
	delays    []time.Duration
	reads     int // in which something came

	epoll   int
	events  []unix.EpollEvent
	buf     []byte
	frame   []byte
	opening int
	queue   []*socket
	later   []*socket // put off
	wakes   time.Duration
	sent    int
	begin   time.Time
	err     error
}

// A place is a room as the crowd sees it.
type place struct {
	name      string
	readers   int
	sent      int
	confirmed int
	received  int64
}

const (
	readBytes = 1 << 20
	// anew is how long a socket waits that was put off.
	anew = 100 * time.Millisecond
)

var errClosed = errors.New("the server closed a socket")

// newCrowd returns a crowd of closed sockets, spread over the rooms, and over the
// addresses if spread is true; otherwise all are at the first. It changes logins that
// are renewed.
func newCrowd(d dialect, addrs []string, logins []string, rooms []string, spread bool) (*crowd, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	c := &crowd{
		dialect: d, epoll: epoll, width: 64, sampled: 1, begin: time.Now(),
		events: make([]unix.EpollEvent, 1024), buf: make([]byte, readBytes),
	}
	for _, addr := range addrs {
		a, err := netip.ParseAddrPort(addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.addrs = append(c.addrs, a)
	}
	for _, name := range rooms {
		c.rooms = append(c.rooms, &place{name: name})
	}
	for n := range logins {
		s := &socket{n: n, login: &logins[n], fd: -1}
		if len(rooms) > 0 {
			s.place = n % len(rooms)
			s.room = rooms[s.place]
		}
		if spread {
			// Not n%len: that would put each room at one address.
			s.addr = n / max(1, len(rooms)) % len(addrs)
		}
		c.sockets = append(c.sockets, s)
	}
	return c, nil
}

func (c *crowd) now() time.Duration { return time.Since(c.begin) }

func (c *crowd) close() {
	for _, s := range c.sockets {
		c.drop(s)
	}
	_ = unix.Close(c.epoll) // nothing is left in it
}

// open opens all closed sockets and waits until they are welcome, and in their rooms
// where they join.
func (c *crowd) open(ctx context.Context) error {
	for _, s := range c.sockets {
		if s.state == closed {
			c.queue = append(c.queue, s)
			c.opening++
		}
	}
	return c.until(ctx, time.Minute, "all sockets are open", func() bool { return c.opening == 0 })
}

// join has all sockets join their rooms, no more than width at a time.
func (c *crowd) join(ctx context.Context) error {
	for _, s := range c.sockets {
		if s.state != outside {
			continue
		}
		if err := c.until(ctx, time.Minute, "sockets join", func() bool { return c.opening < c.width }); err != nil {
			return err
		}
		c.opening++
		c.enter(s)
	}
	return c.until(ctx, time.Minute, "all sockets are in their rooms", func() bool { return c.opening == 0 })
}

func (c *crowd) enter(s *socket) {
	s.state, s.joins = joining, true
	c.write(s, c.dialect.join(s))
}

// settle waits until no more comes for so long than pings.
func (c *crowd) settle(ctx context.Context, silence time.Duration) error {
	end, reads := c.now()+silence, c.reads
	return c.until(ctx, 20*time.Second, "the sockets are quiet", func() bool {
		if c.reads-reads > len(c.sockets)/20 {
			end, reads = c.now()+silence, c.reads
		}
		return c.now() > end
	})
}

// until does what there is to do until done says so, which is asked often.
func (c *crowd) until(ctx context.Context, limit time.Duration, what string, done func() bool) error {
	end := c.now() + limit
	for !done() {
		if err := c.turn(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		if c.now() > end {
			return fmt.Errorf("waited %v in vain until %s", limit, what)
		}
	}
	return ctx.Err()
}

// turn does what there is to do, and waits for it if there is nothing, in whole
// milliseconds.
func (c *crowd) turn(ctx context.Context, wait time.Duration) error {
	for len(c.queue) > 0 && c.connecting() < c.width {
		s := c.queue[0]
		c.queue = c.queue[1:]
		c.connect(s)
	}
	if len(c.later) > 0 {
		wait = min(wait, 5*time.Millisecond)
		if c.now() > c.wakes {
			c.queue, c.later = append(c.queue, c.later...), nil
		}
	}
	n, err := unix.EpollWait(c.epoll, c.events, int(max(0, wait)/time.Millisecond))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, e := range c.events[:max(0, n)] {
		s := c.sockets[e.Fd]
		if s.life != e.Pad || s.fd < 0 {
			continue
		}
		if e.Events&unix.EPOLLOUT != 0 {
			c.writable(s)
		}
		if e.Events&^unix.EPOLLOUT != 0 && s.life == e.Pad && s.fd >= 0 {
			c.readable(s)
		}
	}
	if c.err != nil {
		return c.err
	}
	return ctx.Err()
}

// connecting is how many sockets are between closed and open.
func (c *crowd) connecting() int { return c.opening - len(c.queue) - len(c.later) }

func (c *crowd) connect(s *socket) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.fail(fmt.Errorf("socket: %w", err))
		return
	}
	s.fd, s.state = fd, connecting
	s.life++
	// Without it a small frame waits until the one before was acknowledged; it fails on no socket.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	addr := c.addrs[s.addr]
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		c.ended(s, err)
		return
	}
	c.poll(s, unix.EPOLL_CTL_ADD, unix.EPOLLIN|unix.EPOLLOUT)
}

func (c *crowd) poll(s *socket, op int, events uint32) {
	if err := unix.EpollCtl(c.epoll, op, s.fd, &unix.EpollEvent{Events: events, Fd: int32(s.n), Pad: s.life}); err != nil {
		c.fail(fmt.Errorf("epoll: %w", err))
	}
}

func (c *crowd) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *crowd) writable(s *socket) {
	if s.state == connecting {
		if code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			c.ended(s, unix.Errno(code))
			return
		}
		c.poll(s, unix.EPOLL_CTL_MOD, unix.EPOLLIN)
		c.request(s)
		return
	}
	out := s.out
	s.out = nil
	c.poll(s, unix.EPOLL_CTL_MOD, unix.EPOLLIN)
	c.writeRaw(s, out)
}

// request says the HTTP request that is due.
func (c *crowd) request(s *socket) {
	addr := c.addrs[s.addr].String()
	if before := c.dialect.before(s, addr); before != nil && s.was && !s.asked {
		s.state = asking
		c.writeRaw(s, before)
		return
	}
	s.state = shaking
	c.writeRaw(s, c.dialect.upgrade(s, addr))
}

// write sends a text frame.
func (c *crowd) write(s *socket, payload []byte) {
	c.frame = appendFrame(c.frame[:0], opText, payload)
	c.writeRaw(s, c.frame)
}

func (c *crowd) writeRaw(s *socket, data []byte) {
	if len(s.out) > 0 {
		s.out = append(s.out, data...)
		return
	}
	n, err := unix.Write(s.fd, data)
	if errors.Is(err, unix.EAGAIN) {
		n, err = 0, nil
	}
	if err != nil {
		return // a read will say so too
	}
	if n < len(data) {
		s.out = bytes.Clone(data[n:])
		c.poll(s, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLOUT)
	}
}

func (c *crowd) readable(s *socket) {
	had := copy(c.buf, s.rest)
	n, err := unix.Read(s.fd, c.buf[had:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil || n == 0:
		c.ended(s, err)
		return
	}
	c.reads++
	data := c.buf[:had+n]
	if s.state == asking || s.state == shaking {
		head, rest, whole := bytes.Cut(data, []byte("\r\n\r\n"))
		if !whole {
			s.rest = append(s.rest[:0], data...)
			return
		}
		if !c.answered(s, head) {
			return
		}
		data = rest
	}
	life := s.life
	for {
		op, payload, rest, whole := cutFrame(data)
		if !whole {
			break
		}
		data = rest
		c.take(s, op, payload)
		if s.life != life || s.fd < 0 {
			return
		}
	}
	if len(data) == 0 {
		s.rest = nil
	} else {
		s.rest = append(s.rest[:0], data...)
	}
}

// answered takes the head of an HTTP answer; more says that frames follow.
func (c *crowd) answered(s *socket, head []byte) (more bool) {
	status := string(head[min(len(head), len("HTTP/1.1 ")):min(len(head), len("HTTP/1.1 200"))])
	switch {
	case s.state == asking && status == "200":
		c.dialect.answered(s, head)
		s.asked = true
		c.drop(s)
		c.connect(s)
	case s.state == shaking && status == "101":
		s.rest = nil
		s.state = greeting
		if first := c.dialect.first(s); first != nil {
			c.write(s, first)
		}
		return true
	case status == "429" || status == "503":
		c.putOff(s)
	default:
		c.fail(fmt.Errorf("handshake: %s", bytes.SplitN(head, []byte("\r\n"), 2)[0]))
	}
	return false
}

// putOff tries a socket again a little later.
func (c *crowd) putOff(s *socket) {
	c.drop(s)
	c.later = append(c.later, s)
	c.wakes = c.now() + anew
}

// take is what the crowd does with a frame: as little as can be.
func (c *crowd) take(s *socket, op byte, payload []byte) {
	switch op {
	case opText:
	case opPing:
		c.frame = appendFrame(c.frame[:0], opPong, payload)
		c.writeRaw(s, c.frame)
		return
	case opClose:
		c.ended(s, fmt.Errorf("%w: %q", errClosed, payload))
		return
	default:
		return
	}
	if n := bytes.Count(payload, []byte{mark}); n > 0 {
		c.received += int64(n)
		c.rooms[s.place].received += int64(n)
		if s.n%c.sampled == 0 || s.watch != nil {
			now := c.now()
			stamps(payload, func(at time.Duration, number int) {
				if s.n%c.sampled == 0 {
					c.delays = append(c.delays, now-at)
				}
				if s.watch != nil {
					s.watch.saw(number)
				}
			})
		}
		if s.watch != nil {
			c.dialect.remember(s, payload)
			c.catchUp(s)
		}
	} else if _, bad := c.dialect.confirmed(payload); bad > 0 && s.state == inside {
		c.fail(fmt.Errorf("the server refused something: %s", payload))
	}
	open := s.state == inside || s.state == outside
	if s.writes && open {
		good, bad := c.dialect.confirmed(payload)
		if bad > 0 {
			c.fail(fmt.Errorf("a message was refused: %s", payload))
		}
		c.confirmed += int64(good)
		for range good {
			if s.then != nil {
				s.then()
			}
		}
	}
	if !open {
		c.progress(s, payload)
	}
	if beat := c.dialect.beat(payload); beat != nil {
		c.write(s, beat)
	}
}

// progress takes a frame while a socket is being opened.
func (c *crowd) progress(s *socket, payload []byte) {
	what, answer := c.dialect.heard(s, payload)
	if answer != nil {
		c.write(s, answer)
	}
	switch what {
	case welcome:
		if s.joins {
			c.enter(s)
			return
		}
		s.state = outside
	case resumed, joined, afresh:
		s.state = inside
		if w := s.watch; w != nil && c.comesBack {
			w.back, w.target, w.afresh = c.now(), c.rooms[s.place].confirmed, what == afresh
			c.catchUp(s)
		}
	case busy:
		c.putOff(s)
		return
	case refused:
		c.fail(fmt.Errorf("the server refuses a socket: %s", payload))
		return
	default:
		return
	}
	c.opening--
	s.was, s.asked = true, false
}

func (c *crowd) catchUp(s *socket) {
	if w := s.watch; w.back != 0 && w.caught == 0 && w.next > w.target {
		w.caught = c.now()
	}
}

// ended is told that a connection is over.
func (c *crowd) ended(s *socket, err error) {
	open := s.state == inside || s.state == outside
	c.drop(s)
	if !c.comesBack {
		c.fail(fmt.Errorf("%w: %w", errClosed, cmp.Or(err, io.EOF)))
		return
	}
	s.addr, s.asked = len(c.addrs)-1, false
	if open {
		c.opening++
		c.queue = append(c.queue, s)
		return
	}
	c.later = append(c.later, s)
	c.wakes = c.now() + anew
}

func (c *crowd) drop(s *socket) {
	if s.fd >= 0 {
		_ = unix.Close(s.fd) // epoll forgets it with that
	}
	s.fd, s.state, s.rest, s.out = -1, closed, nil, nil
}

// say sends the next message of the socket to its crowd's room of this place, and
// notes the moment.
func (c *crowd) say(s *socket, place int) {
	c.sent++
	p := c.rooms[place]
	p.sent++
	var text [textBytes]byte
	c.write(s, c.dialect.send(s, 1000+c.sent, p.name, appendText(text[:0], c.now(), p.sent)))
}
