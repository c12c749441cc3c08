package gate

import (
	"errors"
	"fmt"
	"net/netip"
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

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var told *chat.Error
	if !errors.As(err, &told) || told.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func network(text string) netip.Prefix {
	p, err := ParseNetwork(text)
	if err != nil {
		panic(err)
	}
	return p
}

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", " 192.0.2.7/24 ": "192.0.2.0/24", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "2001:db8::1/128": "2001:db8::1/128",
		"2001:db8:ffff::/32": "2001:db8::/32", "::ffff:192.0.2.7": "192.0.2.7/32", "fe80::1%eth0": "fe80::/64", "10.0.0.0/8": "10.0.0.0/8",
		"": "", "x": "", "192.0.2.7/33": "", "0.0.0.0/0": "", "10.0.0.0/7": "", "::/0": "", "2000::/15": "", "::ffff:192.0.2.0/120": "", "192.0.2.7 x": "", "192.0.2.07": "",
	} {
		got, err := ParseNetwork(text)
		if want == "" {
			wantCode(t, err, errNetwork.Code)
		} else if err != nil || got.String() != want {
			t.Errorf("%q is %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestWhomABarKeepsOut(t *testing.T) {
	chattest.EachRedis(t, func(t *testing.T, rdb *redis.Client) {
		log, ctx := audit.New(rdb, 100), t.Context()
		one, other := New(rdb, log, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28")}), New(rdb, log, nil)
		want := func(g *Gate, address string, guest, out bool) {
			t.Helper()
			if got, err := g.KeepsOut(ctx, netip.MustParseAddr(address), guest); err != nil || got != out || g.IsOut(address, guest) != out {
				t.Errorf("%s (guest: %t) is kept out: %t, %v", address, guest, got, err)
			}
		}
		look := func(news bool) {
			t.Helper()
			if _, got, err := other.look(ctx); err != nil || got != news {
				t.Fatalf("news: %t, %v", got, err)
			}
		}
		want(other, "192.0.2.7", true, false)
		for n, whom := range map[string]string{"192.0.2.0/24": Guests, "2001:db8:1:2::7": Everyone, "198.51.100.0/24": Everyone} {
			if err := one.Bar(ctx, "203.0.113.1", Bar{Network: network(n), Whom: whom, By: "root", Why: "floods of ads"}, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		look(true)
		look(false)
		for _, g := range []*Gate{one, other} {
			want(g, "192.0.2.7", true, true)
			want(g, "::ffff:192.0.2.7", true, true)
			want(g, "192.0.2.7", false, false)
			want(g, "192.0.3.7", true, false)
			want(g, "2001:db8:1:2:ffff::1", false, true)
			want(g, "2001:db8:1:2:ffff::1", true, true)
			want(g, "2001:db8:1:3::1", true, false)
			want(g, "198.51.100.99", false, true)
		}
		want(one, "198.51.100.3", false, false) // a proxy that it believes
		if g := New(rdb, log, nil); g.IsOut("192.0.2.7", true) {
			t.Error("who is in is put out by what is not known")
		}

		bars, err := other.List(ctx)
		if err != nil || len(bars) != 3 {
			t.Fatalf("%+v, %v", bars, err)
		}
		for _, b := range bars {
			if b.By != "root" || b.Why != "floods of ads" || time.Until(b.Until) < 59*time.Minute || time.Until(b.Until) > 61*time.Minute || time.Since(b.Since).Abs() > time.Minute {
				t.Errorf("listed is %+v", b)
			}
		}
		if err := one.Lift(ctx, "", Bar{Network: network("192.0.2.0/24"), By: "root", Why: "enough"}); err != nil {
			t.Fatal(err)
		}
		look(true)
		want(other, "192.0.2.7", true, false)
		lines, err := log.Read(ctx, "", 10)
		if err != nil || len(lines) != 4 || lines[0].Action != audit.BarLifted || lines[0].Target != "192.0.2.0/24" || lines[3].Action != audit.Barred || lines[3].Actor != "root" || !strings.HasSuffix(lines[3].Detail, "for 1h0m0s: floods of ads") {
			t.Errorf("%+v, %v", lines, err)
		}
		rdb.Del(ctx, key) // a Redis that has forgotten
		look(true)
		want(other, "2001:db8:1:2::1", true, false)
	})
}

// By Redis' clock: an instance whose own is an hour wrong keeps out for as long.
func TestBarsLapse(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	g, ctx := New(rdb, audit.New(rdb, 100), nil), t.Context()
	bar := func(n string, long time.Duration) error {
		return g.Bar(ctx, "", Bar{Network: network(n), Whom: Guests, By: "root", Why: "x"}, long)
	}
	start := time.Now().Add(-time.Hour)
	m.SetTime(start)
	if err := bar("192.0.2.7", 50*time.Minute); err != nil {
		t.Fatal(err)
	}
	if bars, err := g.List(ctx); err != nil || len(bars) != 1 || time.Until(bars[0].Until) < 49*time.Minute {
		t.Fatalf("%+v, %v", bars, err)
	}
	if err := bar("192.0.2.8", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	chattest.Eventually(t, "it lapses by itself", func() bool {
		out, err := g.KeepsOut(ctx, netip.MustParseAddr("192.0.2.8"), true)
		return err == nil && !out
	})
	m.SetTime(start.Add(time.Minute))
	if err := bar("192.0.2.9", time.Minute); err != nil {
		t.Fatal(err)
	}
	if left := rdb.HLen(ctx, key).Val(); left != 3 { // 7, 9 and the version
		t.Errorf("%d are kept", left)
	}
}

func TestBarsAreBounded(t *testing.T) {
	rdb, _ := chattest.Embedded(t)
	g, ctx := New(rdb, audit.New(rdb, 100), nil), t.Context()
	b := Bar{Network: network("192.0.2.7"), Whom: Everyone, By: "root", Why: "x"}
	for _, long := range []time.Duration{0, -1, Longest + 1} {
		wantCode(t, g.Bar(ctx, "", b, long), chat.CodeBadRequest)
	}
	nobody := b
	nobody.Whom = "nobody"
	wantCode(t, g.Bar(ctx, "", nobody, time.Hour), chat.CodeBadRequest)
	wantCode(t, g.Bar(ctx, "192.0.2.7", b, time.Hour), errOwn.Code)
	for i := range maxBars {
		rdb.HSet(ctx, key, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), "99999999999999 1 guests root x")
	}
	wantCode(t, g.Bar(ctx, "", b, time.Hour), errMany.Code)
}

func TestWithoutRedisNobodyIsLetInUnseen(t *testing.T) {
	rdb, m := chattest.Embedded(t)
	known := New(rdb, audit.New(rdb, 100), nil)
	if err := known.Bar(t.Context(), "", Bar{Network: network("192.0.2.7"), Whom: Everyone, By: "root", Why: "x"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := known.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if _, err := New(rdb, nil, nil).KeepsOut(t.Context(), netip.MustParseAddr("192.0.2.7"), false); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("an instance that knows nothing says %v", err)
	}
	if out, err := known.KeepsOut(t.Context(), netip.MustParseAddr("192.0.2.7"), false); err != nil || !out {
		t.Errorf("one that knew says %t, %v", out, err)
	}
}

// What stands in Redis can be read, whatever it is; and what somebody types is a network
// of no more than it says, or none.
func FuzzBars(f *testing.F) {
	f.Add("192.0.2.0/24", "1763712000123 1763712000000 guests root two words")
	f.Add("2001:db8::7", "x 1 everyone  ")
	f.Add("::ffff:1.2.3.4/99", "9999999999999999999 - everyone a b")
	f.Fuzz(func(t *testing.T, network, entry string) {
		if b, ok := parse(network, entry); ok && (!b.Network.IsValid() || b.Whom != Guests && b.Whom != Everyone) {
			t.Errorf("%q: %q is %+v", network, entry, b)
		}
		if n, err := ParseNetwork(network); err == nil && (!n.IsValid() || n != n.Masked() || n.Addr().Is4() && n.Bits() < widest4 || n.Addr().Is4In6() || n.Bits() < widest4) {
			t.Errorf("%q is the network %v", network, n)
		}
	})
}
