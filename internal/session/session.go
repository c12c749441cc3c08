// Package session ties a browser's cookie to a login kept in Redis: log in, log
// out, "whose request is this?", "is that login still good?". It is the only home
// of gorilla/sessions and redisstore, and makes up for what they leave out.
//
// A login is written once, by redisstore, and never rewritten, so no save in
// flight can undo another or bring an ended login back. What changes is the
// session id. The cookie is LOGIN.SECRET: LOGIN names the login and is no secret;
// SECRET is 32 random bytes, of which Redis holds a hash only, and the session id
// is both together. Redis holds ({} is a hash tag):
//
//	chatd:session:{LOGIN}            the login as redisstore keeps it; lapses at the absolute end
//	chatd:session:{LOGIN}:id         "HASH" of the current SECRET, or "HASH FORMER" until the
//	                                 current one is used; lapses when idle
//	chatd:session:{LOGIN}:id:HASH    a former SECRET's hash -> its successor, sealed with the former
//	                                 SECRET; lapses aliasTTL after the successor was first used
//	chatd:user:{NAME}:logins         sorted set: a person's logins -> when each ends in any case, Unix ms
//
// A login is alive while the first two are there. It is in its person's set before
// it is alive, so that whoever ends all of them misses none. Redis' own clock judges all of
// it. An id that Redis does not know is never adopted.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/sessions"
	"github.com/rbcervilla/redisstore/v9"
	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

const (
	// CookieName is the name that HAProxy keeps affinity by.
	CookieName = "jsessionid"

	// aliasTTL is how long a former id stays good after its successor was first
	// used, for tabs and requests that are under way with it. Until then it is good
	// as before: the answer that brought the successor may be lost.
	aliasTTL = 15 * time.Second

	keyPrefix     = "chatd:session:"
	maxAgentBytes = 300

	loginBytes  = 16
	secretBytes = 32
)

// ErrNone says that there is no login: the only word that means "log in again".
var ErrNone = errors.New("no login")

// A Session says who is logged in. It is the same for all ids of one login.
type Session struct {
	Login   string    // names the login in Redis and between instances; opens nothing
	User    string    // canonical name
	Guest   bool      // came by name alone
	Version string    // of the account, as it was when they logged in; "" of guests
	Since   time.Time // when the login was made
	Expires time.Time // when it ends if nothing is heard of it any more
	Ends    time.Time // when it ends in any case
}

// Who is logged in, and from where, as people are shown their own logins.
type Who struct {
	User    string // canonical name
	Version string // of the account that was checked, "" for a guest
	Address string // of the browser
}

// A Login is what people see of one of their logins.
type Login struct {
	Session
	Address string    // where it was made
	Agent   string    // the browser, as it calls itself
	Used    time.Time // when it was last used, to a minute
}

// Options are what an operator decides.
type Options struct {
	Idle   time.Duration            // a login that is not used for so long ends
	Max    time.Duration            // a login ends so long after it was made
	Secure func(*http.Request) bool // did the browser come by TLS
}

// A Store keeps logins. It is safe for concurrent use.
type Store struct {
	rdb  redis.UniversalClient
	kept *redisstore.RedisStore
	opts Options
}

// New returns a store. Redis need not be there yet.
func New(rdb redis.UniversalClient, opts Options) *Store {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it only pings, and a Redis that is away is no reason not to start
	kept, _ := redisstore.NewRedisStore(ctx, rdb)
	kept.KeyPrefix(keyPrefix)
	kept.Serializer(asJSON{})
	kept.Options(sessions.Options{Path: "/", MaxAge: int(opts.Max.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return &Store{rdb: rdb, kept: kept, opts: opts}
}

func tag(login string) string                 { return "{" + login + "}" }
func idKey(login string) string               { return keyPrefix + tag(login) + ":id" }
func formerKey(login string, s secret) string { return idKey(login) + ":" + s.hash() }
func loginKey(login string) string            { return keyPrefix + tag(login) }
func loginsKey(user string) string            { return "chatd:user:{" + user + "}:logins" }

type secret [secretBytes]byte

func (s secret) hash() string {
	h := sha256.Sum256(s[:])
	return hex.EncodeToString(h[:])
}

// seal hides next from all who do not know s. Each s seals one value only, so a
// pad derived from it does.
func (s secret) seal(next secret) (sealed secret) {
	pad := sha256.Sum256(append([]byte("successor of "), s[:]...))
	subtle.XORBytes(sealed[:], next[:], pad[:])
	return sealed
}

// id returns the login and secret of the request's cookie. Two cookies of the
// name are none: one of them was tossed in by somebody else.
func id(r *http.Request) (login string, s secret, ok bool) {
	cookies := r.CookiesNamed(CookieName)
	if len(cookies) != 1 {
		return "", s, false
	}
	login, sec, ok := strings.Cut(cookies[0].Value, ".")
	if !ok {
		return "", s, false
	}
	enc := base64.RawURLEncoding.Strict()
	l, err1 := enc.DecodeString(login)
	b, err2 := enc.DecodeString(sec)
	if err1 != nil || err2 != nil || len(l) != loginBytes || len(b) != secretBytes {
		return "", s, false
	}
	return login, secret(b), true
}

func newSecret() (s secret) {
	_, _ = rand.Read(s[:]) // never fails (Go 1.24)
	return s
}

// Begin logs somebody in: a new login with a new id, whose cookie is set. A login
// that the request brought is ended; former is its name, "" if there was none.
func (s *Store) Begin(w http.ResponseWriter, r *http.Request, who Who) (ses Session, former string, err error) {
	var l [loginBytes]byte
	_, _ = rand.Read(l[:])
	login, sec := base64.RawURLEncoding.EncodeToString(l[:]), newSecret()

	now := time.Now()
	ends := now.Add(s.opts.Max)
	pipe := s.rdb.Pipeline()
	pipe.ZRemRangeByScore(r.Context(), loginsKey(who.User), "-inf", strconv.FormatInt(now.UnixMilli(), 10))
	pipe.ZAdd(r.Context(), loginsKey(who.User), redis.Z{Score: float64(ends.UnixMilli()), Member: login})
	pipe.PExpireAt(r.Context(), loginsKey(who.User), ends)
	if _, err := pipe.Exec(r.Context()); err != nil {
		return Session{}, "", chat.Unavailable("list login", err)
	}
	rec := sessions.NewSession(s.kept, CookieName)
	rec.ID = tag(login)
	rec.Options = &sessions.Options{MaxAge: int(s.opts.Max.Seconds())}
	rec.Values[recordKey] = record{Login: login, User: who.User, Version: who.Version, Address: who.Address, Agent: agent(r), Since: now.UnixMilli()}
	if err := s.kept.Save(r, nowhere{}, rec); err != nil {
		return Session{}, "", chat.Unavailable("save login", err)
	}
	if err := s.rdb.Set(r.Context(), idKey(login), sec.hash(), s.opts.Idle).Err(); err != nil {
		return Session{}, "", chat.Unavailable("save id", err)
	}
	if former, err = s.endRequest(r); err != nil && !errors.Is(err, ErrNone) {
		return Session{}, "", err // nobody has the new id: it lapses
	}
	s.setCookie(w, r, login, sec)
	return s.session(login, who, now), former, nil
}

// agent is what the browser calls itself, within reason.
func agent(r *http.Request) string {
	return strings.ToValidUTF8(r.UserAgent()[:min(len(r.UserAgent()), maxAgentBytes)], "")
}

//go:embed use.lua
var useSource string

var useScript = redis.NewScript(useSource)

// Read returns the request's session, ErrNone, or chat.ErrUnavailable when Redis
// does not answer, which is never a logout. It takes one round trip.
func (s *Store) Read(r *http.Request) (Session, error) {
	login, sec, ok := id(r)
	if !ok {
		return Session{}, ErrNone
	}
	kept, err := useScript.Run(r.Context(), s.rdb, []string{idKey(login), formerKey(login, sec), loginKey(login)}, sec.hash(), aliasTTL.Milliseconds()).Text()
	if errors.Is(err, redis.Nil) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, chat.Unavailable("read login", err)
	}
	l, err := s.decode(login, kept)
	return l.Session, err
}

// A record is what Redis keeps of a login.
type record struct {
	Login   string `json:"login"`
	User    string `json:"user"`
	Version string `json:"version,omitempty"`
	Address string `json:"address,omitempty"`
	Agent   string `json:"agent,omitempty"`
	Since   int64  `json:"since"` // Unix ms
}

// recordKey is under what redisstore has a login's record.
const recordKey = "record"

// asJSON writes records for redisstore. Its own way, gob, explains its types in each of
// them, which takes ten times as long to read.
type asJSON struct{}

func (asJSON) Serialize(rec *sessions.Session) ([]byte, error) {
	return json.Marshal(rec.Values[recordKey])
}

func (asJSON) Deserialize(data []byte, rec *sessions.Session) error {
	var kept record
	err := json.Unmarshal(data, &kept)
	rec.Values[recordKey] = kept
	return err
}

// decode reads what redisstore keeps of the login.
func (s *Store) decode(login, kept string) (Login, error) {
	var rec record
	// An answer out of step with its question once gave A the session of B.
	if err := json.Unmarshal([]byte(kept), &rec); err != nil || rec.User == "" || rec.Login != login {
		return Login{}, ErrNone
	}
	who := Who{User: rec.User, Version: rec.Version, Address: rec.Address}
	return Login{Session: s.session(login, who, time.UnixMilli(rec.Since)), Address: rec.Address, Agent: rec.Agent}, nil
}

func (s *Store) session(login string, who Who, since time.Time) Session {
	ses := Session{Login: login, User: who.User, Guest: who.Version == "", Version: who.Version, Since: since, Expires: time.Now().Add(s.opts.Idle), Ends: since.Add(s.opts.Max)}
	if ses.Ends.Before(ses.Expires) {
		ses.Expires = ses.Ends
	}
	return ses
}

//go:embed refresh.lua
var refreshSource string

var refreshScript = redis.NewScript(refreshSource)

// Refresh gives the request's login a new id and sets its cookie. The former id
// stays good until the new one has been used, and aliasTTL longer; whoever
// refreshes it meanwhile, however many at once, gets the same new id. It returns ErrNone or chat.ErrUnavailable like Read; then
// no cookie is set.
func (s *Store) Refresh(w http.ResponseWriter, r *http.Request) (Session, error) {
	login, sec, ok := id(r)
	if !ok {
		return Session{}, ErrNone
	}
	ctx := r.Context()
	next := newSecret()
	sealed := sec.seal(next)
	for {
		got, err := refreshScript.Run(ctx, s.rdb, []string{idKey(login), formerKey(login, sec), loginKey(login)},
			sec.hash(), next.hash(), hex.EncodeToString(sealed[:]), aliasTTL.Milliseconds(), s.opts.Idle.Milliseconds(), s.opts.Max.Milliseconds()).StringSlice()
		if errors.Is(err, redis.Nil) {
			return Session{}, ErrNone
		}
		if err != nil {
			return Session{}, chat.Unavailable("refresh id", err)
		}
		if got[0] != "former" {
			l, err := s.decode(login, got[1])
			if err != nil {
				return Session{}, err
			}
			if got[0] == "new" {
				sec = next
			}
			s.setCookie(w, r, login, sec)
			return l.Session, nil
		}
		// A former id: go on with its successor, which is current or has one too.
		b, err := hex.DecodeString(got[1])
		if err != nil || len(b) != secretBytes {
			return Session{}, fmt.Errorf("refresh id: sealed successor of %d bytes", len(b))
		}
		sec = sec.seal(secret(b))
		next, sealed = secret{}, secret{} // no new id for a former one
	}
}

// End ends the request's login and clears the cookie. It returns the login's
// name, for telling its sockets, or ErrNone or chat.ErrUnavailable.
func (s *Store) End(w http.ResponseWriter, r *http.Request) (login string, err error) {
	login, err = s.endRequest(r)
	if err == nil || errors.Is(err, ErrNone) {
		s.cookie(w, r, "", -1)
	}
	return login, err
}

func (s *Store) endRequest(r *http.Request) (login string, err error) {
	ses, err := s.Read(r)
	if err != nil {
		return "", err
	}
	return ses.Login, s.EndOf(r.Context(), ses.User, ses.Login)
}

// List returns the person's logins that are alive, the one that was used last first.
func (s *Store) List(ctx context.Context, user string) ([]Login, error) {
	names, err := s.rdb.ZRange(ctx, loginsKey(user), 0, -1).Result()
	if err != nil {
		return nil, chat.Unavailable("list logins", err)
	}
	pipe := s.rdb.Pipeline()
	idle := make([]*redis.DurationCmd, len(names))
	for i, login := range names {
		idle[i] = pipe.PTTL(ctx, idKey(login))
	}
	if _, err := pipe.Exec(ctx); err != nil && len(names) > 0 {
		return nil, chat.Unavailable("list logins", err)
	}
	var logins []Login
	for i, login := range names {
		if idle[i].Val() <= 0 {
			continue // it lapsed
		}
		kept, err := s.rdb.Get(ctx, loginKey(login)).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, chat.Unavailable("list logins", err)
		}
		l, err := s.decode(login, kept)
		if err != nil {
			continue // it opens nothing either
		}
		l.Used = time.Now().Add(idle[i].Val() - s.opts.Idle)
		logins = append(logins, l)
	}
	slices.SortFunc(logins, func(a, b Login) int { return b.Used.Compare(a.Used) })
	return logins, nil
}

// EndOf ends logins of one person.
func (s *Store) EndOf(ctx context.Context, user string, logins ...string) error {
	if len(logins) == 0 {
		return nil
	}
	pipe := s.rdb.Pipeline()
	listed := make([]any, len(logins))
	for i, login := range logins {
		pipe.Del(ctx, idKey(login), loginKey(login))
		listed[i] = login
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return chat.Unavailable("end login", err)
	}
	// Only now: one that is still alive must still be listed.
	if err := s.rdb.ZRem(ctx, loginsKey(user), listed...).Err(); err != nil {
		return chat.Unavailable("end login", err)
	}
	return nil
}

// Keep tells that these logins are in use, as an open socket does, and returns
// those that have ended. It takes one round trip for all.
func (s *Store) Keep(ctx context.Context, logins []string) (ended []string, err error) {
	pipe := s.rdb.Pipeline()
	used, there := make([]*redis.BoolCmd, len(logins)), make([]*redis.IntCmd, len(logins))
	for i, login := range logins {
		used[i] = pipe.Expire(ctx, idKey(login), s.opts.Idle)
		there[i] = pipe.Exists(ctx, loginKey(login))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, chat.Unavailable("keep logins", err)
	}
	for i, login := range logins {
		if !used[i].Val() || there[i].Val() == 0 {
			ended = append(ended, login)
		}
	}
	return ended, nil
}

func (s *Store) setCookie(w http.ResponseWriter, r *http.Request, login string, sec secret) {
	s.cookie(w, r, login+"."+base64.RawURLEncoding.EncodeToString(sec[:]), int(s.opts.Max.Seconds()))
}

func (s *Store) cookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: CookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.opts.Secure(r),
	})
}

// nowhere takes the cookie that redisstore would set: the login's name alone.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
