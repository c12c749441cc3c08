package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/chat"
	"chatd/internal/room"
	"chatd/internal/session"
)

const (
	// writeTimeout bounds one frame's way into the network, and grows with a frame
	// as for a client that takes slowBytes a second. frameBytes bounds a frame of
	// several objects.
	writeTimeout = 15 * time.Second
	slowBytes    = 8 << 10
	frameBytes   = 64 << 10
	// maxHasty is how many requests in a row may be too fast, as those are whose
	// client does not wait for answers, before the connection is closed.
	maxHasty = 200
)

// closing is a reason to close a socket that its peer is told.
type closing struct {
	code   int
	reason string
}

func (c *closing) Error() string { return fmt.Sprintf("close %d: %s", c.code, c.reason) }

var errRestart = &closing{chat.CloseRestart, "this instance restarts"}

// A conn is one WebSocket.
type conn struct {
	// Fixed after newConn.
	srv *Server
	ws  *websocket.Conn
	net net.Conn
	ses session.Session
	who chat.Actor
	out *room.Reader
	log *slog.Logger

	pace *pace // fixed by Server.add

	doubts atomic.Int64 // how often something came that may have taken rights from its person

	// What presence counts this connection for. Its lock is held while presence is told.
	mu    sync.Mutex
	here  map[chat.Room]bool // rooms
	away  bool               // its person is
	muted map[chat.Room]bool // rooms, and whether its person is muted there, as far as is known

	// Owned by the read loop.
	stalled map[chat.Room]string // rooms in which a message of this key has to come first
	hasty   int                  // requests in a row that were too fast
}

func newConn(s *Server, ws *websocket.Conn, network net.Conn, ses session.Session, who chat.Actor) *conn {
	return &conn{
		srv: s, ws: ws, net: network, ses: ses, who: who, out: room.NewReader(ses.User),
		log:  s.Log.With("user", ses.User),
		here: map[chat.Room]bool{}, muted: map[chat.Room]bool{}, stalled: map[chat.Room]string{},
	}
}

// serve runs the connection until it is closed and all its goroutines have ended.
func (c *conn) serve() {
	ctx, cancel := context.WithCancel(c.srv.ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { c.ping(ctx) })
	wg.Go(func() {
		err := c.write(ctx)
		c.log.Debug("socket closes", "reason", err)
		c.close(err)
		cancel()
	})
	err := c.read(ctx)
	c.out.Close(err) // the write loop sends what is queued, and closes
	wg.Wait()
	c.leaveAll()
}

// read takes requests until the connection ends, and returns why.
func (c *conn) read(ctx context.Context) error {
	for {
		if err := c.out.Space(ctx); err != nil {
			return err
		}
		// Not ctx: the socket is closed by the write loop, which says why.
		kind, frame, err := c.ws.Read(context.WithoutCancel(ctx))
		switch {
		case websocket.CloseStatus(err) != -1:
			return err
		case errors.Is(err, websocket.ErrMessageTooBig):
			return &closing{chat.CloseTooLarge, "frame too large"}
		case err != nil:
			return err
		case kind != websocket.MessageText:
			return &closing{chat.CloseBadFrame, "frames are text"}
		}
		reqs, err := chat.DecodeFrame(frame)
		if err != nil {
			var e *chat.Error
			if errors.As(err, &e) {
				return &closing{chat.CloseBadFrame, e.Message}
			}
			return err
		}
		for _, req := range reqs {
			if err := c.out.Space(ctx); err != nil {
				return err
			}
			c.handle(ctx, req)
			if c.hasty > maxHasty {
				return &closing{chat.CloseTooFast, "too fast"}
			}
		}
	}
}

// write sends what is queued, several objects to a frame where more than one
// waits, until the queue ends, and returns why it did.
func (c *conn) write(ctx context.Context) error {
	var batch [][]byte
	var buf bytes.Buffer
	for {
		var err error
		if batch, err = c.out.Next(ctx, batch); err != nil {
			return err
		}
		for rest := batch; len(rest) > 0; {
			buf.Reset()
			buf.Write(rest[0])
			rest = rest[1:]
			for len(rest) > 0 && buf.Len()+len(rest[0]) < frameBytes {
				buf.WriteByte('\n')
				buf.Write(rest[0])
				rest = rest[1:]
			}
			if err := c.writeFrame(ctx, buf.Bytes()); err != nil {
				return err
			}
		}
		if buf.Cap() > frameBytes {
			buf = bytes.Buffer{} // a rare large answer is not kept for ever
		}
	}
}

func (c *conn) writeFrame(ctx context.Context, frame []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout+time.Duration(len(frame)/slowBytes)*time.Second)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, frame)
}

// ping keeps the peer informed that this instance lives, by an object that a
// page can see, and finds out whether the peer lives, by a WebSocket ping.
func (c *conn) ping(ctx context.Context) {
	object := chat.Encode(chat.Notice{Type: "ping"})
	due := time.NewTimer(chat.PingInterval/2 + rand.N(chat.PingInterval/2)) // #nosec G404 -- so that not all are due at once
	defer due.Stop()
	end := time.NewTimer(time.Until(c.ses.Ends))
	defer end.Stop()
	for {
		select {
		case <-due.C:
		case <-end.C:
			// Redis' clock decides; a look in vain is repeated.
			_ = c.srv.keepLogins(ctx, c.ses.Login)
			end.Reset(time.Second / 2)
			continue
		case <-ctx.Done():
			return
		}
		due.Reset(chat.PingInterval)
		c.out.Push(object)
		pong, cancel := context.WithTimeout(ctx, chat.PingInterval)
		err := c.ws.Ping(pong)
		cancel()
		if err != nil && ctx.Err() == nil {
			c.out.Close(&closing{chat.CloseGoingAway, "no answer to a ping"})
			_ = c.net.Close() // a write under way would wait for a peer that is silent
			return
		}
	}
}

// logOut tells the peer that its login ended, and closes the connection.
func (c *conn) logOut() {
	c.out.Push(chat.Encode(chat.Notice{Type: "logout"}))
	c.end(&closing{chat.CloseLoggedOut, "the login ended"})
}

// end closes the connection: after what is queued, or soon, whatever the peer reads.
func (c *conn) end(why *closing) {
	c.out.Close(why)
	time.AfterFunc(closeTimeout, func() { _ = c.net.Close() })
}

// close tells the peer why, as err is for peers, and ends the connection. A peer
// that closed, or is gone, is told nothing.
func (c *conn) close(err error) {
	var why *closing
	switch {
	case errors.As(err, &why):
	case errors.Is(err, room.ErrSlow):
		why = &closing{chat.CloseTooSlow, "too slow, resume"}
	case errors.Is(err, context.Canceled):
		why = errRestart
	default:
		closed.WithLabelValues("peer").Inc()
		_ = c.ws.CloseNow()
		return
	}
	closed.WithLabelValues(fmt.Sprint(why.code)).Inc()
	// Close waits for the peer's answer for 5 s, and CloseNow waits for Close.
	kill := time.AfterFunc(closeTimeout, func() { _ = c.net.Close() })
	defer kill.Stop()
	_ = c.ws.Close(websocket.StatusCode(why.code), why.reason)
	_ = c.ws.CloseNow()
}
