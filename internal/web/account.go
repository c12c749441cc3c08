package web

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/oidc"
	"chatd/internal/session"
)

// Accounts is what a Server needs of package account, which says what its methods
// promise.
type Accounts interface {
	Find(ctx context.Context, name string) (account.Account, error)
	CheckAlike(ctx context.Context, name string) error
	Guest(ctx context.Context, from account.From) error
	Register(ctx context.Context, from account.From, name, password string) (account.Account, error)
	Check(ctx context.Context, from account.From, name, password string) (account.Account, error)
	ChangePassword(ctx context.Context, from account.From, was account.Account, password string) (account.Account, error)
	Delete(ctx context.Context, from account.From, was account.Account) error
	Remember(ctx context.Context, device, name string) (string, error)
	TakeData(ctx context.Context, from account.From, name string) error
	Lock(ctx context.Context, from account.From, by, name, reason string) error
	Locked(ctx context.Context, name string) error
	Unlock(ctx context.Context, from account.From, by, name, reason string) error

	Owned(ctx context.Context, by account.Identity) (account.Account, error)
	Adopt(ctx context.Context, from account.From, name string, by account.Identity) (account.Account, error)
	Return(ctx context.Context, from account.From) error
	Returned(ctx context.Context, from account.From) error
	First(ctx context.Context, name string, within time.Duration) (bool, error)
	Keep(ctx context.Context, p account.Proven, within time.Duration) (token string, err error)
	Kept(ctx context.Context, token string) (account.Proven, error)
	Forget(ctx context.Context, token string) error
	Confirm(ctx context.Context, name string, p account.Proven) (account.Account, error)
}

var (
	errNoGuests = &chat.Error{Code: "no_guests", Message: "Guests cannot log in here."}
	errOwned    = &chat.Error{Code: account.CodeTaken, Message: "This name belongs to somebody: log in with its password, or choose another name."}
	errChanged  = &chat.Error{Code: "changed_meanwhile", Message: "The account was changed at this moment. Log in again."}
)

func (s *Server) loginPage(c echo.Context) error {
	ses, err := s.Sessions.Read(c.Request())
	if err == nil {
		err = s.admitted(c, ses)
	}
	switch {
	case err == nil:
		return c.Redirect(http.StatusSeeOther, "/")
	case errors.Is(err, errNoGuestsHere):
		return s.refuse(c, "login.html", err, nil)
	case !errors.Is(err, session.ErrNone):
		return err
	}
	return s.form(c, http.StatusOK, "login.html", nil, nil)
}

func (s *Server) login(c echo.Context) error {
	username, password := c.FormValue("username"), c.FormValue("password")
	known, err := s.authenticate(c, username, password)
	if err == nil {
		err = s.begin(c, known)
	}
	if err != nil {
		return s.refuse(c, "login.html", err, map[string]any{"Username": username})
	}
	return c.Redirect(http.StatusSeeOther, "/")
}

// authenticate returns who it is that logs in: the account of the name, or, without
// a password, a guest of a name that nobody owns.
func (s *Server) authenticate(c echo.Context, username, password string) (account.Account, error) {
	ctx := c.Request().Context()
	user, err := chat.ParseName(username)
	switch {
	case err != nil:
		return account.Account{}, err
	case password != "":
		return s.Accounts.Check(ctx, s.from(c), user, password)
	case !s.Guests:
		return account.Account{}, errNoGuests
	case s.likeAnAdmin(user):
		return account.Account{}, errOwned
	}
	if err := s.guestsFrom(c); err != nil {
		return account.Account{}, err
	}
	if err := s.Accounts.Guest(ctx, s.from(c)); err != nil {
		return account.Account{}, err
	}
	switch owner, err := s.Accounts.Find(ctx, user); {
	case err != nil:
		return account.Account{}, err
	case owner.Exists():
		return account.Account{}, errOwned
	default:
		return owner, s.Accounts.CheckAlike(ctx, user)
	}
}

// begin makes a login for who was authenticated, and ends those that were made for
// the name before its account was what it is now.
func (s *Server) begin(c echo.Context, who account.Account) error {
	ctx := c.Request().Context()
	if err := who.Open(); err != nil {
		return errors.Join(err, s.note(c, audit.Entry{Action: audit.LoginFailed, Target: who.Name, Detail: account.CodeLocked}))
	}
	as := "account"
	switch {
	case !who.Exists():
		as = "guest"
	case who.Identity != account.Identity{}:
		as = "provider"
	}
	if err := s.note(c, audit.Entry{Action: audit.Login, Actor: who.Name, Detail: as}); err != nil {
		return err
	}
	ses, former, err := s.Sessions.Begin(c.Response(), c.Request(), session.Who{User: who.Name, Version: who.Version, Address: c.RealIP()})
	if err != nil {
		return err
	}
	if former != "" {
		s.Sockets.LoginEnded(ctx, former)
	}
	// The password may have been changed, or the name taken or locked, while this was under way.
	now, err := s.Accounts.Find(ctx, who.Name)
	if err == nil && now.Version != who.Version {
		err = errChanged
	}
	if err == nil {
		err = now.Open()
	}
	if err != nil {
		c.Response().Header().Del("Set-Cookie")
		return errors.Join(err, s.Sessions.EndOf(ctx, ses.User, ses.Login))
	}
	if ses.Guest {
		return nil
	}
	if err := s.endOthers(c, ses.User, func(other session.Session) bool { return other.Version == who.Version }); err != nil {
		return err
	}
	if (who.Identity != account.Identity{}) {
		return nil // there is no password to guess
	}
	device, err := s.Accounts.Remember(ctx, s.from(c).Device, who.Name)
	if err != nil {
		return err
	}
	c.SetCookie(&http.Cookie{
		Name: deviceCookie, Value: device, Path: "/", MaxAge: int(deviceFor.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.secure(c.Request()),
	})
	return nil
}

// endOthers ends the person's logins but those that keep wants, with their sockets.
func (s *Server) endOthers(c echo.Context, user string, keep func(session.Session) bool) error {
	return s.end(c.Request().Context(), audit.Entry{Actor: user, Target: user, Address: c.RealIP()}, keep)
}

// end ends the logins of a line's target but those that keep wants, with their sockets.
func (s *Server) end(ctx context.Context, line audit.Entry, keep func(session.Session) bool) error {
	logins, err := s.Sessions.List(ctx, line.Target)
	if err != nil {
		return err
	}
	var ended []string
	for _, l := range logins {
		if keep(l.Session) {
			continue
		}
		line.Action, line.Detail = audit.SessionEnded, l.Login
		if err := s.Audit.Write(ctx, line); err != nil {
			return err
		}
		ended = append(ended, l.Login)
	}
	if err := s.Sessions.EndOf(ctx, line.Target, ended...); err != nil {
		return err
	}
	for _, login := range ended {
		s.Sockets.LoginEnded(ctx, login)
	}
	return nil
}

// note writes a line into the audit log, before what it tells of is done.
func (s *Server) note(c echo.Context, e audit.Entry) error {
	e.Address = c.RealIP()
	return s.Audit.Write(c.Request().Context(), e)
}

func (s *Server) logout(c echo.Context) error {
	ses, err := s.Sessions.Read(c.Request())
	if err == nil {
		err = s.note(c, audit.Entry{Action: audit.Logout, Actor: ses.User, Detail: ses.Login})
	}
	if err != nil && !errors.Is(err, session.ErrNone) {
		return err
	}
	if token := s.kept(c); token != "" && s.Provider != nil { // what was proven here is not for who sits here next
		if err := s.Accounts.Forget(c.Request().Context(), token); err != nil {
			return err
		}
		s.dropKept(c)
	}
	login, err := s.Sessions.End(c.Response(), c.Request())
	if err != nil && !errors.Is(err, session.ErrNone) {
		return err
	}
	if err == nil {
		s.Sockets.LoginEnded(c.Request().Context(), login)
	}
	c.Response().Header().Set("Clear-Site-Data", `"cache"`)
	return c.Redirect(http.StatusSeeOther, "/login")
}

const (
	// deviceCookie says that somebody has logged in with this browser before: what
	// strangers try does not slow its people down.
	deviceCookie = "device"
	deviceFor    = 180 * 24 * time.Hour
)

// from says where a request comes from. An address that everybody shares, as that of
// a proxy which does not tell whom it speaks for, counts for nobody.
func (s *Server) from(c echo.Context) account.From {
	f := account.From{Shown: c.RealIP()}
	if addr, err := netip.ParseAddr(c.RealIP()); err == nil && !within(s.Proxies, addr) {
		f.Address = addr
	}
	if cookies := c.Request().CookiesNamed(deviceCookie); len(cookies) == 1 {
		f.Device = cookies[0].Value
	}
	return f
}

// form answers with a form: with what it is to say and, where it was refused, why.
func (s *Server) form(c echo.Context, status int, page string, refused *chat.Error, data map[string]any) error {
	if refused == nil {
		refused = &chat.Error{}
	}
	all := map[string]any{
		"Code": refused.Code, "Error": refused.Message, "Guests": s.Guests, "Registers": s.Registers,
		"Provider": s.ProviderName, "Least": strconv.Itoa(s.PasswordMin), "Instance": s.Instance, "Guest": false, "Username": "", "Reason": "",
	}
	for k, v := range data {
		all[k] = v
	}
	return s.pages.render(c, status, page, all)
}

// refuse answers with the form again, where the error is one that people are told.
func (s *Server) refuse(c echo.Context, page string, err error, data map[string]any) error {
	var told *chat.Error
	if !errors.As(err, &told) {
		return err
	}
	status := http.StatusUnauthorized
	var locked *account.LockedError
	if errors.As(err, &locked) {
		data = maps.Clone(data)
		if data == nil {
			data = map[string]any{}
		}
		data["Reason"] = locked.Reason
	}
	if page == "admin.html" {
		status = http.StatusBadRequest
	}
	switch told.Code {
	case account.CodeLocked, account.CodeNameLocked, chat.CodeForbidden, errAdmin.Code, codeNoGuestsHere:
		status = http.StatusForbidden
	case oidc.CodeAway:
		status = http.StatusBadGateway // not 503, which HAProxy would repeat at other instances
	case chat.CodeTooFast:
		status = http.StatusTooManyRequests
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(max(time.Second, told.RetryAfter).Seconds())))
	}
	return s.form(c, status, page, told, data)
}

// registering returns the guest who is to have an account, if one is logged in.
func (s *Server) registering(c echo.Context) (guest session.Session, err error) {
	if !s.Registers {
		return session.Session{}, echo.ErrNotFound
	}
	ses, err := s.Sessions.Read(c.Request())
	if errors.Is(err, session.ErrNone) {
		return session.Session{}, nil
	}
	return ses, err
}

func (s *Server) registerPage(c echo.Context) error {
	ses, err := s.registering(c)
	switch {
	case err != nil:
		return err
	case ses.User != "" && !ses.Guest:
		return c.Redirect(http.StatusSeeOther, "/account")
	}
	return s.form(c, http.StatusOK, "register.html", nil, map[string]any{"Username": ses.User, "Guest": ses.Guest})
}

func (s *Server) register(c echo.Context) error {
	ses, err := s.registering(c)
	if err != nil {
		return err
	}
	username := c.FormValue("username")
	user, err := s.newName(username)
	if err == nil {
		err = s.guestsFrom(c)
	}
	var made account.Account
	if err == nil {
		made, err = s.Accounts.Register(c.Request().Context(), s.from(c), user, c.FormValue("password"))
	}
	if err == nil {
		err = s.begin(c, made)
	}
	if err != nil {
		return s.refuse(c, "register.html", err, map[string]any{"Username": username, "Guest": ses.Guest && ses.User == user})
	}
	return c.Redirect(http.StatusSeeOther, "/")
}

// newName returns the canonical form of a name that somebody wants an account for. Those
// of administrators are not to be had: whoever came first would be one.
func (s *Server) newName(username string) (string, error) {
	user, err := chat.ParseName(username)
	if err == nil && s.likeAnAdmin(user) {
		err = &chat.Error{Code: account.CodeTaken, Message: "This name is taken. Choose another one."}
	}
	return user, err
}

// likeAnAdmin reports whether people could take a canonical name for an administrator's,
// who may have no account yet.
func (s *Server) likeAnAdmin(user string) bool {
	return slices.ContainsFunc(s.Admins, func(admin string) bool { return chat.Skeleton(admin) == chat.Skeleton(user) })
}

// A loginRow is a login as its person sees it.
type loginRow struct {
	session.Login
	ID     string
	Device string
	This   bool
}

func (s *Server) accountPage(c echo.Context) error {
	return s.showAccount(c, c.QueryParam("done"), nil)
}

// showAccount shows a person's account: done names what was done just now, refused
// is why it was not.
func (s *Server) showAccount(c echo.Context, done string, refused error) error {
	ses, err := s.Sessions.Read(c.Request())
	if errors.Is(err, session.ErrNone) {
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	if err != nil {
		return err
	}
	data := map[string]any{"User": ses.User, "Guest": ses.Guest, "Done": done, "Admin": s.Sockets.Actor(ses, "").Admin}
	if !ses.Guest { // of a guest's name others may have logins too
		logins, err := s.Sessions.List(c.Request().Context(), ses.User)
		if err != nil {
			return err
		}
		rows := s.loginRows(c, logins, ses.Login)
		data["Logins"], data["Others"] = rows, len(rows) > 1
		known, err := s.Accounts.Find(c.Request().Context(), ses.User)
		if err != nil {
			return err
		}
		if (known.Identity != account.Identity{}) {
			data["Outside"] = true
			_, err = s.sure(c, "")
			data["Sure"] = err == nil
		}
	}
	if refused != nil {
		return s.refuse(c, "account.html", refused, data)
	}
	return s.form(c, http.StatusOK, "account.html", nil, data)
}

// owner returns the login of somebody who has an account and may change it.
func (s *Server) owner(c echo.Context) (session.Session, error) {
	ses, err := s.Sessions.Read(c.Request())
	if err == nil && ses.Guest {
		err = &chat.Error{Code: chat.CodeForbidden, Message: "Guests have no account."}
	}
	return ses, err
}

// endLogin ends one login of the person, or all others where none is named.
func (s *Server) endLogin(c echo.Context) error {
	ses, err := s.owner(c)
	if err != nil {
		return err
	}
	only := c.FormValue("login")
	err = s.endOthers(c, ses.User, func(other session.Session) bool {
		return other.Login == ses.Login || only != "" && other.Login != only
	})
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/account?done=end")
}

// confirmed returns the account of who is logged in, if the password is right.
func (s *Server) confirmed(c echo.Context, password string) (account.Account, error) {
	ses, err := s.owner(c)
	if err != nil {
		return account.Account{}, err
	}
	return s.Accounts.Check(c.Request().Context(), s.from(c), ses.User, password)
}

func (s *Server) changePassword(c echo.Context) error {
	known, err := s.confirmed(c, c.FormValue("old"))
	if err == nil {
		known, err = s.Accounts.ChangePassword(c.Request().Context(), s.from(c), known, c.FormValue("new"))
	}
	if err == nil {
		err = s.begin(c, known) // which ends all others
	}
	if err != nil {
		return s.showAccount(c, "", err)
	}
	return c.Redirect(http.StatusSeeOther, "/account?done=password")
}

func (s *Server) deleteAccount(c echo.Context) error {
	known, err := s.sure(c, c.FormValue("password"))
	if err == nil {
		err = s.Accounts.Delete(c.Request().Context(), s.from(c), known)
	}
	if err != nil {
		return s.showAccount(c, "", err)
	}
	if err := s.endOthers(c, known.Name, func(session.Session) bool { return false }); err != nil {
		return err
	}
	return s.logout(c)
}

// What browsers and systems call themselves, in the order in which to look: most
// name some of the others too.
var (
	browsers = [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}}
	systems  = [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// device says in a few words what a browser calls itself.
func device(words map[string]any, agent string) string {
	find := func(among [][2]string) string {
		for _, mark := range among {
			if strings.Contains(agent, mark[0]) {
				return mark[1]
			}
		}
		return ""
	}
	browser, system := find(browsers), find(systems)
	if browser == "" || system == "" {
		unknown, _ := words["unknownDevice"].(string)
		return unknown
	}
	named, _ := words["device"].(string)
	return strings.NewReplacer("{browser}", browser, "{system}", system).Replace(named)
}
