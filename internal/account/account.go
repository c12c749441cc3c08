// Package account knows who owns a name: makes accounts, checks passwords, and
// slows down those who guess them. It keeps no logins: those are of package session.
//
// Redis holds:
//
//	chatd:account:{NAME}   hash: version, another one after each change; password, as argon2id's hash, with its
//	                       parameters, or issuer and subject, of whom an [Identity] owns; since, Unix ms; gone, of an
//	                       account that was deleted, whose name nobody gets
//	chatd:alike:{SKELETON} string: the name that is somebody's, of those that look alike
//	chatd:identity:HASH    string: the name that an identity owns
//	chatd:proven:HASH      hash: what a provider said of a browser's person, by the hash of what the browser keeps
//	chatd:attempt:NAME     string: there once an attempt to log in at a provider has been answered
//	chatd:erasing          set: the names of deleted accounts that may still stand somewhere
//	chatd:erasing:turn     string: an instance looks for them
//	chatd:lock:{NAME}      hash: who has locked a name, why, since when, Unix ms
//	chatd:locking          set: the names that were locked and may still have logins
//	chatd:device:HASH      set: the names that a browser has logged in with, by the hash of what it keeps
//	chatd:{tries}:…        how often somebody tried lately, see package throttle
//
// What was checked may change before the login is made. So whoever makes one looks
// afterwards whether the account still has the version that was checked ([Accounts.Find]).
package account

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/throttle"
)

// Codes of errors, beside those of package chat.
const (
	CodeWrong = "wrong_password"
	CodeTaken = "name_taken"
	CodeWeak  = "weak_password"
	// CodeUnproven asks somebody to log in at their provider again.
	CodeUnproven = "not_confirmed"
)

var (
	errWrong    = &chat.Error{Code: CodeWrong, Message: "The name or the password is wrong."}
	errTaken    = &chat.Error{Code: CodeTaken, Message: "This name is taken. Choose another one."}
	errUnproven = &chat.Error{Code: CodeUnproven, Message: "Log in with the login provider once more to confirm this, as the person whose account this is."}
	errBusy     = &chat.Error{Code: chat.CodeTooFast, Message: "Many people log in right now. Try again in a moment.", RetryAfter: time.Second}
)

// params are OWASP's (Password Storage Cheat Sheet) with the least memory that two
// passes allow: a crowd that logs in must not take the memory that sockets need.
var params = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// nobody's hash is compared where there is no account, so that it takes as long.
var nobody = sync.OnceValue(func() string {
	hash, err := argon2id.CreateHash(rand.Text(), &params)
	if err != nil {
		panic("account: " + err.Error())
	}
	return hash
})

// An Account is what is known of a name. The zero Account is that of a free name.
type Account struct {
	Name     string
	Version  string // another one after each change
	Since    time.Time
	Gone     bool     // deleted; nobody gets the name any more
	Identity Identity // whose it is, of an account without a password
	Lock     Lock     // also of a name that nobody has
}

// Exists says whether the name belongs to somebody, or did.
func (a Account) Exists() bool { return a.Version != "" }

// Accounts are all accounts. It is safe for concurrent use. Its methods wait for
// Redis until ctx ends, and fail with chat.ErrUnavailable; what people are told is a
// *chat.Error.
type Accounts struct {
	rdb   redis.UniversalClient
	log   Log
	least int
	// Hashing takes one core's time and 19 MiB each: the chat goes on beside it.
	slots chan struct{}
}

// A Log is told of each deed before it is done.
type Log interface {
	Write(ctx context.Context, e audit.Entry) error
}

// New returns the accounts in Redis, whose new passwords have at least so many
// characters.
func New(rdb redis.UniversalClient, log Log, least int) *Accounts {
	return &Accounts{rdb: rdb, log: log, least: least, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

func accountKey(name string) string { return "chatd:account:{" + name + "}" }

// Find returns the account of a canonical name, the zero Account if nobody has it.
func (a *Accounts) Find(ctx context.Context, name string) (Account, error) {
	account, _, err := a.find(ctx, name)
	return account, err
}

func (a *Accounts) find(ctx context.Context, name string) (account Account, hash string, err error) {
	pipe := a.rdb.Pipeline()
	has := pipe.HMGet(ctx, accountKey(name), "version", "password", "since", "gone", "issuer", "subject")
	lock := pipe.HMGet(ctx, lockKey(name), "by", "reason", "since")
	if _, err := pipe.Exec(ctx); err != nil {
		return Account{}, "", chat.Unavailable("find account", err)
	}
	text := func(i int) string { s, _ := has.Val()[i].(string); return s }
	since, _ := strconv.ParseInt(text(2), 10, 64)
	return Account{
		Name: name, Version: text(0), Since: time.UnixMilli(since), Gone: text(3) != "", Identity: Identity{text(4), text(5)}, Lock: readLock(lock.Val()),
	}, text(1), nil
}

var registerScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'password', ARGV[2], 'since', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
return 1`)

// Register makes the account of a canonical name that is free.
func (a *Accounts) Register(ctx context.Context, from From, name, password string) (Account, error) {
	if err := a.try(ctx, from.hashes()); err != nil {
		return Account{}, err
	}
	password, err := a.checkNew(ctx, name, password)
	if err != nil {
		return Account{}, err
	}
	if known, err := a.Find(ctx, name); err != nil {
		return Account{}, err
	} else if known.Exists() {
		return Account{}, errTaken
	} else if err := known.Open(); err != nil {
		return Account{}, err
	}
	if err := a.CheckAlike(ctx, name); err != nil {
		return Account{}, err
	}
	if err := a.try(ctx, from.registers()); err != nil {
		return Account{}, err
	}
	hash, err := a.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	if err := a.note(ctx, from, audit.AccountMade, name); err != nil {
		return Account{}, err
	}
	if err := a.claim(ctx, name); err != nil {
		return Account{}, err
	}
	made, err := registerScript.Run(ctx, a.rdb, []string{accountKey(name)}, rand.Text(), hash).Bool()
	if err != nil && !errors.Is(err, redis.Nil) {
		return Account{}, chat.Unavailable("register", err)
	}
	if !made {
		return Account{}, errTaken
	}
	if err := a.hold(ctx, name); err != nil {
		return Account{}, err
	}
	return a.Find(ctx, name)
}

// TakeData counts somebody who takes a file of all that there is of them, and fails with
// too many.
func (a *Accounts) TakeData(ctx context.Context, from From, name string) error {
	if err := a.try(ctx, []throttle.Bucket{tries("data:"+name, 3, 20*time.Minute)}); err != nil {
		return err
	}
	return a.note(ctx, from, audit.DataTaken, name)
}

func (a *Accounts) note(ctx context.Context, from From, action, name string) error {
	return a.log.Write(ctx, audit.Entry{Action: action, Actor: name, Address: from.Shown})
}

// Check returns the account of a canonical name if this is its password. It counts
// the tries of whoever asks, and takes as long for a name that nobody has.
func (a *Accounts) Check(ctx context.Context, from From, name, password string) (Account, error) {
	known, err := a.knows(ctx, from.Device, name)
	if err != nil {
		return Account{}, err
	}
	buckets := from.logsIn(name, known) // only failures count
	if err := a.try(ctx, append(from.hashes(), buckets...)); err != nil {
		return Account{}, err
	}
	account, hash, err := a.find(ctx, name)
	if err != nil {
		return Account{}, err
	}
	is := hash != "" && !account.Gone
	if !is {
		hash = nobody()
	}
	prepared, prepareErr := prepare(password)
	var match bool
	var with *argon2id.Params
	if err := a.hashing(ctx, func() (err error) {
		match, with, err = argon2id.CheckHash(prepared, hash)
		return err
	}); err != nil {
		return Account{}, err
	}
	if !is || !match || prepareErr != nil {
		if err := a.log.Write(ctx, audit.Entry{Action: audit.LoginFailed, Target: name, Address: from.Shown}); err != nil {
			return Account{}, err
		}
		return Account{}, errWrong
	}
	if err := throttle.GiveBack(ctx, a.rdb, buckets...); err != nil {
		return Account{}, err
	}
	if err := a.hold(ctx, name); err != nil {
		return Account{}, err
	}
	if *with != params {
		return account, a.rehash(ctx, account, prepared)
	}
	return account, nil
}

var setScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'password', ARGV[3])
return 1`)

// set stores a hash if the account is still as it was checked.
func (a *Accounts) set(ctx context.Context, was Account, version, hash string) error {
	done, err := setScript.Run(ctx, a.rdb, []string{accountKey(was.Name)}, was.Version, version, hash).Bool()
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return chat.Unavailable("set password", err)
	case !done:
		return errWrong // it was changed elsewhere at this moment
	}
	return nil
}

// rehash keeps the password with the parameters of today, which is no change.
func (a *Accounts) rehash(ctx context.Context, account Account, password string) error {
	hash, err := a.hash(ctx, password)
	if err != nil {
		return err
	}
	return a.set(ctx, account, account.Version, hash)
}

// ChangePassword gives an account, as it was checked, another password.
func (a *Accounts) ChangePassword(ctx context.Context, from From, account Account, password string) (Account, error) {
	password, err := a.checkNew(ctx, account.Name, password)
	if err != nil {
		return Account{}, err
	}
	hash, err := a.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	if err := a.note(ctx, from, audit.PasswordChanged, account.Name); err != nil {
		return Account{}, err
	}
	version := rand.Text()
	if err := a.set(ctx, account, version, hash); err != nil {
		return Account{}, err
	}
	account.Version = version
	return account, nil
}

func (a *Accounts) hash(ctx context.Context, password string) (hash string, err error) {
	err = a.hashing(ctx, func() (err error) {
		hash, err = argon2id.CreateHash(password, &params)
		return err
	})
	return hash, err
}

// hashing does f in its turn, or fails with errBusy if that does not come in time.
func (a *Accounts) hashing(ctx context.Context, f func() error) error {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
		return f()
	case <-ctx.Done():
		return errBusy
	}
}

var deleteScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'gone', 1)
redis.call('HDEL', KEYS[1], 'password', 'issuer', 'subject')
if KEYS[2] then redis.call('DEL', KEYS[2]) end
return 1`)

// Delete ends an account as it was checked. Nobody gets its name any more, and
// [Accounts.Erase] takes it out of what its owner said.
func (a *Accounts) Delete(ctx context.Context, from From, was Account) error {
	if err := a.note(ctx, from, audit.AccountDeleted, was.Name); err != nil {
		return err
	}
	// Before the deed, so that it is never forgotten.
	if err := a.rdb.SAdd(ctx, erasingKey, was.Name).Err(); err != nil {
		return chat.Unavailable("delete account", err)
	}
	keys := []string{accountKey(was.Name)}
	if was.Identity != (Identity{}) { // whose person may have another name then
		keys = append(keys, identityKey(was.Identity))
	}
	done, err := deleteScript.Run(ctx, a.rdb, keys, was.Version, rand.Text()).Bool()
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return chat.Unavailable("delete account", err)
	case !done:
		return errWrong
	}
	return nil
}

const (
	erasingKey   = "chatd:erasing"
	finishEvery  = 5 * time.Second
	finishWithin = time.Minute // what one look may take
)

// Erase has erase take the names of deleted accounts out of wherever they stand, again
// until it succeeds, until ctx ends. Any instance goes on where another one died.
func (a *Accounts) Erase(ctx context.Context, erase func(ctx context.Context, name string) error, failed func(error)) {
	a.finish(ctx, erasingKey, func(of Account) bool { return of.Gone }, func(ctx context.Context, of Account) error {
		return errors.Join(erase(ctx, of.Name), a.forgetDevices(ctx, of.Name))
	}, failed)
}

// finish does what is left to do for the names in a set, where it is due.
func (a *Accounts) finish(ctx context.Context, set string, due func(Account) bool, do func(context.Context, Account) error, failed func(error)) {
	tick := time.NewTicker(finishEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := a.finishAll(ctx, set, due, do); err != nil && ctx.Err() == nil {
				failed(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (a *Accounts) finishAll(ctx context.Context, set string, due func(Account) bool, do func(context.Context, Account) error) error {
	ctx, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	names, err := a.rdb.SMembers(ctx, set).Result()
	if err != nil {
		return chat.Unavailable("look for what is left to do", err)
	}
	if len(names) == 0 {
		return nil
	}
	// One instance at a time: it may take a look at all that there is.
	first, err := a.rdb.SetNX(ctx, set+":turn", 1, finishWithin).Result()
	if err != nil {
		return chat.Unavailable("take a turn", err)
	}
	if !first {
		return nil
	}
	defer a.rdb.Del(context.WithoutCancel(ctx), set+":turn")
	for _, name := range names {
		account, err := a.Find(ctx, name)
		if err != nil {
			return err
		}
		if !due(account) {
			continue // the deed is under way, or was not done
		}
		if err := do(ctx, account); err != nil {
			return err
		}
		if err := a.rdb.SRem(ctx, set, name).Err(); err != nil {
			return chat.Unavailable("note what was done", err)
		}
	}
	return nil
}
