// Package oidc lets people log in at an OpenID Connect provider: it sends them there,
// and finds out who came back (OpenID Connect Core 1.0, the authorization code flow
// with PKCE). It keeps nothing about anybody: who owns an account is package account's.
//
// It is the only home of go-oidc and oauth2.
package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"chatd/internal/chat"
)

const (
	// Lifetime is how long somebody may take at the provider.
	Lifetime = 10 * time.Minute
	// Within is how long a provider may take with all that one request needs of it.
	Within = 5 * time.Second

	connectWithin = 2 * time.Second
	maxAnswer     = 256 << 10 // bytes
	// What is known of a provider is looked up again so often.
	knownFor = time.Hour
	// One that failed is left alone for so long.
	pause = time.Second
	// recent is how long ago somebody may have logged in at the provider to confirm something.
	recent     = 5 * time.Minute
	maxSubject = 255 // bytes, by OpenID Connect Core 1.0, section 2
	maxName    = 256 // bytes of one that is proposed
)

// Codes of what people are told.
const (
	CodeAway    = "provider_away"
	CodeRefused = "provider_refused"
	CodeWrong   = "provider_wrong"
	CodeStale   = "login_stale"
	CodeTooOld  = "login_too_old"
)

var (
	errAway    = &chat.Error{Code: CodeAway, Message: "The login provider does not answer right now. Try again in a moment."}
	errRefused = &chat.Error{Code: CodeRefused, Message: "The login provider did not log you in."}
	errWrong   = &chat.Error{Code: CodeWrong, Message: "What the login provider answered cannot be trusted. Nobody was logged in."}
	errNotNow  = &chat.Error{Code: CodeTooOld, Message: "The login provider did not ask for your login again."}
	// ErrStale says that an answer belongs to no login of this browser.
	ErrStale error = &chat.Error{Code: CodeStale, Message: "This login was begun in another browser, or too long ago. Begin again."}
	// ErrUsed says that the provider does not know the code, or no more. It is known
	// to people as ErrStale.
	ErrUsed = fmt.Errorf("the code was used: %w", ErrStale)
)

// A Kind is what an attempt is for.
type Kind string

const (
	Login   Kind = "login"
	Retry   Kind = "retry"   // a login that begins by itself, because the answer of the first got lost
	Confirm Kind = "confirm" // of somebody who is logged in: the provider is to ask again who it is
)

// An Attempt is one way to the provider and back. Only the person's browser keeps it,
// so any instance can go on with it. State, nonce and PKCE verifier are made from its
// secret, one way, and go with its kind and its beginning.
type Attempt struct {
	Kind   Kind
	Began  int64 // Unix s
	Secret string
}

// NewAttempt makes an attempt with a secret that nobody knows.
func NewAttempt(kind Kind) Attempt { return Attempt{kind, time.Now().Unix(), rand.Text()} }

func (a Attempt) String() string { return fmt.Sprintf("%s.%d.%s", a.Kind, a.Began, a.Secret) }

// ParseAttempt reads what String wrote.
func ParseAttempt(text string) (a Attempt, ok bool) {
	kind, rest, _ := strings.Cut(text, ".")
	began, secret, _ := strings.Cut(rest, ".")
	at, _ := strconv.ParseInt(began, 10, 64)
	a = Attempt{Kind(kind), at, secret}
	known := a.Kind == Login || a.Kind == Retry || a.Kind == Confirm
	return a, known && len(secret) == len(rand.Text()) && a.String() == text
}

// Name names the attempt, and opens nothing.
func (a Attempt) Name() string     { return a.derive("name") }
func (a Attempt) state() string    { return a.derive("state") }
func (a Attempt) nonce() string    { return a.derive("nonce") }
func (a Attempt) verifier() string { return a.derive("verifier") }

// derive makes 43 characters, as many as a PKCE verifier needs (RFC 7636, section 4.1).
func (a Attempt) derive(what string) string {
	mac := hmac.New(sha256.New, []byte(a.Secret))
	fmt.Fprintf(mac, "%s of %s of %d", what, a.Kind, a.Began)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// A Person is who logged in at the provider. Issuer and Subject together are theirs
// for ever; Name is what they are called there, "" where that is not said.
type Person struct {
	Issuer, Subject, Name string
}

// Options are what an operator decides.
type Options struct {
	Issuer       string // the provider
	ClientID     string // what this chat is called there
	ClientSecret string // "" of a public client
	Return       string // the URL at which people come back
}

// A Provider is safe for concurrent use. Its errors wrap a *chat.Error for people;
// their own texts are for the log: one line, and short, whatever the provider said.
type Provider struct {
	opts   Options
	client *http.Client

	turn  chan struct{} // held by who uses the fields below
	known *known
	since time.Time // of known, or of failed
	// failed is why the provider is not known.
	failed error
}

// known is what a provider says of itself.
type known struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	says     bool // its answers have "iss" (RFC 9207)
}

// New returns a provider, which need not be there yet: it is asked who it is when it
// is needed.
func New(opts Options) *Provider {
	dialer := &net.Dialer{Timeout: connectWithin}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: connectWithin,
		ForceAttemptHTTP2: true, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second,
	}
	return &Provider{opts: opts, turn: make(chan struct{}, 1), client: &http.Client{
		Timeout: Within, Transport: bounded{transport},
		// A secret goes to where the provider said it lives, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// bounded is a transport whose answers are no longer than maxAnswer.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// Close ends connections that are open and unused.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// discover returns what the provider says of itself, before ctx's deadline. What was known is used further
// when it cannot be asked again.
func (p *Provider) discover(ctx context.Context) (*known, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fault(errAway, ctx.Err())
	}
	age := time.Since(p.since)
	switch {
	case p.known != nil && age < knownFor:
		return p.known, nil
	case p.known == nil && p.failed != nil && age < pause:
		return nil, p.failed
	}
	// Who goes away meanwhile takes nothing from those who wait for the same.
	deadline, _ := ctx.Deadline()
	asking, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	found, err := p.ask(asking)
	p.since = time.Now()
	if err != nil && p.known == nil {
		p.failed = fault(errAway, err)
		return nil, p.failed
	}
	if err == nil {
		p.known = found
	}
	return p.known, nil
}

func (p *Provider) ask(ctx context.Context) (*known, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.opts.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Keys string   `json:"jwks_uri"`
		Auth []string `json:"token_endpoint_auth_methods_supported"`
		Says bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, err
	}
	endpoint := provider.Endpoint()
	for _, at := range []string{endpoint.AuthURL, endpoint.TokenURL, more.Keys} {
		if err := p.usable(at); err != nil {
			return nil, err
		}
	}
	// Said, not tried out: trying sends the code twice. Basic is what holds where nothing is said.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.opts.ClientSecret == "" || len(more.Auth) > 0 && !slices.Contains(more.Auth, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &known{
		oauth: oauth2.Config{
			ClientID: p.opts.ClientID, ClientSecret: p.opts.ClientSecret, RedirectURL: p.opts.Return,
			Endpoint: endpoint, Scopes: []string{oidc.ScopeOpenID, oidc.ScopeProfile},
		},
		verifier: provider.Verifier(&oidc.Config{ClientID: p.opts.ClientID}),
		says:     more.Says,
	}, nil
}

// usable says whether people and secrets may be sent to a URL: by TLS, if that leads to
// the issuer.
func (p *Provider) usable(at string) error {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(p.opts.Issuer, "https:")) {
		return fmt.Errorf("the provider names an endpoint that is not usable: %.100q", at)
	}
	return nil
}

// Begin returns the URL at the provider to which the person is sent.
func (p *Provider) Begin(ctx context.Context, a Attempt) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, Within)
	defer cancel()
	k, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	opts := []oauth2.AuthCodeOption{oidc.Nonce(a.nonce()), oauth2.S256ChallengeOption(a.verifier())}
	if a.Kind == Confirm {
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return k.oauth.AuthCodeURL(a.state(), opts...), nil
}

// Check says whether what a browser brings back from the provider answers this
// attempt, and has a code.
func (p *Provider) Check(a Attempt, answer url.Values) error {
	_, err := p.code(a, answer)
	return err
}

func (p *Provider) code(a Attempt, answer url.Values) (code string, err error) {
	one := func(name string) string {
		if len(answer[name]) == 1 {
			return answer[name][0]
		}
		return ""
	}
	if subtle.ConstantTimeCompare([]byte(one("state")), []byte(a.state())) != 1 || time.Since(time.Unix(a.Began, 0)) > Lifetime {
		return "", ErrStale
	}
	if answer.Has("iss") && one("iss") != p.opts.Issuer {
		return "", fault(errWrong, fmt.Errorf("the answer is from %.100q", one("iss")))
	}
	switch e := one("error"); {
	case e == "server_error", e == "temporarily_unavailable":
		return "", fault(errAway, fmt.Errorf("it says %q", e))
	case answer.Has("error"):
		return "", fault(errRefused, fmt.Errorf("it says %.60q", e))
	case one("code") == "":
		return "", fault(errWrong, errors.New("no code, or several"))
	}
	return one("code"), nil
}

// Redeem returns who it is that came back with an answer, which it checks too.
func (p *Provider) Redeem(ctx context.Context, a Attempt, answer url.Values) (Person, error) {
	code, err := p.code(a, answer)
	if err != nil {
		return Person{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, Within)
	defer cancel()
	k, err := p.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	if k.says && !answer.Has("iss") {
		return Person{}, fault(errWrong, errors.New("the answer does not say from whom it is"))
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := k.oauth.Exchange(ctx, code, oauth2.VerifierOption(a.verifier()))
	if err != nil {
		return Person{}, exchangeFault(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return Person{}, fault(errWrong, errors.New("no ID token"))
	}
	id, err := k.verifier.Verify(ctx, raw)
	if err != nil {
		if ctx.Err() != nil { // it did not say its keys
			return Person{}, fault(errAway, err)
		}
		return Person{}, fault(errWrong, err)
	}
	return p.person(a, id)
}

// person reads an ID token that the provider signed for this client.
func (p *Provider) person(a Attempt, id *oidc.IDToken) (Person, error) {
	var claims struct {
		Party    string   `json:"azp"`
		AuthTime *float64 `json:"auth_time"` // a number, says the standard
		Name     string   `json:"preferred_username"`
		Nickname string   `json:"nickname"`
	}
	if err := id.Claims(&claims); err != nil {
		return Person{}, fault(errWrong, err)
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.nonce())) != 1:
		return Person{}, fault(errWrong, errors.New("the nonce is another one"))
	case claims.Party != "" && claims.Party != p.opts.ClientID, claims.Party == "" && len(id.Audience) > 1:
		return Person{}, fault(errWrong, fmt.Errorf("the token is for %.100q", claims.Party))
	case id.Subject == "" || len(id.Subject) > maxSubject:
		return Person{}, fault(errWrong, errors.New("the subject is none"))
	// A provider that is asked for max_age must say auth_time. Some do neither, and people of theirs must be able to confirm too.
	case a.Kind == Confirm && claims.AuthTime != nil && time.Since(time.Unix(int64(*claims.AuthTime), 0)) > recent:
		return Person{}, fault(errNotNow, errors.New("auth_time is too old"))
	}
	name := claims.Name
	if name == "" {
		name = claims.Nickname
	}
	name, _, _ = strings.Cut(name, "@") // where it is an address
	if len(name) > maxName {
		name = ""
	}
	// Not the token's issuer: Google's has two spellings.
	return Person{Issuer: p.opts.Issuer, Subject: id.Subject, Name: name}, nil
}

// exchangeFault tells what a provider says of a code from one that says nothing.
func exchangeFault(err error) error {
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) {
		return fault(errAway, err)
	}
	what := fmt.Errorf("it says %d %.60q", said.Response.StatusCode, said.ErrorCode)
	switch {
	case said.ErrorCode == "invalid_grant":
		return fmt.Errorf("%w: %w", ErrUsed, what)
	case said.Response.StatusCode >= 500, said.Response.StatusCode == http.StatusTooManyRequests:
		return fault(errAway, what)
	}
	return fault(errWrong, what)
}

// fault is what people are told, with why for the log: a line, and short.
func fault(told *chat.Error, why error) error {
	text := why.Error()
	if errors.Is(why, io.EOF) && text == "EOF" {
		text = "no answer"
	}
	return fmt.Errorf("%w: %.300q", told, text)
}
