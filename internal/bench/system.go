package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/internal/cluster"
)

// The peers, each at one version. That of Socket.IO stands in socketio/package.json.
const (
	centrifugoModule  = "github.com/centrifugal/centrifugo/v5"
	centrifugoVersion = "v5.4.9"
)

// What all systems have alike.
const (
	maxServers  = 2
	historySize = 10_000 // messages kept for each room: chatd's preset
)

// A system is what loads are put on: servers, which can be started afresh, and the
// Redis that stays.
type system struct {
	name    string
	version string
	dialect dialect
	servers []*cluster.Process // maxServers, or one
	redis   *cluster.Process   // nil: it has none
	logins  []string           // of its people, who stay
	admins  []string           // where the servers tell of themselves; none if they do not
	say     func(ctx context.Context, command string) (string, error)
	close   func()
}

const (
	chatdName      = "chatd"
	floorName      = "floor"
	centrifugoName = "Centrifugo"
	socketIOName   = "Socket.IO"
)

// running are the servers that run.
func (s *system) running() []*cluster.Process {
	var all []*cluster.Process
	for _, p := range s.servers {
		if p.PID() != 0 {
			all = append(all, p)
		}
	}
	return all
}

func (s *system) addrs() []string {
	var all []string
	for _, p := range s.running() {
		all = append(all, p.Addr)
	}
	return all
}

// fresh kills the servers that run and starts n.
func (s *system) fresh(ctx context.Context, n int) error {
	for _, p := range s.servers {
		p.Kill()
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, p := range s.servers[:min(n, len(s.servers))] {
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startChatd starts chatd as `make up` does, but for what guards it from single people
// and addresses, who are all one here, and for the balancer, which none of the others has.
func startChatd(ctx context.Context, dir, program string, people int) (*system, error) {
	c, err := cluster.Start(ctx, cluster.Options{
		Dir: filepath.Join(dir, "chatd"), Chatd: program, Instances: maxServers,
		Env: []string{"CHATD_HANDSHAKES=100000", "CHATD_SEND_RATE=100000", "CHATD_LOG_LEVEL=warn", fmt.Sprintf("CHATD_HISTORY=%d", historySize)},
	})
	if err != nil {
		return nil, err
	}
	c.HAProxy.Kill()
	s := &system{name: chatdName, version: "of this source", dialect: chatdDialect{}, redis: c.Redis, say: c.RedisSay, close: c.Close}
	for _, i := range c.Instances() {
		s.servers, s.admins = append(s.servers, i.Process), append(s.admins, i.Admin)
	}
	if s.logins, err = logIn(ctx, s.addrs(), people); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// logIn logs in so many guests and returns their cookies.
func logIn(ctx context.Context, addrs []string, people int) ([]string, error) {
	cookies := make([]string, people)
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 10 * time.Second}
	defer browser.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for n := range people {
		g.Go(func() error {
			form := url.Values{"username": {"bench-person-" + strconv.Itoa(n)}, "password": {""}}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addrs[n%len(addrs)]+"/login", strings.NewReader(form.Encode()))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			resp, err := browser.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			for _, cookie := range resp.Cookies() {
				if cookie.Name == "jsessionid" {
					cookies[n] = cookie.Value
				}
			}
			if cookies[n] == "" {
				return fmt.Errorf("login of person %d: %s", n, resp.Status)
			}
			return nil
		})
	}
	return cookies, g.Wait()
}

// startFloor starts the floor, which the command self runs when an address is added.
func startFloor(ctx context.Context, dir string, self []string, people int) (*system, error) {
	p, err := newServer(dir, floorName, func(addr string) *exec.Cmd {
		return exec.Command(self[0], append(self[1:], addr)...)
	})
	if err != nil {
		return nil, err
	}
	return &system{name: floorName, version: "of this source", dialect: chatdDialect{floor: true}, servers: []*cluster.Process{p},
		logins: make([]string, people), close: p.Kill}, nil
}

// startCentrifugo starts Centrifugo with its Redis engine, and history and recovery on.
func startCentrifugo(ctx context.Context, dir, program string, people int) (*system, error) {
	redis, err := startRedis(ctx, dir, "redis-of-centrifugo")
	if err != nil {
		return nil, err
	}
	s := &system{name: centrifugoName, version: centrifugoVersion, dialect: centrifugoDialect{}, redis: redis, close: redis.Kill}
	config, err := json.Marshal(map[string]any{
		"engine": "redis", "redis_address": "redis://" + redis.Addr,
		"token_hmac_secret_key":      centrifugoSecret,
		"allow_subscribe_for_client": true, "allow_publish_for_client": true,
		"history_size": historySize, "history_ttl": "24h", "force_recovery": true, "force_positioning": true,
		"allowed_origins": []string{"*"}, "health": true, "log_level": "warn",
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "centrifugo.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	for n := range maxServers {
		p, err := newServer(dir, fmt.Sprintf("centrifugo-%d", n+1), func(addr string) *exec.Cmd {
			host, port, _ := net.SplitHostPort(addr)
			cmd := exec.Command(program, "-c", file, "--address", host, "--port", port)
			cmd.Env = append(os.Environ(), fmt.Sprintf("CENTRIFUGO_NAME=%d", n+1))
			return cmd
		})
		if err != nil {
			return nil, err
		}
		s.servers = append(s.servers, p)
	}
	for n := range people {
		s.logins = append(s.logins, centrifugoToken("bench-person-"+strconv.Itoa(n)))
	}
	return s, nil
}

// startSocketIO starts Socket.IO with the adapter that can recover a connection.
func startSocketIO(ctx context.Context, dir, folder string, people int) (*system, error) {
	redis, err := startRedis(ctx, dir, "redis-of-socketio")
	if err != nil {
		return nil, err
	}
	s := &system{name: socketIOName, version: socketIOVersion(folder), dialect: socketIODialect{}, redis: redis, logins: make([]string, people), close: redis.Kill}
	for n := range maxServers {
		p, err := newServer(dir, fmt.Sprintf("socketio-%d", n+1), func(addr string) *exec.Cmd {
			cmd := exec.Command("node", filepath.Join(folder, "server.js"), addr, "redis://"+redis.Addr)
			cmd.Env = append(os.Environ(), "NODE_ENV=production")
			return cmd
		})
		if err != nil {
			return nil, err
		}
		s.servers = append(s.servers, p)
	}
	return s, nil
}

func newServer(dir, name string, command func(addr string) *exec.Cmd) (*cluster.Process, error) {
	addr, err := cluster.FreeAddr()
	if err != nil {
		return nil, err
	}
	p := cluster.NewProcess(name, filepath.Join(dir, "log", name+".log"), func() *exec.Cmd { return command(addr) }, func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	p.Addr = addr
	return p, nil
}

// startRedis starts a redis-server with the settings of chatd's.
func startRedis(ctx context.Context, dir, name string) (*cluster.Process, error) {
	data := filepath.Join(dir, name)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	p, err := newServer(dir, name, func(addr string) *exec.Cmd {
		host, port, _ := net.SplitHostPort(addr)
		return exec.Command("redis-server", "--bind", host, "--port", port, "--dir", data,
			"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no")
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return p, p.Start(ctx)
}

// Peers are the programs of the peers; "" for one that is left out.
type Peers struct {
	Centrifugo string // the program
	SocketIO   string // the folder of server.js, with its node_modules
}

// GetPeers builds and installs what of the peers is not there yet, in the folder dir
// and beside server.js. It needs the registries for that.
func GetPeers(ctx context.Context, dir string, progress func(string)) (Peers, error) {
	root, err := cluster.Root()
	if err != nil {
		return Peers{}, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Peers{}, err
	}
	peers := Peers{
		Centrifugo: filepath.Join(dir, "centrifugo-"+centrifugoVersion),
		SocketIO:   filepath.Join(root, "internal", "bench", "socketio"),
	}
	if _, err := os.Stat(peers.Centrifugo); errors.Is(err, os.ErrNotExist) {
		progress("building Centrifugo " + centrifugoVersion)
		if err := buildCentrifugo(ctx, peers.Centrifugo); err != nil {
			return Peers{}, err
		}
	}
	if _, err := os.Stat(filepath.Join(peers.SocketIO, "node_modules")); errors.Is(err, os.ErrNotExist) {
		progress("installing Socket.IO")
		if err := command(ctx, peers.SocketIO, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
			return Peers{}, err
		}
	}
	return peers, nil
}

// buildCentrifugo builds it from a module that is made for that and thrown away:
// chatd's own knows nothing of it.
func buildCentrifugo(ctx context.Context, out string) error {
	dir, err := os.MkdirTemp("", "centrifugo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module peer\n"), 0o644); err != nil {
		return err
	}
	if err := command(ctx, dir, "go", "get", "-tool", centrifugoModule+"@"+centrifugoVersion); err != nil {
		return err
	}
	return command(ctx, dir, "go", "build", "-o", out, centrifugoModule)
}

func command(ctx context.Context, dir string, words ...string) error {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, text)
	}
	return nil
}

func socketIOVersion(folder string) string {
	text, err := os.ReadFile(filepath.Join(folder, "package.json"))
	var about struct{ Dependencies map[string]string }
	if err != nil || json.Unmarshal(text, &about) != nil {
		return "?"
	}
	return about.Dependencies["socket.io"]
}
