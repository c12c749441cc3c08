package account

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
)

// Codes of what keeps somebody out.
const (
	CodeLocked     = "locked"
	CodeNameLocked = "name_locked"
)

// ErrNameLocked is for whoever wants a locked name and has not shown that it is theirs:
// it tells them no more than that they do not get it.
var ErrNameLocked error = &chat.Error{Code: CodeNameLocked, Message: "This name cannot be used here. Choose another one."}

// A Lock keeps everybody from coming under a name. The zero Lock is none.
type Lock struct {
	By     string // the administrator
	Reason string // as the owner is told it
	Since  time.Time
}

// A LockedError tells an account's owner, who has shown that it is them, why they do not
// come in. For those who do not know it, it is a *chat.Error.
type LockedError struct{ Reason string }

func (e *LockedError) Error() string { return "locked: " + e.Reason }

// Unwrap returns what is said without the reason.
func (e *LockedError) Unwrap() error {
	return &chat.Error{Code: CodeLocked, Message: "This account was locked by an administrator."}
}

// Open returns why nobody comes in under the name, nil if it is not locked. It is asked
// once it is known who asks.
func (a Account) Open() error {
	switch {
	case a.Lock == Lock{}:
		return nil
	case !a.Exists(), a.Gone:
		return ErrNameLocked
	}
	return &LockedError{a.Lock.Reason}
}

func lockKey(name string) string { return "chatd:lock:{" + name + "}" }

// lockingKey holds the names that were locked and may still have logins.
const lockingKey = "chatd:locking"

func readLock(got []any) Lock {
	text := func(i int) string { s, _ := got[i].(string); return s }
	since, err := strconv.ParseInt(text(2), 10, 64)
	if err != nil {
		return Lock{} // nothing is there
	}
	return Lock{By: text(0), Reason: text(1), Since: time.UnixMilli(since)}
}

var lockScript = redis.NewScript(`
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'by', ARGV[1], 'reason', ARGV[2], 'since', now[1] .. '000')
return 1`)

// Lock keeps everybody from coming under a canonical name, whether it is an account's or
// not. Its logins are ended after that, by the caller who then calls [Accounts.Locked],
// and where an instance dies in between by [Accounts.EndLocked].
func (a *Accounts) Lock(ctx context.Context, from From, by, name, reason string) error {
	if err := a.log.Write(ctx, audit.Entry{Action: audit.AccountLocked, Actor: by, Target: name, Address: from.Shown, Detail: reason}); err != nil {
		return err
	}
	// Before the deed, so that it is never forgotten.
	if err := a.rdb.SAdd(ctx, lockingKey, name).Err(); err != nil {
		return chat.Unavailable("lock account", err)
	}
	if err := lockScript.Run(ctx, a.rdb, []string{lockKey(name)}, by, reason).Err(); err != nil {
		return chat.Unavailable("lock account", err)
	}
	return nil
}

// Locked notes that the logins of a locked name were ended.
func (a *Accounts) Locked(ctx context.Context, name string) error {
	if err := a.rdb.SRem(ctx, lockingKey, name).Err(); err != nil {
		return chat.Unavailable("note that logins were ended", err)
	}
	return nil
}

// Unlock lets people come under a canonical name again.
func (a *Accounts) Unlock(ctx context.Context, from From, by, name, reason string) error {
	if err := a.log.Write(ctx, audit.Entry{Action: audit.AccountUnlocked, Actor: by, Target: name, Address: from.Shown, Detail: reason}); err != nil {
		return err
	}
	if err := a.rdb.Del(ctx, lockKey(name)).Err(); err != nil {
		return chat.Unavailable("unlock account", err)
	}
	return a.Locked(ctx, name)
}

// EndLocked has end end the logins of names that were locked, where that was not done to
// its end, again until it succeeds, until ctx ends.
func (a *Accounts) EndLocked(ctx context.Context, end func(ctx context.Context, of Account) error, failed func(error)) {
	a.finish(ctx, lockingKey, func(of Account) bool { return of.Lock != Lock{} }, end, failed)
}
