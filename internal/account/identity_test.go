package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/chattest"
)

var somebody = Identity{"https://login.example", "1"}

func TestAnIdentityFromBeginningToEnd(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
		if got, err := a.Owned(ctx, somebody); err != nil || got.Exists() {
			t.Fatalf("owns %+v, %v", got, err)
		}
		if _, err := a.Register(ctx, From{}, "bob", phrase); err != nil {
			t.Fatal(err)
		}
		_, err := a.Adopt(ctx, From{}, "bob", somebody)
		wantCode(t, err, CodeTaken)
		made, err := a.Adopt(ctx, From{}, "alice", somebody)
		if err != nil || made.Name != "alice" || !made.Exists() || made.Identity != somebody || time.Since(made.Since).Abs() > time.Minute {
			t.Fatalf("made %+v, %v", made, err)
		}
		if got, err := a.Owned(ctx, somebody); err != nil || got != made {
			t.Fatalf("owns %+v, %v", got, err)
		}
		// Who chooses twice, in two tabs, has what they chose first.
		if got, err := a.Adopt(ctx, From{}, "alicia", somebody); err != nil || got != made {
			t.Fatalf("got %+v, %v", got, err)
		}
		_, err = a.Register(ctx, From{}, "alice", phrase)
		wantCode(t, err, CodeTaken)
		for _, password := range []string{phrase, "", made.Version} {
			_, err = a.Check(ctx, From{}, "alice", password)
			wantCode(t, err, CodeWrong)
		}

		// Neither half of an identity is enough, nor both cut elsewhere.
		for _, other := range []Identity{{}, {somebody.Issuer, "2"}, {"https://login.evil.example", "1"}, {somebody.Issuer + "1", ""}, {"", somebody.Issuer + "1"}} {
			if got, err := a.Owned(ctx, other); err != nil || got.Exists() {
				t.Errorf("%v owns %+v, %v", other, got, err)
			}
			_, err := a.Confirm(ctx, "alice", Proven{Identity: other, Again: true})
			wantCode(t, err, CodeUnproven)
			_, err = a.Confirm(ctx, "bob", Proven{Identity: other, Again: true}) // who has a password
			wantCode(t, err, CodeUnproven)
		}
		_, err = a.Confirm(ctx, "alice", Proven{Identity: somebody})
		wantCode(t, err, CodeUnproven)
		if got, err := a.Confirm(ctx, "alice", Proven{Identity: somebody, Again: true}); err != nil || got != made {
			t.Fatalf("confirmed %+v, %v", got, err)
		}

		if err := a.Delete(ctx, From{}, made); err != nil {
			t.Fatal(err)
		}
		if got, err := a.Owned(ctx, somebody); err != nil || got.Exists() {
			t.Fatalf("after its end: %+v, %v", got, err)
		}
		if gone, err := a.Find(ctx, "alice"); err != nil || !gone.Gone || gone.Identity != (Identity{}) {
			t.Fatalf("after its end: %+v, %v", gone, err)
		}
		_, err = a.Adopt(ctx, From{}, "alice", somebody)
		wantCode(t, err, CodeTaken)
		if again, err := a.Adopt(ctx, From{}, "alicia", somebody); err != nil || again.Name != "alicia" {
			t.Fatalf("again %+v, %v", again, err)
		}
		for _, key := range rdb.Keys(ctx, "chatd:*alice*").Val() {
			if hash := rdb.HGetAll(ctx, key).Val(); strings.Contains(fmt.Sprint(hash), somebody.Issuer) {
				t.Errorf("%s still says whose it was: %v", key, hash)
			}
		}
	})
}

func TestAnIdentityGetsOneNameAndANameOneOwner(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a := New(rdb, audit.New(rdb, 1000), 15)
	var wg sync.WaitGroup
	names, errs := make([]string, 8), make([]error, 8)
	for i := range names {
		who := Identity{somebody.Issuer, fmt.Sprint(i % 2)}
		wg.Go(func() {
			got, err := a.Adopt(t.Context(), From{}, []string{"alice", "bob"}[i/2%2], who)
			names[i], errs[i] = got.Name, err
		})
	}
	wg.Wait()
	for who := range 2 {
		var has []string
		for i := who; i < len(names); i += 2 {
			if errs[i] == nil {
				has = append(has, names[i])
			} else {
				wantCode(t, errs[i], CodeTaken)
			}
		}
		if slices.Sort(has); len(slices.Compact(has)) > 1 {
			t.Errorf("%d has %v", who, has)
		}
	}
	zero, err := a.Owned(t.Context(), Identity{somebody.Issuer, "0"})
	if err != nil {
		t.Fatal(err)
	}
	one, err := a.Owned(t.Context(), Identity{somebody.Issuer, "1"})
	if err != nil || zero.Name == one.Name {
		t.Errorf("both have %q, %v", one.Name, err)
	}
}

// Names of deleted accounts are used up, so one person can do that to a few only.
func TestNobodyUsesUpNames(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
	for i := range 6 {
		made, err := a.Adopt(ctx, From{}, fmt.Sprintf("name%d", i), somebody)
		if i == 5 {
			wantCode(t, err, chat.CodeTooFast)
			break
		}
		if err == nil {
			err = a.Delete(ctx, From{}, made)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWasProvenIsKeptForWhoHasTheToken(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
	was := Proven{somebody, "alice", true}
	token, err := a.Keep(ctx, was, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Kept(ctx, token); err != nil || got != was {
		t.Fatalf("kept %+v, %v", got, err)
	}
	for _, key := range rdb.Keys(ctx, "*").Val() {
		if strings.Contains(key, token) {
			t.Errorf("Redis knows the token: %s", key)
		}
	}
	gone := func(token string) {
		t.Helper()
		if got, err := a.Kept(ctx, token); err != nil || got != (Proven{}) {
			t.Errorf("kept %+v, %v", got, err)
		}
	}
	gone("")
	gone(token + "x")
	if err := a.Forget(ctx, token); err != nil {
		t.Fatal(err)
	}
	gone(token)
	if token, err = a.Keep(ctx, was, time.Minute); err != nil {
		t.Fatal(err)
	}
	m.FastForward(time.Minute)
	gone(token)
}

func TestAnAttemptIsAnsweredOnce(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
	for i, want := range []bool{true, false, false, true} {
		if i == 3 {
			m.FastForward(time.Minute)
		}
		if first, err := a.First(ctx, "x", time.Minute); err != nil || first != want {
			t.Errorf("%d: %t, %v", i, first, err)
		}
	}
}

// Somebody who makes chatd ask the provider over and over is slowed down; who is
// known there is not.
func TestReturnsThatFailAreCounted(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a, ctx, from := New(rdb, audit.New(rdb, 1000), 15), t.Context(), at("192.0.2.1")
	for range 60 {
		if err := errors.Join(a.Return(ctx, from), a.Returned(ctx, from)); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		if err := a.Return(ctx, from); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, a.Return(ctx, from), chat.CodeTooFast)
	if err := a.Return(ctx, at("192.0.2.2")); err != nil {
		t.Error(err)
	}
}
