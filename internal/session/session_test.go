package session_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/chat"
	"chatd/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type kit struct {
	*testing.T
	m     *miniredis.Miniredis
	store *session.Store
}

func newKit(t *testing.T) *kit {
	m := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1})
	t.Cleanup(func() { rdb.Close() })
	return &kit{t, m, session.New(rdb, session.Options{
		Idle: time.Hour, Max: 3 * time.Hour, Secure: func(r *http.Request) bool { return r.TLS != nil },
	})}
}

// with returns a request that brings these cookies.
func with(cookies ...string) *http.Request {
	r := httptest.NewRequest("POST", "/", nil)
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: session.CookieName, Value: c})
	}
	return r
}

func cookie(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || cookies[0].Name != session.CookieName {
		t.Fatalf("cookies set: %v", cookies)
	}
	return cookies[0]
}

func (k *kit) login(user string, brought ...string) string {
	k.Helper()
	w := httptest.NewRecorder()
	if _, _, err := k.store.Begin(w, with(brought...), session.Who{User: user}); err != nil {
		k.Fatal(err)
	}
	return cookie(k.T, w).Value
}

func (k *kit) refresh(id string) (string, error) {
	w := httptest.NewRecorder()
	ses, err := k.store.Refresh(w, with(id))
	if err != nil {
		if len(w.Result().Cookies()) != 0 {
			k.Error("a refresh that failed set a cookie")
		}
		return "", err
	}
	if ses.User != "alice" {
		k.Errorf("refreshed into %q", ses.User)
	}
	return cookie(k.T, w).Value, nil
}

func (k *kit) want(id, user string) {
	k.Helper()
	ses, err := k.store.Read(with(id))
	if user == "" && !errors.Is(err, session.ErrNone) || user != "" && (err != nil || ses.User != user) {
		k.Fatalf("cookie opens %q, %v; want %q", ses.User, err, user)
	}
}

func TestLoginRefreshLogout(t *testing.T) {
	k := newKit(t)
	first := k.login("alice")
	k.want(first, "alice")
	second, err := k.refresh(first)
	if err != nil || second == first {
		t.Fatalf("refresh gave %q for %q, %v", second, first, err)
	}
	k.want(second, "alice")
	k.want(first, "alice") // for tabs that are under way with it
	k.m.FastForward(16 * time.Second)
	k.want(first, "")
	k.want(second, "alice")

	w := httptest.NewRecorder()
	if _, err := k.store.End(w, with(second)); err != nil {
		t.Fatal(err)
	}
	if c := cookie(t, w); c.Value != "" || c.MaxAge >= 0 {
		t.Fatalf("the cookie was not cleared: %v", c)
	}
	k.want(second, "")
	if _, err := k.refresh(second); !errors.Is(err, session.ErrNone) {
		t.Fatalf("an ended login was refreshed: %v", err)
	}
	if keys := k.m.Keys(); len(keys) != 0 {
		t.Fatalf("left in Redis after the logout: %v", keys)
	}
}

func TestCookieAttributes(t *testing.T) {
	k := newKit(t)
	w := httptest.NewRecorder()
	if _, _, err := k.store.Begin(w, with(), session.Who{User: "alice"}); err != nil {
		t.Fatal(err)
	}
	c := cookie(t, w)
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure || c.MaxAge != 3*3600 {
		t.Fatalf("cookie %v", c)
	}
}

// Twenty tabs refresh at once, again and again: one new id each time, and none
// of them is thrown out.
func TestTabsThatRefreshAtOnceStayIn(t *testing.T) {
	k := newKit(t)
	id := k.login("alice")
	for round := range 20 {
		var wg sync.WaitGroup
		got := make([]string, 20)
		for i := range got {
			wg.Go(func() {
				var err error
				if got[i], err = k.refresh(id); err != nil {
					t.Errorf("round %d: tab %d was thrown out: %v", round, i, err)
				}
			})
		}
		wg.Wait()
		for _, g := range got {
			if g != got[0] || g == id {
				t.Fatalf("round %d: ids %q and %q for one refreshed id", round, got[0], g)
			}
		}
		id = got[0]
		k.want(id, "alice")
	}
}

// The answer to a refresh is lost, and the next try comes only minutes later.
func TestLostAnswerIsNoLogout(t *testing.T) {
	k := newKit(t)
	first := k.login("alice")
	second, err := k.refresh(first)
	if err != nil {
		t.Fatal(err)
	}
	k.m.FastForward(20 * time.Minute)
	k.want(first, "alice")
	if again, err := k.refresh(first); err != nil || again != second {
		t.Fatalf("refresh gave %q, %v; want %q", again, err, second)
	}
	k.m.FastForward(20 * time.Minute) // that answer is lost too
	k.want(first, "alice")
	k.want(second, "alice") // at last: from now on the first lapses
	k.m.FastForward(14 * time.Second)
	k.want(first, "alice")
	k.m.FastForward(2 * time.Second)
	k.want(first, "")
	third, err := k.refresh(second)
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := k.refresh(third) // a refresh is a use
	if err != nil {
		t.Fatal(err)
	}
	k.m.FastForward(16 * time.Second)
	k.want(second, "")
	k.want(third, "alice")
	k.want(fourth, "alice")
}

// The answer to a refresh is lost, and the other tab's socket, which lasts, is all that
// is heard of the login for longer than it may be idle.
func TestLostAnswerIsNoLogoutHoweverLate(t *testing.T) {
	k := newKit(t)
	first := k.login("alice")
	second, err := k.refresh(first)
	if err != nil {
		t.Fatal(err)
	}
	login, _, _ := strings.Cut(first, ".")
	for range 3 {
		k.m.FastForward(50 * time.Minute)
		if ended, err := k.store.Keep(t.Context(), []string{login}); err != nil || len(ended) != 0 {
			t.Fatalf("%v ended, %v", ended, err)
		}
	}
	if again, err := k.refresh(first); err != nil || again != second {
		t.Fatalf("refresh gave %q, %v; want %q", again, err, second)
	}
	k.want(second, "alice")
	k.m.FastForward(time.Hour)
	k.want(first, "")
	if keys := k.m.Keys(); len(keys) != 0 {
		t.Fatalf("Redis still holds %v", keys)
	}
}

// A tab whose answers were lost learns the current id from any former one.
func TestLateTabLearnsTheNewestID(t *testing.T) {
	k := newKit(t)
	first := k.login("alice")
	newest := first
	for range 5 {
		newest, _ = k.refresh(newest)
	}
	if got, err := k.refresh(first); err != nil || got != newest {
		t.Fatalf("the first id leads to %q, %v; want %q", got, err, newest)
	}
	k.want(newest, "alice")
}

func TestRedisKeepsNoIDs(t *testing.T) {
	k := newKit(t)
	id := k.login("alice")
	next, _ := k.refresh(id)
	dump := k.m.Dump()
	for _, id := range []string{id, next} {
		_, secret, _ := strings.Cut(id, ".")
		raw, _ := base64.RawURLEncoding.DecodeString(secret)
		if len(raw) != 32 {
			t.Fatalf("secret of %d bytes", len(raw))
		}
		if strings.Contains(dump, secret) || strings.Contains(dump, fmt.Sprintf("%x", raw)) || strings.Contains(dump, string(raw)) {
			t.Fatalf("a dump of Redis opens a session:\n%s", dump)
		}
	}
}

func TestStrangersIDsAreNeverAdopted(t *testing.T) {
	k := newKit(t)
	good := k.login("alice")
	login, secret, _ := strings.Cut(good, ".")
	other := k.login("bob")
	_, othersSecret, _ := strings.Cut(other, ".")
	never := base64.RawURLEncoding.EncodeToString(make([]byte, 16)) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	for name, ids := range map[string][]string{
		"none": nil, "empty": {""}, "unknown": {never}, "login alone": {login}, "no secret": {login + "."},
		"another's secret": {login + "." + othersSecret}, "longer": {good + "A"}, "a space": {good + " "},
		"a path": {"../" + good}, "huge": {strings.Repeat("A", 1<<16)}, "two cookies": {good, good}, "two people's": {good, other},
		"braces": {"{" + login + "}." + secret}, "padded": {login + "==." + secret},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := k.store.Read(with(ids...)); !errors.Is(err, session.ErrNone) {
				t.Fatalf("Read: %v", err)
			}
			if _, err := k.store.Refresh(httptest.NewRecorder(), with(ids...)); !errors.Is(err, session.ErrNone) {
				t.Fatalf("Refresh: %v", err)
			}
			if _, err := k.store.End(httptest.NewRecorder(), with(ids...)); !errors.Is(err, session.ErrNone) {
				t.Fatalf("End: %v", err)
			}
			if id := k.login("cathy", ids...); len(ids) > 0 && id == ids[0] {
				t.Fatal("the id that came was adopted")
			}
		})
	}
	k.want(good, "alice")
	k.want(other, "bob")
}

func TestLoginEndsTheOneBefore(t *testing.T) {
	k := newKit(t)
	before := k.login("alice")
	after := k.login("bob", before)
	k.want(before, "")
	k.want(after, "bob")
}

func TestLifetimes(t *testing.T) {
	k := newKit(t)
	idle, used := k.login("alice"), k.login("bob")
	login := func(id string) string { l, _, _ := strings.Cut(id, "."); return l }
	both := []string{login(idle), login(used)}
	for i := range 3 { // of 50 minutes each, an hour is idle, three are the end
		k.m.FastForward(50 * time.Minute)
		ended, err := k.store.Keep(t.Context(), both[1:])
		if err != nil || len(ended) != 0 {
			t.Fatalf("after %d of 50 minutes: %v ended, %v", i+1, ended, err)
		}
	}
	k.want(idle, "")
	k.want(used, "bob")
	k.m.FastForward(31 * time.Minute)
	k.want(used, "")
	ended, err := k.store.Keep(t.Context(), both)
	if err != nil || len(ended) != 2 {
		t.Fatalf("%v ended, %v", ended, err)
	}
}

// A Redis that does not answer is never a logout.
func TestRedisAwayIsNoLogout(t *testing.T) {
	k := newKit(t)
	id := k.login("alice")
	k.m.SetError("LOADING")
	if _, err := k.store.Read(with(id)); !errors.Is(err, chat.ErrUnavailable) || errors.Is(err, session.ErrNone) {
		t.Fatalf("Read: %v", err)
	}
	if _, err := k.refresh(id); !errors.Is(err, chat.ErrUnavailable) || errors.Is(err, session.ErrNone) {
		t.Fatalf("Refresh: %v", err)
	}
	w := httptest.NewRecorder()
	if _, err := k.store.End(w, with(id)); !errors.Is(err, chat.ErrUnavailable) || len(w.Result().Cookies()) != 0 {
		t.Fatalf("End: %v, cookies %v", err, w.Result().Cookies())
	}
	if _, err := k.store.Keep(t.Context(), []string{"x"}); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatalf("Keep: %v", err)
	}
	k.m.SetError("")
	k.want(id, "alice")
}

func TestPeopleSeeAndEndTheirLogins(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	begin := func(user, address string) string {
		w, r := httptest.NewRecorder(), with()
		r.Header.Set("User-Agent", "Browser of "+address)
		if _, _, err := k.store.Begin(w, r, session.Who{User: user, Version: "v1", Address: address}); err != nil {
			t.Fatal(err)
		}
		return cookie(t, w).Value
	}
	list := func(user string) (logins []string) {
		all, err := k.store.List(ctx, user)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			if l.User != user || l.Guest || l.Version != "v1" || l.Agent != "Browser of "+l.Address || time.Since(l.Used) > time.Minute {
				t.Errorf("listed: %+v", l)
			}
			logins = append(logins, l.Address)
		}
		slices.Sort(logins)
		return logins
	}
	name := func(id string) string { name, _, _ := strings.Cut(id, "."); return name }

	desk, phone, pad, other := begin("alice", "desk"), begin("alice", "phone"), begin("alice", "pad"), begin("bob", "other")
	if got := list("alice"); !slices.Equal(got, []string{"desk", "pad", "phone"}) {
		t.Fatalf("listed %v", got)
	}
	if err := k.store.EndOf(ctx, "alice", name(phone)); err != nil {
		t.Fatal(err)
	}
	k.want(phone, "")
	k.want(other, "bob")
	if got := list("alice"); !slices.Equal(got, []string{"desk", "pad"}) {
		t.Fatalf("listed %v", got)
	}
	if err := k.store.EndOf(ctx, "alice", name(pad), name(desk)); err != nil {
		t.Fatal(err)
	}
	k.want(pad, "")
	k.want(desk, "")
	if got := list("alice"); len(got) != 0 {
		t.Fatalf("listed %v", got)
	}

	// What lapses is listed no more, and forgotten with the next login.
	begin("alice", "late")
	k.m.FastForward(2 * time.Hour)
	if got := list("alice"); len(got) != 0 {
		t.Fatalf("listed %v, which lapsed", got)
	}
}
