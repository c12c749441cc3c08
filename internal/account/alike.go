package account

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

// CodeAlike says that a name looks like one that belongs to somebody else.
const CodeAlike = "name_alike"

var errAlike = &chat.Error{Code: CodeAlike, Message: "This name looks like one that belongs to somebody. Choose another one."}

// claimFor is how long a name is held that is to become an account's.
const claimFor = time.Minute

func alikeKey(name string) string { return "chatd:alike:{" + chat.Skeleton(name) + "}" }

// CheckAlike fails if people could take a canonical name for somebody's.
func (a *Accounts) CheckAlike(ctx context.Context, name string) error {
	held, err := a.rdb.Get(ctx, alikeKey(name)).Result()
	switch {
	case errors.Is(err, redis.Nil), err == nil && held == name:
		return nil
	case err != nil:
		return chat.Unavailable("look for names alike", err)
	}
	return errAlike
}

// KEYS[1] the name that is held of those that look alike; ARGV[1] the one that is to be,
// ARGV[2] for how long, ms, 0 for ever. 1 if it is. Atomic, so that of two that look alike
// one is made.
var holdScript = redis.NewScript(`
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('SET', KEYS[1], ARGV[1])
elseif not held then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1`)

// claim holds a name right before its account is made; hold does so for ever, once it is
// made, and at each login with a password, should an instance have died in between.
func (a *Accounts) claim(ctx context.Context, name string) error {
	return a.holdFor(ctx, name, claimFor)
}

func (a *Accounts) hold(ctx context.Context, name string) error {
	if err := a.holdFor(ctx, name, 0); !errors.Is(err, errAlike) {
		return err
	}
	return nil // two were made while neither was held: both stay
}

func (a *Accounts) holdFor(ctx context.Context, name string, d time.Duration) error {
	held, err := holdScript.Run(ctx, a.rdb, []string{alikeKey(name)}, name, d.Milliseconds()).Bool()
	switch {
	case err != nil:
		return chat.Unavailable("hold name", err)
	case !held:
		return errAlike
	}
	return nil
}
