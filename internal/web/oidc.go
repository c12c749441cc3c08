package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/oidc"
	"chatd/internal/session"
)

// Provider is what a Server needs of a provider of logins; package oidc says what its
// methods promise.
type Provider interface {
	Begin(ctx context.Context, a oidc.Attempt) (url string, err error)
	Check(a oidc.Attempt, answer url.Values) error
	Redeem(ctx context.Context, a oidc.Attempt, answer url.Values) (oidc.Person, error)
}

// ReturnPath is where a provider sends people back to.
const ReturnPath = "/login/oidc/callback"

// patient is timeout for requests that need a provider too, which has a time of its own.
func patient(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), oidc.Within+2*time.Second)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// provided answers "not found" where there is no provider.
func (s *Server) provided(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.Provider == nil {
			return echo.ErrNotFound
		}
		return next(c)
	}
}

// oidcCookie names the cookie in which a browser keeps its attempt, and then the token
// of what was proven. With TLS its prefix keeps others' pages, of this site's other
// hosts too, from putting one of theirs there and so logging people in as themselves.
func (s *Server) oidcCookie() string {
	if strings.HasPrefix(s.PublicURL, "https:") {
		return "__Host-oidc"
	}
	return "oidc"
}

func (s *Server) setKept(c echo.Context, value string, within time.Duration) {
	c.SetCookie(&http.Cookie{
		Name: s.oidcCookie(), Value: value, Path: "/", MaxAge: int(within.Seconds()), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // people come back from another site
		Secure:   strings.HasPrefix(s.PublicURL, "https:"),
	})
}

func (s *Server) dropKept(c echo.Context) { s.setKept(c, "", -time.Second) }

// kept is what the browser keeps, "" for nothing. Two are none, as with the login.
func (s *Server) kept(c echo.Context) string {
	if cookies := c.Request().CookiesNamed(s.oidcCookie()); len(cookies) == 1 {
		return cookies[0].Value
	}
	return ""
}

// goToProvider sends somebody to the provider, from a page of ours only: a guest
// who follows another site's link is not to be somebody else all at once.
func (s *Server) goToProvider(c echo.Context) error {
	switch c.Request().Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	kind := oidc.Login
	if c.QueryParams().Has("confirm") {
		kind = oidc.Confirm
	}
	return s.sendToProvider(c, kind)
}

func (s *Server) sendToProvider(c echo.Context, kind oidc.Kind) error {
	attempt := oidc.NewAttempt(kind)
	to, err := s.Provider.Begin(c.Request().Context(), attempt)
	if err != nil {
		return s.refuseAttempt(c, attempt, err)
	}
	s.setKept(c, attempt.String(), oidc.Lifetime)
	return c.Redirect(http.StatusSeeOther, to)
}

// refuseAttempt says why somebody was not logged in, where they began.
func (s *Server) refuseAttempt(c echo.Context, a oidc.Attempt, err error) error {
	level := slog.LevelInfo
	if errors.Is(err, oidc.ErrStale) { // strangers can make as many as they like
		level = slog.LevelDebug
	}
	s.Log.Log(c.Request().Context(), level, "nobody was logged in at the provider", "err", err)
	if a.Kind == oidc.Confirm {
		return s.showAccount(c, "", err)
	}
	return s.refuse(c, "login.html", err, nil)
}

// comeBack is a GET that logs somebody in, as the protocol wants it: what makes it
// safe is the attempt, which only the browser that began it knows.
func (s *Server) comeBack(c echo.Context) error {
	attempt, ok := oidc.ParseAttempt(s.kept(c))
	if !ok {
		return s.refuseAttempt(c, attempt, oidc.ErrStale)
	}
	identity, name, err := s.identify(c, attempt)
	switch {
	case errors.Is(err, oidc.ErrUsed) && attempt.Kind == oidc.Login:
		// The answer of the first time may be lost, with the instance that had it. The
		// provider knows the person by now, and will not ask them again.
		return s.sendToProvider(c, oidc.Retry)
	case err != nil:
		return s.refuseAttempt(c, attempt, err)
	case attempt.Kind == oidc.Confirm:
		return s.confirmWith(c, identity)
	}
	ctx := c.Request().Context()
	owned, err := s.Accounts.Owned(ctx, identity)
	if err != nil {
		return err
	}
	if owned.Exists() {
		s.dropKept(c)
		if err := s.begin(c, owned); err != nil {
			return s.refuseAttempt(c, attempt, err)
		}
		return c.Redirect(http.StatusSeeOther, "/")
	}
	token, err := s.Accounts.Keep(ctx, account.Proven{Identity: identity, Proposal: name}, oidc.Lifetime)
	if err != nil {
		return err
	}
	s.setKept(c, token, oidc.Lifetime)
	return c.Redirect(http.StatusSeeOther, "/login/oidc/name")
}

// identify returns who has come back, and what they are called at the provider.
func (s *Server) identify(c echo.Context, a oidc.Attempt) (who account.Identity, name string, err error) {
	ctx, answer := c.Request().Context(), c.QueryParams()
	if err := s.Accounts.Return(ctx, s.from(c)); err != nil {
		return who, "", err
	}
	if err := s.Provider.Check(a, answer); err != nil {
		return who, "", err
	}
	// Providers accept a code once. That they do is not left to them. (Twice: instances' clocks may differ.)
	first, err := s.Accounts.First(ctx, a.Name(), 2*oidc.Lifetime)
	if err != nil {
		return who, "", err
	}
	if !first {
		return who, "", oidc.ErrUsed
	}
	person, err := s.Provider.Redeem(ctx, a, answer)
	if err != nil {
		var told *chat.Error
		if errors.As(err, &told) && told.Code == oidc.CodeWrong {
			err = errors.Join(err, s.note(c, audit.Entry{Action: audit.LoginFailed, Detail: told.Code}))
		}
		return who, "", err
	}
	return account.Identity{Issuer: person.Issuer, Subject: person.Subject}, person.Name, s.Accounts.Returned(ctx, s.from(c))
}

// confirmWith notes that somebody who is logged in has just shown who they are.
func (s *Server) confirmWith(c echo.Context, identity account.Identity) error {
	ses, err := s.owner(c)
	if err != nil {
		return err
	}
	ctx, proven := c.Request().Context(), account.Proven{Identity: identity, Again: true}
	if _, err := s.Accounts.Confirm(ctx, ses.User, proven); err != nil {
		return s.showAccount(c, "", err)
	}
	token, err := s.Accounts.Keep(ctx, proven, oidc.Lifetime)
	if err != nil {
		return err
	}
	s.setKept(c, token, oidc.Lifetime)
	return c.Redirect(http.StatusSeeOther, "/account?done=confirmed")
}

// naming returns who has come back and has no name yet, the zero Proven if nobody
// has, and the guest whom they are until then, if one is logged in.
func (s *Server) naming(c echo.Context) (who account.Proven, guest session.Session, err error) {
	if token := s.kept(c); token != "" {
		who, err = s.Accounts.Kept(c.Request().Context(), token)
	}
	if err != nil || who.Issuer == "" {
		return who, guest, err
	}
	if who.Again { // which was for something else
		return account.Proven{}, guest, nil
	}
	ses, err := s.Sessions.Read(c.Request())
	if errors.Is(err, session.ErrNone) || err == nil && !ses.Guest {
		return who, guest, nil
	}
	return who, ses, err
}

func (s *Server) namePage(c echo.Context) error {
	who, guest, err := s.naming(c)
	if err != nil {
		return err
	}
	if who.Issuer == "" {
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	data := map[string]any{"Username": guest.User, "Guest": guest.Guest}
	if name, err := chat.ParseName(who.Proposal); err == nil && !guest.Guest {
		data["Username"] = name
		switch owner, err := s.Accounts.Find(c.Request().Context(), name); {
		case err != nil:
			return err
		case owner.Exists():
			return s.form(c, http.StatusOK, "name.html", errTakenThere, data)
		}
	}
	return s.form(c, http.StatusOK, "name.html", nil, data)
}

var errTakenThere = &chat.Error{Code: account.CodeTaken, Message: "This name is taken. Choose another one."}

func (s *Server) chooseName(c echo.Context) error {
	who, guest, err := s.naming(c)
	if err != nil {
		return err
	}
	if who.Issuer == "" {
		return s.refuse(c, "login.html", oidc.ErrStale, nil)
	}
	ctx, username := c.Request().Context(), c.FormValue("username")
	user, err := s.newName(username)
	if err == nil {
		err = s.guestsFrom(c)
	}
	var made account.Account
	if err == nil {
		made, err = s.Accounts.Adopt(ctx, s.from(c), user, who.Identity)
	}
	if err == nil {
		err = s.begin(c, made)
	}
	if err != nil {
		return s.refuse(c, "name.html", err, map[string]any{"Username": username, "Guest": guest.Guest && guest.User == user})
	}
	if err := s.Accounts.Forget(ctx, s.kept(c)); err != nil {
		return err
	}
	s.dropKept(c)
	return c.Redirect(http.StatusSeeOther, "/")
}

// sure returns the account of who is logged in, if they have shown that it is them:
// by their password, or at their provider.
func (s *Server) sure(c echo.Context, password string) (account.Account, error) {
	ses, err := s.owner(c)
	if err != nil {
		return account.Account{}, err
	}
	known, err := s.Accounts.Find(c.Request().Context(), ses.User)
	if err != nil {
		return account.Account{}, err
	}
	if known.Identity == (account.Identity{}) {
		return s.confirmed(c, password)
	}
	proven, err := s.Accounts.Kept(c.Request().Context(), s.kept(c))
	if err != nil {
		return account.Account{}, err
	}
	return s.Accounts.Confirm(c.Request().Context(), ses.User, proven)
}
