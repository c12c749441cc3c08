package main

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Whatever the URL says, a command is never repeated by the client: it would run
// a write twice.
func TestEachClientOfRedisHasTheSameSettings(t *testing.T) {
	for _, url := range []string{
		"", // embedded
		"redis://127.0.0.1:1/2?max_retries=9",
		"unix:///nowhere/redis.sock",
		"redis://127.0.0.1:1/2?master_name=m&addr=127.0.0.1:2&max_retries=9&context_timeout_enabled=false",
		"rediss://u:p@127.0.0.1:1?master_name=m&username=app&password=x",
	} {
		s, err := openRedis(url, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		opts := s.client.(*redis.Client).Options()
		s.Close()
		// 0 is what the library makes of -1.
		if opts.MaxRetries != 0 || !opts.ContextTimeoutEnabled || opts.PoolSize != poolSize || opts.ReadTimeout != readTimeout {
			t.Errorf("%s: got retries %d, %+v", url, opts.MaxRetries, opts)
		}
		if strings.Contains(url, "/2?") && opts.DB != 2 {
			t.Errorf("%s: database %d", url, opts.DB)
		}
		if sentinels := strings.Contains(url, "master_name"); sentinels != (opts.Addr == "FailoverClient") {
			t.Errorf("%s: the client is one of %s", url, opts.Addr)
		}
	}
}

// A subscription would stay with the former master, which the library does not close.
func TestFormerMasterIsLeft(t *testing.T) {
	masters := make([]net.Listener, 2)
	for i := range masters {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		masters[i] = ln
	}
	f := &follower{conns: map[*followed]bool{}}
	var d net.Dialer
	hooked := f.DialHook(d.DialContext)
	dial := func(to net.Listener) net.Conn {
		conn, err := hooked(t.Context(), "tcp", to.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	closed := func(c net.Conn) bool { return errors.Is(c.SetDeadline(time.Time{}), net.ErrClosed) }
	one, two := dial(masters[0]), dial(masters[0])
	if _, ok := one.(syscall.Conn); !ok {
		t.Error("the library cannot look whether the other side has closed it")
	}
	if closed(one) || closed(two) {
		t.Error("closed while there is one master")
	}
	two.Close()
	three := dial(masters[1])
	if !closed(one) || closed(three) || len(f.conns) != 1 {
		t.Errorf("the former is closed: %t, the new one: %t; %d are known", closed(one), closed(three), len(f.conns))
	}
	three.Close()
	if len(f.conns) != 0 {
		t.Errorf("%d are known after the last was closed", len(f.conns))
	}
}

func TestReplicasAreNotReadFrom(t *testing.T) {
	for _, more := range []string{"replica_only=true", "route_by_latency=true", "route_randomly=true", "nonsense=1"} {
		s, err := openRedis("redis://127.0.0.1:1?master_name=m&"+more, slog.New(slog.DiscardHandler))
		if err == nil {
			s.Close()
			t.Errorf("%s was accepted", more)
		} else if !strings.HasPrefix(err.Error(), "CHATD_REDIS_URL: ") {
			t.Errorf("%s: got %q", more, err)
		}
	}
}
