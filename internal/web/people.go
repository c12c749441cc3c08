package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"chatd/internal/account"
	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/session"
)

// maxReason bounds why an administrator does something, in code points; a line of the
// audit log has it whole.
const maxReason = 200

var (
	errNoReason = &chat.Error{Code: "no_reason", Message: "Say why, in at most 200 characters."}
	// Otherwise whoever got hold of one administrator's login could keep all others out, who
	// alone could undo it. The operator takes a name out of CHATD_ADMINS first.
	errAdmin = &chat.Error{Code: "administrator", Message: "An administrator's name is not locked here. The operator takes it out of the setting first."}
)

// adminPage is what administrators do beside the audit log.
func (s *Server) adminPage(c echo.Context) error {
	return s.showAdmin(c, c.QueryParam("name"), c.QueryParam("done"), nil)
}

// showAdmin shows what is known of a name, if one is asked for: done names what was done
// just now, refused is why it was not.
func (s *Server) showAdmin(c echo.Context, name, done string, refused error) error {
	who, err := s.administrator(c)
	if err != nil {
		return err
	}
	data := map[string]any{"Name": name, "Done": done}
	if name != "" {
		user, err := chat.ParseName(strings.TrimSpace(name))
		switch {
		case err == nil:
			if err := s.lookUp(c, who, user, data); err != nil {
				return err
			}
		case refused == nil:
			refused = err
		}
	}
	bars, err := s.Gate.List(c.Request().Context())
	if err != nil {
		return err
	}
	for i := range bars {
		bars[i].Until = bars[i].Until.UTC()
	}
	data["Bars"], data["Address"] = bars, c.QueryParam("address")
	if refused != nil {
		return s.refuse(c, "admin.html", refused, data)
	}
	return s.form(c, http.StatusOK, "admin.html", nil, data)
}

// lookUp adds what is known of a canonical name.
func (s *Server) lookUp(c echo.Context, who, user string, data map[string]any) error {
	ctx := c.Request().Context()
	// Where people are is theirs: that it was looked at is told.
	if err := s.note(c, audit.Entry{Action: audit.PersonRead, Actor: who, Target: user}); err != nil {
		return err
	}
	known, err := s.Accounts.Find(ctx, user)
	if err != nil {
		return err
	}
	logins, err := s.Sessions.List(ctx, user)
	if err != nil {
		return err
	}
	kind := "account"
	switch {
	case known.Gone:
		kind = "gone"
	case !known.Exists() && len(logins) == 0:
		kind = "nobody"
	case !known.Exists():
		kind = "guest"
	case known.Identity != account.Identity{}:
		kind = "provider"
	}
	known.Since, known.Lock.Since = known.Since.UTC(), known.Lock.Since.UTC()
	data["Name"], data["Kind"], data["Account"], data["Logins"] = user, kind, known, s.loginRows(c, logins, "")
	data["Locked"], data["Admin"] = known.Lock != account.Lock{}, slices.Contains(s.Admins, user)
	return nil
}

// loginRows are logins as they are shown; this is the one by which they are.
func (s *Server) loginRows(c echo.Context, logins []session.Login, this string) []loginRow {
	words := s.pages.wordsFor(c.Request())
	rows := make([]loginRow, len(logins))
	for i, l := range logins {
		l.Since, l.Used = l.Since.UTC(), l.Used.UTC()
		rows[i] = loginRow{l, l.Session.Login, device(words, l.Agent), l.Session.Login == this}
	}
	return rows
}

// A deed is what an administrator does to a person, and why.
type deed struct {
	by, to, why string
}

// deedTo returns a handler that does something to the person whom the form names.
func (s *Server) deedTo(done string, do func(c echo.Context, d deed) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		by, err := s.administrator(c)
		if err != nil {
			return err
		}
		name := c.FormValue("name")
		user, err := chat.ParseName(name)
		why := reason(c)
		if err == nil && why == "" {
			err = errNoReason
		}
		if err == nil {
			err = do(c, deed{by, user, why})
		}
		if err != nil {
			var told *chat.Error
			if errors.As(err, &told) {
				return s.showAdmin(c, name, "", err)
			}
			return err
		}
		return c.Redirect(http.StatusSeeOther, "/admin?"+url.Values{"name": {user}, "done": {done}}.Encode())
	}
}

// reason returns why something is done, "" if that is not said, or too long.
func reason(c echo.Context) string {
	why := strings.Join(strings.Fields(c.FormValue("reason")), " ")
	if utf8.RuneCountInString(why) > maxReason || !utf8.ValidString(why) {
		return ""
	}
	return why
}

func (s *Server) lockPerson(c echo.Context, d deed) error {
	if slices.Contains(s.Admins, d.to) {
		return errAdmin
	}
	ctx := c.Request().Context()
	if err := s.Accounts.Lock(ctx, s.from(c), d.by, d.to, d.why); err != nil {
		return err
	}
	if err := s.endLogins(ctx, d.by, c.RealIP(), d.to); err != nil {
		return err
	}
	return s.Accounts.Locked(ctx, d.to)
}

func (s *Server) unlockPerson(c echo.Context, d deed) error {
	return s.Accounts.Unlock(c.Request().Context(), s.from(c), d.by, d.to, d.why)
}

// endPerson ends all logins of a person, who may log in again. It is done to
// administrators too: one may have lost a device.
func (s *Server) endPerson(c echo.Context, d deed) error {
	if err := s.note(c, audit.Entry{Action: audit.LoginsEnded, Actor: d.by, Target: d.to, Detail: d.why}); err != nil {
		return err
	}
	return s.endLogins(c.Request().Context(), d.by, c.RealIP(), d.to)
}

// EndLocked ends the logins of a name that was locked, where the instance died that
// should have done it.
func (s *Server) EndLocked(ctx context.Context, of account.Account) error {
	return s.endLogins(ctx, of.Lock.By, "", of.Name)
}

// EndDeleted is EndLocked for the name of an account that was deleted.
func (s *Server) EndDeleted(ctx context.Context, name string) error {
	return s.endLogins(ctx, name, "", name)
}

// endLogins ends all logins of a person, with their sockets.
func (s *Server) endLogins(ctx context.Context, by, address, user string) error {
	return s.end(ctx, audit.Entry{Actor: by, Target: user, Address: address}, func(session.Session) bool { return false })
}
