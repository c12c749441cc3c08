//go:build integration

package integration_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/internal/cluster"
)

var accountTests = []part{
	{"AnAccountIsOneAtAllInstances", testAccount},
	{"AGuestBecomesAnAccountAndLosesNothing", testGuestBecomesAccount},
	{"NoGuestIsLeftWhereANameIsTaken", testGuestsLeave},
	{"AChangedPasswordEndsTheOthers", testChangePassword},
	{"NoLoginOutlivesItsPassword", testPasswordRace},
	{"PeopleEndTheirOwnLogins", testEndLogins},
	{"ADeletedAccountLeavesItsMessagesWithoutAName", testDeleteAccount},
	{"GuessesAreCountedForAllInstances", testGuesses},
}

var aloneTests = []part{
	{"AWrongNameTakesAsLongAsAWrongPassword", testSameTime},
	{"HundredsLogInAndTheChatGoesOn", testLoginStorm},
}

const phrase = "seven owls skate on marmalade"

// enters logs in with a password, or without one, and returns the answer.
func (p *person) enters(t *testing.T, name, password string) answer {
	t.Helper()
	return p.ask(t, http.MethodPost, "/login", url.Values{"username": {name}, "password": {password}}, nil)
}

// owner returns somebody who has made an account.
func owner(t *testing.T, base, name string) *person {
	t.Helper()
	p := visitor(t, base)
	a := p.ask(t, http.MethodPost, "/register", url.Values{"username": {name}, "password": {phrase}}, nil)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/" {
		t.Fatalf("register is %d: %s", a.status, a.body)
	}
	return p
}

// again returns another browser in which an owner has logged in.
func again(t *testing.T, base, name, password string) *person {
	t.Helper()
	p := visitor(t, base)
	if a := p.enters(t, name, password); a.status != http.StatusSeeOther {
		t.Fatalf("login is %d: %s", a.status, a.body)
	}
	return p
}

func (p *person) in(t *testing.T) bool { return p.get(t, "/api/rooms").status == http.StatusOK }

// wantOut waits until the socket is closed because its login has ended, and fails if
// that takes a second from began on.
func wantOut(t *testing.T, w *wire, began time.Time) {
	t.Helper()
	w.until("the logout notice", func(o map[string]any) bool { return o["type"] == "logout" })
	if code := w.end(); code != 4401 {
		t.Errorf("the socket was closed with %d", code)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the socket was closed after %v", took)
	} else {
		t.Logf("the socket was closed after %v", took.Round(time.Millisecond))
	}
}

func testAccount(t *testing.T, c *cluster.Cluster) {
	p := owner(t, c.Instances()[0].URL(), "Ac-Alice")
	if w := p.connect(t); w.user != "ac-alice" {
		t.Fatalf("the socket is %q's", w.user)
	}
	for _, i := range c.Instances() {
		if a := visitor(t, i.URL()).enters(t, "ac-alice", ""); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "belongs to somebody") {
			t.Errorf("a guest of an owned name is %d at %s", a.status, i.Name)
		}
		unknown, wrong := visitor(t, i.URL()).enters(t, "ac-nobody", phrase), visitor(t, i.URL()).enters(t, "ac-alice", "wrong")
		if unknown.status != http.StatusUnauthorized || wrong.status != unknown.status ||
			strings.ReplaceAll(unknown.body, "ac-nobody", "ac-alice") != wrong.body || len(wrong.header.Values("Set-Cookie")) != 0 {
			t.Errorf("at %s an unknown name is %d, a wrong password %d:\n%s\n%s", i.Name, unknown.status, wrong.status, unknown.body, wrong.body)
		}
		if a := visitor(t, i.URL()).ask(t, http.MethodPost, "/register", url.Values{"username": {"AC-alice"}, "password": {phrase}}, nil); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "taken") {
			t.Errorf("a name that is taken is %d at %s", a.status, i.Name)
		}
		if w := again(t, i.URL(), "AC-alice", phrase).connect(t); w.user != "ac-alice" {
			t.Fatalf("the socket is %q's", w.user)
		}
	}
	if a := visitor(t, c.URL()).ask(t, http.MethodPost, "/register", url.Values{"username": {"ac-bob"}, "password": {"short"}}, nil); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "at least 15") {
		t.Errorf("a short password is %d", a.status)
	}
	for _, key := range rdb(t, c).Keys(t.Context(), "*ac-alice*").Val() {
		if dump := rdb(t, c).Dump(t.Context(), key).Val(); strings.Contains(dump, "marmalade") {
			t.Errorf("%s holds the password", key)
		}
	}
}

func testGuestBecomesAccount(t *testing.T, c *cluster.Cluster) {
	p, other := guest(t, c.Instances()[0].URL(), "gb-alice"), guest(t, c.Instances()[1].URL(), "gb-alice")
	w := p.connect(t)
	w.ok("join", fields{"room": "gb-room"})
	w.ok("send", fields{"room": "gb-room", "key": "k1", "text": "as a guest"})
	w.ok("send", fields{"room": "@gb-bob", "key": "k2", "text": "between us"})
	elsewhere := other.at(t, c.Instances()[2].URL()).connect(t)
	former := p.cookie()

	if a := p.ask(t, http.MethodPost, "/register", url.Values{"username": {"gb-alice"}, "password": {phrase}}, nil); a.status != http.StatusSeeOther {
		t.Fatalf("register is %d: %s", a.status, a.body)
	}
	began := time.Now() // not before: to compare passwords takes its turn, and its time
	wantOut(t, w, began)
	wantOut(t, elsewhere, began)
	if other.in(t) || visitorWith(t, c.Instances()[0].URL(), former).get(t, "/api/rooms").status != http.StatusUnauthorized {
		t.Error("a login of a guest is still good")
	}
	w = p.connect(t)
	if w.user != "gb-alice" {
		t.Fatalf("the socket is %q's", w.user)
	}
	var rooms []string
	for _, r := range w.ok("rooms", nil)["rooms"].([]any) {
		if room := r.(map[string]any); room["joined"] == true {
			rooms = append(rooms, room["room"].(string))
		}
	}
	for _, room := range []string{"gb-room", "@gb-alice:gb-bob"} {
		if !slices.Contains(rooms, room) {
			t.Errorf("%s is not on the list any more: %v", room, rooms)
		}
	}
	wantTexts(t, w.ok("join", fields{"room": "gb-room"})["events"], "as a guest")
	w.ok("send", fields{"room": "gb-room", "key": "k1", "text": "as a guest"}) // the same message, once
	wantTexts(t, w.ok("history", fields{"room": "gb-room"})["events"], "as a guest")
}

// Guests who come while their name is being taken are no guests of it afterwards.
func testGuestsLeave(t *testing.T, c *cluster.Cluster) {
	for round := range 5 {
		name := fmt.Sprintf("gl-alice-%d", round)
		var wg sync.WaitGroup
		defer wg.Wait() // however it ends: nobody asks on behind it
		guests := make([]*person, 12)
		for n := range guests {
			guests[n] = visitor(t, c.Instances()[n%3].URL())
			wg.Go(func() { guests[n].enters(t, name, "") })
		}
		p := owner(t, c.Instances()[round%3].URL(), name)
		wg.Wait()
		for n, g := range guests {
			if g.in(t) {
				t.Errorf("round %d: guest %d is still in", round, n)
			}
		}
		if !p.in(t) {
			t.Errorf("round %d: the owner is out", round)
		}
	}
}

func testChangePassword(t *testing.T, c *cluster.Cluster) {
	const changed = "eight bats juggle with gravel"
	p := owner(t, c.Instances()[0].URL(), "cp-alice")
	other := again(t, c.Instances()[1].URL(), "cp-alice", phrase)
	elsewhere := other.at(t, c.Instances()[2].URL()).connect(t)
	former := p.cookie()
	for _, form := range []url.Values{
		{"old": {"wrong"}, "new": {changed}}, {"old": {phrase}, "new": {"short"}}, {"old": {phrase}, "new": {"cp-alicecp-alicecp-alice"}}, {},
	} {
		if a := p.ask(t, http.MethodPost, "/account/password", form, nil); a.status != http.StatusUnauthorized || !strings.Contains(a.body, `id="error"`) {
			t.Errorf("changing with %v is %d", form, a.status)
		}
	}
	if !other.in(t) || !p.in(t) {
		t.Fatal("what was refused ended a login")
	}
	if a := p.ask(t, http.MethodPost, "/account/password", url.Values{"old": {phrase}, "new": {changed}}, nil); a.status != http.StatusSeeOther {
		t.Fatalf("changing is %d: %s", a.status, a.body)
	}
	began := time.Now() // not before: to compare passwords takes its turn, and its time
	wantOut(t, elsewhere, began)
	if other.in(t) {
		t.Error("another login is still good")
	}
	if !p.in(t) || p.cookie() == former {
		t.Error("who changed it has no new login")
	}
	if visitorWith(t, c.Instances()[0].URL(), former).get(t, "/api/rooms").status != http.StatusUnauthorized {
		t.Error("the former id is still good")
	}
	if a := visitor(t, c.URL()).enters(t, "cp-alice", phrase); a.status != http.StatusUnauthorized {
		t.Errorf("the former password is %d", a.status)
	}
	again(t, c.URL(), "cp-alice", changed)
}

// Logins that are being made while the password changes end with it.
func testPasswordRace(t *testing.T, c *cluster.Cluster) {
	p := owner(t, c.Instances()[0].URL(), "pr2-alice")
	password := phrase
	for round := range 4 {
		var wg sync.WaitGroup
		defer wg.Wait() // however it ends: nobody asks on behind it
		others := make([]*person, 4)
		for n := range others {
			others[n] = visitor(t, c.Instances()[n%3].URL())
			wg.Go(func() { others[n].enters(t, "pr2-alice", password) })
		}
		next := fmt.Sprintf("%s number %d", phrase, round)
		if a := p.ask(t, http.MethodPost, "/account/password", url.Values{"old": {password}, "new": {next}}, nil); a.status != http.StatusSeeOther {
			t.Fatalf("changing is %d: %s", a.status, a.body)
		}
		wg.Wait()
		for n, other := range others {
			if other.in(t) {
				t.Errorf("round %d: login %d outlives its password", round, n)
			}
		}
		password = next
	}
}

var loginField = regexp.MustCompile(`name="login" value="([^"]+)"`)

func testEndLogins(t *testing.T, c *cluster.Cluster) {
	p := owner(t, c.Instances()[0].URL(), "el-alice")
	agent := func(name string) http.Header { return http.Header{"User-Agent": {name}} }
	form := url.Values{"username": {"el-alice"}, "password": {phrase}}
	phone, pad, mallory := visitor(t, c.Instances()[1].URL()), visitor(t, c.Instances()[2].URL()), owner(t, c.Instances()[0].URL(), "el-mallory")
	phone.ask(t, http.MethodPost, "/login", form, agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1"))
	pad.ask(t, http.MethodPost, "/login", form, agent(`"><script>alert(1)</script>`+strings.Repeat("x", 4000)))
	socket := phone.connect(t)

	page := p.get(t, "/account")
	if page.status != http.StatusOK || !strings.Contains(page.body, "Safari on iPhone") || !strings.Contains(page.body, "127.0.0.1") || strings.Contains(page.body, "<script>alert") {
		t.Fatalf("the account page is %d: %s", page.status, page.body)
	}
	if strings.Count(page.body, "<li>") != 3 || strings.Count(page.body, "this one") != 1 {
		t.Errorf("the account page lists %d", strings.Count(page.body, "<li>"))
	}
	var ends string
	for _, item := range strings.Split(page.body, "<li>") {
		if found := loginField.FindStringSubmatch(item); found != nil && strings.Contains(item, "iPhone") {
			ends = found[1]
		}
	}
	// A name of a login opens nothing, and ends nothing of others.
	if a := mallory.ask(t, http.MethodPost, "/account/end", url.Values{"login": {ends}}, nil); a.status != http.StatusSeeOther || !phone.in(t) {
		t.Fatalf("another's attempt is %d", a.status)
	}
	began := time.Now()
	if a := p.ask(t, http.MethodPost, "/account/end", url.Values{"login": {ends}}, nil); a.status != http.StatusSeeOther {
		t.Fatalf("ending is %d: %s", a.status, a.body)
	}
	wantOut(t, socket, began)
	if phone.in(t) || !pad.in(t) || !p.in(t) {
		t.Error("not that login was ended")
	}
	phone.ask(t, http.MethodPost, "/login", form, nil)
	socket = pad.connect(t)
	began = time.Now()
	if a := p.ask(t, http.MethodPost, "/account/end", nil, nil); a.status != http.StatusSeeOther {
		t.Fatalf("ending all is %d: %s", a.status, a.body)
	}
	wantOut(t, socket, began)
	if phone.in(t) || pad.in(t) || !p.in(t) || !mallory.in(t) {
		t.Error("not all other logins were ended, or more")
	}
	// A guest sees nobody else's.
	g := guest(t, c.URL(), "el-guest")
	guest(t, c.URL(), "el-guest")
	if page := g.get(t, "/account"); page.status != http.StatusOK || strings.Contains(page.body, "127.0.0.1") {
		t.Errorf("a guest's account page is %d: %s", page.status, page.body)
	}
	if a := g.ask(t, http.MethodPost, "/account/end", nil, nil); a.status != http.StatusForbidden {
		t.Errorf("a guest ends logins: %d", a.status)
	}
}

func testDeleteAccount(t *testing.T, c *cluster.Cluster) {
	p, bob := owner(t, c.Instances()[0].URL(), "da-alice"), guest(t, c.Instances()[1].URL(), "da-bob")
	w, b := p.connect(t), bob.connect(t)
	for n, room := range []string{"da-room", "~da-board", "@da-bob"} {
		w.ok("join", fields{"room": room})
		w.ok("send", fields{"room": room, "key": fmt.Sprint("k", n), "text": "stays"})
	}
	w.ok("invite", fields{"room": "~da-board", "user": "da-bob"})
	// One has roles where one is no more.
	w.ok("join", fields{"room": "da-left"})
	w.ok("leave", fields{"room": "da-left"})
	for _, room := range []string{"da-bobs", "~da-bobs"} {
		b.ok("join", fields{"room": room})
		b.ok("role", fields{"room": room, "user": "da-alice", "role": "banned"})
	}
	if a := p.ask(t, http.MethodPost, "/account/delete", url.Values{"password": {"wrong"}}, nil); a.status != http.StatusUnauthorized || !p.in(t) {
		t.Fatalf("deleting with a wrong password is %d", a.status)
	}
	if a := p.ask(t, http.MethodPost, "/account/delete", url.Values{"password": {phrase}}, nil); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" {
		t.Fatalf("deleting is %d: %s", a.status, a.body)
	}
	began := time.Now() // not before: to compare passwords takes its turn, and its time
	wantOut(t, w, began)
	if p.in(t) || visitor(t, c.URL()).enters(t, "da-alice", phrase).status != http.StatusUnauthorized || visitor(t, c.URL()).enters(t, "da-alice", "").status != http.StatusUnauthorized {
		t.Error("the account is still open")
	}
	if a := visitor(t, c.URL()).ask(t, http.MethodPost, "/register", url.Values{"username": {"da-alice"}, "password": {phrase}}, nil); a.status != http.StatusUnauthorized {
		t.Errorf("the name is given to another: %d", a.status)
	}
	for _, room := range []string{"da-room", "~da-board", "@da-alice"} {
		b.ok("join", fields{"room": room})
		key := "chatd:{" + strings.Replace(room, "@da-alice", "@da-alice:da-bob", 1) + "}:feed"
		eventually(t, 30*time.Second, "the name is gone from "+key, func() bool {
			entries := rdb(t, c).XRange(t.Context(), key, "-", "+").Val()
			return len(entries) == 1 && !strings.Contains(entries[0].Values["e"].(string), `"from":"da-alice"`)
		})
		events := b.ok("history", fields{"room": room})["events"].([]any)
		if event := events[0].(map[string]any); len(events) != 1 || event["text"] != "stays" || event["from"] != "" {
			t.Fatalf("%s keeps %v", room, events)
		}
	}
	if members := b.ok("members", fields{"room": "~da-board"})["members"]; strings.Contains(fmt.Sprint(members), "da-alice") {
		t.Errorf("still a member: %v", members)
	}
	// An instance that dies behind the deed leaves its logins to others.
	cathy := owner(t, c.URL(), "da-cathy")
	rdb(t, c).SAdd(t.Context(), "chatd:erasing", "da-cathy")
	rdb(t, c).HSet(t.Context(), "chatd:account:{da-cathy}", "gone", 1)
	eventually(t, 30*time.Second, "the login ends", func() bool { return !cathy.in(t) })
	eventually(t, 30*time.Second, "all is done", func() bool { return !rdb(t, c).SIsMember(t.Context(), "chatd:erasing", "da-alice").Val() })
	for _, key := range rdb(t, c).Keys(t.Context(), "chatd:user:{da-alice}*").Val() {
		t.Errorf("left in Redis: %s", key)
	}
	for _, key := range rdb(t, c).Keys(t.Context(), "chatd:{*da-*}:members").Val() {
		if role := rdb(t, c).HGet(t.Context(), key, "da-alice").Val(); role != "" {
			t.Errorf("still %s in %s", role, key)
		}
	}
	for _, key := range rdb(t, c).Keys(t.Context(), "chatd:device:*").Val() {
		if rdb(t, c).SIsMember(t.Context(), key, "da-alice").Val() {
			t.Errorf("still in %s", key)
		}
	}
}

func testGuesses(t *testing.T, c *cluster.Cluster) {
	p := owner(t, c.Instances()[0].URL(), "gu-alice")
	stranger := http.Header{"X-Forwarded-For": {"203.0.113.5"}}
	tries, tooMany := 0, answer{}
	for ; tries < 30; tries++ {
		at := visitor(t, c.Instances()[tries%3].URL()) // whom an instance believes: it is where the proxies are
		tooMany = at.ask(t, http.MethodPost, "/login", url.Values{"username": {"gu-alice"}, "password": {"guess"}}, stranger)
		if tooMany.status != http.StatusUnauthorized {
			break
		}
	}
	if tries != 10 || tooMany.status != http.StatusTooManyRequests || tooMany.header.Get("Retry-After") == "" || !strings.Contains(tooMany.body, "too many attempts") {
		t.Fatalf("after %d tries %d, again after %q: %s", tries, tooMany.status, tooMany.header.Get("Retry-After"), tooMany.body)
	}
	// The owner is kept out neither elsewhere nor in the browser that they used before.
	again(t, c.URL(), "gu-alice", phrase)
	p.ask(t, http.MethodPost, "/logout", nil, nil)
	if a := p.ask(t, http.MethodPost, "/login", url.Values{"username": {"gu-alice"}, "password": {phrase}}, stranger); a.status != http.StatusSeeOther {
		t.Errorf("the owner's own browser is %d", a.status)
	}
	// Through HAProxy nobody says where they are.
	if a := visitor(t, c.URL()).ask(t, http.MethodPost, "/login", url.Values{"username": {"gu-alice"}, "password": {"guess"}}, stranger); a.status != http.StatusUnauthorized {
		t.Errorf("a forged address is %d", a.status)
	}
}

func testSameTime(t *testing.T, c *cluster.Cluster) {
	owner(t, c.URL(), "st-alice")
	took := map[string][]time.Duration{}
	for range 15 {
		for _, name := range []string{"st-alice", "st-nobody"} {
			// Another address each time: it is not the number of tries that is looked at.
			from := http.Header{"X-Forwarded-For": {fmt.Sprintf("198.51.100.%d", len(took[name]))}}
			at := visitor(t, c.Instances()[2].URL())
			began := time.Now()
			if a := at.ask(t, http.MethodPost, "/login", url.Values{"username": {name}, "password": {"wrong"}}, from); a.status != http.StatusUnauthorized {
				t.Fatalf("login is %d", a.status)
			}
			took[name] = append(took[name], time.Since(began))
		}
	}
	// The fastest ones: whatever else runs here only adds to the others.
	known, unknown := slices.Min(took["st-alice"]), slices.Min(took["st-nobody"])
	t.Logf("a known name takes %v, an unknown one %v", known, unknown)
	// A hash is 20 ms and more; without it an answer takes two.
	if known > 2*unknown || unknown > 2*known {
		t.Errorf("a known name takes %v, an unknown one %v", known, unknown)
	}
}

// Many who log in at once take neither the memory nor the time of those who chat.
func testLoginStorm(t *testing.T, c *cluster.Cluster) {
	at := c.Instances()[0].URL()
	w := guest(t, at, "ls-bob").connect(t)
	w.ok("join", fields{"room": "ls-room"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	for n := range 40 {
		from := http.Header{"X-Forwarded-For": {fmt.Sprintf("192.0.2.%d", n)}}
		v := visitor(t, at)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v.ask(t, http.MethodPost, "/login", url.Values{"username": {fmt.Sprintf("ls-name-%d", n)}, "password": {"wrong"}}, from)
			}
		})
	}
	var slowest time.Duration
	for n := range 50 {
		began := time.Now()
		w.ok("send", fields{"room": "ls-room", "key": fmt.Sprint("k", n), "text": "hello"})
		slowest = max(slowest, time.Since(began))
	}
	end()
	t.Logf("the slowest of 50 messages took %v", slowest)
	if slowest > time.Second {
		t.Errorf("a message took %v", slowest)
	}
}
