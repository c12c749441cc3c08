package chattest

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// ClientID and ClientSecret are what a Provider knows chatd by.
const (
	ClientID     = "chatd"
	ClientSecret = "hush, not for logs"
)

// A Provider is a small OpenID Connect provider on loopback.
type Provider struct {
	URL string // the issuer
	key *rsa.PrivateKey

	mu       sync.Mutex
	codes    map[string]*grant
	redeemed int
	stalled  func(*http.Request) // waits, while the provider is stalled
	away     bool
}

// A Visit is what somebody does at the provider, and what it makes of that.
type Visit struct {
	Subject, Name string
	Change        func(header, claims map[string]any) // before the token is signed
	Sign          string                              // "" well, "none" not, "confused" with the public key as a password, "other" with another key
	Error         string                              // is answered in place of a code
	Reusable      bool                                // the code is good for ever
}

type grant struct {
	Visit
	asked url.Values
	used  bool
}

// NewProvider starts a provider at addr, on a free port if that is "".
func NewProvider(t testing.TB, addr string) *Provider {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{key: key, codes: map[string]*grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.configuration)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		stalled, away := p.stalled, p.away
		p.mu.Unlock()
		if away {
			panic(http.ErrAbortHandler)
		}
		if stalled != nil {
			stalled(r)
		}
		mux.ServeHTTP(w, r)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p.URL = server.URL
	return p
}

// SetAway makes the provider hang up on everybody, or serve them again.
func (p *Provider) SetAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// Stall makes the provider answer nothing until goOn. asked hears of the first
// request that waits.
func (p *Provider) Stall() (asked <-chan struct{}, goOn func()) {
	first, over := make(chan struct{}, 1), make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = func(r *http.Request) {
		select {
		case first <- struct{}{}:
		default:
		}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}
	return first, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stalled = nil
		close(over)
	}
}

// Redeemed is how often a token was asked for.
func (p *Provider) Redeemed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.redeemed
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (p *Provider) configuration(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}, "code_challenge_methods_supported": []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256",
		"n": base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()), "e": "AQAB",
	}}})
}

// authorize logs in, without a question, who the browser says it is.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	subject := "somebody"
	if c, err := r.Cookie("provider"); err == nil {
		subject = c.Value
	}
	http.Redirect(w, r, p.Visit("?"+r.URL.RawQuery, Visit{Subject: subject, Name: subject}), http.StatusSeeOther)
}

// Visit is what happens at the provider when a browser is sent to at: it returns the
// URL to which the browser is sent back.
func (p *Provider) Visit(at string, v Visit) (back string) {
	u, err := url.Parse(at)
	if err != nil {
		panic(err)
	}
	asked := u.Query()
	if asked.Get("client_id") != ClientID || asked.Get("response_type") != "code" || asked.Get("code_challenge_method") != "S256" ||
		len(asked.Get("code_challenge")) != 43 || len(asked.Get("nonce")) < 22 || len(asked.Get("state")) < 22 {
		panic(fmt.Sprintf("a provider would refuse %v", asked))
	}
	says := url.Values{"state": {asked.Get("state")}, "iss": {p.URL}}
	if v.Error != "" {
		says.Set("error", v.Error)
		says.Set("error_description", "<b>markup</b>")
	} else {
		code := rand.Text()
		says.Set("code", code)
		p.mu.Lock()
		p.codes[code] = &grant{Visit: v, asked: asked}
		p.mu.Unlock()
	}
	return asked.Get("redirect_uri") + "?" + says.Encode()
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if !ok || err1 != nil || err2 != nil || id != ClientID || secret != ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	p.redeemed++
	g := p.codes[r.PostFormValue("code")]
	good := g != nil && (!g.used || g.Reusable)
	if g != nil {
		g.used = true
	}
	p.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !good || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != g.asked.Get("redirect_uri") ||
		base64.RawURLEncoding.EncodeToString(challenge[:]) != g.asked.Get("code_challenge") {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "<b>markup</b>"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": p.sign(g)})
}

func (p *Provider) sign(g *grant) string {
	now := time.Now()
	header := map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"}
	claims := map[string]any{
		"iss": p.URL, "sub": g.Subject, "aud": ClientID, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"nonce": g.asked.Get("nonce"), "preferred_username": g.Name,
	}
	if g.asked.Has("max_age") {
		claims["auth_time"] = now.Unix()
	}
	switch g.Sign {
	case "none", "confused":
		header["alg"] = map[string]string{"none": "none", "confused": "HS256"}[g.Sign]
	}
	if g.Change != nil {
		g.Change(header, claims)
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(header) + "." + part(claims)
	var signature []byte
	switch g.Sign {
	case "none":
	case "confused":
		public, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
		if err != nil {
			panic(err)
		}
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	default:
		key := p.key
		if g.Sign == "other" {
			var err error
			if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
				panic(err)
			}
		}
		sum := sha256.Sum256([]byte(text))
		var err error
		if signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]); err != nil {
			panic(err)
		}
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
