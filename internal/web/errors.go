package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"chatd/internal/chat"
	"chatd/internal/session"
	"chatd/internal/socket"
)

// A statusError is how an error is answered.
type statusError struct {
	status  int
	code    string
	message string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

// statuses of the errors that people and clients are told of as they are.
var statuses = map[string]int{
	chat.CodeForbidden: http.StatusForbidden,
	chat.CodeBarred:    http.StatusForbidden,
	codeNoGuestsHere:   http.StatusForbidden,
	chat.CodeNotFound:  http.StatusNotFound,
	chat.CodeTooFast:   http.StatusTooManyRequests,
}

// statusOf decides how an error is answered.
func statusOf(err error) *statusError {
	var own *statusError
	var told *chat.Error
	var echoed *echo.HTTPError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &told):
		status := statuses[told.Code]
		if status == 0 {
			status = http.StatusBadRequest
		}
		return &statusError{status, told.Code, told.Message}
	case errors.Is(err, session.ErrNone):
		return &statusError{http.StatusUnauthorized, "no_login", "Nobody is logged in here: log in again."}
	case errors.Is(err, chat.ErrUnavailable):
		return &statusError{http.StatusServiceUnavailable, chat.CodeUnavailable, "The store behind this chat does not answer right now. You stay logged in, and nothing that was sent is lost."}
	case errors.Is(err, chat.ErrLost):
		return &statusError{http.StatusNotFound, chat.CodeNotFound, "This place of the conversation is not kept any more."}
	case errors.Is(err, socket.ErrFull):
		return &statusError{http.StatusServiceUnavailable, "full", "This instance is full. Trying another one."}
	case errors.Is(err, socket.ErrTooMany):
		return &statusError{http.StatusTooManyRequests, "too_many_sockets", "Too many connections of one person or address are open."}
	case errors.Is(err, socket.ErrPutOff):
		// Not 503, which a balancer would repeat at other instances: they have a crowd too.
		return &statusError{http.StatusTooManyRequests, chat.CodeTooFast, "Too many want to connect at once. Trying again in a moment."}
	case errors.As(err, &echoed) && echoed.Code < 500:
		return &statusError{echoed.Code, strings.ReplaceAll(strings.ToLower(http.StatusText(echoed.Code)), " ", "_"), http.StatusText(echoed.Code) + "."}
	}
	return &statusError{http.StatusInternalServerError, chat.CodeInternal, "Something went wrong here."}
}

// fail is the one place where errors become answers.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	e := statusOf(err)
	id := ""
	switch {
	case e.status == http.StatusInternalServerError:
		id = rand.Text()[:8]
		s.Log.Error("request failed", "path", c.Path(), "err", err, "error_id", id)
	case e.status == http.StatusServiceUnavailable && e != errDraining:
		s.Log.Warn("request not served", "path", c.Path(), "err", err)
	}
	if e.status == http.StatusServiceUnavailable || e.status == http.StatusTooManyRequests {
		c.Response().Header().Set("Retry-After", retryAfter())
	}
	path := c.Request().URL.Path
	if strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/session/") || path == "/ws" {
		message := e.message
		if id != "" {
			message += " (" + id + ")"
		}
		err = c.JSON(e.status, map[string]any{"error": map[string]string{"code": e.code, "message": message}})
	} else {
		err = s.pages.render(c, e.status, "error.html", map[string]any{
			"Status": strconv.Itoa(e.status), "Title": http.StatusText(e.status), "Code": e.code, "Message": e.message, "ID": id, "Retry": e.status == http.StatusServiceUnavailable, "Instance": s.Instance,
		})
	}
	if err != nil {
		s.Log.Debug("answer not written", "err", err)
	}
}

// recover keeps a fault in one request from ending the instance.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return next(c)
	}
}
