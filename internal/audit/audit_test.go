package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/chattest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLinesAreReadAsWritten(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		log := audit.New(rdb, 1000)
		first := audit.Entry{Action: audit.Role, Actor: "alice", Target: "bob", Room: "tea", Address: "10.0.0.1", Request: "r1", Detail: "muted"}
		if err := log.Write(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if err := log.Write(t.Context(), audit.Entry{Action: audit.LoginFailed, Detail: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		var got []audit.Line
		for before := ""; ; {
			lines, err := log.Read(t.Context(), before, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) == 0 {
				break
			}
			got = append(got, lines...)
			before = lines[len(lines)-1].ID
		}
		if len(got) != 5 || got[0].Detail != "3" || got[3].Detail != "0" || got[4].Entry != first {
			t.Fatalf("%+v", got)
		}
		if age := time.Since(got[4].At); age < -time.Minute || age > time.Minute {
			t.Fatalf("written at %v", got[4].At)
		}
	})
}

func TestTextIsData(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	log := audit.New(rdb, 1000)
	typed := "eve\r\nlogin alice \x1b[2J\u202Egnp\xff Ärger 😀\x00" + strings.Repeat("x", 10_000)
	if err := log.Write(t.Context(), audit.Entry{Action: audit.LoginFailed, Target: typed}); err != nil {
		t.Fatal(err)
	}
	lines, err := log.Read(t.Context(), "", 10)
	if err != nil || len(lines) != 1 {
		t.Fatalf("%+v, %v", lines, err)
	}
	got, want := lines[0].Target, `eve\r\nlogin alice \x1b[2J\u202egnp\xff Ärger 😀\x00xxx`
	if !strings.HasPrefix(got, want) || len(got) > 300 || lines[0].Action != audit.LoginFailed {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestTheLogIsBounded(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		log := audit.New(rdb, 100)
		for range 1000 {
			if err := log.Write(t.Context(), audit.Entry{Action: audit.Login}); err != nil {
				t.Fatal(err)
			}
		}
		lines, err := log.Read(t.Context(), "", 1000)
		if err != nil || len(lines) < 100 || len(lines) > 300 {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
	})
}

func TestAPlaceThatIsNone(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	for _, before := range []string{"x", "-", "+", "1", "1-", "(1-1", "-1-1", "1-1 ", "1--1"} {
		var bad *chat.Error
		if _, err := audit.New(rdb, 100).Read(t.Context(), before, 10); !errors.As(err, &bad) || bad.Code != chat.CodeBadRequest {
			t.Errorf("%q: %v", before, err)
		}
	}
}

func TestWithoutRedisNothingIsWritten(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	m.SetError("LOADING")
	log := audit.New(rdb, 100)
	if err := log.Write(t.Context(), audit.Entry{Action: audit.Login}); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := log.Read(t.Context(), "", 1); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
}
