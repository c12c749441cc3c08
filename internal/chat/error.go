package chat

import (
	"errors"
	"fmt"
	"time"
)

// Codes of errors, as docs/protocol.md lists them.
const (
	CodeBadRequest  = "bad_request"
	CodeUnknownType = "unknown_type"
	CodeBarred      = "barred"
	CodeBadName     = "bad_name"
	CodeTooLong     = "too_long"
	CodeEmpty       = "empty"
	CodeForbidden   = "forbidden"
	CodeMuted       = "muted"
	CodeBanned      = "banned"
	CodeNotFound    = "not_found"
	CodeKeyReused   = "key_reused"
	CodeUnavailable = "unavailable"
	CodeTooFast     = "too_fast"
	CodeInternal    = "internal"
)

// Close codes, as docs/protocol.md lists them.
const (
	CloseGoingAway  = 1001
	CloseTooLarge   = 1009
	CloseRestart    = 1012
	CloseBadFrame   = 4400
	CloseLoggedOut  = 4401
	CloseBarred     = 4403
	CloseTooSlow    = 4408
	CloseTooFast    = 4429
	CloseNoRoomHere = 4503
)

// An Error is one that a person or a client is told: Code for programs, Message
// for people. RetryAfter above 0 says that another try may succeed; otherwise
// the error is final. Any other error is shown as "internal", with an id that
// is also in the log.
type Error struct {
	Code       string
	Message    string
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// BadRequest returns the error for a field that is missing or wrong.
func BadRequest(format string, args ...any) *Error {
	return &Error{Code: CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

// What is told to whom a room's moderators want to hear less of.
var (
	ErrMuted  = &Error{Code: CodeMuted, Message: "You are muted in this room: you can read, and say nothing."}
	ErrBanned = &Error{Code: CodeBanned, Message: "You are banned from this room."}
)

func badName(message string) *Error { return &Error{Code: CodeBadName, Message: message} }

// ErrUnavailable says that Redis did not answer: nothing is known of what was
// asked, and it may be asked again. Test with errors.Is.
var ErrUnavailable = errors.New("redis does not answer")

// Unavailable marks err, which any command of Redis may return, as ErrUnavailable.
func Unavailable(op string, err error) error {
	return fmt.Errorf("%s: %w: %w", op, ErrUnavailable, err)
}

// ErrLost says that a position in a feed cannot be continued from: it is older
// than what is kept, too far back, or on a fork that Redis does not hold.
var ErrLost = errors.New("position is not in the feed")
