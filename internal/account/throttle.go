package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

// From is where a try comes from.
type From struct {
	Address netip.Addr // of the browser; the zero Addr where that is not known, and does not count
	Shown   string     // the address for the audit log
	Device  string     // what the browser keeps of a former login, "" for nothing
}

// A bucket is how many tries one has at once, and how soon one comes back.
//
// Only failures count: a try that succeeds is given back. A stranger can empty an
// account's bucket, but not those of the browsers that its owner has used before
// (OWASP, Slow Down Online Guessing Attacks with Device Cookies); what they empty
// fills again by itself, so nobody is ever locked out for good.
type bucket struct {
	key   string
	holds int
	each  time.Duration
}

const (
	triesPrefix = "chatd:{tries}:"
	deviceTTL   = 180 * 24 * time.Hour
	maxDevices  = 10 // names that one browser has logged in with
)

// network is whom an address stands for: of IPv6 everybody has a /64 at least.
func (f From) network() string {
	if !f.Address.IsValid() {
		return ""
	}
	addr := f.Address.Unmap()
	if addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().Addr().String()
	}
	return addr.String()
}

func (f From) logsIn(name string, known bool) []bucket {
	var all []bucket
	if f.Address.IsValid() {
		all = append(all, bucket{"from:" + f.network(), 50, 6 * time.Second})
	}
	if known {
		return append(all, bucket{"device:" + deviceHash(f.Device) + ":" + name, 10, 30 * time.Second})
	}
	return append(all,
		bucket{"name:" + name + ":from:" + f.network(), 10, time.Minute},
		bucket{"name:" + name, 100, 36 * time.Second}) // NIST SP 800-63B-4, section 3.2.2
}

func (f From) registers() []bucket {
	if !f.Address.IsValid() {
		return nil
	}
	return []bucket{{"register:" + f.network(), 20, 3 * time.Minute}}
}

func (f From) comes() []bucket {
	if !f.Address.IsValid() {
		return nil
	}
	return []bucket{{"guest:" + f.network(), 300, time.Second}}
}

// Guest counts a guest who logs in, and fails if too many come from one address.
func (a *Accounts) Guest(ctx context.Context, from From) error {
	_, err := a.try(ctx, from.comes())
	return err
}

//go:embed throttle.lua
var throttleSource string

var throttleScript = redis.NewScript(throttleSource)

// try takes a try from all buckets, which back gives back, or returns a *chat.Error
// that says when there is one.
func (a *Accounts) try(ctx context.Context, buckets []bucket) (back func() error, err error) {
	if len(buckets) == 0 {
		return func() error { return nil }, nil
	}
	run := func(what string) (wait time.Duration, err error) {
		keys, args := make([]string, len(buckets)), []any{what}
		for i, b := range buckets {
			keys[i] = triesPrefix + b.key
			args = append(args, b.each.Milliseconds(), b.holds)
		}
		ms, err := throttleScript.Run(ctx, a.rdb, keys, args...).Int64()
		if err != nil {
			return 0, chat.Unavailable("count tries", err)
		}
		return time.Duration(ms) * time.Millisecond, nil
	}
	wait, err := run("take")
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		return nil, &chat.Error{Code: chat.CodeTooFast, Message: fmt.Sprintf("There were too many attempts. Try again in %d s.", seconds), RetryAfter: wait}
	}
	return func() error { _, err := run("back"); return err }, nil
}

func deviceHash(device string) string {
	h := sha256.Sum256([]byte(device))
	return hex.EncodeToString(h[:])
}

func deviceKey(device string) string { return "chatd:device:" + deviceHash(device) }

func (a *Accounts) knows(ctx context.Context, device, name string) (bool, error) {
	if device == "" {
		return false, nil
	}
	known, err := a.rdb.SIsMember(ctx, deviceKey(device), name).Result()
	if err != nil {
		return false, chat.Unavailable("look for device", err)
	}
	return known, nil
}

// Remember notes that a browser has logged in, so that what others try does not slow
// it down. It returns what the browser is to keep, for 180 days.
func (a *Accounts) Remember(ctx context.Context, device, name string) (string, error) {
	if device != "" {
		n, err := a.rdb.SCard(ctx, deviceKey(device)).Result()
		if err != nil {
			return "", chat.Unavailable("remember device", err)
		}
		if n == 0 || n >= maxDevices { // one that was never given out is not adopted
			device = ""
		}
	}
	if device == "" {
		device = rand.Text()
	}
	pipe := a.rdb.Pipeline()
	pipe.SAdd(ctx, deviceKey(device), name)
	pipe.Expire(ctx, deviceKey(device), deviceTTL)
	if _, err := pipe.Exec(ctx); err != nil {
		return "", chat.Unavailable("remember device", err)
	}
	return device, nil
}
