package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one row: the flag's name, its preset value and help as text, and
// where the value goes.
type setting struct {
	name   string
	preset string
	help   string // the flag package's form: `argument` in back quotes
	target
}

// target is a field of Config: set checks and stores, show prints what is stored.
// hide, where there is one, makes a value printable that may hold a secret.
type target struct {
	set  func(string) error
	show func() string
	hide func(string) string
}

func (s setting) variable() string {
	return "CHATD_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

func (s setting) printable(value string) string {
	if s.hide != nil {
		return s.hide(value)
	}
	return value
}

func text(p *string) target {
	return target{
		set:  func(v string) error { *p = v; return nil },
		show: func() string { return *p },
	}
}

func boolean(p *bool) target {
	return target{
		set: func(v string) error {
			b, err := strconv.ParseBool(v)
			if err != nil {
				return errors.New("want true or false")
			}
			*p = b
			return nil
		},
		show: func() string { return strconv.FormatBool(*p) },
	}
}

func number(p *int, low, high int) target {
	return target{
		set: func(v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < low || n > high {
				return fmt.Errorf("want a number from %d to %d", low, high)
			}
			*p = n
			return nil
		},
		show: func() string { return strconv.Itoa(*p) },
	}
}

func duration(p *time.Duration, low, high time.Duration) target {
	return target{
		set: func(v string) error {
			d, err := time.ParseDuration(v)
			if err != nil || d < low || d > high {
				return fmt.Errorf("want a duration from %s to %s, such as 90s or 2h", low, high)
			}
			*p = d
			return nil
		},
		show: func() string { return p.String() },
	}
}

func oneOf(p *string, allowed ...string) target {
	return target{
		set: func(v string) error {
			if !slices.Contains(allowed, v) {
				return fmt.Errorf("want %s", strings.Join(allowed, " or "))
			}
			*p = v
			return nil
		},
		show: func() string { return *p },
	}
}

func level(p *slog.Level) target {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return target{
		set: func(v string) error {
			l, ok := levels[v]
			if !ok {
				return errors.New("want debug, info, warn or error")
			}
			*p = l
			return nil
		},
		show: func() string { return strings.ToLower(p.String()) },
	}
}

func address(p *string) target {
	return target{
		set: func(v string) error {
			_, port, err := net.SplitHostPort(v)
			if err != nil {
				return errors.New("want host:port, such as 127.0.0.1:8080 or :8080")
			}
			if _, err := strconv.ParseUint(port, 10, 16); err != nil {
				return errors.New("want a port from 0 to 65535")
			}
			*p = v
			return nil
		},
		show: func() string { return *p },
	}
}

const maxNameBytes = 64

// isNameByte says what an instance's name is made of. A "~" must never be: HAProxy
// puts it between the name and the session's id.
func isNameByte(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

func instance(p *string) target {
	return target{
		set: func(v string) error {
			if len(v) > maxNameBytes || strings.ContainsFunc(v, func(r rune) bool { return !isNameByte(r) }) {
				return fmt.Errorf("want 1 to %d of A-Z a-z 0-9 . _ -", maxNameBytes)
			}
			*p = v
			return nil
		},
		show: func() string { return *p },
	}
}

// origins brings each origin into the form that a browser sends: lower case,
// without a port that the scheme implies.
func origins(p *[]string) target {
	defaultPort := map[string]string{"http": "80", "https": "443"}
	return target{
		set: func(v string) error {
			var list []string
			for item := range items(v) {
				u, err := url.Parse(strings.ToLower(item))
				if err != nil || defaultPort[u.Scheme] == "" || u.Hostname() == "" || strings.Contains(u.Host, "*") ||
					u.Scheme+"://"+u.Host != strings.ToLower(item) {
					return fmt.Errorf("%q: want http://host[:port] or https://host[:port], nothing after it, no *", item)
				}
				list = append(list, u.Scheme+"://"+strings.TrimSuffix(u.Host, ":"+defaultPort[u.Scheme]))
			}
			*p = list
			return nil
		},
		show: func() string { return strings.Join(*p, ",") },
	}
}

// hosts brings each host into the form that is compared: lower case.
func hosts(p *[]string) target {
	return target{
		set: func(v string) error {
			var list []string
			for item := range items(v) {
				u, err := url.Parse("http://" + strings.ToLower(item))
				if err != nil || u.Hostname() == "" || u.Host != strings.ToLower(item) || strings.Contains(u.Host, "*") {
					return fmt.Errorf("%q: want host or host:port, no *", item)
				}
				list = append(list, u.Host)
			}
			*p = list
			return nil
		},
		show: func() string { return strings.Join(*p, ",") },
	}
}

func contact(p *string) target {
	return target{
		set: func(v string) error {
			if u, err := url.Parse(v); v != "" && (err != nil || u.Scheme != "https" && u.Scheme != "mailto" || u.Host+u.Opaque == "") {
				return errors.New("want mailto:somebody@example.org or https://…")
			}
			*p = v
			return nil
		},
		show: func() string { return *p },
	}
}

// origin is one origin, "" for none.
func origin(p *string) target {
	var list []string
	one := origins(&list)
	return target{
		set: func(v string) error {
			if err := one.set(strings.TrimSuffix(v, "/")); err != nil || len(list) > 1 {
				return errors.New("want one http://host[:port] or https://host[:port], nothing after it")
			}
			*p = strings.Join(list, "")
			return nil
		},
		show: func() string { return *p },
	}
}

// issuer is a URL as a provider's tokens say it, so nothing in it is changed.
func issuer(p *string) target {
	return target{
		set: func(v string) error {
			u, err := url.Parse(v)
			if v != "" && (err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
				return errors.New("want a URL such as https://login.example/realm, without a query")
			}
			if v != "" && u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
				return errors.New("want https:// (http:// on this host only): who can change an answer can log in as anybody")
			}
			*p = v
			return nil
		},
		show: func() string { return *p },
		hide: redact, // of one that is refused
	}
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func secret(p *string) target {
	hide := func(v string) string {
		if v == "" {
			return ""
		}
		return "xxxxx"
	}
	return target{
		set:  func(v string) error { *p = v; return nil },
		show: func() string { return hide(*p) },
		hide: hide,
	}
}

func prefixes(p *[]netip.Prefix) target {
	return target{
		set: func(v string) error {
			var list []netip.Prefix
			if v == "none" {
				v = ""
			}
			for item := range items(v) {
				prefix, err := netip.ParsePrefix(item)
				if err != nil {
					addr, addrErr := netip.ParseAddr(item)
					if addrErr != nil {
						return fmt.Errorf("%q: want an address or a network such as 10.0.0.0/8, or none", item)
					}
					prefix = netip.PrefixFrom(addr, addr.BitLen())
				}
				list = append(list, prefix.Masked())
			}
			*p = list
			return nil
		},
		show: func() string {
			if len(*p) == 0 {
				return "none"
			}
			var list []string
			for _, prefix := range *p {
				list = append(list, prefix.String())
			}
			return strings.Join(list, ",")
		},
	}
}

func list(p *[]string) target {
	return target{
		set:  func(v string) error { *p = slices.Collect(items(v)); return nil },
		show: func() string { return strings.Join(*p, ",") },
	}
}

func items(v string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item != "" && !yield(item) {
				return
			}
		}
	}
}

// samplePassword is what redis/users.acl has in place of a password.
const samplePassword = "PASSWORD"

func redisURL(p *string) target {
	return target{
		set: func(v string) error {
			if v == "" {
				*p = ""
				return nil
			}
			u, err := url.Parse(v)
			switch {
			case err != nil:
				// The parser's own words would repeat the URL, and the password with it.
				return errors.New("want a URL; special characters in a password are written as %XX")
			case u.Scheme == "redis" || u.Scheme == "rediss":
				if u.Hostname() == "" {
					return fmt.Errorf("want a host: %s://host:6379/0", u.Scheme)
				}
				if !redisPath.MatchString(u.Path) || u.Fragment != "" {
					// A password with a "/" or "#" in it looks like this.
					return errors.New("want nothing behind the host but /0, the database's number; special characters in a password are written as %XX")
				}
				if err := sentinels(u); err != nil {
					return err
				}
			case u.Scheme == "unix":
				if u.Path == "" || u.Host != "" || u.Fragment != "" {
					return errors.New("want a path: unix:///run/redis.sock")
				}
			default:
				return errors.New("want redis://, rediss:// or unix://")
			}
			if password, _ := u.User.Password(); password == samplePassword || u.Query().Get("password") == samplePassword {
				return errors.New("want a password of your own: this one stands in redis/users.acl for everybody to read")
			}
			*p = v
			return nil
		},
		show: func() string {
			if *p == "" {
				return "embedded"
			}
			return redact(*p)
		},
		hide: redact,
	}
}

// sentinels checks what names sentinels in a URL: master_name, and addr for each
// further one.
func sentinels(u *url.URL) error {
	query := u.Query()
	further, named := query["addr"], query.Has("master_name")
	switch {
	case named && query.Get("master_name") == "":
		return errors.New("want the master's name in the sentinels: master_name=mymaster")
	case named && u.Port() == "":
		return fmt.Errorf("want the sentinel's port: %s://%s:26379/0?master_name=…", u.Scheme, u.Hostname())
	case !named && len(further) > 0:
		return errors.New("addr names a further sentinel: want master_name with it")
	}
	for _, addr := range further {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" || !plain.MatchString(addr) {
			return errors.New("want host:port in each addr, such as addr=sentinel-2:26379")
		}
	}
	return nil
}

var (
	redisPath  = regexp.MustCompile(`^(/[0-9]*)?$`)
	identifier = regexp.MustCompile(`^[a-z_]{1,32}$`)
	plain      = regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]*$`)
)

// redact makes of the URL of Redis what may be printed. It is made of the parts that are
// known for no secret: what is mistyped may have the password anywhere.
func redact(raw string) string {
	const hidden = "xxxxx"
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Scheme == "" || u.Fragment != "" || !plain.MatchString(u.Host) {
		return hidden
	}
	safe := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, User: u.User}
	known := []string{"addr", "db", "master_name", "username", "sentinel_username"}
	redis := !strings.HasPrefix(u.Scheme, "http")
	if strings.ContainsAny(u.Path, "@:") || strings.HasPrefix(u.Scheme, "redis") && !redisPath.MatchString(u.Path) {
		return hidden
	}
	query, all := url.Values{}, !strings.ContainsAny(u.RawQuery, "%;")
	for name, values := range u.Query() {
		for _, value := range values {
			if !plain.MatchString(value) || redis && !slices.Contains(known, name) {
				value, all = hidden, false
			}
			if !identifier.MatchString(name) {
				name, all = hidden, false
			}
			query.Add(name, value)
		}
	}
	if safe.RawQuery = query.Encode(); all {
		safe.RawQuery = u.RawQuery // in its order
	}
	return safe.Redacted()
}
