package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A store is the Redis that this instance uses: one elsewhere, or one inside the
// process, which is a Redis too, only without a memory.
type store struct {
	client   redis.UniversalClient
	embedded *miniredis.Miniredis
	stop     chan struct{}
}

// openRedis returns the Redis at this URL, which need not be there yet, or an
// embedded one if it is empty.
func openRedis(at string, log *slog.Logger) (*store, error) {
	redis.SetLogger(libraryLog{log})
	s := &store{stop: make(chan struct{})}
	if at == "" {
		s.embedded = miniredis.NewMiniRedis()
		if err := s.embedded.Start(); err != nil {
			return nil, fmt.Errorf("start the embedded Redis: %w", err)
		}
		at = "redis://" + s.embedded.Addr()
		go s.passTime()
	}
	client, err := newClient(at)
	if err != nil {
		return nil, fmt.Errorf("CHATD_REDIS_URL: %w", err)
	}
	client.AddHook(latency{})
	s.client = client
	return s, nil
}

const (
	// The client repeats a command whose answer was lost, and so runs it twice.
	// Whoever may repeat here does so by itself, and knows what it repeats.
	maxRetries = -1

	dialTimeout  = 2 * time.Second
	readTimeout  = 3 * time.Second
	writeTimeout = 3 * time.Second
	poolSize     = 64
	minIdleConns = 4
	// Of each connection, twice: enough for most answers. The library would take 32 KiB,
	// and 128 KiB of those that pipelines use.
	bufferBytes   = 8 << 10
	pipelineBytes = 32 << 10

	// With the next one the library looks for what Redis tells unasked behind each answer.
	protocol = 2
)

// errUnknown stands for the library's own words, which repeat the URL or parts of it.
var errUnknown = errors.New("want parameters that the client of Redis knows, such as db, username and password")

// newClient returns a client of the Redis at raw; of the master that sentinels at
// raw name, if it has a master_name.
func newClient(raw string) (*redis.Client, error) {
	if u, err := url.Parse(raw); err == nil && u.Query().Has("master_name") {
		return newFailoverClient(raw)
	}
	opts, err := redis.ParseURL(raw)
	if err != nil {
		return nil, errUnknown
	}
	opts.MaxRetries, opts.ContextTimeoutEnabled, opts.DisableIdentity = maxRetries, true, true
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = dialTimeout, readTimeout, writeTimeout
	opts.PoolSize, opts.MinIdleConns, opts.Protocol = poolSize, minIdleConns, protocol
	opts.ReadBufferSize, opts.WriteBufferSize = bufferBytes, bufferBytes
	opts.PipelineReadBufferSize, opts.PipelineWriteBufferSize = pipelineBytes, pipelineBytes
	// Only a managed Redis announces maintenance; asking others is an error each time.
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(opts), nil
}

func newFailoverClient(raw string) (*redis.Client, error) {
	opts, err := redis.ParseFailoverURL(raw)
	if err != nil {
		return nil, errUnknown
	}
	if opts.ReplicaOnly || opts.RouteByLatency || opts.RouteRandomly {
		return nil, errors.New("chatd reads and writes at the master: want no replica_only, route_by_latency or route_randomly")
	}
	opts.MaxRetries, opts.ContextTimeoutEnabled, opts.DisableIdentity = maxRetries, true, true
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = dialTimeout, readTimeout, writeTimeout
	opts.PoolSize, opts.MinIdleConns, opts.Protocol = poolSize, minIdleConns, protocol
	opts.ReadBufferSize, opts.WriteBufferSize = bufferBytes, bufferBytes
	opts.PipelineReadBufferSize, opts.PipelineWriteBufferSize = pipelineBytes, pipelineBytes
	client := redis.NewFailoverClient(opts)
	client.AddHook(&follower{conns: map[*followed]bool{}})
	return client, nil
}

// A follower hangs up on the former master when there is another. The library does
// so with the connections of commands; a subscription would stay with a master that
// is one no more, and hear nothing there.
type follower struct {
	passing

	mu     sync.Mutex
	master string // its address
	conns  map[*followed]bool
}

type followed struct {
	net.Conn
	by *follower
}

// A followedTCP is one that the library can look into for its end.
type followedTCP struct {
	*followed
	syscall.Conn
}

func (f *follower) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &followed{conn, f}
		f.follow(c)
		if raw, ok := conn.(syscall.Conn); ok {
			return followedTCP{c, raw}, nil
		}
		return c, nil
	}
}

func (f *follower) follow(c *followed) {
	var former []*followed
	f.mu.Lock()
	if addr := c.RemoteAddr().String(); addr != f.master {
		for c := range f.conns {
			former = append(former, c)
		}
		f.master = addr
	}
	f.conns[c] = true
	f.mu.Unlock()
	for _, c := range former {
		_ = c.Close()
	}
}

// Close forgets the connection too.
func (c *followed) Close() error {
	c.by.mu.Lock()
	delete(c.by.conns, c)
	c.by.mu.Unlock()
	return c.Conn.Close()
}

// passing is a hook that changes nothing.
type passing struct{}

func (passing) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (passing) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (passing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// libraryLog takes the lines that the client library writes by itself. What they
// say is known from the errors that its commands return.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis client", "says", fmt.Sprintf(format, v...))
}

// Close ends the connections, and the embedded Redis if there is one.
func (s *store) Close() {
	close(s.stop)
	_ = s.client.Close()
	if s.embedded != nil {
		s.embedded.Close()
	}
}

// passTime lets the embedded Redis' keys grow older, which they do only when told.
func (s *store) passTime() {
	const step = time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.embedded.FastForward(step)
		case <-s.stop:
			return
		}
	}
}

// newIncarnation tells this process from earlier ones of the same name.
func newIncarnation() string { return rand.Text()[:8] }

var redisLatency = promauto.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "chatd_redis_seconds",
	Help:    "Time that commands to Redis took, by result: ok or error.",
	Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10),
}, []string{"result"})

// latency measures commands on their way through the client.
type latency struct{ passing }

func (latency) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmd)
		observe(start, err)
		return err
	}
}

func (latency) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmds)
		observe(start, err)
		return err
	}
}

func observe(start time.Time, err error) {
	result := "ok"
	if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		result = "error"
	}
	redisLatency.WithLabelValues(result).Observe(time.Since(start).Seconds())
}
