package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/chattest"
)

// production is what hashes cost outside of these tests.
var production = params

func TestMain(m *testing.M) {
	params.Memory, params.Iterations = 64, 1 // what a hash costs is not what is tested here
	goleak.VerifyTestMain(m)
}

const phrase = "seven owls skate on marmalade"

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var told *chat.Error
	if !errors.As(err, &told) || told.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func at(address string) From { return From{Address: netip.MustParseAddr(address)} }

func TestAnAccountFromBeginningToEnd(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
		made, err := a.Register(ctx, From{}, "alice", phrase)
		if err != nil || !made.Exists() || made.Gone || time.Since(made.Since).Abs() > time.Minute {
			t.Fatalf("made %+v, %v", made, err)
		}
		_, err = a.Register(ctx, From{}, "alice", "another phrase of many words")
		wantCode(t, err, CodeTaken)
		if got, err := a.Check(ctx, From{}, "alice", phrase); err != nil || got != made {
			t.Fatalf("checked %+v, %v", got, err)
		}
		_, err = a.Check(ctx, From{}, "alice", phrase+" ")
		wantCode(t, err, CodeWrong)
		_, err = a.Check(ctx, From{}, "nobody", phrase)
		wantCode(t, err, CodeWrong)

		changed, err := a.ChangePassword(ctx, From{}, made, "another phrase of many words")
		if err != nil || changed.Version == made.Version {
			t.Fatalf("changed %+v, %v", changed, err)
		}
		_, err = a.ChangePassword(ctx, From{}, made, "a third phrase of many words")
		wantCode(t, err, CodeWrong) // it is not any more what was checked
		_, err = a.Check(ctx, From{}, "alice", phrase)
		wantCode(t, err, CodeWrong)

		wantCode(t, a.Delete(ctx, From{}, made), CodeWrong)
		if err := a.Delete(ctx, From{}, changed); err != nil {
			t.Fatal(err)
		}
		_, err = a.Check(ctx, From{}, "alice", "another phrase of many words")
		wantCode(t, err, CodeWrong)
		_, err = a.Register(ctx, From{}, "alice", phrase)
		wantCode(t, err, CodeTaken)
		if gone, err := a.Find(ctx, "alice"); err != nil || !gone.Exists() || !gone.Gone || gone.Version == changed.Version {
			t.Fatalf("after its end: %+v, %v", gone, err)
		}
		for _, key := range rdb.Keys(ctx, "*").Val() {
			if hash := rdb.HGetAll(ctx, key).Val(); strings.Contains(fmt.Sprint(hash), "argon2") {
				t.Errorf("%s still has a password: %v", key, hash)
			}
		}
	})
}

func TestOfManyWhoWantANameOneGetsIt(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a := New(rdb, audit.New(rdb, 1000), 15)
	var wg sync.WaitGroup
	got := make([]error, 8)
	for i := range got {
		wg.Go(func() { _, got[i] = a.Register(t.Context(), From{}, "alice", fmt.Sprintf("%s number %d", phrase, i)) })
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(got, func(err error) bool { return err != nil })); n != 1 {
		t.Fatalf("%d made the account", n)
	}
}

func TestPasswords(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a := New(rdb, audit.New(rdb, 1000), 15)
	for password, good := range map[string]bool{
		phrase:                         true,
		"correct horse battery staple": true,
		"kd8Hs!xq2LpzR7vT":             true,
		"überall Grünkohl mögen":       true,
		"四つの無関係な言葉を並べてみる":                        true,
		"пять слов и одна редька 🐘":              true,
		strings.Repeat("seven owls skate. ", 14): true, // 252 characters
		"":                                       false,
		"seven owls":                             false, // short
		"passwordpassword":                       false,
		"123456789012345":                        false,
		"aaaaaaaaaaaaaaaaaaaa":                   false,
		"qwertyuiopasdfgh":                       false,
		"Password123456!":                        false,
		"alicealicealicealice":                   false, // the name
		"chatdchatdchatdchatd":                   false,
		"4l1c34|!c3@l1c34L!c3":                   false, // the name, in other signs
		"p4$$w0rdpassw0rd1234567":                false,
		"seven owls skate \x00on marmalade":      false, // cannot be typed
		strings.Repeat("seven owls skate. ", 15): false, // long
		strings.Repeat("x", 1<<20):               false,
	} {
		_, err := a.checkNew(t.Context(), "alice", password)
		if good != (err == nil) {
			t.Errorf("%.40q: %v", password, err)
		}
		if err != nil {
			wantCode(t, err, CodeWeak)
		}
	}
}

// Whoever asks for an account has its password looked at, so that must not take long,
// whatever it is made of.
func TestLookingAtAPasswordTakesLittle(t *testing.T) {
	for _, password := range []string{
		strings.Repeat("4@8({[<369!1|70$5+2%zZ", 3), "6[%0491([|Z!55{{|67((%%{z[2!<4@!107{379%<+86@78|09{|$478[1973+{|",
		strings.Repeat("1!|4@$57+%", 7), strings.Repeat("12", 32), strings.Repeat("1qaz", 16), strings.Repeat("1/1/1991", 8), strings.Repeat("\u00e9", 64),
	} {
		if took := processorTime(t, func() { strength(password[:looked], "alice") }); took > 500*time.Millisecond { // it was 2 s
			t.Errorf("%q takes %v", password, took)
		}
	}
	rdb, _ := chattest.Embedded(t)
	a := New(rdb, audit.New(rdb, 1000), 15)
	began := time.Now()
	for n := 1; ; n++ {
		_, err := a.Register(t.Context(), at("192.0.2.9"), "alice", "too short")
		var told *chat.Error
		if errors.As(err, &told) && told.Code == chat.CodeTooFast {
			if n <= 300 {
				t.Fatalf("too fast at the %dth look", n)
			}
			return
		}
		if float64(n) > 301+time.Since(began).Seconds() { // one comes back each second
			t.Fatalf("the %dth look: %v", n, err)
		}
	}
}

// processorTime is how long something takes by itself, whatever else the machine does.
func processorTime(t *testing.T, do func()) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	do()
	return used() - before
}

func TestAPasswordIsTheSameFromEveryKeyboard(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
	composed, decomposed := "\u00fcberall Gr\u00fcnkohl m\u00f6gen", "u\u0308berall Gru\u0308nkohl mo\u0308gen"
	if _, err := a.Register(ctx, From{}, "alice", composed); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(ctx, From{}, "alice", decomposed); err != nil {
		t.Fatal(err)
	}
	// Nothing is cut off: bcrypt once looked at 72 bytes only.
	long := strings.Repeat("seven owls skate. ", 10)
	if _, err := a.Register(ctx, From{}, "bob", long+"on marmalade"); err != nil {
		t.Fatal(err)
	}
	_, err := a.Check(ctx, From{}, "bob", long+"on strawberry")
	wantCode(t, err, CodeWrong)
}

func TestAHashIsBroughtUpToDateAtTheLogin(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
	made, err := a.Register(ctx, From{}, "alice", phrase)
	if err != nil {
		t.Fatal(err)
	}
	old, err := argon2id.CreateHash(phrase, &argon2id.Params{Memory: 32, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	rdb.HSet(ctx, accountKey("alice"), "password", old)
	for range 2 {
		if got, err := a.Check(ctx, From{}, "alice", phrase); err != nil || got != made { // no change that ends logins
			t.Fatalf("checked %+v, %v", got, err)
		}
		now := rdb.HGet(ctx, accountKey("alice"), "password").Val()
		if now == old || !strings.HasPrefix(now, "$argon2id$v=19$m=64,t=1,p=1$") {
			t.Fatalf("kept %s", now)
		}
	}
}

// OWASP, Password Storage Cheat Sheet: at least 19 MiB and two passes.
func TestWhatAHashCosts(t *testing.T) {
	hash, err := argon2id.CreateHash(phrase, &production)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%s, %v", hash, err)
	}
}

// fail tries wrong passwords until they are not looked at any more, and returns how
// many were.
func fail(t *testing.T, a *Accounts, name string, from func(i int) From, most int) int {
	t.Helper()
	for i := range most {
		_, err := a.Check(t.Context(), from(i), name, "wrong")
		var told *chat.Error
		if !errors.As(err, &told) {
			t.Fatal(err)
		}
		if told.Code == chat.CodeTooFast {
			if told.RetryAfter <= 0 || told.RetryAfter > time.Minute {
				t.Errorf("try again in %v", told.RetryAfter)
			}
			return i
		}
	}
	return most
}

func TestGuessing(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		ctx := t.Context()
		a, b := New(rdb, audit.New(rdb, 1000), 15), New(rdb, audit.New(rdb, 1000), 15) // two instances
		for _, name := range []string{"alice", "bob"} {
			if _, err := a.Register(ctx, From{}, name, phrase); err != nil {
				t.Fatal(err)
			}
		}
		device, err := a.Remember(ctx, "", "alice")
		if err != nil {
			t.Fatal(err)
		}

		// One address at one name, by turns at two instances: ten in all.
		one := func(int) From { return at("203.0.113.1") }
		if n := fail(t, a, "alice", one, 5) + fail(t, b, "alice", one, 20); n != 10 {
			t.Errorf("%d tries from one address at one name", n)
		}
		_, err = a.Check(ctx, at("203.0.113.1"), "alice", phrase)
		wantCode(t, err, chat.CodeTooFast) // else one would learn that it is right
		// It is no other's loss, nor another name's.
		for _, from := range []From{at("203.0.113.2"), at("2001:db8::1")} {
			if _, err := a.Check(ctx, from, "alice", phrase); err != nil {
				t.Errorf("from %v: %v", from.Address, err)
			}
		}
		if _, err := a.Check(ctx, at("203.0.113.1"), "bob", phrase); err != nil {
			t.Error(err)
		}
		// A name that nobody has is no different.
		if n := fail(t, a, "nobody", one, 20); n != 10 {
			t.Errorf("%d tries at a name that nobody has", n)
		}
		// One address at many names: fifty in all.
		names, began := 0, time.Now()
		for ; names < 100; names++ {
			if _, err := a.Check(ctx, at("203.0.113.9"), fmt.Sprintf("name%d", names), "wrong"); errors.As(err, new(*chat.Error)) && strings.Contains(err.Error(), "too many") {
				break
			}
		}
		if names < 50 || names > 50+int(time.Since(began)/(6*time.Second)) { // each comes back in six seconds
			t.Errorf("%d tries from one address", names)
		}
		// A /64 is one address.
		if n := fail(t, a, "carol", func(i int) From { return at(fmt.Sprintf("2001:db8:0:7::%x", i+1)) }, 20); n != 10 {
			t.Errorf("%d tries from one network", n)
		}

		// Who knows a password does not keep all cores busy with it.
		right := 0
		for ; right < 400; right++ {
			if _, err := a.Check(ctx, at("203.0.113.30"), "bob", phrase); err != nil {
				wantCode(t, err, chat.CodeTooFast)
				break
			}
		}
		if right < 300 || right > 350 {
			t.Errorf("%d right passwords were compared for one address", right)
		}

		// Many addresses at one name: a hundred in all, and its owner still comes in.
		many := func(i int) From { return at(fmt.Sprintf("198.51.%d.%d", i/250, i%250)) }
		if n := fail(t, a, "alice", many, 200); n < 80 || n > 100 {
			t.Errorf("%d tries at one name", n)
		}
		_, err = a.Check(ctx, at("192.0.2.77"), "alice", phrase)
		wantCode(t, err, chat.CodeTooFast)
		own := From{Address: netip.MustParseAddr("192.0.2.77"), Device: device}
		for range 20 { // what succeeds does not count
			if _, err := a.Check(ctx, own, "alice", phrase); err != nil {
				t.Fatal(err)
			}
		}
		if n := fail(t, a, "alice", func(int) From { return own }, 20); n != 10 {
			t.Errorf("%d tries from a known browser", n)
		}
		// A browser knows those who used it, and nobody else.
		if n := fail(t, a, "alice", func(int) From { return From{Device: "invented"} }, 20); n != 0 {
			t.Errorf("%d tries with an invented browser", n)
		}
	})
}

func TestHashesWaitTheirTurn(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a := New(rdb, audit.New(rdb, 1000), 15)
	for range cap(a.slots) {
		a.slots <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	wantCode(t, a.hashing(ctx, func() error { t.Error("hashed out of turn"); return nil }), chat.CodeTooFast)
}

func TestADeletedNameIsErasedUntilItIsGone(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	a, ctx := New(rdb, audit.New(rdb, 1000), 15), t.Context()
	made, err := a.Register(ctx, From{}, "alice", phrase)
	if err != nil {
		t.Fatal(err)
	}
	rdb.SAdd(ctx, erasingKey, "bob", "alice") // instances died before the deed
	var erased []string
	fault := errors.New("not now")
	eraseAll := func() error {
		return a.finishAll(ctx, erasingKey, func(of Account) bool { return of.Gone }, func(_ context.Context, of Account) error {
			erased = append(erased, of.Name)
			return fault
		})
	}
	if err := eraseAll(); err != nil || len(erased) != 0 {
		t.Fatalf("erased %v, %v", erased, err)
	}
	if err := a.Delete(ctx, From{}, made); err != nil {
		t.Fatal(err)
	}
	if err := eraseAll(); !errors.Is(err, fault) {
		t.Fatal(err)
	}
	fault = nil
	for range 2 {
		if err := eraseAll(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(erased, []string{"alice", "alice"}) {
		t.Fatalf("erased %v", erased)
	}
}
