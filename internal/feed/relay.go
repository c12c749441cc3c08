package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

const (
	// Control is the channel that every instance hears (Notify).
	Control      = "chatd:control"
	probeChannel = "chatd:probe:"

	// probeInterval and deafAfter: a subscription can look well and hear
	// nothing (half-open connection, a master that is one no more). Only hearing
	// oneself through the same path proves the contrary.
	probeInterval = time.Second
	deafAfter     = 3 * time.Second

	redialWait      = 250 * time.Millisecond
	channelsAtOnce  = 500
	roomPrefix      = "chatd:{"
	liveSuffix      = "}:live"
	commandDeadline = 2 * time.Second
)

// A Listener is told what the relay hears, always by one goroutine. Its methods
// must not block: everything behind them waits.
type Listener interface {
	// Event brings a durable event of a room, perhaps late, twice or after a gap.
	Event(room chat.Room, ev chat.Event)
	// Ephemeral brings bytes for a room's readers that may be lost.
	Ephemeral(room chat.Room, data []byte)
	// Subscribed says that a room's subscription is in force from here on.
	// Whatever came before, since the last event heard, may have been missed.
	Subscribed(room chat.Room)
	// Control brings a notice from an instance, this one included.
	Control(data []byte)
	// Regained says that notices may have been missed until here. No room's events come
	// before what it returns is closed: who may not hear them any more is to be gone.
	Regained() (ready <-chan struct{})
}

// Relay carries what is published in Redis to this instance: one subscription
// per room, on one connection. Redis pub/sub delivers at most once, and the relay
// adds no promise to that; it says when something may have been missed.
type Relay struct {
	rdb      redis.UniversalClient
	instance string
	log      *slog.Logger

	born  time.Time
	heard atomic.Int64  // when this instance last heard itself, since born; 0: never
	nudge chan struct{} // probe now

	mu     sync.Mutex
	wanted map[chat.Room]bool
	dirty  map[chat.Room]bool // subscription to change to what wanted says
	wake   chan struct{}
}

// NewRelay returns a relay for the instance of this name, which must be its
// own among all that use the same Redis.
func NewRelay(rdb redis.UniversalClient, instance string, log *slog.Logger) *Relay {
	return &Relay{
		rdb: rdb, instance: instance, log: log, born: time.Now(), nudge: make(chan struct{}, 1),
		wanted: map[chat.Room]bool{}, dirty: map[chat.Room]bool{}, wake: make(chan struct{}, 1),
	}
}

// Subscribe asks for a room's events. It does not block; the listener's
// Subscribed says when they begin.
func (r *Relay) Subscribe(room chat.Room) { r.want(room, true) }

// Unsubscribe ends a room's events, soon.
func (r *Relay) Unsubscribe(room chat.Room) { r.want(room, false) }

func (r *Relay) want(room chat.Room, want bool) {
	r.mu.Lock()
	if want {
		r.wanted[room] = true
	} else {
		delete(r.wanted, room)
	}
	r.dirty[room] = true
	r.mu.Unlock()
	signal(r.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Publish sends data, one JSON object that may be lost, to a room's readers on
// all instances. It waits for Redis until ctx ends.
func (r *Relay) Publish(ctx context.Context, room chat.Room, data []byte) error {
	return r.publish(ctx, liveChannel(room), append([]byte{'\n'}, data...))
}

// Notify sends data to every instance's Listener.Control, this one's included.
// It waits for Redis until ctx ends.
func (r *Relay) Notify(ctx context.Context, data []byte) error {
	return r.publish(ctx, Control, data)
}

func (r *Relay) publish(ctx context.Context, channel string, data []byte) error {
	if err := r.rdb.Publish(ctx, channel, data).Err(); err != nil {
		return chat.Unavailable("publish", err)
	}
	return nil
}

// Deaf returns how long this instance has not heard itself through Redis, ever if
// it never did: then since it was made.
func (r *Relay) Deaf() (silence time.Duration, ever bool) {
	heard := time.Duration(r.heard.Load())
	return time.Since(r.born) - heard, heard != 0
}

// Run keeps the relay going until ctx ends, whatever becomes of Redis, and
// returns when all its goroutines have ended.
func (r *Relay) Run(ctx context.Context, to Listener) {
	var wg sync.WaitGroup
	wg.Go(func() { r.probe(ctx) })
	defer wg.Wait()
	heard, warned := false, false
	for ctx.Err() == nil {
		err := r.connection(ctx, to, func() {
			if !heard {
				r.log.Info("redis is heard")
			}
			heard, warned = true, false
		})
		if ctx.Err() != nil {
			return
		}
		reason := "error"
		if errors.Is(err, errDeaf) {
			reason = "deaf"
		}
		reconnects.WithLabelValues(reason).Inc()
		heard = false
		if !warned { // once, however long it lasts
			r.log.Warn("redis is not heard, trying again", "err", err)
		}
		warned = true
		select {
		case <-time.After(redialWait):
		case <-ctx.Done():
		}
	}
}

var errDeaf = errors.New("subscription is deaf")

// connection lives as long as one connection to Redis does. It calls works
// whenever this instance hears itself.
func (r *Relay) connection(ctx context.Context, to Listener, works func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialled, stop := context.WithTimeout(ctx, deafAfter)
	defer stop()
	sub := r.rdb.Subscribe(dialled, Control, probeChannel+r.instance)
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // Receive itself does not watch ctx

	r.mu.Lock()
	clear(r.dirty)
	for room := range r.wanted {
		r.dirty[room] = true
	}
	r.mu.Unlock()

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make(chan error, 1)
	ready := make(chan (<-chan struct{}), 1)
	wg.Go(func() {
		select {
		case regained := <-ready:
			select {
			case <-regained:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		if err := r.follow(ctx, sub); err != nil && ctx.Err() == nil {
			failed <- err
		}
	})

	heard := time.Now()
	for {
		msg, err := sub.ReceiveTimeout(ctx, probeInterval)
		select {
		case err := <-failed:
			return err
		default:
		}
		var timeout net.Error
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &timeout) && timeout.Timeout():
		case err != nil:
			return err
		}
		switch msg := msg.(type) {
		case *redis.Subscription:
			switch {
			case msg.Kind != "subscribe":
			case msg.Channel == Control:
				select {
				case ready <- to.Regained():
				default: // it said so before on this connection
				}
			case msg.Channel == probeChannel+r.instance:
				signal(r.nudge)
			default:
				if room, ok := roomOf(msg.Channel); ok {
					to.Subscribed(room)
				}
			}
		case *redis.Message:
			if sent, ok := strings.CutPrefix(msg.Channel, probeChannel); ok && sent == r.instance {
				heard = time.Now()
				r.heard.Store(int64(heard.Sub(r.born)))
				works()
				if t, err := time.Parse(time.RFC3339Nano, msg.Payload); err == nil {
					relayLag.Observe(time.Since(t).Seconds())
				}
				continue
			}
			r.deliver(to, msg)
		}
		if time.Since(heard) > deafAfter {
			return errDeaf
		}
	}
}

func (r *Relay) deliver(to Listener, msg *redis.Message) {
	payload := []byte(msg.Payload)
	if msg.Channel == Control {
		to.Control(payload)
		return
	}
	room, ok := roomOf(msg.Channel)
	head, data, found := bytes.Cut(payload, []byte{'\n'})
	if !ok || !found {
		r.log.Warn("relay heard what it does not know", "channel", msg.Channel)
		return
	}
	if len(head) == 0 {
		to.Ephemeral(room, data)
		return
	}
	id, prev, _ := strings.Cut(string(head), " ")
	received.Inc()
	to.Event(room, chat.Event{ID: chat.EventID(id), Prev: chat.EventID(prev), Data: data})
}

// follow brings the connection's subscriptions to what is wanted.
func (r *Relay) follow(ctx context.Context, sub *redis.PubSub) error {
	for {
		r.mu.Lock()
		var on, off []string
		for room := range r.dirty {
			if r.wanted[room] {
				on = append(on, liveChannel(room))
			} else {
				off = append(off, liveChannel(room))
			}
		}
		clear(r.dirty)
		r.mu.Unlock()
		for chunk := range slices.Chunk(off, channelsAtOnce) {
			if err := sub.Unsubscribe(ctx, chunk...); err != nil {
				return fmt.Errorf("unsubscribe: %w", err)
			}
		}
		for chunk := range slices.Chunk(on, channelsAtOnce) {
			if err := sub.Subscribe(ctx, chunk...); err != nil {
				return fmt.Errorf("subscribe: %w", err)
			}
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// probe sends this instance's word to itself until ctx ends.
func (r *Relay) probe(ctx context.Context) {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.nudge:
		case <-ctx.Done():
			return
		}
		// A probe that fails is not heard, which says enough.
		c, cancel := context.WithTimeout(ctx, commandDeadline)
		_ = r.rdb.Publish(c, probeChannel+r.instance, time.Now().Format(time.RFC3339Nano)).Err()
		cancel()
	}
}

func roomOf(channel string) (chat.Room, bool) {
	room, ok := strings.CutPrefix(channel, roomPrefix)
	if !ok {
		return "", false
	}
	room, ok = strings.CutSuffix(room, liveSuffix)
	return chat.Room(room), ok
}

// News says where and how something that may be lost is told to a room's readers
// on all instances: published in the channel, behind the prefix.
func News(room chat.Room) (channel, prefix string) { return liveChannel(room), "\n" }
