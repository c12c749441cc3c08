package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/gate"
	"chatd/internal/session"
	"chatd/internal/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parts stand in for all that the server works with. err is what they fail with.
type parts struct {
	err     error
	looked  int // bytes for a page of history
	deaf    time.Duration
	never   bool
	ended   []string
	from    netip.Addr // of the last handshake
	admin   bool
	guest   bool                // who has a login came by name alone
	pages   map[string][]string // of history, by what they come before
	barred  string              // whom the gate keeps out, from wherever they come
	lines   []audit.Line
	changed []string // logins that were begun, refreshed or ended
}

func (p *parts) Begin(w http.ResponseWriter, r *http.Request, who session.Who) (session.Session, string, error) {
	p.changed = append(p.changed, "begun")
	return session.Session{User: who.User}, "former", p.err
}
func (p *parts) Read(r *http.Request) (session.Session, error) {
	return session.Session{User: "alice", Guest: p.guest}, p.err
}
func (p *parts) Refresh(w http.ResponseWriter, r *http.Request) (session.Session, error) {
	p.changed = append(p.changed, "refreshed")
	return session.Session{User: "alice", Guest: p.guest}, p.err
}
func (p *parts) End(w http.ResponseWriter, r *http.Request) (string, error) {
	p.changed = append(p.changed, "ended")
	return "login", p.err
}
func (p *parts) List(context.Context, string) ([]session.Login, error) { return nil, p.err }
func (p *parts) EndOf(context.Context, string, ...string) error        { return p.err }
func (p *parts) Actor(ses session.Session, address string) chat.Actor {
	return chat.Actor{Name: ses.User, Admin: p.admin, Address: address}
}
func (p *parts) Serve(w http.ResponseWriter, r *http.Request, ses session.Session, address string, from netip.Addr, release func()) {
	release()
	w.WriteHeader(http.StatusNoContent) // stands for the upgrade
}
func (p *parts) Reserve(user string, from netip.Addr) (func(), error) {
	p.from = from
	return func() {}, nil
}
func (p *parts) Admit(context.Context, netip.Addr) error      { return p.err }
func (p *parts) LoginEnded(ctx context.Context, login string) { p.ended = append(p.ended, login) }
func (p *parts) History(ctx context.Context, who chat.Actor, room chat.Room, before string, limit int) ([]json.RawMessage, int, error) {
	var page []json.RawMessage
	for _, event := range p.pages[before] {
		page = append(page, json.RawMessage(event))
	}
	return page, p.looked, p.err
}
func (p *parts) Deaf() (time.Duration, bool) { return p.deaf, !p.never }

// ledger stands in for the audit log, with the newest line last.
type ledger struct{ p *parts }

func (l ledger) Write(_ context.Context, e audit.Entry) error {
	l.p.lines = append(l.p.lines, audit.Line{ID: fmt.Sprint(len(l.p.lines)+1, "-0"), At: time.Unix(int64(len(l.p.lines)), 0).UTC(), Entry: e})
	return l.p.err
}
func (l ledger) Read(_ context.Context, before string, limit int) ([]audit.Line, error) {
	n := len(l.p.lines)
	if before != "" {
		if _, err := fmt.Sscanf(before, "%d-0", &n); err != nil {
			return nil, chat.BadRequest("before is no line")
		}
		n--
	}
	some := slices.Clone(l.p.lines[max(0, n-limit):n])
	slices.Reverse(some)
	return some, l.p.err
}

// rooms stands in for the directory, names for the accounts: nobody has one.
type (
	rooms struct{ p *parts }
	names struct{ p *parts }
)

func (r rooms) List(context.Context, chat.Actor) ([]chat.RoomInfo, error) {
	return []chat.RoomInfo{}, r.p.err
}
func (n names) Find(ctx context.Context, name string) (account.Account, error) {
	return account.Account{Name: name}, n.p.err
}
func (n names) CheckAlike(context.Context, string) error  { return n.p.err }
func (n names) Guest(context.Context, account.From) error { return n.p.err }
func (n names) Register(context.Context, account.From, string, string) (account.Account, error) {
	return account.Account{}, n.p.err
}
func (n names) Check(context.Context, account.From, string, string) (account.Account, error) {
	return account.Account{}, &chat.Error{Code: account.CodeWrong, Message: "It is wrong."}
}
func (n names) ChangePassword(context.Context, account.From, account.Account, string) (account.Account, error) {
	return account.Account{}, n.p.err
}
func (n names) Delete(context.Context, account.From, account.Account) error { return n.p.err }
func (n names) Remember(context.Context, string, string) (string, error) {
	return "", n.p.err
}
func (n names) TakeData(context.Context, account.From, string) error             { return n.p.err }
func (n names) Lock(context.Context, account.From, string, string, string) error { return n.p.err }
func (n names) Locked(context.Context, string) error                             { return n.p.err }
func (n names) Unlock(context.Context, account.From, string, string, string) error {
	return n.p.err
}

func (n names) Owned(context.Context, account.Identity) (account.Account, error) {
	return account.Account{}, n.p.err
}
func (n names) Adopt(context.Context, account.From, string, account.Identity) (account.Account, error) {
	return account.Account{}, n.p.err
}
func (n names) Return(context.Context, account.From) error                 { return n.p.err }
func (n names) Returned(context.Context, account.From) error               { return n.p.err }
func (n names) First(context.Context, string, time.Duration) (bool, error) { return true, n.p.err }
func (n names) Keep(context.Context, account.Proven, time.Duration) (string, error) {
	return "", n.p.err
}
func (n names) Kept(context.Context, string) (account.Proven, error) {
	return account.Proven{}, n.p.err
}
func (n names) Forget(context.Context, string) error { return n.p.err }
func (n names) Confirm(context.Context, string, account.Proven) (account.Account, error) {
	return account.Account{}, n.p.err
}

// gates stands in for the gate.
type gates struct{ p *parts }

func (g gates) KeepsOut(_ context.Context, _ netip.Addr, guest bool) (bool, error) {
	return g.p.barred == gate.Everyone || g.p.barred == gate.Guests && guest, nil
}
func (g gates) List(context.Context) ([]gate.Bar, error)                   { return nil, g.p.err }
func (g gates) Bar(context.Context, string, gate.Bar, time.Duration) error { return g.p.err }
func (g gates) Lift(context.Context, string, gate.Bar) error               { return g.p.err }

func newServer(t *testing.T) (*Server, *parts) {
	t.Helper()
	page := func(name string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(`{{define "body"}}` + name + ` {{with .Error}}{{.}}{{end}}{{with .Message}}{{word $.T "errors" $.Code .}}{{end}}{{end}}`)}
	}
	p := &parts{}
	s, err := New(Options{
		Instance: "chatd-1", Requests: 1000, Guests: true, Registers: true, Origins: []string{"https://app.example"}, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Files: fstest.MapFS{
			"templates/layout.html":   {Data: []byte(`{{define "layout"}}{{asset "js/main.js"}} {{block "body" .}}{{end}}{{end}}`)},
			"templates/register.html": page("register"), "templates/name.html": page("name"), "templates/account.html": page("account"), "templates/admin.html": page("admin"), "templates/audit.html": {Data: []byte(`{{define "body"}}{{range .Lines}}[{{.Actor}}]{{end}}{{with .Older}}older={{.}}{{end}}{{end}}`)},
			"templates/login.html": page("login"), "templates/chat.html": page("chat"), "templates/error.html": page("error"),
			"static/js/main.js":         {Data: []byte("export {}")},
			"templates/strings/en.json": {Data: []byte(`{"lang":"en"}`)},
			"templates/strings/de.json": {Data: []byte(`{"lang":"de","errors":{"unavailable":"Speicher"}}`)},
		},
		Sessions: p, Accounts: names{p}, Audit: ledger{p}, Sockets: p, Directory: rooms{p}, Gate: gates{p}, Redis: p, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

// do sends a request to chat.example; each header is "Name: value".
func do(s *Server, method, path string, headers ...string) *httptest.ResponseRecorder {
	body := ""
	if method == "POST" {
		body = "username=alice"
	}
	r := httptest.NewRequest(method, "http://chat.example"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Peer" {
			r.RemoteAddr = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestHandshakeWantsItsOwnOrigin(t *testing.T) {
	s, _ := newServer(t)
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"its own", []string{"Origin: http://chat.example"}, 204},
		{"its own in capitals", []string{"Origin: http://CHAT.example"}, 204},
		{"its own with the default port", []string{"Origin: http://chat.example:80"}, 204},
		{"one that the operator named", []string{"Origin: https://app.example"}, 204},
		{"behind a proxy that speaks TLS", []string{"Origin: https://chat.example", "X-Forwarded-Proto: https", "Peer: 10.1.2.3:4"}, 204},
		{"a stranger who says so", []string{"Origin: https://chat.example", "X-Forwarded-Proto: https", "Peer: 192.0.2.1:4"}, 403},
		{"none", nil, 403},
		{"null", []string{"Origin: null"}, 403},
		{"empty", []string{"Origin: "}, 403},
		{"two", []string{"Origin: http://chat.example", "Origin: http://chat.example"}, 403},
		{"another scheme", []string{"Origin: https://chat.example"}, 403},
		{"another port", []string{"Origin: http://chat.example:8080"}, 403},
		{"another host", []string{"Origin: http://evil.example"}, 403},
		{"it as a prefix", []string{"Origin: http://chat.example.evil"}, 403},
		{"it as a suffix", []string{"Origin: http://evilchat.example"}, 403},
		{"it as a user", []string{"Origin: http://chat.example@evil.example"}, 403},
		{"a path", []string{"Origin: http://chat.example/x"}, 403},
		{"the named one by http", []string{"Origin: http://app.example"}, 403},
	} {
		if got := do(s, "GET", "/ws", c.headers...).Code; got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOtherSitesChangeNothing(t *testing.T) {
	s, p := newServer(t)
	for _, path := range []string{"/login", "/logout", "/session/refresh"} {
		for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: http://evil.example", "Origin: null"} {
			if w := do(s, "POST", path, header); w.Code != 403 {
				t.Errorf("POST %s with %s: %d", path, header, w.Code)
			}
		}
		for _, header := range []string{"Sec-Fetch-Site: same-origin", "Origin: http://chat.example", "Origin: https://app.example", "Accept: */*"} {
			if w := do(s, "POST", path, header); w.Code >= 400 {
				t.Errorf("POST %s with %s: %d", path, header, w.Code)
			}
		}
	}
	if fmt.Sprint(p.ended[:2]) != "[former former]" {
		t.Errorf("sockets of %v were ended", p.ended)
	}
}

// Only the word that nobody is logged in sends anybody to the login page.
func TestErrorsBecomeAnswers(t *testing.T) {
	for _, c := range []struct {
		name      string
		err       error
		page, api int
	}{
		{"no login", session.ErrNone, 303, 401},
		{"Redis is away", fmt.Errorf("read: %w", chat.ErrUnavailable), 503, 503},
		{"a fault", errors.New("secret"), 500, 500},
		{"what is said to people", &chat.Error{Code: chat.CodeForbidden, Message: "No."}, 403, 403},
		{"a place that is lost", chat.ErrLost, 404, 404},
		{"full", socket.ErrFull, 503, 503},
		{"put off", socket.ErrPutOff, 429, 429},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := newServer(t)
			p.err = c.err
			page, api := do(s, "GET", "/"), do(s, "GET", "/api/rooms")
			if page.Code != c.page || api.Code != c.api {
				t.Errorf("page %d, api %d; want %d, %d", page.Code, api.Code, c.page, c.api)
			}
			if refresh := do(s, "POST", "/session/refresh"); refresh.Code != c.api {
				t.Errorf("refresh %d", refresh.Code)
			}
			if (api.Header().Get("Retry-After") != "") != (c.api == 503 || c.api == 429) {
				t.Errorf("Retry-After %q with %d", api.Header().Get("Retry-After"), api.Code)
			}
			var body struct {
				Error struct{ Code, Message string }
			}
			if err := json.Unmarshal(api.Body.Bytes(), &body); err != nil || body.Error.Code == "" || body.Error.Message == "" {
				t.Errorf("body %s", api.Body)
			}
			if strings.Contains(api.Body.String()+page.Body.String(), "secret") {
				t.Error("a fault's text was shown")
			}
		})
	}
}

// A draining instance leaves to others what others can do as well.
func TestDrainTurnsAwayWhatIsSafeToRepeat(t *testing.T) {
	s, _ := newServer(t)
	if w := do(s, "GET", "/readyz"); w.Code != 200 {
		t.Fatalf("readyz %d", w.Code)
	}
	s.Leave()
	if ready, page := do(s, "GET", "/readyz"), do(s, "GET", "/"); ready.Code != 503 || page.Code != 200 {
		t.Fatalf("while it is about to leave: readyz %d, page %d", ready.Code, page.Code)
	}
	s.TurnAway()
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", 503}, {"HEAD", "/", 503}, {"GET", "/login", 503}, {"GET", "/ws", 503}, {"GET", "/api/rooms", 503},
		{"POST", "/session/refresh", 503}, {"GET", "/readyz", 503},
		{"POST", "/login", 303}, {"POST", "/logout", 303}, {"GET", "/livez", 200},
	} {
		w := do(s, c.method, c.path, "Origin: http://chat.example")
		if w.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
}

func TestReadinessWaitsForRedisOnce(t *testing.T) {
	s, p := newServer(t)
	p.deaf, p.never = time.Second, true
	if w := do(s, "GET", "/readyz"); w.Code != 503 {
		t.Fatalf("ready before Redis was heard: %d", w.Code)
	}
	p.deaf, p.never = 0, false
	if w := do(s, "GET", "/readyz"); w.Code != 200 {
		t.Fatalf("not ready: %d", w.Code)
	}
	if w := do(s, "GET", "/"); w.Code != 200 {
		t.Fatalf("page %d", w.Code)
	}
	p.deaf = time.Hour // a Redis that no instance hears must not empty the balancer
	if w := do(s, "GET", "/"); w.Code != 503 || !strings.Contains(w.Body.String(), "stay logged in") {
		t.Fatalf("page %d %s", w.Code, w.Body)
	}
	if w := do(s, "GET", "/readyz"); w.Code != 200 || !strings.Contains(w.Body.String(), "Redis") {
		t.Fatalf("readyz %d %s", w.Code, w.Body)
	}
}

func TestPagesSpeakTheChosenLanguageElseTheBrowsers(t *testing.T) {
	s, p := newServer(t)
	p.err = chat.ErrUnavailable
	const german, english = "error Speicher", "error The store"
	for _, c := range []struct{ accept, chosen, want string }{
		{"", "", english},
		{"de-AT,de;q=0.9,en;q=0.5", "", german},
		{"en-GB,de;q=0.5", "", english},
		{"tlh", "", english},
		{"en", "de", german},
		{"de", "en", english},
		{"de", ";;", german},
	} {
		if w := do(s, "GET", "/", "Accept-Language: "+c.accept, "Cookie: lang="+c.chosen); !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%+v: %s", c, w.Body)
		}
	}
	s.pages.html["error.html"] = template.Must(template.New("").Parse(`{{define "layout"}}{{.Theme}}.{{end}}`))
	for chosen, want := range map[string]string{"light": "light.", "dark": "dark.", "": ".", "\"><script>": "."} {
		if w := do(s, "GET", "/", "Cookie: theme="+chosen); w.Body.String() != want {
			t.Errorf("theme %q: %s", chosen, w.Body)
		}
	}
	if w := do(s, "GET", "/api/rooms", "Accept-Language: de"); !strings.Contains(w.Body.String(), "The store") {
		t.Errorf("programs are spoken to in English: %s", w.Body)
	}
}

func TestLoginPageSaysWhatIsWrong(t *testing.T) {
	s, _ := newServer(t)
	for body, want := range map[string]string{
		"username=alice":                 "",
		"username=":                      "name is needed",
		"username=a%20b":                 "not allowed",
		"username=alice&password=secret": "It is wrong",
		"":                               "name is needed",
	} {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if want == "" && (w.Code != 303 || w.Header().Get("Location") != "/") || want != "" && (w.Code != 401 || !strings.Contains(w.Body.String(), want)) {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	}
	s.Guests = false
	if w := do(s, "POST", "/login"); w.Code != 401 || !strings.Contains(w.Body.String(), "Guests") {
		t.Errorf("a guest where there are none: %d", w.Code)
	}
}

func TestAFaultEndsOneRequestOnly(t *testing.T) {
	s, _ := newServer(t)
	s.Directory = panics{}
	if w := do(s, "GET", "/api/rooms"); w.Code != 500 || strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(s, "GET", "/livez"); w.Code != 200 {
		t.Error("the server is gone")
	}
}

type panics struct{}

func (panics) List(context.Context, chat.Actor) ([]chat.RoomInfo, error) { panic("a fault") }

func TestEveryAnswerIsGuarded(t *testing.T) {
	s, _ := newServer(t)
	requests := []string{"GET /nothing", "GET /api/nothing", "GET /static/x/nothing", "GET /static/x/../../go.mod", "GET /static/x/js", "PUT /", "TRACE /", "OPTIONS /api/rooms", "POST /ws"}
	for _, r := range s.echo.Routes() {
		requests = append(requests, r.Method+" "+strings.NewReplacer(":room", "general", ":hash", "x", "*", "js/main.js").Replace(r.Path))
	}
	for _, request := range requests {
		method, path, _ := strings.Cut(request, " ")
		for _, peer := range []string{"Peer: 10.1.2.3:4", "Peer: 192.0.2.1:4"} {
			w := do(s, method, path, peer, "X-Forwarded-Proto: https")
			for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Cache-Control"} {
				script := strings.HasSuffix(path, ".js") && w.Code == 200
				if w.Header().Get(h) == "" && !(script && slices.Contains(documentHeaders, h)) {
					t.Errorf("%s: no %s", request, h)
				}
			}
			if strings.Contains(w.Header().Get("Content-Security-Policy"), "unsafe") {
				t.Errorf("%s: unsafe policy", request)
			}
			if kind := w.Header().Get("Content-Type"); w.Body.Len() > 0 && !strings.HasSuffix(strings.ToLower(kind), "charset=utf-8") && kind != "application/json" {
				t.Errorf("%s: content is %q", request, kind)
			}
			if hsts := w.Header().Get("Strict-Transport-Security") != ""; hsts != (peer == "Peer: 10.1.2.3:4") {
				t.Errorf("%s from %s: TLS for ever: %t", request, peer, hsts)
			}
		}
		for _, origin := range []string{"Origin: http://evil.example", "Origin: null"} {
			for name := range do(s, method, path, origin, "Access-Control-Request-Method: POST").Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s with %s: %s", request, origin, name)
				}
			}
		}
	}
	if w := do(s, "POST", "/login", "Content-Length: 99999999"); w.Code >= 500 {
		t.Errorf("huge body: %d", w.Code)
	}
	long := strings.Repeat("x", 4096)
	s.pages.html["chat.html"] = template.Must(template.New("").Parse(`{{define "layout"}}` + long + `{{end}}`))
	if w := do(s, "GET", "/", "Accept-Encoding: gzip"); w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 1024 {
		t.Errorf("a long page goes out in %d bytes, %q", w.Body.Len(), w.Header().Get("Content-Encoding"))
	}
	if w := do(s, "GET", "/ws", "Accept-Encoding: gzip", "Origin: http://chat.example"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a handshake is compressed")
	}
	s.Sessions.(*parts).err = session.ErrNone
	page := do(s, "GET", "/login").Body.String()
	asset, _, _ := strings.Cut(page, " ")
	if w := do(s, "GET", asset); w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("GET %s: %d %v", asset, w.Code, w.Header())
	}
	if w := do(s, "GET", "/static/other/js/main.js"); w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("another version's file: %d %q", w.Code, w.Header().Get("Cache-Control"))
	}
}

// An address and a person have so many requests a second; others are not slowed by them.
func TestRequestsAreBounded(t *testing.T) { synctest.Test(t, testRequestsAreBounded) } // nothing comes back meanwhile

func testRequestsAreBounded(t *testing.T) {
	s, p := newServer(t)
	s.addresses, s.people = newLimits[netip.Prefix](3), newLimits[string](2)
	count := func(n int, path string, headers ...string) (answered int) {
		for range n {
			switch w := do(s, "GET", path, headers...); {
			case w.Code < 400:
				answered++
			case w.Code != 429 || w.Header().Get("Retry-After") == "":
				t.Errorf("GET %s: %d", path, w.Code)
			}
		}
		return answered
	}
	if n := count(50, "/login", "Peer: 192.0.2.1:5"); n != 30 {
		t.Errorf("%d requests of one address were answered at once, want 30", n)
	}
	if n := count(5, "/login", "Peer: 192.0.2.2:5") + count(5, "/livez", "Peer: 192.0.2.1:5"); n != 10 {
		t.Errorf("%d of 10 of another address, and of health, were answered", n)
	}
	if n := count(50, "/login", "Peer: 10.0.0.1:5"); n != 50 {
		t.Errorf("%d of 50 requests from a proxy itself were answered", n)
	}
	if n := count(50, "/api/rooms/general/events", "Peer: 10.0.0.1:5"); n != 20 {
		t.Errorf("%d pages of history were answered at once, want 20", n)
	}
	s.people, p.looked = newLimits[string](2), 5*pageBytes
	if n := count(50, "/api/rooms/general/events", "Peer: 10.0.0.1:5"); n != 4 {
		t.Errorf("%d pages of history for which much was looked at were answered at once, want 4", n)
	}
	s.people, s.histories = newLimits[string](2), make(chan struct{}, 1)
	s.histories <- struct{}{} // somebody reads one, and takes their time
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/rooms/general/events", nil))
	if w.Code != 429 {
		t.Errorf("a page of history beside all that there may be at once: %d", w.Code)
	}
	s.people = newLimits[string](2)
	count(50, "/api/rooms", "Peer: 10.0.0.1:5")
	if n := count(1, "/api/rooms", "Peer: 10.0.0.1:5"); n != 0 {
		t.Error("lists are not counted")
	}
	p.err = session.ErrNone // who is nobody uses up nobody's
	if w := do(s, "GET", "/api/rooms/general/events", "Peer: 10.0.0.1:5"); w.Code != 401 {
		t.Errorf("nobody: %d", w.Code)
	}
	many := newLimits[int](1)
	for n := range 3 * mostKept {
		if many.allow(n); len(many.kept) > mostKept {
			t.Fatalf("%d are kept", len(many.kept))
		}
	}
}

// A name that leads here and is not ours would be an origin of its own.
func TestOtherHostsAreRefused(t *testing.T) {
	s, _ := newServer(t)
	s.Hosts = []string{"chat.example", "other.example:8443"}
	for _, c := range []struct {
		host, path, proto string
		want              int
	}{
		{"chat.example", "/", "", 200},
		{"CHAT.example:80", "/", "", 200},
		{"chat.example:443", "/", "https", 200},
		{"other.example:8443", "/login", "https", 303},
		{"other.example", "/", "", 421},
		{"chat.example:8443", "/", "", 421},
		{"evil.example", "/", "", 421},
		{"chat.example.evil", "/", "", 421},
		{"evil.example", "/api/rooms", "", 421},
		{"evil.example", "/ws", "", 421},
		{"127.0.0.1:8080", "/static/x/js/main.js", "", 421},
		{"127.0.0.1:8080", "/readyz", "", 200},
		{"127.0.0.1:8080", "/livez", "", 200},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Host, r.RemoteAddr = c.host, "10.1.2.3:4"
		r.Header.Set("X-Forwarded-Proto", c.proto)
		r.Header.Set("Origin", "http://"+c.host)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s%s: %d, want %d", c.host, c.path, w.Code, c.want)
		}
		if strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), "evil") {
			t.Errorf("%s%s: the name comes back: %v %s", c.host, c.path, w.Header(), w.Body)
		}
	}
}

// The address that is counted is the peer's, or what a believed proxy says; of a proxy's
// own none is.
func TestAddressesAreBelievedFromProxiesOnly(t *testing.T) {
	s, p := newServer(t)
	for _, c := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.7", "192.0.2.1"},
		{"192.0.2.1:5", "10.0.0.1", "192.0.2.1"},
		{"10.1.2.3:5", "198.51.100.7", "198.51.100.7"},
		{"10.1.2.3:5", "203.0.113.1, 198.51.100.7", "198.51.100.7"}, // the left one is the client's word
		{"10.1.2.3:5", "198.51.100.7, 10.9.9.9", "198.51.100.7"},
		{"10.1.2.3:5", "", "invalid IP"},
		{"[2001:db8::1]:5", "198.51.100.7", "2001:db8::1"},
	} {
		p.from = netip.Addr{}
		headers := []string{"Origin: http://chat.example", "Peer: " + c.peer, "X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9"}
		if c.forwarded != "" {
			headers = append(headers, "X-Forwarded-For: "+c.forwarded)
		}
		do(s, "GET", "/ws", headers...)
		if p.from.String() != c.want {
			t.Errorf("%+v: counted as %s", c, p.from)
		}
	}
}

// Bodies are those of forms, as they are: nothing is decompressed, and no other kind is read.
func TestBodiesAreFormsOnly(t *testing.T) {
	s, _ := newServer(t)
	for _, path := range []string{"/login", "/logout", "/session/refresh"} {
		for _, c := range []struct {
			kind, encoding string
			want           int
		}{
			{"application/x-www-form-urlencoded", "", 0},
			{"application/x-www-form-urlencoded; charset=UTF-8", "", 0},
			{"application/x-www-form-urlencoded", "gzip", 415},
			{"application/x-www-form-urlencoded", "deflate, gzip", 415},
			{"text/plain", "", 415},
			{"multipart/form-data; boundary=x", "", 415},
			{"application/json", "", 415},
			{"", "", 415},
		} {
			r := httptest.NewRequest("POST", path, strings.NewReader("username=alice"))
			r.Header.Set("Content-Type", c.kind)
			r.Header.Set("Content-Encoding", c.encoding)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.want && (c.want != 0 || w.Code >= 400) {
				t.Errorf("POST %s of %q, %q: %d", path, c.kind, c.encoding, w.Code)
			}
		}
	}
}

// Anybody can report anything: it is counted under a word of ours, and one line a second
// is logged, in which theirs is quoted.
func TestReportsAreCountedAndNotBelieved(t *testing.T) { synctest.Test(t, testReports) }

func testReports(t *testing.T) {
	s, _ := newServer(t)
	var log strings.Builder
	s.Log = slog.New(slog.NewJSONHandler(&log, nil))
	send := func(kind, body string) int {
		r := httptest.NewRequest("POST", "/report", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	for range 50 {
		if code := send("application/csp-report", `{"csp-report":{"violated-directive":"script-src-elem 'self'","blocked-uri":"x\n{\"level\":\"ERROR\"}`+strings.Repeat("x", 500)+`"}}`); code != 204 {
			t.Fatalf("a report: %d", code)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || strings.Contains(log.String(), strings.Repeat("x", 101)) || strings.Contains(log.String(), `"level":"ERROR"`) {
		t.Errorf("%d lines: %s", lines, log.String())
	}
	for body, want := range map[string]int{
		``: 400, `x`: 400, `[]`: 400, `{}`: 204, `{"csp-report":{"violated-directive":"no such","blocked-uri":"y"}}`: 204, `{"csp-report":7}`: 400,
		strings.Repeat("[", 10000): 400, `{"csp-report":{"blocked-uri":"` + strings.Repeat("x", 20000) + `"}}`: 413,
	} {
		if code := send("application/csp-report", body); code != want && !(body == "" && code == 204) {
			t.Errorf("%.40s: %d, want %d", body, code, want)
		}
	}
	if code := send("application/x-www-form-urlencoded", "x=y"); code != 415 {
		t.Errorf("a form: %d", code)
	}
}

// What changes anything is a POST, and each route has been looked at for it.
func TestReadingChangesNothing(t *testing.T) {
	s, p := newServer(t)
	for _, r := range s.echo.Routes() {
		switch r.Method {
		case "GET", "HEAD":
			p.changed = nil
			path := strings.NewReplacer(":room", "general", ":hash", "x", "*", "js/main.js").Replace(r.Path)
			w := do(s, r.Method, path, "Origin: http://chat.example")
			if len(p.changed) > 0 || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s %s: %v, sets %q", r.Method, path, p.changed, w.Header().Get("Set-Cookie"))
			}
		case "POST", "echo_route_not_found":
		default:
			t.Errorf("%s %s: which is neither read nor sent by a form", r.Method, r.Path)
		}
	}
	if do(s, "POST", "/logout"); len(p.changed) != 1 {
		t.Errorf("a logout changes %v", p.changed)
	}
}

func TestReportsGoWhereTheOperatorSays(t *testing.T) {
	s, _ := newServer(t)
	if w := do(s, "GET", "/.well-known/security.txt"); w.Code != 404 {
		t.Errorf("without a contact: %d", w.Code)
	}
	s.Contact = "mailto:security@chat.example"
	w := do(s, "GET", "/.well-known/security.txt")
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "Contact: mailto:security@chat.example\nExpires: 20") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; charset=") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestPageNamesAllModulesThatItNeeds(t *testing.T) {
	files := fstest.MapFS{
		"static/js/main.js":   {Data: []byte("import { a } from './a.js';\nimport './b/b.js';\nconst later = () => import('./late.js');\n")},
		"static/js/a.js":      {Data: []byte("import {\n  b,\n} from './b/b.js';\n")},
		"static/js/b/b.js":    {Data: []byte("export { c } from '../c.js';\n// from './none.js';\n")},
		"static/js/c.js":      {Data: []byte("import './a.js';\n")},
		"static/js/late.js":   {Data: []byte("")},
		"static/js/broken.js": {Data: []byte("import './gone.js';\n")},
	}
	got, err := imports(files, "js/main.js")
	if want := []string{"js/a.js", "js/b/b.js", "js/c.js"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("imports %v, %v; want %v", got, err, want)
	}
	if got, err := imports(files, "js/broken.js"); err == nil {
		t.Errorf("a module that is not there: %v", got)
	}
}

// Who is kept out is answered 403 wherever it is not a file or health; guests alone only
// where one is or becomes one.
func TestWhoIsKeptOutHearsSo(t *testing.T) {
	s, p := newServer(t)
	origin := "Origin: http://chat.example"
	for _, c := range []struct {
		barred, method, path string
		guest                bool
		want                 int
	}{
		{"everyone", "GET", "/", false, 403}, {"everyone", "GET", "/login", false, 403}, {"everyone", "POST", "/login", false, 403}, {"everyone", "POST", "/register", false, 403},
		{"everyone", "POST", "/session/refresh", false, 403}, {"everyone", "GET", "/ws", false, 403}, {"everyone", "GET", "/api/rooms", false, 403}, {"everyone", "GET", "/login/oidc", false, 403},
		{"everyone", "GET", "/static/x/js/main.js", false, 200}, {"everyone", "GET", "/livez", false, 200}, {"everyone", "GET", "/readyz", false, 200},
		{"everyone", "POST", "/logout", false, 303},
		{"guests", "GET", "/", false, 200}, {"guests", "GET", "/", true, 303}, {"guests", "GET", "/login", true, 403}, {"guests", "GET", "/login", false, 303},
		{"guests", "POST", "/login", false, 403}, {"guests", "POST", "/register", false, 403},
		{"guests", "POST", "/session/refresh", false, 200}, {"guests", "POST", "/session/refresh", true, 403}, {"guests", "GET", "/ws", false, 204}, {"guests", "GET", "/ws", true, 403},
		{"guests", "GET", "/api/rooms", true, 403}, {"guests", "GET", "/api/rooms/general/events", true, 403}, {"guests", "POST", "/logout", true, 303},
		{"", "GET", "/", true, 200}, {"", "GET", "/ws", true, 204},
	} {
		p.barred, p.guest = c.barred, c.guest
		if w := do(s, c.method, c.path, origin); w.Code != c.want {
			t.Errorf("%s %s is %d where %q are kept out (guest: %t), want %d: %s", c.method, c.path, w.Code, c.barred, c.guest, c.want, w.Body)
		}
	}
	p.barred = "everyone"
	if w := do(s, "GET", "/", "X-Forwarded-For: 10.0.0.9", "Peer: 10.0.0.1:1"); w.Code != 200 {
		t.Errorf("whom a proxy does not name is kept out: %d", w.Code)
	}
	if w := do(s, "POST", "/session/refresh"); !strings.Contains(w.Body.String(), `"code":"barred"`) {
		t.Errorf("the refresh says %s", w.Body)
	}
}
