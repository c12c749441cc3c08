package web

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"chatd/internal/chat"
	"chatd/internal/gate"
	"chatd/internal/session"
)

const codeNoGuestsHere = "no_guests_here"

var (
	errBarred       = &chat.Error{Code: chat.CodeBarred, Message: "Nobody is let in from this network at the moment. Try again later, or from elsewhere."}
	errNoGuestsHere = &chat.Error{Code: codeNoGuestsHere, Message: "From this network nobody comes as a guest or makes an account at the moment. With an account you can log in."}
)

// gated refuses those who come from where nobody is let in. They may log out.
func (s *Server) gated(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() == "/logout" {
			return next(c)
		}
		out, err := s.keepsOut(c, false)
		if err != nil {
			return err
		}
		if out {
			return errBarred
		}
		return next(c)
	}
}

// guestsFrom fails where no guests are let in, nor those who have no account yet.
func (s *Server) guestsFrom(c echo.Context) error {
	out, err := s.keepsOut(c, true)
	if err == nil && out {
		err = errNoGuestsHere
	}
	return err
}

// admitted fails for a guest who comes from where none are let in.
func (s *Server) admitted(c echo.Context, ses session.Session) error {
	if !ses.Guest {
		return nil
	}
	return s.guestsFrom(c)
}

func (s *Server) keepsOut(c echo.Context, guest bool) (bool, error) {
	from := s.counted(c)
	if !from.IsValid() {
		return false, nil
	}
	return s.Gate.KeepsOut(c.Request().Context(), from, guest)
}

// bar keeps a network out, as an administrator says.
func (s *Server) bar(c echo.Context) error {
	return s.atGate(c, "bar", func(b gate.Bar) error {
		hours, _ := strconv.Atoi(c.FormValue("hours")) // 0 is refused
		hours = min(max(hours, 0), int(gate.Longest/time.Hour)+1)
		return s.Gate.Bar(c.Request().Context(), c.RealIP(), b, time.Duration(hours)*time.Hour)
	})
}

// lift lets people of a network in again.
func (s *Server) lift(c echo.Context) error {
	return s.atGate(c, "lift", func(b gate.Bar) error { return s.Gate.Lift(c.Request().Context(), c.RealIP(), b) })
}

func (s *Server) atGate(c echo.Context, done string, do func(gate.Bar) error) error {
	by, err := s.administrator(c)
	if err != nil {
		return err
	}
	b := gate.Bar{Whom: c.FormValue("whom"), By: by, Why: reason(c)}
	b.Network, err = gate.ParseNetwork(c.FormValue("network"))
	if err == nil && b.Why == "" {
		err = errNoReason
	}
	if err == nil {
		err = do(b)
	}
	var told *chat.Error
	if errors.As(err, &told) {
		return s.showAdmin(c, "", "", err)
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/admin?done="+done)
}
