package socket

import (
	"encoding/binary"
	"math"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// writers write what is queued for connections. A few goroutines do it for all of them:
// a write is short, because it never waits, and to start a goroutine for each would cost
// a good part of it. Who does not take at once what there is gets a goroutine of its own
// for as long as that lasts.
type writers struct {
	wg sync.WaitGroup

	mu    sync.Mutex
	more  sync.Cond
	ready []*conn // to be written to, each at most once
	ended bool
}

// connsAtOnce is how many connections a writer takes from the list in one go.
const connsAtOnce = 16

// start starts n goroutines.
func (w *writers) start(n int) {
	w.more.L = &w.mu
	for range n {
		w.wg.Go(w.run)
	}
}

// end ends the goroutines and waits for them. No connection may be left.
func (w *writers) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.more.Broadcast()
	w.wg.Wait()
}

// add has c, which must not be on the list, written to. It does not block.
func (w *writers) add(c *conn) {
	w.mu.Lock()
	w.ready = append(w.ready, c)
	w.mu.Unlock()
	w.more.Signal()
}

// next waits for connections to write to, and returns some of them in buf: none at the end.
func (w *writers) next(buf []*conn) []*conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.ready) == 0 && !w.ended {
		w.more.Wait()
	}
	n := min(len(w.ready), connsAtOnce)
	buf = append(buf[:0], w.ready[:n]...)
	w.ready = slices.Delete(w.ready, 0, n)
	return buf
}

func (w *writers) run() {
	var conns []*conn
	o := newOutput()
	for {
		if conns = w.next(conns); len(conns) == 0 {
			return
		}
		for _, c := range conns {
			if !c.write(o, false) {
				go c.write(o, true)
				o = newOutput()
			}
		}
		clear(conns)
	}
}

// write sends what is queued for c until nothing is left, or the queue ends: then it
// closes the connection. Unless patient it returns false where it would have to wait: the
// rest is in o. One goroutine at a time is in it, from the queue's call to wake on.
func (c *conn) write(o *output, patient bool) (done bool) {
	send := o.try
	if patient {
		send = o.wait
	}
	for {
		if o.empty() {
			clear(o.taken)
			objects, err := c.out.Take(o.taken)
			if err != nil {
				go c.finish(err) // it may take its time
			}
			if len(objects) == 0 {
				return true
			}
			o.taken, o.objects = objects, objects
		}
		o.fill()
		n, err := send(c)
		if err != nil {
			o.bytes, o.objects = nil, nil
			go c.finish(err)
			return true
		}
		if o.bytes = o.bytes[n:]; len(o.bytes) > 0 {
			return false
		}
	}
}

// frameBytes bounds a frame of several objects, and about what is copied for one write.
const frameBytes = 64 << 10

// An output is what a goroutine that writes works with.
type output struct {
	bytes   []byte   // frames, to be sent
	objects [][]byte // to be sent behind them, oldest first

	frames [frameBytes]byte // where bytes is, if it is not larger
	taken  [][]byte         // where objects are

	attempt func(fd uintptr) // writes bytes, and says in n and err what came of it
	n       int
	err     error
}

func newOutput() *output {
	o := &output{}
	o.attempt = func(fd uintptr) {
		for {
			if o.n, o.err = syscall.Write(int(fd), o.bytes); o.err != syscall.EINTR {
				return
			}
		}
	}
	return o
}

func (o *output) empty() bool { return len(o.bytes) == 0 && len(o.objects) == 0 }

// wait writes all that is in bytes: it waits for the peer to take it, within reason.
func (o *output) wait(c *conn) (int, error) {
	// A deadline of its own would cost more than the write.
	c.stuck.Store(time.Now().Add(writeTimeout + time.Duration(len(o.bytes)/slowBytes)*time.Second).UnixNano())
	defer c.stuck.Store(0)
	return c.net.Write(o.bytes)
}

// try writes of what is in bytes what the network takes at once.
func (o *output) try(c *conn) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	// Not Write, which waits where the library is about to say that it closes.
	if err := c.raw.Control(o.attempt); err != nil {
		return 0, err
	}
	switch o.err {
	case nil:
		return o.n, nil
	case syscall.EAGAIN:
		return 0, nil
	default:
		return 0, os.NewSyscallError("write", o.err)
	}
}

// fill puts objects into frames, several where more than one waits, up to frameBytes.
func (o *output) fill() {
	if len(o.bytes) > 0 {
		return
	}
	b := o.frames[:0]
	for len(o.objects) > 0 && (len(b) == 0 || len(b)+len(o.objects[0]) < frameBytes) {
		if isControl(o.objects[0]) {
			b = append(b, o.objects[0]...)
			o.objects = o.objects[1:]
			continue
		}
		n, size := 1, len(o.objects[0])
		for n < len(o.objects) && !isControl(o.objects[n]) && len(b)+size+len(o.objects[n]) < frameBytes {
			size += 1 + len(o.objects[n])
			n++
		}
		b = append(appendHeader(b, size), o.objects[0]...)
		for _, object := range o.objects[1:n] {
			b = append(append(b, '\n'), object...)
		}
		o.objects = o.objects[n:]
	}
	o.bytes = b
}

// appendHeader appends the header of a text frame of n bytes, which is a whole message
// of a server's (RFC 6455, section 5.2).
func appendHeader(b []byte, n int) []byte {
	const finText, twoBytes, eightBytes = 0x81, 126, 127
	switch {
	case n < twoBytes:
		return append(b, finText, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, finText, twoBytes), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, finText, eightBytes), uint64(n))
	}
}

// Control frames are queued as they are, among objects, which begin with a brace.
var pingFrame = []byte{0x89, 0}

func pongFrame(payload []byte) []byte { return append([]byte{0x8a, byte(len(payload))}, payload...) }

func isControl(object []byte) bool { return object[0]&0x80 != 0 }
