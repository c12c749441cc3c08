//go:build integration

package integration_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chattest"
	"chatd/internal/cluster"
)

var adminTests = []part{
	{"ALockedAccountIsOutAndStaysOut", testLock},
	{"ALockedNameIsNoGuests", testLockedGuest},
	{"NoLoginOutlivesALock", testLockRace},
	{"ALockIsFinishedByAnyInstance", testLockCutOff},
	{"AdministratorsEndLogins", testEndPerson},
	{"WhoIsKeptOutByAddressIsOut", testBars},
	{"PeopleTakeTheirData", testData},
}

// does has an administrator do something to somebody.
func (p *person) does(t *testing.T, deed, name, why string) answer {
	t.Helper()
	return p.ask(t, http.MethodPost, "/admin/"+deed, url.Values{"name": {name}, "reason": {why}}, nil)
}

func (p *person) did(t *testing.T, deed, name string) {
	t.Helper()
	if a := p.does(t, deed, name, "because"); a.status != http.StatusSeeOther {
		t.Fatalf("%s of %s is %d: %s", deed, name, a.status, alert(a))
	}
}

// sees returns what an administrator is shown of somebody.
func (p *person) sees(t *testing.T, name string) string {
	t.Helper()
	a := p.get(t, "/admin?name="+name)
	_, shown, found := strings.Cut(a.body, `aria-labelledby="person-title"`)
	if a.status != http.StatusOK || !found {
		t.Fatalf("the page is %d: %s", a.status, a.body)
	}
	shown, _, _ = strings.Cut(shown, "</section>")
	return shown
}

func testLock(t *testing.T, c *cluster.Cluster) {
	const why = `ads & "more" <b>`
	root, alice := theRoot(t, c), owner(t, c.Instances()[0].URL(), "lk-alice")
	other := again(t, c.Instances()[1].URL(), "lk-alice", phrase)
	here, elsewhere := alice.connect(t), other.at(t, c.Instances()[2].URL()).connect(t)
	if shown := root.sees(t, "LK-Alice"); strings.Count(shown, "<li>") != 2 || !strings.Contains(shown, "127.0.0.1") || !strings.Contains(shown, "An account") {
		t.Fatalf("the page shows %s", shown)
	}
	// Others find nothing there, and without a reason nothing is done.
	for _, p := range []*person{alice, visitor(t, c.URL())} {
		if a := p.does(t, "lock", "lk-alice", why); a.status != http.StatusNotFound {
			t.Errorf("somebody's attempt is %d", a.status)
		}
		if a := p.get(t, "/admin?name=lk-alice"); a.status != http.StatusNotFound {
			t.Errorf("somebody's look is %d", a.status)
		}
	}
	for _, none := range []string{"", "  ", strings.Repeat("x", 201)} {
		if a := root.does(t, "lock", "lk-alice", none); a.status != http.StatusBadRequest || !strings.Contains(alert(a), "Say why") {
			t.Errorf("without a reason: %d %s", a.status, alert(a))
		}
	}
	if a := root.does(t, "lock", "rt-root", why); a.status != http.StatusForbidden || !root.in(t) {
		t.Errorf("locking an administrator is %d", a.status)
	}
	if !alice.in(t) || !other.in(t) {
		t.Fatal("what was refused was done")
	}

	began := time.Now()
	if a := root.does(t, "lock", "lk-alice", why); a.status != http.StatusSeeOther {
		t.Fatalf("locking is %d: %s", a.status, a.body)
	}
	wantOut(t, here, began)
	wantOut(t, elsewhere, began)
	if alice.in(t) || other.in(t) {
		t.Error("a login is still good")
	}
	for _, i := range c.Instances() {
		a := visitor(t, i.URL()).enters(t, "lk-alice", phrase)
		says(t, a, http.StatusForbidden, "was locked by an administrator")
		if !strings.Contains(a.body, `ads &amp; &#34;more&#34; &lt;b&gt;`) {
			t.Errorf("the reason is not said at %s: %s", i.Name, alert(a))
		}
		wrong, nobody := visitor(t, i.URL()).enters(t, "lk-alice", phrase+"?"), visitor(t, i.URL()).enters(t, "lk-nobody", phrase+"?")
		if wrong.status != nobody.status || wrong.body != strings.ReplaceAll(nobody.body, "lk-nobody", "lk-alice") {
			t.Errorf("a stranger learns of the lock at %s: %d %s", i.Name, wrong.status, alert(wrong))
		}
		if a := visitor(t, i.URL()).enters(t, "lk-alice", ""); !strings.Contains(alert(a), "belongs to somebody") {
			t.Errorf("a guest of the name is %d: %s", a.status, alert(a))
		}
	}
	if shown := root.sees(t, "lk-alice"); !strings.Contains(shown, "Locked by rt-root") || !strings.Contains(shown, "&lt;b&gt;") {
		t.Errorf("the page shows %s", shown)
	}
	root.did(t, "unlock", "lk-alice")
	again(t, c.Instances()[2].URL(), "lk-alice", phrase).connect(t)

	log := root.get(t, "/admin/audit.csv").body
	for _, line := range []string{
		`account_locked,rt-root,lk-alice,,127.0.0.1,,"ads & ""more"" <b>"`, "account_unlocked,rt-root,lk-alice,,127.0.0.1,,because", "session_ended,rt-root,lk-alice,",
		"person_read,rt-root,lk-alice,", "login_failed,,lk-alice,,127.0.0.1,,locked",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("the audit log has no %s", line)
		}
	}
}

func testLockedGuest(t *testing.T, c *cluster.Cluster) {
	root, g := theRoot(t, c), guest(t, c.Instances()[0].URL(), "lg-guest")
	w := g.at(t, c.Instances()[1].URL()).connect(t)
	began := time.Now()
	root.did(t, "lock", "lg-guest")
	wantOut(t, w, began)
	for _, i := range c.Instances() {
		for who, a := range map[string]answer{
			"a guest":    visitor(t, i.URL()).enters(t, "LG-Guest", ""),
			"an account": visitor(t, i.URL()).ask(t, http.MethodPost, "/register", url.Values{"username": {"lg-guest"}, "password": {phrase}}, nil),
		} {
			if a.status != http.StatusForbidden || !strings.Contains(alert(a), "cannot be used here") || strings.Contains(a.body, "because") {
				t.Errorf("%s of a locked name is %d at %s: %s", who, a.status, i.Name, alert(a))
			}
		}
	}
	root.did(t, "unlock", "lg-guest")
	guest(t, c.Instances()[2].URL(), "lg-guest")
}

// Logins that are under way while a name is locked are none afterwards.
func testLockRace(t *testing.T, c *cluster.Cluster) {
	root := theRoot(t, c)
	owner(t, c.Instances()[0].URL(), "lr-alice")
	for round := range 3 {
		var wg sync.WaitGroup
		defer wg.Wait() // however it ends: nobody asks on behind it
		others := make([]*person, 12)
		for n := range others {
			others[n] = visitor(t, c.Instances()[n%3].URL())
			name, password := "lr-alice", phrase
			if n%3 > 0 {
				name, password = "lr-guest", ""
			}
			wg.Go(func() { others[n].enters(t, name, password) })
		}
		root.did(t, "lock", "lr-guest")
		root.did(t, "lock", "lr-alice")
		wg.Wait()
		for n, other := range others {
			if other.in(t) {
				t.Errorf("round %d: login %d outlives the lock", round, n)
			}
		}
		root.did(t, "unlock", "lr-guest")
		root.did(t, "unlock", "lr-alice")
	}
}

// The instance died right after it had locked the name.
func testLockCutOff(t *testing.T, c *cluster.Cluster) {
	p := owner(t, c.Instances()[0].URL(), "lc-alice")
	w, r := p.connect(t), rdb(t, c)
	if err := account.New(r, audit.New(r, 1000), 15).Lock(t.Context(), account.From{}, "rt-root", "lc-alice", "because"); err != nil {
		t.Fatal(err)
	}
	w.until("the logout notice", func(o map[string]any) bool { return o["type"] == "logout" })
	if p.in(t) {
		t.Error("the login is still good")
	}
	chattest.Eventually(t, "nothing is left to do", func() bool { return !r.SIsMember(t.Context(), "chatd:locking", "lc-alice").Val() })
}

func testEndPerson(t *testing.T, c *cluster.Cluster) {
	root, alice := theRoot(t, c), owner(t, c.Instances()[0].URL(), "ep-alice")
	var wires []*wire
	for n := range 3 {
		wires = append(wires, guest(t, c.Instances()[n].URL(), "ep-guest").connect(t))
	}
	wires = append(wires, alice.connect(t))
	for _, name := range []string{"ep-guest", "ep-alice"} {
		began := time.Now()
		root.did(t, "end", name)
		for n, w := range wires {
			if (n == 3) == (name == "ep-alice") {
				wantOut(t, w, began)
			}
		}
	}
	if shown := root.sees(t, "ep-alice"); strings.Contains(shown, "<li>") || !strings.Contains(shown, "Not logged in") {
		t.Errorf("the page lists logins that have ended: %s", shown)
	}
	again(t, c.Instances()[1].URL(), "ep-alice", phrase)
	if !root.in(t) {
		t.Error("the administrator is out")
	}
	log := root.get(t, "/admin/audit.csv").body
	for _, name := range []string{"ep-guest", "ep-alice"} {
		if line := fmt.Sprintf("logins_ended,rt-root,%s,,127.0.0.1,,because", name); !strings.Contains(log, line) {
			t.Errorf("the audit log has no %s", line)
		}
	}
}

// from is a browser whose requests come from another address.
func (p *person) from(address string) *person {
	client := *p.http
	if already, ok := client.Transport.(forwarded); ok {
		client.Transport = already.RoundTripper
	}
	client.Transport = forwarded{client.Transport, address}
	return &person{base: p.base, http: &client}
}

// forwarded tells an instance, which believes its neighbours, where a request comes from.
type forwarded struct {
	http.RoundTripper
	address string
}

func (f forwarded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", f.address)
	return f.RoundTripper.RoundTrip(r)
}

// wantPutOut waits until the socket of somebody who is not let in any more is closed.
func wantPutOut(t *testing.T, w *wire, began time.Time) {
	t.Helper()
	if code := w.end(); code != 4403 {
		t.Errorf("the socket was closed with %d", code)
	}
	t.Logf("the socket was closed after %v", time.Since(began).Round(time.Millisecond))
}

func testBars(t *testing.T, c *cluster.Cluster) {
	urls := []string{c.Instances()[0].URL(), c.Instances()[1].URL(), c.Instances()[2].URL()}
	root := theRoot(t, c)
	enter := func(n int, address, name, password string) *person {
		t.Helper()
		p := visitor(t, urls[n]).from(address)
		if a := p.enters(t, name, password); a.status != http.StatusSeeOther {
			t.Fatalf("login is %d: %s", a.status, alert(a))
		}
		return p
	}
	owner(t, urls[0], "br-alice")
	alice := enter(0, "203.0.113.6", "br-alice", phrase)
	mallory, bob := enter(1, "203.0.113.5", "br-mallory", ""), enter(2, "198.51.100.5", "br-bob", "")
	alices, mallorys, bobs := alice.connect(t), mallory.connect(t), bob.connect(t)
	bar := func(network, whom, hours string) answer {
		t.Helper()
		return root.ask(t, http.MethodPost, "/admin/bar", url.Values{"network": {network}, "whom": {whom}, "hours": {hours}, "reason": {"floods"}}, nil)
	}
	for _, refused := range []answer{
		bar("everywhere", "guests", "1"), bar("0.0.0.0/0", "guests", "1"), bar("203.0.113.5", "nobody", "1"), bar("203.0.113.5", "guests", "0"), bar("203.0.113.5", "guests", "9999999"),
		bar("127.0.0.0/8", "everyone", "1"), // where the administrator is
		root.ask(t, http.MethodPost, "/admin/bar", url.Values{"network": {"203.0.113.5"}, "whom": {"guests"}, "hours": {"1"}}, nil),
	} {
		if refused.status != http.StatusBadRequest || alert(refused) == "" {
			t.Errorf("what cannot be done is %d", refused.status)
		}
	}
	if a := alice.ask(t, http.MethodPost, "/admin/bar", url.Values{"network": {"198.51.100.5"}, "whom": {"everyone"}, "hours": {"1"}, "reason": {"x"}}, nil); a.status != http.StatusNotFound {
		t.Errorf("another's attempt is %d", a.status)
	}

	began := time.Now()
	if a := bar("203.0.113.77/24", "guests", "1"); a.status != http.StatusSeeOther {
		t.Fatalf("barring is %d: %s", a.status, alert(a))
	}
	wantPutOut(t, mallorys, began)
	const words = "nobody comes as a guest"
	for n, at := range urls {
		p := visitor(t, at).from("203.0.113.200")
		chattest.Eventually(t, "no guest is let in", func() bool { return p.enters(t, "br-guest", "").status == http.StatusForbidden })
		says(t, p.enters(t, "br-guest", ""), http.StatusForbidden, words)
		says(t, p.ask(t, http.MethodPost, "/register", url.Values{"username": {"br-new"}, "password": {phrase}}, nil), http.StatusForbidden, words)
		m := mallory.at(t, at)
		if a := m.ask(t, http.MethodPost, "/session/refresh", nil, nil); a.status != http.StatusForbidden || !strings.Contains(a.body, `"no_guests_here"`) {
			t.Errorf("the refresh of a guest is %d at %d: %s", a.status, n, a.body)
		}
		leadsTo(t, m.get(t, "/"), "/login")
		says(t, m.get(t, "/login"), http.StatusForbidden, words)
		if _, status, _ := m.shake(t, m.origin()); status != http.StatusForbidden {
			t.Errorf("the handshake of a guest is %d", status)
		}
		if a := m.get(t, "/api/rooms"); a.status != http.StatusForbidden {
			t.Errorf("the list of a guest is %d", a.status)
		}
		enter(n, "203.0.113.9", "br-alice", phrase).connect(t)
	}
	alices.fence()
	bobs.fence()

	began = time.Now()
	if a := bar("203.0.113.6", "everyone", "24"); a.status != http.StatusSeeOther {
		t.Fatalf("barring is %d: %s", a.status, alert(a))
	}
	wantPutOut(t, alices, began)
	for _, at := range urls {
		here := alice.at(t, at)
		chattest.Eventually(t, "nobody is let in", func() bool { return here.get(t, "/").status == http.StatusForbidden })
		if a := here.get(t, "/"); !strings.Contains(a.body, "Nobody is let in from this network") {
			t.Errorf("the page says %s", a.body)
		}
		for _, a := range []answer{here.enters(t, "br-alice", phrase), here.ask(t, http.MethodPost, "/session/refresh", nil, nil), here.get(t, "/login"), here.get(t, "/api/rooms")} {
			if a.status != http.StatusForbidden {
				t.Errorf("from there it is %d: %s", a.status, a.body)
			}
		}
		if _, status, _ := here.shake(t, here.origin()); status != http.StatusForbidden {
			t.Errorf("the handshake from there is %d", status)
		}
	}
	if elsewhere := alice.from("198.51.100.6"); !elsewhere.in(t) { // the login itself is as it was
		t.Error("from elsewhere the login is not good")
	}

	page := root.get(t, "/admin").body
	if strings.Count(page, "floods") != 2 || !strings.Contains(page, "203.0.113.0/24") || !strings.Contains(page, "203.0.113.6/32") {
		t.Errorf("the page lists %s", page)
	}
	for _, network := range []string{"203.0.113.0/24", "203.0.113.6"} {
		if a := root.ask(t, http.MethodPost, "/admin/lift", url.Values{"network": {network}, "reason": {"enough"}}, nil); a.status != http.StatusSeeOther {
			t.Fatalf("lifting is %d: %s", a.status, alert(a))
		}
	}
	chattest.Eventually(t, "they are let in again", func() bool { return mallory.in(t) && alice.in(t) })
	mallory.connect(t)
	log := root.get(t, "/admin/audit.csv").body
	for _, line := range []string{"barred,rt-root,203.0.113.0/24,,127.0.0.1,,guests for 1h0m0s: floods", "barred,rt-root,203.0.113.6/32,,127.0.0.1,,everyone for 24h0m0s: floods", "bar_lifted,rt-root,203.0.113.0/24,,127.0.0.1,,enough"} {
		if !strings.Contains(log, line) {
			t.Errorf("the audit log has no %s", line)
		}
	}
}

func testData(t *testing.T, c *cluster.Cluster) {
	former := guest(t, c.Instances()[1].URL(), "dt-alice").from("203.0.113.44") // whoever that was
	if a := former.enters(t, "dt-alice", ""); a.status != http.StatusSeeOther {
		t.Fatal(a.status)
	}
	alice, bobs := owner(t, c.Instances()[0].URL(), "dt-alice"), guest(t, c.Instances()[1].URL(), "dt-bob")
	a, b := alice.connect(t), bobs.connect(t)
	for _, room := range []string{"dt-room", "~dt-den", "dt-left"} {
		a.ok("join", fields{"room": room})
	}
	b.ok("join", fields{"room": "dt-room"})
	b.ok("send", fields{"room": "dt-room", "key": "1", "text": "another's text"})
	for n := range 210 { // more than a page
		a.paced("send", fields{"room": "dt-room", "key": fmt.Sprint(n), "text": fmt.Sprintf("text <%d>", n)})
	}
	gone := a.paced("send", fields{"room": "dt-room", "key": "gone", "text": "taken back"})["event"]
	a.paced("retract", fields{"room": "dt-room", "key": "retract", "target": gone})
	a.paced("send", fields{"room": "~dt-den", "key": "1", "text": "in the den"})
	a.paced("send", fields{"room": "@dt-bob", "key": "1", "text": "between us"})
	a.paced("send", fields{"room": "dt-left", "key": "1", "text": "where I was"})
	a.ok("leave", fields{"room": "dt-left"})
	visitor(t, c.Instances()[2].URL()).from("203.0.113.45").enters(t, "dt-alice", "wrong password of a stranger")
	theRoot(t, c).did(t, "end", "dt-bob")

	take := func(p *person, password string) answer {
		t.Helper()
		return p.ask(t, http.MethodPost, "/account/data", url.Values{"password": {password}}, nil)
	}
	says(t, take(alice, "wrong"), http.StatusUnauthorized, "password is wrong")
	if got := take(visitor(t, c.URL()), phrase); got.status != http.StatusSeeOther && got.status != http.StatusUnauthorized || strings.Contains(got.body, "dt-alice") {
		t.Errorf("a stranger's attempt is %d", got.status)
	}
	got := take(alice.at(t, c.URL()), phrase)
	if got.status != http.StatusOK || got.header.Get("Content-Disposition") != `attachment; filename="chatd.json"` || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the file is %d %v: %s", got.status, got.header, alert(got))
	}
	var file struct {
		Account  struct{ Name string }
		Logins   []struct{ Address string }
		Rooms    []struct{ Room string }
		Log      []struct{ Action, Address string }
		Messages []struct{ Room, Type, From, Text string }
		Complete bool
	}
	if err := json.Unmarshal([]byte(got.body), &file); err != nil || !file.Complete || file.Account.Name != "dt-alice" || len(file.Logins) != 1 {
		t.Fatalf("%v: %.500s", err, got.body)
	}
	said := map[string]int{}
	for _, m := range file.Messages {
		if m.From != "dt-alice" {
			t.Errorf("a message of %s", m.From)
		}
		said[m.Type+" in "+m.Room]++
	}
	want := map[string]int{"message in dt-room": 210, "retracted in dt-room": 1, "message in ~dt-den": 1, "message in @dt-alice:dt-bob": 1, "message in dt-left": 1}
	if !maps.Equal(said, want) {
		t.Errorf("it has %v, want %v", said, want)
	}
	for _, foreign := range []string{"another's text", "taken back", "argon2", "203.0.113.44", "203.0.113.45", "dt-root"} {
		if strings.Contains(got.body, foreign) {
			t.Errorf("it has %q", foreign)
		}
	}
	if !strings.Contains(got.body, `"action":"login_failed"`) || !strings.Contains(got.body, `"action":"login","own":true`) {
		t.Errorf("the log has %+v", file.Log)
	}
	take(alice, phrase)
	take(alice, phrase)
	if got := take(alice, phrase); got.status != http.StatusTooManyRequests {
		t.Errorf("over and over it is %d", got.status)
	}
}
