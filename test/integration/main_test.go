//go:build integration

// Package integration_test drives real processes: redis-server, HAProxy with its
// real configuration, and chatd, on free ports of loopback.
package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"chatd/internal/cluster"
)

var chatd string // the program under test

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "chatd-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		chatd = filepath.Join(dir, "chatd")
		if err := cluster.Build(context.Background(), chatd); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// startCluster starts n instances behind HAProxy. An instance that dies unasked
// fails the test.
func startCluster(t *testing.T, n int, env ...string) *cluster.Cluster {
	t.Helper()
	return startClusterWith(t, cluster.Options{Instances: n, Env: env})
}

// startClusterWith is startCluster with further options.
func startClusterWith(t *testing.T, opts cluster.Options) *cluster.Cluster {
	t.Helper()
	// Not t.TempDir: a long test name would make the sockets' paths too long.
	dir, err := os.MkdirTemp("", "chatd-run-")
	if err != nil {
		t.Fatal(err)
	}
	opts.Dir, opts.Chatd = dir, chatd
	opts.Died = func(p *cluster.Process, how error) { t.Errorf("%s %v", p.Name, how) }
	c, err := cluster.Start(within(t, time.Minute), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Redis has nothing to complain of, in whatever test. Where it is away it did not.
		if refused, err := c.RedisSay(context.Background(), "ACL LOG"); err == nil && refused != "" {
			t.Errorf("chatd tried what it has no right to in Redis (redis/users.acl):\n%s", refused)
		}
		c.Close()
		if t.Failed() {
			t.Log("the logs are in ", filepath.Join(dir, "log"))
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

// within is the test's context, with a deadline.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// person is somebody with one browser: their own cookies and connections.
type person struct {
	base *url.URL
	http *http.Client
}

func login(t *testing.T, c *cluster.Cluster, name string) *person {
	t.Helper()
	p, err := newPerson(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.login(within(t, 30*time.Second), name); err != nil {
		t.Fatal(err)
	}
	return p
}

func newPerson(c *cluster.Cluster) (*person, error) {
	base, err := url.Parse(c.URL())
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &person{base: base, http: &http.Client{
		Jar:           jar,
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (p *person) login(ctx context.Context, name string) error {
	_, err := p.do(ctx, http.MethodPost, "/login", url.Values{"username": {name}}, http.StatusSeeOther)
	if err == nil && p.cookie() == "" {
		err = errors.New("login gave no jsessionid")
	}
	return err
}

func (p *person) page(ctx context.Context) error {
	_, err := p.do(ctx, http.MethodGet, "/", nil, http.StatusOK)
	return err
}

// refresh says which instance answered.
func (p *person) refresh(ctx context.Context) (instance string, err error) {
	body, err := p.do(ctx, http.MethodPost, "/session/refresh", nil, http.StatusOK)
	if err != nil {
		return "", err
	}
	var answer struct{ Instance string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", err
	}
	return answer.Instance, nil
}

// errCut says that an answer had begun, and has no end: nobody can repeat that request
// but who asked.
var errCut = errors.New("cut in the middle")

func (p *person) do(ctx context.Context, method, path string, form url.Values, want int) ([]byte, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, p.base.JoinPath(path).String(), body)
	if err != nil {
		return nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %w", method, path, errCut, err)
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, text)
	}
	return text, nil
}

// cookie is the value of jsessionid as the browser holds it.
func (p *person) cookie() string {
	for _, c := range p.http.Jar.Cookies(p.base) {
		if c.Name == "jsessionid" {
			return c.Value
		}
	}
	return ""
}

// pin is the instance that HAProxy has written into the cookie.
func (p *person) pin() string {
	name, _, ok := strings.Cut(p.cookie(), "~")
	if !ok {
		return ""
	}
	return name
}

// socket is one WebSocket, read until it ends.
type socket struct {
	instance string
	conn     *websocket.Conn
	drain    chan struct{} // closed when the instance asked to move
	ended    chan struct{} // closed at the end; then at and err say how
	at       time.Time
	err      error
}

// open opens a socket and waits for the welcome.
func (p *person) open(ctx context.Context) (*socket, error) {
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(p.base.JoinPath("/ws").String(), "http"), &websocket.DialOptions{
		HTTPClient:   p.http,
		HTTPHeader:   http.Header{"Origin": {p.base.String()}},
		Subprotocols: []string{"chatd.v1"},
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(1 << 20)
	s := &socket{conn: conn, drain: make(chan struct{}), ended: make(chan struct{})}
	for s.instance == "" {
		objects, err := s.read(ctx)
		if err != nil {
			conn.CloseNow()
			return nil, fmt.Errorf("no welcome: %w", err)
		}
		for _, o := range objects {
			if o.Type == "welcome" {
				s.instance = o.Instance
			}
		}
	}
	go s.follow()
	return s, nil
}

type object struct{ Type, Instance string }

func (s *socket) read(ctx context.Context) ([]object, error) {
	_, frame, err := s.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	var objects []object
	for line := range strings.Lines(string(frame)) {
		var o object
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

func (s *socket) follow() {
	defer close(s.ended)
	asked := sync.OnceFunc(func() { close(s.drain) })
	for {
		objects, err := s.read(context.Background()) // ends with close
		if err != nil {
			s.at, s.err = time.Now(), err
			return
		}
		for _, o := range objects {
			if o.Type == "drain" {
				asked()
			}
		}
	}
}

// close ends the socket from our side and waits for its reader.
func (s *socket) close() {
	s.conn.CloseNow()
	<-s.ended
}
