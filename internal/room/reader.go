package room

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"chatd/internal/chat"
)

// queueBytes bounds what waits for one connection, but for what it asked for by
// joining. At half of it, what may be lost is shed; beyond it the connection is too
// slow.
const queueBytes = 1 << 20

// ErrSlow says that a reader's queue was full: its connection is to be closed
// with 4408, and its client resumes.
var ErrSlow = errors.New("reader is too slow")

// A Reader is one connection's end of the rooms that it is in: a queue of what
// goes to it, in order, bounded in bytes. Any goroutine may put into it, one
// takes out.
type Reader struct {
	User string

	// Fixed after NewReader.
	wake  func()
	space chan struct{}

	// turn is held by who joins or leaves: the socket's own requests, and rooms that
	// appear. Outside of all other locks; Redis may be waited for under it.
	turn sync.Mutex

	// Guarded by mu, which is the innermost lock of this package.
	mu    sync.Mutex
	queue [][]byte
	bytes int  // of what is in the queue
	asked int  // of these: what joins brought
	owed  int  // of what was taken last, which may be on its way still: what joins brought
	awake bool // somebody takes out
	err   error
	owing *atomic.Int64 // of all readers of the hub, asked and owed; nil for a reader of none

	// Guarded by Hub.mu.
	rooms    map[chat.Room]*entry // all that it reads
	joined   map[chat.Room]bool   // those that it joined by name
	universe bool                 // it reads all public rooms in which its person may be
	may      May                  // says which these are
}

// NewReader returns a reader with an empty queue. wake is called when there is
// something to take, or the reader ended, and nobody takes; it must not block. So what
// waits for nothing needs no goroutine.
func NewReader(user string, wake func()) *Reader {
	return &Reader{
		User: user, wake: wake, rooms: map[chat.Room]*entry{}, joined: map[chat.Room]bool{}, space: make(chan struct{}, 1),
	}
}

// Push puts one JSON object into the queue. data is shared and never changed.
// It does not block; a full queue ends the reader with ErrSlow.
func (r *Reader) Push(data []byte) { r.push(data, false) }

// Offer is Push for what may be lost: it does nothing when the queue is half full.
func (r *Reader) Offer(data []byte) { r.push(data, true) }

func (r *Reader) push(data []byte, lossy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return
	case lossy && r.bytes-r.asked > queueBytes/2:
		shed.WithLabelValues("ephemeral").Inc()
		return
	case r.bytes > r.asked && r.bytes-r.asked+len(data) > queueBytes:
		shed.WithLabelValues("slow").Inc()
		r.err = ErrSlow
		r.owe(-r.asked)
		r.queue, r.bytes, r.asked = nil, 0, 0
		signal(r.space)
	default:
		r.queue = append(r.queue, data)
		r.bytes += len(data)
	}
	r.wakeLocked()
}

func (r *Reader) wakeLocked() {
	if !r.awake {
		r.awake = true
		r.wake()
	}
}

// pushJoined puts into the queue what a join brings. It is bounded by itself, and
// Space waits until it is taken, so it does not count against who is slow.
func (r *Reader) pushJoined(objects [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	r.queue = append(r.queue, objects...)
	for _, data := range objects {
		r.bytes += len(data)
		r.asked += len(data)
		r.owe(len(data))
	}
	r.wakeLocked()
}

// Take returns all that is to be sent, oldest first, and keeps buf, which holds nothing,
// for what comes next. Where nothing is to be sent, whoever takes stops, and wake tells of
// more; or it returns the error given to Close, or ErrSlow, and there is no more.
func (r *Reader) Take(buf [][]byte) ([][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owe(-r.owed) // what was taken before is sent
	r.owed = 0
	if len(r.queue) == 0 {
		r.awake = r.err != nil
		return nil, r.err
	}
	taken := r.queue
	r.owed = r.asked
	if r.bytes > queueBytes/2 { // else nobody waits for space
		signal(r.space)
	}
	r.queue, r.bytes, r.asked = buf[:0], 0, 0
	return taken, nil
}

// Space waits until the queue is less than half full, so that a client that
// does not read its answers is not given more of them.
func (r *Reader) Space(ctx context.Context) error {
	for {
		r.mu.Lock()
		room, err := r.bytes <= queueBytes/2, r.err
		r.mu.Unlock()
		switch {
		case err != nil:
			return err
		case room:
			return nil
		}
		select {
		case <-r.space:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close ends the reader: what is queued still goes out, then Take returns err.
func (r *Reader) Close(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	signal(r.space)
	r.wakeLocked()
}

func (r *Reader) owe(bytes int) {
	if r.owing != nil {
		r.owing.Add(int64(bytes))
	}
}

// countIn has what joins bring to the reader counted with that of all others, until
// owing is nil again.
func (r *Reader) countIn(owing *atomic.Int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owe(-r.asked - r.owed)
	r.owing = owing
	r.owe(r.asked + r.owed)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
