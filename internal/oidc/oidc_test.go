package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatd/internal/chat"
	"chatd/internal/chattest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newProvider(t *testing.T, issuer string) *Provider {
	t.Helper()
	p := New(Options{Issuer: issuer, ClientID: chattest.ClientID, ClientSecret: chattest.ClientSecret, Return: "https://chat.example/login/oidc/callback"})
	t.Cleanup(p.Close)
	return p
}

// visit begins an attempt, does something at the provider, and returns what the
// browser brings back.
func visit(t *testing.T, p *Provider, there *chattest.Provider, a Attempt, v chattest.Visit) url.Values {
	t.Helper()
	at, err := p.Begin(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(there.Visit(at, v))
	if err != nil || !strings.HasPrefix(back.String(), "https://chat.example/login/oidc/callback?") {
		t.Fatalf("sent back to %v, %v", back, err)
	}
	return back.Query()
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var told *chat.Error
	if !errors.As(err, &told) || told.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func TestSomebodyLogsIn(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p := newProvider(t, there.URL)
	for _, v := range []chattest.Visit{
		{Subject: "1", Name: "alice"},
		{Subject: "2", Name: "alice@login.example"},
		{Subject: "3", Change: func(_, claims map[string]any) { claims["nickname"], claims["preferred_username"] = "alice", "" }},
		{Subject: "4", Name: "alice", Change: func(_, claims map[string]any) { claims["aud"], claims["azp"] = []string{"x", "chatd"}, "chatd" }},
		{Subject: "5", Name: strings.Repeat("x", 300), Change: func(_, claims map[string]any) { claims["auth_time"] = 1.5 }},
	} {
		a := NewAttempt(Login)
		got, err := p.Redeem(t.Context(), a, visit(t, p, there, a, v))
		want := Person{there.URL, v.Subject, "alice"}
		if len(v.Name) > maxName {
			want.Name = ""
		}
		if err != nil || got != want {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
}

// An attempt has secrets of its own for each purpose and kind, and none tells another.
func TestAnAttemptIsReadAsItWasWritten(t *testing.T) {
	seen := map[string]bool{}
	a := NewAttempt(Login)
	for _, kind := range []Kind{Login, Retry, Confirm} {
		a.Kind = kind
		if got, ok := ParseAttempt(a.String()); !ok || got != a {
			t.Errorf("%v was read as %v", a, got)
		}
		for _, made := range []string{a.Name(), a.state(), a.nonce(), a.verifier()} {
			if len(made) != 43 || seen[made] {
				t.Errorf("%s: %q", kind, made)
			}
			seen[made] = true
		}
	}
	for _, wrong := range []string{
		"", ".", "..", "login..", a.Secret, "login." + a.Secret, "login.1." + a.Secret + "x", "admin.1." + a.Secret, ".1." + a.Secret,
		"login.+1." + a.Secret, "login.01." + a.Secret, "login.99999999999999999999." + a.Secret,
	} {
		if _, ok := ParseAttempt(wrong); ok {
			t.Errorf("%q was read", wrong)
		}
	}
}

func TestAnAnswerBelongsToItsAttempt(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p, a := newProvider(t, there.URL), NewAttempt(Login)
	good := visit(t, p, there, a, chattest.Visit{Subject: "1"})
	other := a
	other.Kind = Confirm
	for name, c := range map[string]struct {
		code   string
		change func(url.Values)
	}{
		"no state":           {CodeStale, func(v url.Values) { v.Del("state") }},
		"another state":      {CodeStale, func(v url.Values) { v.Set("state", NewAttempt(Login).state()) }},
		"another kind":       {CodeStale, func(v url.Values) { v.Set("state", other.state()) }},
		"two states":         {CodeStale, func(v url.Values) { v.Add("state", v.Get("state")) }},
		"the secret itself":  {CodeStale, func(v url.Values) { v.Set("state", a.Secret) }},
		"no code":            {CodeWrong, func(v url.Values) { v.Del("code") }},
		"two codes":          {CodeWrong, func(v url.Values) { v.Add("code", "x") }},
		"no issuer":          {CodeWrong, func(v url.Values) { v.Del("iss") }},
		"another issuer":     {CodeWrong, func(v url.Values) { v.Set("iss", "https://login.evil.example") }},
		"a code of nobody":   {CodeStale, func(v url.Values) { v.Set("code", "x") }},
		"an error":           {CodeRefused, func(v url.Values) { v.Set("error", "access_denied") }},
		"an error of theirs": {CodeAway, func(v url.Values) { v.Set("error", "server_error") }},
		"two errors":         {CodeRefused, func(v url.Values) { v["error"] = []string{"server_error", "<b>"} }},
	} {
		t.Run(name, func(t *testing.T) {
			v := maps.Clone(good)
			for k := range v {
				v[k] = slices.Clone(v[k])
			}
			c.change(v)
			_, err := p.Redeem(t.Context(), a, v)
			wantCode(t, err, c.code)
		})
	}
	if n := there.Redeemed(); n != 1 {
		t.Errorf("%d codes were sent, want only that of nobody", n)
	}
	if _, err := p.Redeem(t.Context(), a, good); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Redeem(t.Context(), a, good); !errors.Is(err, ErrUsed) {
		t.Errorf("a code was good twice: %v", err)
	}
}

// The browser's cookie lapses too, but a browser can be told to keep it.
func TestAnAttemptEnds(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p, a := newProvider(t, there.URL), NewAttempt(Login)
	a.Began = time.Now().Add(-Lifetime - 2*time.Second).Unix()
	late := visit(t, p, there, a, chattest.Visit{Subject: "1"})
	_, err := p.Redeem(t.Context(), a, late)
	wantCode(t, err, CodeStale)
	a.Began = time.Now().Unix() // said later, it is another one
	_, err = p.Redeem(t.Context(), a, late)
	wantCode(t, err, CodeStale)
	a = NewAttempt(Login)
	a.Began = time.Now().Add(-Lifetime + time.Minute).Unix()
	if _, err := p.Redeem(t.Context(), a, visit(t, p, there, a, chattest.Visit{Subject: "1"})); err != nil {
		t.Error(err)
	}
}

func TestTokensThatProveNothing(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p := newProvider(t, there.URL)
	claim := func(name string, value any) func(_, claims map[string]any) {
		return func(_, claims map[string]any) { claims[name] = value }
	}
	for name, v := range map[string]chattest.Visit{
		"another nonce":       {Change: claim("nonce", NewAttempt(Login).nonce())},
		"no nonce":            {Change: claim("nonce", nil)},
		"for somebody else":   {Change: claim("aud", "another chat")},
		"for nobody":          {Change: claim("aud", nil)},
		"for two":             {Change: claim("aud", []string{"chatd", "x"})},
		"given to another":    {Change: claim("azp", "another chat")},
		"expired":             {Change: claim("exp", time.Now().Add(-time.Second).Unix())},
		"never expires":       {Change: claim("exp", nil)},
		"not yet":             {Change: claim("nbf", time.Now().Add(time.Hour).Unix())},
		"from another":        {Change: claim("iss", "https://login.evil.example")},
		"of nobody":           {Change: claim("sub", "")},
		"of somebody long":    {Change: claim("sub", strings.Repeat("x", 256))},
		"not signed":          {Sign: "none"},
		"signed by the world": {Sign: "confused"},
		"signed by another":   {Sign: "other"},
		"of an unknown key":   {Change: func(header, _ map[string]any) { header["kid"] = "k2" }},
		"with its own key": {Sign: "other", Change: func(header, _ map[string]any) {
			header["jwk"], header["jku"] = map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, "https://login.evil.example/keys"
		}},
		"named none, signed well": {Change: func(header, _ map[string]any) { header["alg"] = "none" }},
		"critical":                {Change: func(header, _ map[string]any) { header["crit"] = []string{"x"} }},
	} {
		t.Run(name, func(t *testing.T) {
			v.Subject = "1"
			a := NewAttempt(Login)
			_, err := p.Redeem(t.Context(), a, visit(t, p, there, a, v))
			wantCode(t, err, CodeWrong)
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
				t.Errorf("for the log: %s", err)
			}
		})
	}
}

// Whoever steals a code cannot use it in a browser of their own.
func TestACodeIsGoodForItsAttemptOnly(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p, victim, thief := newProvider(t, there.URL), NewAttempt(Login), NewAttempt(Login)
	stolen := visit(t, p, there, victim, chattest.Visit{Subject: "1"})
	visit(t, p, there, thief, chattest.Visit{Subject: "2"})
	stolen.Set("state", thief.state())
	_, err := p.Redeem(t.Context(), thief, stolen)
	wantCode(t, err, CodeStale) // by PKCE, at the provider
}

func TestConfirmingTakesALoginOfNow(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p, a := newProvider(t, there.URL), NewAttempt(Confirm)
	at, err := p.Begin(t.Context(), a)
	if err != nil || !strings.Contains(at, "max_age=0") || !strings.Contains(at, "prompt=login") {
		t.Fatalf("asked by %s, %v", at, err)
	}
	old := func(_, claims map[string]any) { claims["auth_time"] = time.Now().Add(-recent - time.Second).Unix() }
	_, err = p.Redeem(t.Context(), a, visit(t, p, there, a, chattest.Visit{Subject: "1", Change: old}))
	wantCode(t, err, CodeTooOld)
	if _, err = p.Redeem(t.Context(), a, visit(t, p, there, a, chattest.Visit{Subject: "1"})); err != nil {
		t.Fatal(err)
	}
}

// The secrets of an attempt stay where they are.
func TestTheProviderLearnsNoSecrets(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p, a := newProvider(t, there.URL), NewAttempt(Login)
	at, err := p.Begin(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	challenge := sha256.Sum256([]byte(a.verifier()))
	if err != nil || u.Query().Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) || u.Query().Get("code_challenge_method") != "S256" {
		t.Errorf("challenge in %s, %v", at, err)
	}
	for _, secret := range []string{a.Secret, a.verifier(), url.QueryEscape(chattest.ClientSecret)} {
		if strings.Contains(at, secret) {
			t.Errorf("%q is in %s", secret, at)
		}
	}
}

func TestAProviderMayBeAwayForAWhile(t *testing.T) {
	there := chattest.NewProvider(t, "")
	there.SetAway(true)
	p := newProvider(t, there.URL)
	for range 2 {
		_, err := p.Begin(t.Context(), NewAttempt(Login))
		wantCode(t, err, CodeAway)
	}
	there.SetAway(false)
	chattest.Eventually(t, "it is found", func() bool { _, err := p.Begin(t.Context(), NewAttempt(Login)); return err == nil })
	a := NewAttempt(Login)
	answer := visit(t, p, there, a, chattest.Visit{Subject: "1"})
	there.SetAway(true)
	_, err := p.Redeem(t.Context(), a, answer)
	wantCode(t, err, CodeAway)
	p.since = time.Now().Add(-2 * knownFor) // what is known is used on
	if _, err := p.Begin(t.Context(), a); err != nil {
		t.Error(err)
	}
	nowhere := newProvider(t, "http://127.0.0.1:1")
	_, err = nowhere.Begin(t.Context(), a)
	wantCode(t, err, CodeAway)
}

func TestWhoGoesAwayTakesNothingFromOthers(t *testing.T) {
	there := chattest.NewProvider(t, "")
	p := newProvider(t, there.URL)
	asked, goOn := there.Stall()
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 2)
	go func() { _, err := p.Begin(ctx, NewAttempt(Login)); first <- err }()
	<-asked
	go func() { _, err := p.Begin(t.Context(), NewAttempt(Login)); first <- err }()
	leave()
	goOn()
	for range 2 {
		if err := <-first; err != nil {
			t.Error(err)
		}
	}
}

// What a provider says of itself is not believed without limits.
func TestStrangeProviders(t *testing.T) {
	var issuer string
	config := func(change map[string]any) string {
		all := map[string]any{"issuer": issuer, "authorization_endpoint": issuer + "/a", "token_endpoint": issuer + "/t", "jwks_uri": issuer + "/k"}
		maps.Copy(all, change)
		b, _ := json.Marshal(all)
		return string(b)
	}
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"another issuer": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, config(map[string]any{"issuer": "https://x"}))
		},
		"a script": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, config(map[string]any{"authorization_endpoint": "javascript:alert(1)"}))
		},
		"no keys": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, config(map[string]any{"jwks_uri": nil})) },
		"a password": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, config(map[string]any{"token_endpoint": "https://u:p@x/"}))
		},
		"an endless page": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat(" ", maxAnswer+1)+config(nil))
		},
		"a page":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html>\n<p>Hello") },
		"a long error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("<b>\n", 9999), 500) },
		"a way elsewhere": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				fmt.Fprint(w, config(nil))
				return
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(answer))
			defer server.Close()
			issuer = server.URL
			p := newProvider(t, issuer)
			to, err := p.Begin(t.Context(), NewAttempt(Login))
			if err == nil {
				t.Fatalf("people are sent to %s", to)
			}
			wantCode(t, err, CodeAway)
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
				t.Errorf("for the log: %s", err)
			}
			p.Close()
		})
	}
	p := newProvider(t, "https://login.example")
	for at, good := range map[string]bool{"https://other.example/x": true, "http://login.example/x": false, "//x": false, "": false} {
		if (p.usable(at) == nil) != good {
			t.Errorf("%q: %v", at, p.usable(at))
		}
	}
}

func FuzzAnswers(f *testing.F) {
	p, a := New(Options{Issuer: "https://login.example"}), Attempt{Login, time.Now().Add(time.Hour).Unix(), strings.Repeat("A", 26)}
	f.Add("login."+a.Secret, "state="+a.state()+"&code=x")
	f.Add("confirm."+a.Secret, "state="+a.state()+"&code=x&code=y&iss=https://login.example")
	f.Add("x", "error=access_denied;%zz")
	f.Add("login.0."+a.Secret, "state="+a.state()+"&code=x")
	f.Fuzz(func(t *testing.T, kept, query string) {
		got, ok := ParseAttempt(kept)
		if ok && got.String() != kept {
			t.Errorf("%q was read as %q", kept, got)
		}
		answer, _ := url.ParseQuery(query)
		if p.Check(a, answer) == nil && (answer.Get("state") != a.state() || len(answer["code"]) != 1 || answer.Has("error")) {
			t.Errorf("%v is an answer", answer)
		}
	})
}
