//go:build integration

package integration_test

import (
	"fmt"
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

func testLock(t *testing.T, c *cluster.Cluster) {
	const why = `ads & "more" <b>`
	root, alice := theRoot(t, c), owner(t, c.Instances()[0].URL(), "lk-alice")
	other := again(t, c.Instances()[1].URL(), "lk-alice", phrase)
	here, elsewhere := alice.connect(t), other.at(t, c.Instances()[2].URL()).connect(t)
	if a := root.get(t, "/admin?name=LK-Alice"); a.status != http.StatusOK || strings.Count(a.body, "<li>") != 2 || !strings.Contains(a.body, "127.0.0.1") || !strings.Contains(a.body, "An account") {
		t.Fatalf("the page is %d: %s", a.status, a.body)
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
	if a := root.get(t, "/admin?name=lk-alice"); !strings.Contains(a.body, "Locked by rt-root") || !strings.Contains(a.body, "&lt;b&gt;") {
		t.Errorf("the page says %s", a.body)
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
	if a := root.get(t, "/admin?name=ep-alice"); strings.Contains(a.body, "<li>") || !strings.Contains(a.body, "Not logged in") {
		t.Errorf("the page lists logins that have ended: %s", a.body)
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
