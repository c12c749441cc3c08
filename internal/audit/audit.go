// Package audit keeps the audit log: who logged in, whose login ended, who gave or
// took which rights, and what moderators and administrators did. It only appends and
// reads; nothing changes or deletes a line.
//
// Redis holds:
//
//	chatd:audit  stream: entry id = when, by Redis' clock; a field for each of Entry that is not ""
//
// Who does something writes the line first and does it then, and does not do it if the
// line cannot be written: so no deed is without its line, whenever an instance is
// killed. A line may be there whose deed was not done in the end.
package audit

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

// What a line may tell of.
const (
	Login           = "login"
	LoginFailed     = "login_failed"
	Logout          = "logout"
	SessionEnded    = "session_ended" // by the person elsewhere, a changed password or an administrator
	PasswordChanged = "password_changed"
	AccountMade     = "account_made"
	AccountDeleted  = "account_deleted"
	DataTaken       = "data_taken"     // all that there is of the actor, as a file
	AccountLocked   = "account_locked" // by an administrator; Detail is why, as in the next two
	AccountUnlocked = "account_unlocked"
	LoginsEnded     = "logins_ended" // all of a person
	Barred          = "barred"       // Target is a network; Detail is whom, for how long and why
	BarLifted       = "bar_lifted"
	PersonRead      = "person_read" // an administrator was shown somebody's logins
	Invited         = "invited"
	Expelled        = "expelled"
	Role            = "role"      // Detail is the new one
	Retracted       = "retracted" // another's message, by a moderator; Detail is the event
	Topic           = "topic"
	RoomMade        = "room_made"
	RoomRemoved     = "room_removed"
	Refused         = "refused" // somebody tried what they may not; Detail says what
	LogRead         = "log_read"
)

const (
	key = "chatd:audit"
	// maxText bounds a field, in code points: some of it is what strangers typed.
	maxText = 200
)

// An Entry is what somebody did. Only Action is needed.
type Entry struct {
	Action  string
	Actor   string // who did it, "" for a stranger
	Target  string // to whom
	Room    chat.Room
	Address string // where the actor is
	Request string // names the request in other logs
	Detail  string
}

// fields are an entry's, by their names in Redis.
func (e *Entry) fields() []struct {
	name string
	text *string
} {
	return []struct {
		name string
		text *string
	}{
		{"action", &e.Action}, {"actor", &e.Actor}, {"target", &e.Target}, {"room", (*string)(&e.Room)},
		{"address", &e.Address}, {"request", &e.Request}, {"detail", &e.Detail},
	}
}

// A Line is an entry as it was kept.
type Line struct {
	ID string // names the line, and says its place
	At time.Time
	Entry
}

// A Log is safe for concurrent use. Its methods wait for Redis until ctx ends and fail
// with chat.ErrUnavailable.
type Log struct {
	rdb   redis.UniversalClient
	lines int
}

// New returns the log that keeps about so many lines.
func New(rdb redis.UniversalClient, lines int) *Log { return &Log{rdb, lines} }

// Write appends a line. Its texts are made plain: one line, bounded, without what a
// terminal or a page would obey.
func (l *Log) Write(ctx context.Context, e Entry) error {
	var values []string
	for _, f := range e.fields() {
		if *f.text != "" {
			values = append(values, f.name, plain(*f.text))
		}
	}
	err := l.rdb.XAdd(ctx, &redis.XAddArgs{Stream: key, MaxLen: int64(l.lines), Approx: true, Values: values}).Err()
	if err != nil {
		return chat.Unavailable("write audit log", err)
	}
	return nil
}

// Read returns up to limit lines, newest first, that were written before the line of
// this ID, "" for the newest of all. An ID that names no line is a *chat.Error.
func (l *Log) Read(ctx context.Context, before string, limit int) ([]Line, error) {
	from := "+"
	if before != "" {
		if _, ok := at(before); !ok {
			return nil, chat.BadRequest("before is not a line of the audit log")
		}
		from = "(" + before
	}
	entries, err := l.rdb.XRevRangeN(ctx, key, from, "-", int64(limit)).Result()
	if err != nil {
		return nil, chat.Unavailable("read audit log", err)
	}
	lines := make([]Line, len(entries))
	for i, entry := range entries {
		lines[i].ID = entry.ID
		lines[i].At, _ = at(entry.ID) // Redis made it
		for _, f := range lines[i].fields() {
			*f.text, _ = entry.Values[f.name].(string) // nothing is ""
		}
	}
	return lines, nil
}

// at returns when the line of this id was written. ok is false for what is no id.
func at(id string) (t time.Time, ok bool) {
	millis, n, found := strings.Cut(id, "-")
	ms, err1 := strconv.ParseUint(millis, 10, 63)
	_, err2 := strconv.ParseUint(n, 10, 64)
	return time.UnixMilli(int64(ms)).UTC(), found && err1 == nil && err2 == nil // #nosec G115 -- 63 bits
}

// plain writes what is not meant to be seen, such as line ends, escapes of terminals and
// marks of direction, as Go does in a string, and cuts what is too long.
func plain(text string) string {
	var b strings.Builder
	n := 0
	for i, r := range text {
		if n++; n > maxText {
			b.WriteString("…")
			break
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[i])+0x100, 16)[1:])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
