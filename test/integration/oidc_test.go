//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chattest"
	"chatd/internal/cluster"
	"chatd/internal/session"
)

// public is what the provider knows chatd by: nothing is there, so whatever leads
// there comes from the settings.
const public = "http://chat.test"

// An outside is a cluster whose people log in at a provider.
type outside struct {
	*cluster.Cluster
	there *chattest.Provider
}

// TestProvider holds the login at a provider to what it promises, on real processes.
func TestProvider(t *testing.T) {
	there := chattest.NewProvider(t, "")
	there.SetAway(true) // chatd starts without it
	o := &outside{startCluster(t, 2, "CHATD_PUBLIC_URL="+public, "CHATD_OIDC_ISSUER="+there.URL, "CHATD_OIDC_CLIENT_ID="+chattest.ClientID,
		"CHATD_OIDC_CLIENT_SECRET="+chattest.ClientSecret, "CHATD_OIDC_NAME=Login & Co", "CHATD_LOG_LEVEL=debug"), there}

	t.Run("AProviderThatIsAwayStopsNobodyElse", o.away)
	t.Run("SomebodyComesAndHasANameFromThenOn", o.firstAndLater)
	t.Run("NamesAreChosenOnce", o.names)
	t.Run("AGuestKeepsTheirName", o.guest)
	t.Run("OnlyTheBrowserThatBeganComesBack", o.strangers)
	t.Run("AnAnswerIsGoodOnce", o.replay)
	t.Run("TokensThatProveNothingLogNobodyIn", o.tokens)
	t.Run("WhatTheProviderSaysIsNoMarkup", o.refusals)
	t.Run("AnAccountEndsByWhoOwnsIt", o.deletion)
	t.Run("WhatWasProvenGoesWithTheLogin", o.shared)
	t.Run("LoggingOutEverywhereIsForThemToo", o.everywhere)
	t.Run("ALockedAccountStaysOut", o.locked)
	t.Run("ASlowProviderIsNotWaitedFor", o.slow)
	t.Run("AKillOnTheWayIsNotNoticed", o.killed)
	t.Run("SecretsAreNotInLogs", o.logs)
}

// begin sends a browser to the provider and returns the URL there.
func (o *outside) begin(t *testing.T, p *person, path string) string {
	t.Helper()
	a := p.get(t, path)
	to := a.header.Get("Location")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(to, o.there.URL+"/authorize?") {
		t.Fatalf("%s: %d, to %q", path, a.status, to)
	}
	return to
}

// back is the path by which somebody comes back from the provider.
func (o *outside) back(at string, v chattest.Visit) string {
	return strings.TrimPrefix(o.there.Visit(at, v), public)
}

// comes is the whole way of somebody, up to the answer when they are back.
func (o *outside) comes(t *testing.T, p *person, v chattest.Visit) answer {
	t.Helper()
	return p.get(t, o.back(o.begin(t, p, "/login/oidc"), v))
}

// enters makes somebody new.
func (o *outside) enters(t *testing.T, p *person, subject, name string) {
	t.Helper()
	leadsTo(t, o.comes(t, p, chattest.Visit{Subject: subject}), "/login/oidc/name")
	leadsTo(t, p.ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {name}}, nil), "/")
}

func leadsTo(t *testing.T, a answer, path string) {
	t.Helper()
	if a.status != http.StatusSeeOther || a.header.Get("Location") != path {
		t.Fatalf("%d to %q, want to %s: %s", a.status, a.header.Get("Location"), path, alert(a))
	}
}

// says wants a page with this status and these words in its alert.
func says(t *testing.T, a answer, status int, words string) {
	t.Helper()
	if a.status != status || !strings.Contains(alert(a), words) {
		t.Errorf("%d, %q; want %d, %q", a.status, alert(a), status, words)
	}
	for _, cookie := range a.header.Values("Set-Cookie") {
		if strings.HasPrefix(cookie, session.CookieName+"=") {
			t.Errorf("a login came with it: %s", cookie)
		}
	}
}

func alert(a answer) string {
	_, after, _ := strings.Cut(a.body, `role="alert">`)
	text, _, _ := strings.Cut(after, "</p>")
	return text
}

// who is logged in, "" for nobody.
func (p *person) who(t *testing.T) string {
	t.Helper()
	a := p.ask(t, http.MethodPost, "/session/refresh", nil, nil)
	if a.status == http.StatusUnauthorized {
		return ""
	}
	_, after, _ := strings.Cut(a.body, `"user":"`)
	name, _, _ := strings.Cut(after, `"`)
	return name
}

func (p *person) is(t *testing.T, name string) {
	t.Helper()
	if got := p.who(t); got != name {
		t.Fatalf("logged in is %q, want %q", got, name)
	}
}

func (o *outside) away(t *testing.T) {
	p := visitor(t, o.URL())
	if page := p.get(t, "/login"); page.status != http.StatusOK || !strings.Contains(page.body, "Log in with Login &amp; Co") {
		t.Fatalf("login page: %d %s", page.status, page.body)
	}
	a := p.get(t, "/login/oidc")
	says(t, a, http.StatusBadGateway, "does not answer right now")
	if !strings.Contains(a.body, `action="/login"`) {
		t.Error("one cannot log in otherwise there")
	}
	guest(t, o.URL(), "patient").is(t, "patient")
	o.there.SetAway(false)
	for _, i := range o.Instances() {
		p := p.at(t, i.URL())
		chattest.Eventually(t, i.Name+" finds the provider", func() bool { return p.get(t, "/login/oidc").status == http.StatusSeeOther })
	}
}

// Each step is at another instance than the one before.
func (o *outside) firstAndLater(t *testing.T) {
	one, two := o.Instances()[0].URL(), o.Instances()[1].URL()
	p := visitor(t, one)
	at := o.begin(t, p, "/login/oidc")
	if want := url.QueryEscape(public + "/login/oidc/callback"); !strings.Contains(at, "redirect_uri="+want) {
		t.Errorf("people are sent back by %s", at)
	}
	alice := chattest.Visit{Subject: "alice's", Name: "Alice@login.example"}
	leadsTo(t, p.at(t, two).get(t, o.back(at, alice)), "/login/oidc/name")
	p.is(t, "")
	page := p.get(t, "/login/oidc/name")
	if page.status != http.StatusOK || !strings.Contains(page.body, `value="alice"`) {
		t.Fatalf("%d: %s", page.status, page.body)
	}
	leadsTo(t, p.at(t, two).ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {"Ålice"}}, nil), "/")
	p.is(t, "ålice")
	if w := p.connect(t); w.user != "ålice" {
		t.Errorf("the socket is %q's", w.user)
	}
	if cookies := p.http.Jar.Cookies(p.base); len(cookies) != 1 {
		t.Errorf("of the way there are left: %v", cookies)
	}
	// What was proven was good for one name.
	leadsTo(t, p.get(t, "/login/oidc/name"), "/login")

	leadsTo(t, p.ask(t, http.MethodPost, "/logout", url.Values{}, nil), "/login")
	p.is(t, "")
	leadsTo(t, o.comes(t, p, alice), "/")
	p.is(t, "ålice")
	other := visitor(t, two)
	leadsTo(t, o.comes(t, other, alice), "/")
	other.is(t, "ålice")
	p.is(t, "ålice")

	// The name is theirs: neither a guest nor a password opens it.
	says(t, visitor(t, one).ask(t, http.MethodPost, "/login", url.Values{"username": {"ålice"}}, nil), http.StatusUnauthorized, "belongs to somebody")
	says(t, visitor(t, one).ask(t, http.MethodPost, "/login", url.Values{"username": {"ålice"}, "password": {"anything"}}, nil), http.StatusUnauthorized, "wrong")
	lines := fmt.Sprint(rdb(t, o.Cluster).XRange(t.Context(), "chatd:audit", "-", "+").Val())
	for _, line := range []string{"action:account_made actor:ålice address:127.0.0.1 detail:" + o.there.URL, "action:login actor:ålice address:127.0.0.1 detail:provider"} {
		if !strings.Contains(lines, line) {
			t.Errorf("the audit log has no %q: %s", line, lines)
		}
	}
}

func (o *outside) names(t *testing.T) {
	o.enters(t, visitor(t, o.URL()), "first", "taken")
	p := visitor(t, o.URL())
	leadsTo(t, o.comes(t, p, chattest.Visit{Subject: "second", Name: "taken"}), "/login/oidc/name")
	says(t, p.get(t, "/login/oidc/name"), http.StatusOK, "taken")
	choose := func(name string) answer {
		return p.ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {name}}, nil)
	}
	says(t, choose("taken"), http.StatusUnauthorized, "taken")
	says(t, choose("no name at all"), http.StatusUnauthorized, "name")
	says(t, choose("<b>x</b>"), http.StatusUnauthorized, "name")
	leadsTo(t, choose("free"), "/")
	p.is(t, "free")
	// Without having been at the provider there is nothing to choose.
	says(t, visitor(t, o.URL()).ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {"stranger"}}, nil), http.StatusUnauthorized, "Begin again")
	// A name that is no name here is not proposed.
	p = visitor(t, o.URL())
	leadsTo(t, o.comes(t, p, chattest.Visit{Subject: "third", Name: `"><script>`}), "/login/oidc/name")
	if page := p.get(t, "/login/oidc/name"); !strings.Contains(page.body, `value=""`) {
		t.Errorf("proposed: %s", page.body)
	}
}

func (o *outside) guest(t *testing.T) {
	p, stranger := guest(t, o.URL(), "visiting"), guest(t, o.URL(), "visiting")
	w, theirs := p.connect(t), stranger.connect(t)
	w.ok("join", fields{"room": "~visiting-room"})
	leadsTo(t, o.comes(t, p, chattest.Visit{Subject: "visitor's", Name: "other"}), "/login/oidc/name")
	if page := p.get(t, "/login/oidc/name"); !strings.Contains(page.body, `value="visiting"`) || !strings.Contains(page.body, "You keep your name") {
		t.Errorf("%s", page.body)
	}
	leadsTo(t, p.ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {"visiting"}}, nil), "/")
	p.is(t, "visiting")
	if rooms := p.get(t, "/api/rooms"); !strings.Contains(rooms.body, "~visiting-room") {
		t.Errorf("rooms are %s", rooms.body)
	}
	// Whoever else came under the name is out.
	if code := theirs.end(); code != 4401 {
		t.Errorf("the other guest's socket ended with %d", code)
	}
	stranger.is(t, "")
}

func (o *outside) strangers(t *testing.T) {
	victim, attacker := visitor(t, o.URL()), visitor(t, o.URL())
	theirs := o.back(o.begin(t, attacker, "/login/oidc"), chattest.Visit{Subject: "attacker's"})
	// A link that would log the victim in as the attacker: before they begin, and while they are on their way.
	says(t, victim.get(t, theirs), http.StatusUnauthorized, "Begin again")
	at := o.begin(t, victim, "/login/oidc")
	says(t, victim.get(t, theirs), http.StatusUnauthorized, "Begin again")
	says(t, victim.get(t, "/login/oidc/callback"), http.StatusUnauthorized, "Begin again")
	own := o.back(at, chattest.Visit{Subject: "victim's"})
	// The attacker knows the victim's URL, but has not their cookie.
	says(t, attacker.get(t, own), http.StatusUnauthorized, "Begin again")
	// Two cookies are none: one was tossed in.
	var kept string
	for _, c := range victim.http.Jar.Cookies(victim.base) {
		if c.Name == "oidc" {
			kept = c.Value
		}
	}
	if kept == "" {
		t.Fatal("no cookie")
	}
	twice := http.Header{"Cookie": {"oidc=" + kept}} // beside the one of the jar
	says(t, victim.ask(t, http.MethodGet, own, nil, twice), http.StatusUnauthorized, "Begin again")
	// None of that took anything from the victim.
	leadsTo(t, victim.get(t, own), "/login/oidc/name")
	// Another site's page begins nothing, for nobody.
	for _, site := range []string{"cross-site", "same-site"} {
		a := victim.ask(t, http.MethodGet, "/login/oidc", nil, http.Header{"Sec-Fetch-Site": {site}})
		leadsTo(t, a, "/login")
		if len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %v", site, a.header)
		}
	}
	// Nor does it choose a name.
	a := victim.ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {"evil"}}, http.Header{"Sec-Fetch-Site": {"cross-site"}})
	if a.status != http.StatusForbidden {
		t.Errorf("chosen by another site: %d", a.status)
	}
}

// The provider takes the code twice here. We do not.
func (o *outside) replay(t *testing.T) {
	p := visitor(t, o.URL())
	at := o.begin(t, p, "/login/oidc")
	var kept []*http.Cookie
	kept = append(kept, p.http.Jar.Cookies(p.base)...)
	back := o.back(at, chattest.Visit{Subject: "replayed", Reusable: true})
	leadsTo(t, p.get(t, back), "/login/oidc/name")
	before := o.there.Redeemed()

	thief := visitor(t, o.URL()) // of the cookie too
	thief.http.Jar.SetCookies(thief.base, kept)
	a := thief.get(t, back)
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), o.there.URL) {
		t.Fatalf("replayed: %d to %q", a.status, a.header.Get("Location"))
	}
	if n := o.there.Redeemed() - before; n != 0 {
		t.Errorf("the code was sent %d times more", n)
	}
	// It begins anew by itself, and asks the provider who this is; but that once only.
	second := o.back(a.header.Get("Location"), chattest.Visit{Subject: "replayed"})
	kept = append(kept[:0], thief.http.Jar.Cookies(thief.base)...)
	leadsTo(t, thief.get(t, second), "/login/oidc/name")
	thief.http.Jar.SetCookies(thief.base, kept)
	says(t, thief.get(t, second), http.StatusUnauthorized, "Begin again")
}

func (o *outside) tokens(t *testing.T) {
	claim := func(name string, value any) func(_, claims map[string]any) {
		return func(_, claims map[string]any) { claims[name] = value }
	}
	for name, v := range map[string]chattest.Visit{
		"another nonce": {Change: claim("nonce", strings.Repeat("x", 43))},
		"for another":   {Change: claim("aud", "another chat")},
		"expired":       {Change: claim("exp", time.Now().Add(-time.Second).Unix())},
		"from another":  {Change: claim("iss", "https://login.evil.example")},
		"alg none":      {Sign: "none"},
		"key confusion": {Sign: "confused"},
		"another key":   {Sign: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			v.Subject = "alice's"
			p := visitor(t, o.URL())
			says(t, o.comes(t, p, v), http.StatusUnauthorized, "cannot be trusted")
			p.is(t, "")
		})
	}
	lines := fmt.Sprint(rdb(t, o.Cluster).XRange(t.Context(), "chatd:audit", "-", "+").Val())
	if !strings.Contains(lines, "action:login_failed address:127.0.0.1 detail:provider_wrong") {
		t.Errorf("the audit log does not tell: %s", lines)
	}
}

func (o *outside) refusals(t *testing.T) {
	for code, words := range map[string]string{"access_denied": "did not log you in", "<b>x</b>": "did not log you in", "temporarily_unavailable": "does not answer right now"} {
		a := o.comes(t, visitor(t, o.URL()), chattest.Visit{Error: code})
		says(t, a, map[bool]int{true: http.StatusBadGateway, false: http.StatusUnauthorized}[code == "temporarily_unavailable"], words)
		if strings.Contains(a.body, "markup") || strings.Contains(a.body, "<b>") || strings.Contains(a.body, "access_denied") {
			t.Errorf("its words are on the page: %s", a.body)
		}
	}
	german := visitor(t, o.URL())
	a := german.ask(t, http.MethodGet, o.back(o.begin(t, german, "/login/oidc"), chattest.Visit{Error: "access_denied"}), nil, http.Header{"Accept-Language": {"de"}})
	says(t, a, http.StatusUnauthorized, "Der Anmeldedienst hat dich nicht angemeldet.")
}

func (o *outside) deletion(t *testing.T) {
	p := visitor(t, o.URL())
	o.enters(t, p, "leaver's", "leaver")
	page := p.get(t, "/account")
	if strings.Contains(page.body, `type="password"`) || strings.Contains(page.body, `action="/account/delete"`) || !strings.Contains(page.body, "/login/oidc?confirm") {
		t.Fatalf("the account page: %s", page.body)
	}
	remove := func(password string) answer {
		return p.ask(t, http.MethodPost, "/account/delete", url.Values{"password": {password}}, nil)
	}
	confirm := func(v chattest.Visit) answer { return p.get(t, o.back(o.begin(t, p, "/login/oidc?confirm"), v)) }
	says(t, remove("anything"), http.StatusUnauthorized, "once more")
	says(t, p.ask(t, http.MethodPost, "/account/password", url.Values{"old": {""}, "new": {"seven owls skate on marmalade"}}, nil), http.StatusUnauthorized, "wrong")
	says(t, confirm(chattest.Visit{Subject: "somebody else's"}), http.StatusUnauthorized, "once more")
	says(t, confirm(chattest.Visit{Subject: "leaver's", Change: func(_, claims map[string]any) { claims["auth_time"] = time.Now().Add(-time.Hour).Unix() }}), http.StatusUnauthorized, "did not ask")
	says(t, remove(""), http.StatusUnauthorized, "once more")
	// What another browser has proven, for a login, confirms nothing.
	leadsTo(t, o.comes(t, visitor(t, o.URL()), chattest.Visit{Subject: "leaver's"}), "/")
	says(t, remove(""), http.StatusUnauthorized, "once more")

	leadsTo(t, confirm(chattest.Visit{Subject: "leaver's"}), "/account?done=confirmed")
	if page := p.get(t, "/account?done=confirmed"); !strings.Contains(page.body, `action="/account/delete"`) || strings.Contains(page.body, `type="password"`) {
		t.Fatalf("the account page: %s", page.body)
	}
	leadsTo(t, remove(""), "/login")
	p.is(t, "")
	says(t, p.ask(t, http.MethodPost, "/login", url.Values{"username": {"leaver"}}, nil), http.StatusUnauthorized, "belongs to somebody")
	o.enters(t, p, "leaver's", "returner") // as somebody new
	p.is(t, "returner")
}

// What somebody has proven in a browser goes with their login there: whoever sits there
// next makes nothing of it.
func (o *outside) shared(t *testing.T) {
	p := visitor(t, o.URL())
	o.enters(t, p, "shared", "shared")
	confirm := func() {
		leadsTo(t, p.get(t, o.back(o.begin(t, p, "/login/oidc?confirm"), chattest.Visit{Subject: "shared"})), "/account?done=confirmed")
	}
	name := func() answer {
		return p.ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {"whoever"}}, nil)
	}
	confirm()
	says(t, name(), http.StatusUnauthorized, "Begin again") // it was shown for something else
	kept := p.http.Jar.Cookies(p.base)
	p.ask(t, http.MethodPost, "/logout", nil, nil)
	p.is(t, "")
	if left := p.http.Jar.Cookies(p.base); len(left) > 0 {
		t.Errorf("a logout leaves the cookies %v", left)
	}
	// Nor does who has kept a copy of what the browser had.
	p.http.Jar.SetCookies(p.base, kept)
	says(t, name(), http.StatusUnauthorized, "Begin again")
	p.is(t, "")

	// Who came for the first time, and chose no name.
	leadsTo(t, o.comes(t, p, chattest.Visit{Subject: "shy"}), "/login/oidc/name")
	kept = p.http.Jar.Cookies(p.base)
	p.ask(t, http.MethodPost, "/logout", nil, nil)
	p.http.Jar.SetCookies(p.base, kept)
	says(t, name(), http.StatusUnauthorized, "Begin again")
	p.is(t, "")
}

func (o *outside) everywhere(t *testing.T) {
	one, two := visitor(t, o.Instances()[0].URL()), visitor(t, o.Instances()[1].URL())
	o.enters(t, one, "twofold", "twofold")
	leadsTo(t, o.comes(t, two, chattest.Visit{Subject: "twofold"}), "/")
	w, theirs := one.connect(t), two.connect(t)
	leadsTo(t, one.ask(t, http.MethodPost, "/account/end", url.Values{}, nil), "/account?done=end")
	if code := theirs.end(); code != 4401 {
		t.Errorf("the other socket ended with %d", code)
	}
	two.is(t, "")
	w.fence()
	one.is(t, "twofold")
}

// That somebody is who they are at the provider opens no account that is locked here.
func (o *outside) locked(t *testing.T) {
	p, r := visitor(t, o.URL()), rdb(t, o.Cluster)
	o.enters(t, p, "locked", "locked")
	accounts := account.New(r, audit.New(r, 1000), 15)
	if err := accounts.Lock(t.Context(), account.From{}, "root", "locked", "too many ads"); err != nil {
		t.Fatal(err)
	}
	a := o.comes(t, visitor(t, o.URL()), chattest.Visit{Subject: "locked"})
	says(t, a, http.StatusForbidden, "was locked by an administrator")
	says(t, a, http.StatusForbidden, "too many ads")
	chattest.Eventually(t, "the login has ended", func() bool { return p.who(t) == "" })
	if err := accounts.Unlock(t.Context(), account.From{}, "root", "locked", "it was somebody else"); err != nil {
		t.Fatal(err)
	}
	leadsTo(t, o.comes(t, p, chattest.Visit{Subject: "locked"}), "/")
}

// Redis is slow too: HAProxy has more patience here than elsewhere, or it would repeat
// at another instance what is still going on.
func (o *outside) slow(t *testing.T) {
	p := visitor(t, o.URL())
	back := o.back(o.begin(t, p, "/login/oidc"), chattest.Visit{Subject: "slow"})
	_, goOn := o.there.Stall()
	defer goOn()
	start := time.Now()
	o.Redis.Pause()
	defer o.Redis.Resume()
	time.AfterFunc(time.Second, o.Redis.Resume)
	says(t, p.get(t, back), http.StatusBadGateway, "does not answer right now")
	if took := time.Since(start); took < 4*time.Second || took > 9*time.Second {
		t.Errorf("after %v", took)
	}
}

// The instance dies that has taken the code to the provider. The balancer repeats the
// request at the other one, which begins anew: the provider knows who it is.
func (o *outside) killed(t *testing.T) {
	p := guest(t, o.URL(), "unnoticing")
	pinned := o.Instances()[0]
	if p.pin() != pinned.Name {
		pinned = o.Instances()[1]
	}
	back := o.back(o.begin(t, p, "/login/oidc"), chattest.Visit{Subject: "unnoticing"})
	asked, goOn := o.there.Stall()
	heard := make(chan string, 1)
	req, err := http.NewRequestWithContext(within(t, 20*time.Second), http.MethodGet, o.URL()+back, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		resp, err := p.http.Do(req)
		if err != nil {
			heard <- err.Error()
			return
		}
		resp.Body.Close()
		heard <- fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Location"))
	}()
	select {
	case <-asked:
	case answer := <-heard:
		t.Fatalf("answered without the provider: %s", answer)
	}
	pinned.Kill()
	goOn()
	answer := <-heard
	to, ok := strings.CutPrefix(answer, "303 ")
	if !ok || !strings.HasPrefix(to, o.there.URL+"/authorize?") {
		t.Fatalf("answered: %s", answer)
	}
	leadsTo(t, p.get(t, o.back(to, chattest.Visit{Subject: "unnoticing"})), "/login/oidc/name")
	leadsTo(t, p.ask(t, http.MethodPost, "/login/oidc/name", url.Values{"username": {"unnoticing"}}, nil), "/")
	p.is(t, "unnoticing")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := pinned.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

func (o *outside) logs(t *testing.T) {
	for _, i := range o.Instances() {
		log, err := os.ReadFile(i.Log)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{chattest.ClientSecret, "markup", "id_token", "code=", "eyJ"} {
			if strings.Contains(string(log), secret) {
				t.Errorf("%q is in the log of %s", secret, i.Name)
			}
		}
		if !strings.Contains(string(log), "nobody was logged in at the provider") {
			t.Errorf("the log of %s does not say what went wrong", i.Name)
		}
	}
}
