// Package gate knows which addresses administrators keep out, for a time. It does not
// know what comes from them, nor how it is refused.
//
// Redis holds:
//
//	chatd:barred  hash: network -> "UNTIL SINCE WHOM BY WHY", times in Unix ms by Redis' clock; and
//	              "" -> a text that is another one after each change
//
// Each instance keeps the list, and looks each second whether it has changed: a notice
// could be lost, and a question for each request would cost one.
package gate

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/audit"
	"chatd/internal/chat"
	"chatd/internal/throttle"
)

const (
	key = "chatd:barred"
	// lookEvery is within which a bar is in force at all instances.
	lookEvery  = time.Second
	lookWithin = 3 * time.Second
	// maxBars bounds what is compared with each request.
	maxBars = 1000
	// Longest is how long a bar may last: addresses get other owners.
	Longest = 365 * 24 * time.Hour
	// A network that is wider is a slip of the pen.
	widest4, widest6 = 8, 16
)

// Whom a bar keeps out. Many may share an address, so there is a choice.
const (
	Guests   = "guests"   // guests, and who wants to make an account; accounts go on
	Everyone = "everyone" // all
)

var (
	errNetwork = &chat.Error{Code: "bad_network", Message: "This is no address and no network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48; or the network is too wide."}
	errTerms   = &chat.Error{Code: chat.CodeBadRequest, Message: "Say whom this is for, and for how long."}
	errMany    = &chat.Error{Code: "many_bars", Message: "There are too many of these: lift some first, or take wider networks."}
	errOwn     = &chat.Error{Code: "own_address", Message: "This would keep you out yourself."}
)

// A Bar keeps a network out.
type Bar struct {
	Network netip.Prefix
	Whom    string
	Since   time.Time
	Until   time.Time
	By      string // the administrator
	Why     string
}

// A Log is told of each deed before it is done.
type Log interface {
	Write(ctx context.Context, e audit.Entry) error
}

// A Gate is safe for concurrent use.
type Gate struct {
	rdb     redis.UniversalClient
	log     Log
	proxies []netip.Prefix

	known atomic.Pointer[list]
	mu    sync.Mutex // held while the list is read
}

// list is what Redis held at a moment. Its times are by this machine's clock.
type list struct {
	version string
	bars    []Bar
}

// New returns the gate. Who is behind a proxy that does not say for whom it speaks is
// not kept out.
func New(rdb redis.UniversalClient, log Log, proxies []netip.Prefix) *Gate {
	return &Gate{rdb: rdb, log: log, proxies: proxies}
}

// ParseNetwork reads a network, or an address, which stands for as much as one household
// has.
func ParseNetwork(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if addr, err := netip.ParseAddr(text); err == nil {
		return throttle.Neighbours(addr), nil
	}
	network, err := netip.ParsePrefix(text)
	widest := widest6
	if network.Addr().Is4() {
		widest = widest4
	}
	if err != nil || network.Addr().Is4In6() || network.Bits() < widest {
		return netip.Prefix{}, errNetwork
	}
	return network.Masked(), nil
}

// KeepsOut reports whether who comes from an address is kept out: a guest, as is who wants
// to be one or to make an account, or anybody. It waits for Redis only where this instance
// has never heard it, until ctx ends, and fails with chat.ErrUnavailable then.
func (g *Gate) KeepsOut(ctx context.Context, from netip.Addr, guest bool) (bool, error) {
	known := g.known.Load()
	if known == nil {
		var err error
		if known, _, err = g.look(ctx); err != nil {
			return false, err
		}
	}
	return g.within(known, from, guest), nil
}

// IsOut is KeepsOut for somebody who is in, by what this instance knows.
func (g *Gate) IsOut(address string, guest bool) bool {
	from, err := netip.ParseAddr(address)
	known := g.known.Load()
	return err == nil && known != nil && g.within(known, from, guest)
}

func (g *Gate) within(known *list, from netip.Addr, guest bool) bool {
	if len(known.bars) == 0 {
		return false
	}
	from = from.Unmap().WithZone("")
	now := time.Now()
	return slices.ContainsFunc(known.bars, func(b Bar) bool {
		return b.Network.Contains(from) && (guest || b.Whom == Everyone) && now.Before(b.Until)
	}) && !slices.ContainsFunc(g.proxies, func(p netip.Prefix) bool { return p.Contains(from) })
}

// Run keeps the list as it is in Redis, and calls changed after it has become another
// one, until ctx ends.
func (g *Gate) Run(ctx context.Context, changed func(), failed func(error)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for warned := false; ; {
		within, cancel := context.WithTimeout(ctx, lookWithin)
		_, news, err := g.look(within)
		cancel()
		if err != nil && !warned && ctx.Err() == nil {
			failed(err)
		}
		warned = err != nil
		if news {
			changed()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads the list if it is another one by now.
func (g *Gate) look(ctx context.Context) (now *list, news bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	version, err := g.rdb.HGet(ctx, key, "").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, false, chat.Unavailable("look for barred networks", err)
	}
	if now = g.known.Load(); now != nil && now.version == version {
		return now, false, nil
	}
	pipe := g.rdb.TxPipeline()
	all, clock := pipe.HGetAll(ctx, key), pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, false, chat.Unavailable("read barred networks", err)
	}
	ahead := time.Since(clock.Val()) // of Redis' clock
	now = &list{version: all.Val()[""]}
	for network, entry := range all.Val() {
		if b, ok := parse(network, entry); ok {
			b.Since, b.Until = b.Since.Add(ahead), b.Until.Add(ahead)
			now.bars = append(now.bars, b)
		}
	}
	slices.SortFunc(now.bars, func(a, b Bar) int { return cmp.Or(b.Since.Compare(a.Since), a.Network.Compare(b.Network)) })
	g.known.Store(now)
	return now, true, nil
}

func parse(network, entry string) (Bar, bool) {
	on, err := netip.ParsePrefix(network)
	fields := strings.SplitN(entry, " ", 5)
	if err != nil || len(fields) != 5 {
		return Bar{}, false
	}
	until, err1 := strconv.ParseInt(fields[0], 10, 64)
	since, err2 := strconv.ParseInt(fields[1], 10, 64)
	b := Bar{Network: on, Since: time.UnixMilli(since), Until: time.UnixMilli(until), Whom: fields[2], By: fields[3], Why: fields[4]}
	return b, err1 == nil && err2 == nil && (b.Whom == Guests || b.Whom == Everyone)
}

// List returns the bars that are in force, the newest first.
func (g *Gate) List(ctx context.Context) ([]Bar, error) {
	known, _, err := g.look(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(known.bars), func(b Bar) bool { return !now.Before(b.Until) }), nil
}

// barScript adds a bar, or puts it in the place of another one of the same network. KEYS[1]
// the bars; ARGV: network, for how long, ms, "WHOM BY WHY", the next version, the most bars. Output: 0 if
// there are too many. What has lapsed goes. Atomic, so that the bound holds, and nobody
// knows the version without the bar.
var barScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local left = 0
for i = 1, #all, 2 do
  if all[i] ~= '' and all[i] ~= ARGV[1] then
    if (tonumber(string.match(all[i + 1], '^%d+')) or 0) <= now then redis.call('HDEL', KEYS[1], all[i])
    else left = left + 1 end
  end
end
if left >= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f ', now + ARGV[2], now) .. ARGV[3], '', ARGV[4])
return 1`)

// Bar keeps a network out for a time, as b says, on all instances within a second or so.
// address is where the administrator is, whom it may not keep out.
func (g *Gate) Bar(ctx context.Context, address string, b Bar, long time.Duration) error {
	if b.Whom != Guests && b.Whom != Everyone || long <= 0 || long > Longest {
		return errTerms
	}
	if own, err := netip.ParseAddr(address); err == nil && b.Whom == Everyone && b.Network.Contains(own.Unmap()) {
		return errOwn
	}
	if err := g.write(ctx, audit.Barred, address, b, fmt.Sprintf("%s for %s: %s", b.Whom, long, b.Why)); err != nil {
		return err
	}
	done, err := barScript.Run(ctx, g.rdb, []string{key}, b.Network.String(), long.Milliseconds(), b.Whom+" "+b.By+" "+b.Why, rand.Text(), maxBars).Bool()
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return chat.Unavailable("bar a network", err)
	case !done:
		return errMany
	}
	return nil
}

// Lift ends what keeps a network out.
func (g *Gate) Lift(ctx context.Context, address string, b Bar) error {
	if err := g.write(ctx, audit.BarLifted, address, b, b.Why); err != nil {
		return err
	}
	pipe := g.rdb.TxPipeline()
	pipe.HDel(ctx, key, b.Network.String())
	pipe.HSet(ctx, key, "", rand.Text())
	if _, err := pipe.Exec(ctx); err != nil {
		return chat.Unavailable("lift a bar", err)
	}
	return nil
}

func (g *Gate) write(ctx context.Context, action, address string, b Bar, detail string) error {
	return g.log.Write(ctx, audit.Entry{Action: action, Actor: b.By, Target: b.Network.String(), Address: address, Detail: detail})
}
