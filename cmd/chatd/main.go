// Command chatd is one instance of the chat server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"chatd"
	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/config"
	"chatd/internal/directory"
	"chatd/internal/feed"
	"chatd/internal/gate"
	"chatd/internal/oidc"
	"chatd/internal/presence"
	"chatd/internal/room"
	"chatd/internal/session"
	"chatd/internal/socket"
	"chatd/internal/web"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "chatd:", err)
		os.Exit(1)
	}
}

// run is chatd from start to end. It returns after a drain, which the first
// SIGTERM or SIGINT begins; a second one ends the process at once.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	cfg, err := config.Load(args, getenv)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, name := range cfg.Admins {
		if cfg.Admins[i], err = chat.ParseName(name); err != nil {
			return fmt.Errorf("CHATD_ADMINS=%q: %w", name, err)
		}
	}
	// Listen first: a taken port is found before anything is begun.
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	admin, err := net.Listen("tcp", cfg.AdminAddr)
	if err != nil {
		return err
	}
	defer admin.Close()
	if cfg.Instance == "" {
		cfg.Instance = config.InstanceName(listener.Addr().String())
	}

	log := newLogger(cfg, stderr)
	log.Info("chatd starts", "config", cfg)
	store, err := openRedis(cfg.RedisURL, log)
	if err != nil {
		return err
	}
	defer store.Close()
	if cfg.RedisURL == "" {
		log.Warn("no Redis was named (CHATD_REDIS_URL): everything is kept inside this process and forgotten when it ends")
	}
	var files fs.FS = chatd.Files
	if cfg.Dev {
		files = os.DirFS(".")
	}

	events := feed.New(store.client, cfg.History)
	relay := feed.NewRelay(store.client, cfg.Instance+"-"+newIncarnation(), log)
	people := presence.New(store.client, feed.News, log)
	trail := audit.New(store.client, cfg.Audit)
	rooms := directory.New(store.client, socket.News{}, trail)
	sessions := session.New(store.client, session.Options{Idle: cfg.SessionIdle, Max: cfg.SessionMax, Secure: web.Secure(cfg.Proxies)})
	accounts := account.New(store.client, trail, cfg.PasswordMin)
	var provider web.Provider
	providerName := ""
	if cfg.OIDCIssuer != "" {
		p := oidc.New(oidc.Options{Issuer: cfg.OIDCIssuer, ClientID: cfg.OIDCClientID, ClientSecret: cfg.OIDCClientSecret, Return: cfg.PublicURL + web.ReturnPath})
		defer p.Close()
		provider, providerName = p, cfg.OIDCName
	}
	door := gate.New(store.client, trail, cfg.Proxies)
	hub := room.NewHub(events, relay, cfg.Window, log)
	sockets := socket.NewServer(socket.Options{
		Instance: cfg.Instance, TextMax: cfg.TextMax, Max: cfg.MaxSockets, PerUser: cfg.SocketsPerUser, PerAddr: cfg.SocketsPerAddress, Admit: cfg.Handshakes, SendRate: cfg.SendRate,
		Hub: hub, Feed: events, Relay: relay, Directory: rooms, Presence: people, Sessions: sessions, Audit: trail, Barred: door.IsOut, Admins: cfg.Admins, Log: log,
	})
	site, err := web.New(web.Options{
		Instance: cfg.Instance, Guests: cfg.Guests, Registers: cfg.Accounts, Admins: cfg.Admins, PasswordMin: cfg.PasswordMin, Hosts: cfg.Hosts, Origins: cfg.Origins, Contact: cfg.SecurityContact, Requests: cfg.RequestsPerAddress, Proxies: cfg.Proxies, Files: files, Dev: cfg.Dev,
		PublicURL: cfg.PublicURL, Provider: provider, ProviderName: providerName,
		Sessions: sessions, Accounts: accounts, Audit: trail, Sockets: sockets, Directory: rooms, Gate: door, Redis: relay, Log: log,
	})
	if err != nil {
		return err
	}

	// What works in the background ends after the last socket.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { relay.Run(background, sockets) })
	wg.Go(func() { people.Run(background) })
	wg.Go(func() { sockets.Run(background) })
	wg.Go(func() {
		accounts.Erase(background, func(ctx context.Context, name string) error {
			return errors.Join(site.EndDeleted(ctx, name), rooms.Forget(ctx, name), events.Erase(ctx, name))
		}, func(err error) { log.Warn("a deleted account's name is not erased yet", "err", err) })
	})

	wg.Go(func() {
		door.Run(background, sockets.PutOutBarred, func(err error) { log.Warn("whom administrators keep out is not known anew, trying again", "err", err) })
	})
	wg.Go(func() {
		accounts.EndLocked(background, site.EndLocked, func(err error) { log.Warn("the logins of a locked name are not ended yet", "err", err) })
	})

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	quiet := slog.NewLogLogger(log.Handler(), slog.LevelDebug) // strangers' broken connections
	server := &http.Server{
		Handler: site, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: quiet,
	}
	adminServer := &http.Server{Handler: adminHandler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	failed := make(chan error, 2)
	wg.Go(func() { failed <- server.Serve(listener) })
	wg.Go(func() { failed <- adminServer.Serve(admin) })
	defer adminServer.Close()
	defer server.Close()
	log.Info("chatd listens", "addr", listener.Addr().String(), "admin_addr", admin.Addr().String())

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	case s := <-signals:
		log.Info("chatd drains", "signal", s.String(), "sockets", sockets.Count(), "within", cfg.Drain.String())
	}
	go func() { // ends with the process
		<-signals
		log.Warn("second signal, chatd ends at once")
		os.Exit(1)
	}()
	drain(cfg.Drain, site, sockets, server, hub, log)
	return nil
}

// leaveAhead is how long /readyz says that this instance leaves before anything is
// turned away: the balancer looks there every half second. Instances that leave at
// one time would otherwise have each other's requests repeated at them.
const leaveAhead = time.Second

// drain leaves gently within the time: new requests go elsewhere, sockets move,
// then the listener closes, and what is left ends.
func drain(within time.Duration, site *web.Server, sockets *socket.Server, server *http.Server, hub *room.Hub, log *slog.Logger) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	site.Leave()
	select {
	case <-time.After(min(leaveAhead, within/3)):
	case <-ctx.Done():
	}
	site.TurnAway()
	sockets.Drain(ctx)
	left := sockets.Count()
	sockets.Close()
	last, done := context.WithTimeout(context.Background(), 2*time.Second) // a login may be under way
	defer done()
	if err := server.Shutdown(last); err != nil {
		log.Warn("requests were cut off by the end of the drain", "err", err)
	}
	hub.Close()
	log.Info("chatd ends", "took", time.Since(start).Round(time.Millisecond).String(), "sockets_cut", left)
}

func adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}

func newLogger(cfg config.Config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if cfg.LogFormat == "json" {
		h = slog.NewJSONHandler(w, opts)
	}
	return slog.New(h).With("instance", cfg.Instance)
}
