package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"time"

	"chatd/internal/chat"
	"chatd/internal/throttle"
)

// From is where a try comes from.
type From struct {
	Address netip.Addr // of the browser; the zero Addr where that is not known, and does not count
	Shown   string     // the address for the audit log
	Device  string     // what the browser keeps of a former login, "" for nothing
}

const (
	deviceTTL  = 180 * 24 * time.Hour
	maxDevices = 10 // names that one browser has logged in with
)

// network is whom an address stands for, "" where it is not known.
func (f From) network() string {
	if !f.Address.IsValid() {
		return ""
	}
	return throttle.Neighbours(f.Address).String()
}

// tries makes a bucket; all of them are in one slot.
//
// Only failures count: a try that succeeds is given back. A stranger can empty an
// account's bucket, but not those of the browsers that its owner has used before
// (OWASP, Slow Down Online Guessing Attacks with Device Cookies); what they empty
// fills again by itself, so nobody is ever locked out for good.
func tries(key string, holds int, each time.Duration) throttle.Bucket {
	return throttle.Bucket{Key: "chatd:{tries}:" + key, Holds: holds, Each: each}
}

// ofAddress makes the bucket of an address that is known.
func (f From) ofAddress(what string, holds int, each time.Duration) []throttle.Bucket {
	if !f.Address.IsValid() {
		return nil
	}
	return []throttle.Bucket{tries(what+":"+f.network(), holds, each)}
}

func (f From) logsIn(name string, known bool) []throttle.Bucket {
	all := f.ofAddress("login", 50, 6*time.Second)
	if known {
		return append(all, tries("device:"+deviceHash(f.Device)+":"+name, 10, 30*time.Second))
	}
	return append(all,
		tries("name:"+name+":from:"+f.network(), 10, time.Minute),
		tries("name:"+name, 100, 36*time.Second)) // NIST SP 800-63B-4, section 3.2.2
}

// hashes counts what is compared for an address, the right passwords too: those who know
// one do not keep all others from logging in with it.
func (f From) hashes() []throttle.Bucket { return f.ofAddress("hash", 300, time.Second) }

func (f From) registers() []throttle.Bucket { return f.ofAddress("register", 20, 3*time.Minute) }

// Guest counts a guest who logs in, and fails if too many come from one address.
func (a *Accounts) Guest(ctx context.Context, from From) error {
	return a.try(ctx, from.ofAddress("guest", 300, time.Second))
}

// try takes a try from all buckets, or returns a *chat.Error that says when there is one.
func (a *Accounts) try(ctx context.Context, buckets []throttle.Bucket) error {
	wait, err := throttle.Take(ctx, a.rdb, buckets...)
	if err != nil || wait == 0 {
		return err
	}
	return &chat.Error{
		Code: chat.CodeTooFast, Message: fmt.Sprintf("There were too many attempts. Try again in %d s.", int(math.Ceil(wait.Seconds()))), RetryAfter: wait,
	}
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

// forgetDevices takes a name off all browsers that have logged in with it.
func (a *Accounts) forgetDevices(ctx context.Context, name string) error {
	const atOnce = 500
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var keys []string
		var err error
		if keys, cursor, err = a.rdb.Scan(ctx, cursor, "chatd:device:*", atOnce).Result(); err != nil {
			return chat.Unavailable("look for devices", err)
		}
		pipe := a.rdb.Pipeline()
		for _, key := range keys {
			pipe.SRem(ctx, key, name)
		}
		if _, err := pipe.Exec(ctx); err != nil && len(keys) > 0 {
			return chat.Unavailable("forget devices", err)
		}
	}
	return nil
}
