//go:build integration

package integration_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/internal/cluster"
)

var loginTests = []part{
	{"GuestLogin", testGuestLogin},
	{"RefreshGivesAFreshIDAndTheOldOneDies", testRefresh},
	{"FiftyRefreshesAtOnceAgree", testParallelRefreshes},
	{"LogoutEndsTheSessionEverywhere", testLogout},
	{"LoggedOutIsOutForAPeerThatDoesNotClose", testDeafToClose},
	{"AHandshakeDuringALogoutLeavesNoSocket", testLogoutRace},
	{"LoggingInAgainEndsTheFormerLogin", testLoginAgain},
	{"NoSocketWithoutALogin", testNoLogin},
}

func testGuestLogin(t *testing.T, c *cluster.Cluster) {
	p := visitor(t, c.URL())
	if a := p.get(t, "/"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" {
		t.Fatalf("a stranger's GET / is %d to %q", a.status, a.header.Get("Location"))
	}
	if a := p.get(t, "/login"); a.status != http.StatusOK || !strings.Contains(a.body, `name="username"`) {
		t.Fatalf("the login page is %d: %s", a.status, a.body)
	}
	for _, form := range []url.Values{
		{}, {"username": {""}}, {"username": {"no name"}}, {"username": {"p\u0430ypal"}}, {"username": {"lg-alice"}, "password": {"secret"}},
		{"username": {"<script>"}}, {"username": {strings.Repeat("x", 5000)}},
	} {
		a := p.ask(t, http.MethodPost, "/login", form, nil)
		if a.status != http.StatusUnauthorized || !strings.Contains(a.body, `name="username"`) || p.cookie() != "" || strings.Contains(a.body, "<script>\"") {
			t.Fatalf("login with %.50v is %d, cookie %q", form, a.status, p.cookie())
		}
	}
	a := p.ask(t, http.MethodPost, "/login", url.Values{"username": {"LG-Alice"}, "password": {""}}, nil)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/" {
		t.Fatalf("login is %d to %q: %s", a.status, a.header.Get("Location"), a.body)
	}
	set := a.header.Values("Set-Cookie")
	if len(set) != 1 || !strings.HasPrefix(set[0], "jsessionid=") {
		t.Fatalf("login sets %q", set)
	}
	for _, attribute := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(set[0], "; "+attribute) {
			t.Errorf("the cookie has no %s: %q", attribute, set[0])
		}
	}
	if a := p.get(t, "/"); a.status != http.StatusOK || !strings.Contains(a.body, "lg-alice") {
		t.Fatalf("the chat page is %d and does not know who it is for", a.status)
	}
	if w := p.connect(t); w.user != "lg-alice" {
		t.Fatalf("the socket is %q's", w.user)
	}
}

func testRefresh(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.Instances()[0].URL(), "rf-alice")
	old := p.cookie()
	if a := p.ask(t, http.MethodPost, "/session/refresh", nil, nil); a.status != http.StatusOK || !strings.Contains(a.body, `"user":"rf-alice"`) {
		t.Fatalf("refresh is %d: %s", a.status, a.body)
	}
	fresh := p.cookie()
	if fresh == old || fresh == "" {
		t.Fatal("refresh gave no fresh id")
	}
	for _, i := range c.Instances() {
		if status := withCookie(t, i.URL(), old).status; status != http.StatusOK {
			t.Fatalf("just after the refresh the old id is %d at %s", status, i.Name)
		}
	}
	// The fresh id is used, so its owner has it: from now on the old one lapses.
	if status := withCookie(t, c.Instances()[0].URL(), fresh).status; status != http.StatusOK {
		t.Fatalf("the fresh id is %d", status)
	}
	used := time.Now()
	eventually(t, 20*time.Second, "the old id is dead", func() bool {
		lasts(t, 100*time.Millisecond) // each look is a connection, and others are at work here
		return visitorWith(t, c.Instances()[1].URL(), old).get(t, "/").status == http.StatusSeeOther
	})
	if lived := time.Since(used); lived < 14*time.Second || lived > 17*time.Second {
		t.Errorf("the old id lived for %v after the first use of the fresh one, want 15 s", lived)
	}
	for _, i := range c.Instances() {
		if status := withCookie(t, i.URL(), fresh).status; status != http.StatusOK {
			t.Errorf("the fresh id is %d at %s", status, i.Name)
		}
		if status := visitorWith(t, i.URL(), old).ask(t, http.MethodPost, "/session/refresh", nil, nil).status; status != http.StatusUnauthorized {
			t.Errorf("a refresh of the dead id is %d at %s", status, i.Name)
		}
	}
}

// withCookie asks for the list of rooms with this jsessionid.
func withCookie(t *testing.T, base, value string) answer {
	t.Helper()
	return visitorWith(t, base, value).get(t, "/api/rooms")
}

func visitorWith(t *testing.T, base string, values ...string) *person {
	t.Helper()
	p := visitor(t, base)
	p.http.Transport = cookies{values, p.http.Transport}
	return p
}

// cookies sends jsessionid with each of these values.
type cookies struct {
	values []string
	http.RoundTripper
}

func (c cookies) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for _, v := range c.values {
		r.Header.Add("Cookie", "jsessionid="+v)
	}
	return c.RoundTripper.RoundTrip(r)
}

func testParallelRefreshes(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.Instances()[0].URL(), "pr-alice")
	for round := range 3 {
		old := p.cookie()
		got := make([]string, 50)
		status := make([]int, 50)
		gate := make(chan struct{})
		var wg sync.WaitGroup
		for n := range got {
			tab := visitorWith(t, c.Instances()[n%3].URL(), old)
			wg.Go(func() {
				<-gate
				status[n] = tab.ask(t, http.MethodPost, "/session/refresh", nil, nil).status
				got[n] = tab.cookie()
			})
		}
		close(gate)
		wg.Wait()
		for n := range got {
			if status[n] != http.StatusOK || got[n] != got[0] || got[n] == "" || got[n] == old {
				t.Fatalf("round %d: tab %d got %d and id %q, tab 0 got %q", round, n, status[n], got[n], got[0])
			}
		}
		p = visitorWith(t, c.Instances()[round].URL(), got[0])
		p.http.Jar.SetCookies(p.base, []*http.Cookie{{Name: "jsessionid", Value: got[0]}})
		p.http.Transport = p.http.Transport.(cookies).RoundTripper
		if w := p.connect(t); w.user != "pr-alice" {
			t.Fatalf("round %d: the new id is %q's", round, w.user)
		}
	}
}

func testLogout(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.Instances()[0].URL(), "lo-alice")
	other := guest(t, c.Instances()[0].URL(), "lo-alice") // another browser of the same person
	var sockets []*wire
	for _, i := range c.Instances() {
		sockets = append(sockets, p.at(t, i.URL()).connect(t))
	}
	stays := other.connect(t)
	cookie := p.cookie()
	began := time.Now()
	if a := p.at(t, c.Instances()[1].URL()).ask(t, http.MethodPost, "/logout", nil, nil); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" {
		t.Fatalf("logout is %d to %q", a.status, a.header.Get("Location"))
	}
	for n, w := range sockets {
		w.until("the logout notice", func(o map[string]any) bool { return o["type"] == "logout" })
		if code := w.end(); code != 4401 {
			t.Errorf("socket %d was closed with %d", n, code)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the last socket was closed after %v", took)
	}
	if p.cookie() != "" {
		t.Error("logout leaves the cookie")
	}
	for _, i := range c.Instances() {
		dead := visitorWith(t, i.URL(), cookie)
		if status := dead.get(t, "/api/rooms").status; status != http.StatusUnauthorized {
			t.Errorf("the old cookie is %d at %s", status, i.Name)
		}
		if status := dead.ask(t, http.MethodPost, "/session/refresh", nil, nil).status; status != http.StatusUnauthorized {
			t.Errorf("a refresh with the old cookie is %d at %s", status, i.Name)
		}
		if _, status, err := dead.shake(t, dead.origin()); err == nil || status != http.StatusUnauthorized {
			t.Errorf("a handshake with the old cookie is %d at %s", status, i.Name)
		}
		if a := dead.get(t, "/"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" {
			t.Errorf("a page with the old cookie is %d at %s", a.status, i.Name)
		}
	}
	stays.fence() // its login is another one
}

// A peer that ignores the close frame is cut, and heard no more meanwhile.
func testDeafToClose(t *testing.T, c *cluster.Cluster) {
	const room = "dc-room"
	p := guest(t, c.Instances()[0].URL(), "dc-mallory")
	conn, err := net.Dial("tcp", p.base.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: jsessionid=%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chatd.v1\r\n\r\n", p.base.Host, p.origin().Get("Origin"), p.cookie()); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v, %v", resp, err)
	}
	// Masked with zeros, as a client's frames must be masked.
	say := func(text string) error {
		frame := fmt.Sprintf(`{"type":"send","id":1,"room":"dc-room","key":%q,"text":%q}`, text, text)
		_, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(frame)), 0, 0, 0, 0}, frame...))
		return err
	}
	if err := say("early"); err != nil {
		t.Fatal(err)
	}
	w := guest(t, c.Instances()[1].URL(), "dc-alice").connect(t)
	eventually(t, 10*time.Second, "what was sent before", func() bool {
		return len(w.ok("history", fields{"room": room})["events"].([]any)) == 1
	})
	if status := p.ask(t, http.MethodPost, "/logout", nil, nil).status; status != http.StatusSeeOther {
		t.Fatalf("logout is %d", status)
	}
	out := time.Now()
	var heard []byte
	for !bytes.Contains(heard, []byte{0x88}) { // until the close frame: JSON has no such byte
		b := make([]byte, 1000)
		n, err := br.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", heard, err)
		}
		heard = append(heard, b[:n]...)
	}
	if err := say("late"); err != nil {
		t.Logf("the late frame: %v", err) // it was cut already, all the better
	}
	if _, err := io.Copy(io.Discard, br); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the socket is never cut")
	}
	// Contract: within a second. One more, for a peer that should have closed by itself.
	if took := time.Since(out); took > 2*time.Second {
		t.Errorf("the socket was cut %v after the logout", took.Round(time.Millisecond))
	}
	wantTexts(t, w.ok("history", fields{"room": room})["events"], "early")
}

// The word that a login has ended must reach the socket that is just being opened.
func testLogoutRace(t *testing.T, c *cluster.Cluster) {
	var mu sync.Mutex
	opened, stay := 0, 0
	for round := range 60 {
		var wg sync.WaitGroup
		defer wg.Wait() // however it ends: nobody asks on behind it
		for n := range 6 {
			p := guest(t, c.Instances()[0].URL(), fmt.Sprintf("lr-%d-%d", round, n))
			wg.Go(func() {
				p.at(t, c.Instances()[1].URL()).ask(t, http.MethodPost, "/logout", nil, nil)
			})
			wg.Go(func() {
				ws, _, err := p.shake(t, p.origin())
				if err != nil {
					return // the logout was first
				}
				ctx := within(t, 3*time.Second)
				for err == nil {
					_, _, err = ws.Read(ctx)
				}
				mu.Lock()
				defer mu.Unlock()
				opened++
				if ctx.Err() != nil {
					stay++
				}
			})
		}
		wg.Wait()
	}
	t.Logf("%d of 360 handshakes were first", opened)
	if stay > 0 {
		t.Errorf("%d sockets of ended logins were open 3 s later", stay)
	}
	if opened == 0 || opened == 360 {
		t.Error("the two did not meet")
	}
}

func testLoginAgain(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.Instances()[0].URL(), "la-alice")
	former := p.cookie()
	w := p.connect(t)
	if err := p.at(t, c.Instances()[1].URL()).login(within(t, 10*time.Second), "la-bob"); err != nil {
		t.Fatal(err)
	}
	if p.cookie() == former {
		t.Fatal("a login kept the former id")
	}
	if code := w.end(); code != 4401 {
		t.Errorf("the former login's socket was closed with %d", code)
	}
	if status := withCookie(t, c.Instances()[2].URL(), former).status; status != http.StatusUnauthorized {
		t.Errorf("the former id is %d", status)
	}
	if w := p.at(t, c.Instances()[2].URL()).connect(t); w.user != "la-bob" {
		t.Errorf("the socket is %q's", w.user)
	}
}

func testNoLogin(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.Instances()[0].URL(), "nl-alice")
	good := p.cookie()
	login, secret, _ := strings.Cut(good, ".")
	flipped := []byte(secret)
	flipped[5] ^= 1
	random := base64.RawURLEncoding.EncodeToString
	for name, values := range map[string][]string{
		"no cookie":                   nil,
		"an empty cookie":             {""},
		"another secret":              {login + "." + random(make([]byte, 32))},
		"a flipped bit":               {login + "." + string(flipped)},
		"a well-shaped unknown id":    {random(make([]byte, 16)) + "." + random(make([]byte, 32))},
		"the login's name alone":      {login},
		"the login's key":             {"{" + login + "}"},
		"a wildcard":                  {"*.*"},
		"half an id":                  {good[:len(good)/2]},
		"an id and more":              {good + "x"},
		"huge":                        {strings.Repeat("A", 6000)},
		"another id before the good":  {random(make([]byte, 16)) + "." + random(make([]byte, 32)), good},
		"another id after the good":   {good, random(make([]byte, 16)) + "." + random(make([]byte, 32))},
		"twice the good":              {good, good},
		"a Redis command in the name": {"x\\r\\nFLUSHALL\\r\\n." + secret},
	} {
		for _, base := range []string{c.URL(), c.Instances()[1].URL()} {
			forger := visitorWith(t, base, values...)
			if _, status, err := forger.shake(t, forger.origin()); err == nil || status != http.StatusUnauthorized {
				t.Errorf("%s: handshake is %d at %s", name, status, base)
			}
			for _, path := range []string{"/api/rooms", "/api/rooms/general/events"} {
				if status := forger.get(t, path).status; status != http.StatusUnauthorized {
					t.Errorf("%s: GET %s is %d at %s", name, path, status, base)
				}
			}
			if a := forger.ask(t, http.MethodPost, "/session/refresh", nil, nil); a.status != http.StatusUnauthorized || len(a.header.Values("Set-Cookie")) > 0 && strings.Contains(a.header.Get("Set-Cookie"), ".") {
				t.Errorf("%s: refresh is %d and sets %q at %s", name, a.status, a.header.Get("Set-Cookie"), base)
			}
			if a := forger.get(t, "/"); a.status != http.StatusSeeOther {
				t.Errorf("%s: GET / is %d at %s", name, a.status, base)
			}
		}
	}

	// An id that somebody else chose is not the victim's id after a login.
	forged := random([]byte("0123456789abcdef")) + "." + random([]byte("0123456789abcdef0123456789abcdef"))
	victim := visitorWith(t, c.URL(), forged)
	if err := victim.login(within(t, 10*time.Second), "nl-victim"); err != nil {
		t.Fatal(err)
	}
	if got := victim.cookie(); strings.Contains(got, forged) {
		t.Errorf("login adopted the forged id: %q", got)
	}
	if status := withCookie(t, c.URL(), forged).status; status != http.StatusUnauthorized {
		t.Errorf("the forged id is %d after a login with it", status)
	}
	if status := withCookie(t, c.Instances()[0].URL(), good).status; status != http.StatusOK {
		t.Errorf("the good id is %d after all that", status)
	}
}
