package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/throttle"
)

// An Identity is a person at a provider of logins: both together are theirs for ever.
// It owns one account at most. The zero Identity is that of whoever has a password.
type Identity struct {
	Issuer, Subject string
}

func (i Identity) hash() string {
	h := sha256.Sum256([]byte(i.Issuer + "\x00" + i.Subject)) // a URL has no NUL
	return hex.EncodeToString(h[:])
}

func identityKey(i Identity) string { return "chatd:identity:" + i.hash() }
func provenKey(token string) string { return "chatd:proven:" + deviceHash(token) }
func attemptKey(name string) string { return "chatd:attempt:" + name }
func (a Account) owns(with Identity) bool {
	return a.Exists() && !a.Gone && a.Identity == with && with != Identity{}
}

// Owned returns the account of an identity, the zero Account if it has none.
func (a *Accounts) Owned(ctx context.Context, by Identity) (Account, error) {
	name, err := a.rdb.Get(ctx, identityKey(by)).Result()
	if errors.Is(err, redis.Nil) {
		return Account{}, nil
	}
	if err != nil {
		return Account{}, chat.Unavailable("find identity", err)
	}
	account, err := a.Find(ctx, name)
	if err != nil || !account.owns(by) { // it was deleted at this moment
		return Account{}, err
	}
	return account, nil
}

// adoptScript makes an account that belongs to an identity. KEYS[1] the account,
// KEYS[2] the identity; ARGV: its first version, issuer, subject, name. Output: the
// name of the identity's account, which may be one that it has already, "" if the
// name is taken. Atomic, so that a name has one owner and an identity one account.
var adoptScript = redis.NewScript(`
local has = redis.call('GET', KEYS[2])
if has then return has end
if redis.call('EXISTS', KEYS[1]) == 1 then return '' end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'issuer', ARGV[2], 'subject', ARGV[3], 'since', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
redis.call('SET', KEYS[2], ARGV[4])
return ARGV[4]`)

// Adopt makes the account of a canonical name that is free and belongs to an identity.
// If the identity has one by now, it returns that one.
func (a *Accounts) Adopt(ctx context.Context, from From, name string, by Identity) (Account, error) {
	if known, err := a.Find(ctx, name); err != nil {
		return Account{}, err
	} else if known.Exists() && !known.owns(by) {
		return Account{}, errTaken
	} else if err := known.Open(); err != nil {
		return Account{}, err
	}
	if err := a.CheckAlike(ctx, name); err != nil {
		return Account{}, err
	}
	if err := a.try(ctx, adopts(by)); err != nil {
		return Account{}, err
	}
	if err := a.log.Write(ctx, audit.Entry{Action: audit.AccountMade, Actor: name, Address: from.Shown, Detail: by.Issuer}); err != nil {
		return Account{}, err
	}
	if err := a.claim(ctx, name); err != nil {
		return Account{}, err
	}
	got, err := adoptScript.Run(ctx, a.rdb, []string{accountKey(name), identityKey(by)}, rand.Text(), by.Issuer, by.Subject, name).Text()
	switch {
	case err != nil:
		return Account{}, chat.Unavailable("adopt name", err)
	case got == "":
		return Account{}, errTaken
	}
	if err := a.hold(ctx, got); err != nil {
		return Account{}, err
	}
	return a.Find(ctx, got)
}

// adopts bounds how many names, which nobody gets after them, one person can use up.
func adopts(by Identity) []throttle.Bucket {
	return []throttle.Bucket{tries("identity:"+by.hash(), 5, time.Hour)}
}

func (f From) returns() []throttle.Bucket { return f.ofAddress("provider", 50, 6*time.Second) }

// Return counts somebody who comes back from a provider, which has to be asked who
// they are, and fails if too many from one address did in vain.
func (a *Accounts) Return(ctx context.Context, from From) error { return a.try(ctx, from.returns()) }

// Returned takes that back, for one whom the provider knows.
func (a *Accounts) Returned(ctx context.Context, from From) error {
	return throttle.GiveBack(ctx, a.rdb, from.returns()...)
}

// First says whether it is asked about this for the first time, within a time.
func (a *Accounts) First(ctx context.Context, name string, within time.Duration) (bool, error) {
	first, err := a.rdb.SetNX(ctx, attemptKey(name), 1, within).Result()
	if err != nil {
		return false, chat.Unavailable("note attempt", err)
	}
	return first, nil
}

// Proven is what a provider has said of a browser's person a moment ago.
type Proven struct {
	Identity
	Proposal string // how they are called there
	Again    bool   // they were logged in when they were asked for it
}

// Keep keeps for a time what was proven. Only who has the token learns it.
func (a *Accounts) Keep(ctx context.Context, p Proven, within time.Duration) (token string, err error) {
	token = rand.Text()
	pipe := a.rdb.TxPipeline()
	pipe.HSet(ctx, provenKey(token), "issuer", p.Issuer, "subject", p.Subject, "proposal", p.Proposal, "again", p.Again)
	pipe.Expire(ctx, provenKey(token), within)
	if _, err := pipe.Exec(ctx); err != nil {
		return "", chat.Unavailable("keep identity", err)
	}
	return token, nil
}

// Kept returns what was kept for a token, the zero Proven if that is nothing.
func (a *Accounts) Kept(ctx context.Context, token string) (Proven, error) {
	got, err := a.rdb.HGetAll(ctx, provenKey(token)).Result()
	if err != nil {
		return Proven{}, chat.Unavailable("find identity", err)
	}
	return Proven{Identity{got["issuer"], got["subject"]}, got["proposal"], got["again"] == "1"}, nil
}

// Forget drops what was kept.
func (a *Accounts) Forget(ctx context.Context, token string) error {
	if err := a.rdb.Del(ctx, provenKey(token)).Err(); err != nil {
		return chat.Unavailable("forget identity", err)
	}
	return nil
}

// Confirm returns the account of a canonical name if what was proven is that its
// owner is there. It is to an identity what [Accounts.Check] is to a password.
func (a *Accounts) Confirm(ctx context.Context, name string, p Proven) (Account, error) {
	account, err := a.Find(ctx, name)
	if err != nil {
		return Account{}, err
	}
	if !p.Again || !account.owns(p.Identity) {
		return Account{}, errUnproven
	}
	return account, nil
}
