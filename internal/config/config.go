// Package config turns flags and CHATD_* variables into one validated Config.
//
// Each setting is one row of the table in [Config.settings]: the flag -log-level
// and the variable CHATD_LOG_LEVEL are the same setting, and a flag wins over its
// variable. Nothing else in chatd reads flags or the environment.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what an operator decides. A Config from [Load] is valid; the zero
// Config is not. It prints itself, by slog and by fmt, without secrets.
type Config struct {
	Addr               string         // host:port for people and HAProxy; port 0 takes any free one
	AdminAddr          string         // host:port for /metrics and profiles, not for the outside
	RedisURL           string         // redis://, rediss:// or unix://, with master_name= of sentinels; "" means the embedded Redis
	Instance           string         // 1 to 64 of A-Z a-z 0-9 . _ -; "" only where Addr's port is 0: see InstanceName
	Guests             bool           // may people log in by name alone
	Accounts           bool           // may people make accounts
	PasswordMin        int            // the least length of a password, in Unicode code points
	PublicURL          string         // where people find chatd, as an origin: "" where nothing needs it
	OIDCIssuer         string         // an OpenID Connect provider at which people may log in; "": none
	OIDCClientID       string         // what this chat is called there
	OIDCClientSecret   string         // "" of a public client
	OIDCName           string         // of the provider, for people
	Hosts              []string       // the host[:port] by which people reach chatd; none: any
	Origins            []string       // allowed as a browser sends them, beyond the request's own host
	SecurityContact    string         // of /.well-known/security.txt, a URL; "": there is none
	Drain              time.Duration  // how long a drain may take
	Window             int            // newest messages sent at a join
	History            int            // events kept per room
	Audit              int            // lines kept of the audit log
	SessionIdle        time.Duration  // a session unused for so long ends
	SessionMax         time.Duration  // a session ends so long after its login, at least SessionIdle
	TextMax            int            // a message's length in Unicode code points
	Admins             []string       // names of those who administer
	Proxies            []netip.Prefix // whose X-Forwarded-* headers are believed
	MaxSockets         int            // sockets at once on this instance
	SocketsPerUser     int            // of them, one person's
	SocketsPerAddress  int            // of them, those of one address
	RequestsPerAddress int            // HTTP requests per second of one address on this instance
	Handshakes         int            // handshakes per second on this instance
	SendRate           int            // messages per second of one person on this instance
	LogFormat          string         // "text" or "json"
	LogLevel           slog.Level
	Dev                bool // static files and templates from the disk, not from the binary

	redisURLFile   string
	oidcSecretFile string
}

func (c *Config) settings() []setting {
	const day = 24 * time.Hour
	return []setting{
		{"addr", "127.0.0.1:8080", "`host:port` where people and HAProxy connect; port 0 takes any free one", address(&c.Addr)},
		{"admin-addr", "127.0.0.1:9080", "`host:port` of /metrics and profiles; not for the outside", address(&c.AdminAddr)},
		{"redis-url", "", "`URL` of Redis: redis://, rediss:// or unix://, of sentinels with ?master_name=NAME&addr=HOST:PORT; empty: an embedded one, which forgets at exit", redisURL(&c.RedisURL)},
		{"redis-url-file", "", "`file` that holds the URL of Redis, for secrets kept in files", text(&c.redisURLFile)},
		{"instance", "", "this instance's `name`; empty: host name and port", instance(&c.Instance)},
		{"guests", "true", "may people log in by name alone", boolean(&c.Guests)},
		{"accounts", "true", "may people make accounts, with a password of their own", boolean(&c.Accounts)},
		{"password-min", "15", "the least length of a new password in `code points`, 8 to 64", number(&c.PasswordMin, 8, 64)},
		{"hosts", "", "comma separated `hosts` (chat.example, or with a port that is not the scheme's own) by which people reach chatd; requests for others are refused; empty: any", hosts(&c.Hosts)},
		{"public-url", "", "`URL` at which people find this chat, such as https://chat.example; needed for a login provider", origin(&c.PublicURL)},
		{"oidc-issuer", "", "`URL` of an OpenID Connect provider at which people may log in; empty: none", issuer(&c.OIDCIssuer)},
		{"oidc-client-id", "", "`name` of this chat at the provider", text(&c.OIDCClientID)},
		{"oidc-client-secret", "", "the chat's `secret` at the provider; better in a file", secret(&c.OIDCClientSecret)},
		{"oidc-client-secret-file", "", "`file` that holds the secret", text(&c.oidcSecretFile)},
		{"oidc-name", "", "what the login page calls the provider, in `words`; empty: the issuer's host", text(&c.OIDCName)},
		{"origins", "", "comma separated `origins` (https://chat.example) allowed beyond the request's own host", origins(&c.Origins)},
		{"drain", "15s", "how long a drain may take, 1s to 10m", duration(&c.Drain, time.Second, 10*time.Minute)},
		{"window", "50", "`number` of newest messages sent at a join, 1 to 500", number(&c.Window, 1, 500)},
		{"history", "10000", "`number` of events kept per room, 100 to 1000000", number(&c.History, 100, 1_000_000)},
		{"audit", "100000", "`number` of lines kept of the audit log, 1000 to 10000000", number(&c.Audit, 1000, 10_000_000)},
		{"session-idle", "24h", "a session unused for so long ends, 1m to 720h", duration(&c.SessionIdle, time.Minute, 30*day)},
		{"session-max", "720h", "a session ends so long after its login, session-idle to 8760h", duration(&c.SessionMax, time.Minute, 365*day)},
		{"text-max", "4000", "a message's length in `code points`, 1 to 16000", number(&c.TextMax, 1, 16_000)},
		{"admins", "", "comma separated `names` of the accounts that administer this chat", list(&c.Admins)},
		{"proxies", "127.0.0.0/8,::1/128", "comma separated `networks` whose X-Forwarded-* headers are believed, or none", prefixes(&c.Proxies)},
		{"max-sockets", "20000", "`number` of sockets at once on this instance, 1 to 1000000", number(&c.MaxSockets, 1, 1_000_000)},
		{"sockets-per-user", "100", "`number` of sockets at once of one person on this instance, 1 to 1000000", number(&c.SocketsPerUser, 1, 1_000_000)},
		{"sockets-per-address", "2000", "`number` of sockets at once from one address (IPv6: one /64) on this instance, 1 to 1000000; proxies that are believed are not counted", number(&c.SocketsPerAddress, 1, 1_000_000)},
		{"requests-per-address", "300", "`number` of HTTP requests per second from one address (IPv6: one /64) on this instance, ten times as many at once, 1 to 1000000; more are put off; proxies that are believed are not counted", number(&c.RequestsPerAddress, 1, 1_000_000)},
		{"handshakes", "500", "`number` of handshakes per second on this instance, 1 to 100000; more are put off", number(&c.Handshakes, 1, 100_000)},
		{"send-rate", "50", "`number` of messages per second that one person may send, 1 to 100000; more are put off", number(&c.SendRate, 1, 100_000)},
		{"security-contact", "", "`URL` (mailto: or https:) where faults of security are reported, for /.well-known/security.txt", contact(&c.SecurityContact)},
		{"log-format", "text", "`text or json`", oneOf(&c.LogFormat, "text", "json")},
		{"log-level", "info", "`level`: debug, info, warn or error", level(&c.LogLevel)},
		{"dev", "false", "static files and templates from the disk, not from the binary", boolean(&c.Dev)},
	}
}

// Load reads args (without the program's name) and, for each flag not in args,
// its variable through getenv; an empty variable counts as not set.
//
// The error names every wrong setting, one per line, with its value and what is
// allowed. For -h Load prints the settings on standard output and returns
// [flag.ErrHelp].
func Load(args []string, getenv func(string) string) (Config, error) {
	return load(args, getenv, os.Stdout)
}

func load(args []string, getenv func(string) string, help io.Writer) (Config, error) {
	var c Config
	settings := c.settings()

	// The flags only collect text: what they say and what the variables say is
	// then checked in one place, and all that is wrong is told at once.
	given := make(map[string]string)
	flags := flag.NewFlagSet("chatd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, s := range settings {
		flags.Var(flagText{s, given}, s.name, s.help)
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		printHelp(help, settings)
		return Config{}, err
	} else if err != nil {
		return Config{}, fmt.Errorf("%w (-h lists the flags)", err)
	}
	if flags.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q (-h lists the flags)", flags.Arg(0))
	}

	var wrong []error
	for _, s := range settings {
		value, source := s.preset, s.variable()
		if v := getenv(source); v != "" {
			value = v
		}
		if v, ok := given[s.name]; ok {
			value, source = v, "-"+s.name
		}
		if err := s.set(value); err != nil {
			wrong = append(wrong, fmt.Errorf("%s=%q: %w", source, s.printable(value), err))
		}
	}
	for _, read := range []func() error{c.readRedisURLFile, c.readOIDCSecretFile} {
		if err := read(); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) == 0 {
		wrong = c.contradictions()
	}
	if len(wrong) > 0 {
		return Config{}, errors.Join(wrong...)
	}
	if c.Instance == "" {
		c.Instance = InstanceName(c.Addr)
	}
	if u, err := url.Parse(c.OIDCIssuer); err == nil && c.OIDCName == "" {
		c.OIDCName = u.Hostname()
	}
	return c, nil
}

// contradictions finds settings that are right alone and wrong together.
func (c *Config) contradictions() []error {
	var wrong []error
	if c.SessionMax < c.SessionIdle {
		wrong = append(wrong, fmt.Errorf("CHATD_SESSION_MAX=%q: want at least CHATD_SESSION_IDLE, which is %s", c.SessionMax, c.SessionIdle))
	}
	if c.Addr == c.AdminAddr && !strings.HasSuffix(c.Addr, ":0") {
		wrong = append(wrong, fmt.Errorf("CHATD_ADMIN_ADDR=%q: want another address than CHATD_ADDR", c.AdminAddr))
	}
	for _, needed := range []struct{ name, value string }{{"CHATD_OIDC_CLIENT_ID", c.OIDCClientID}, {"CHATD_PUBLIC_URL", c.PublicURL}} {
		if c.OIDCIssuer != "" && needed.value == "" {
			wrong = append(wrong, fmt.Errorf("%s=%q: want it set where CHATD_OIDC_ISSUER is", needed.name, ""))
		}
	}
	scheme, public, _ := strings.Cut(c.PublicURL, "://")
	back := []string{public, public + map[string]string{"http": ":80", "https": ":443"}[scheme]}
	if c.OIDCIssuer != "" && len(c.Hosts) > 0 && !slices.ContainsFunc(c.Hosts, func(host string) bool { return slices.Contains(back, host) }) {
		wrong = append(wrong, fmt.Errorf("CHATD_PUBLIC_URL=%q: want a host of CHATD_HOSTS, or who comes back from the login provider is refused", c.PublicURL))
	}
	return wrong
}

func (c *Config) readOIDCSecretFile() error {
	if c.oidcSecretFile == "" {
		return nil
	}
	where := fmt.Sprintf("CHATD_OIDC_CLIENT_SECRET_FILE=%q", c.oidcSecretFile)
	if c.OIDCClientSecret != "" {
		return fmt.Errorf("%s: want either this or CHATD_OIDC_CLIENT_SECRET, not both", where)
	}
	content, err := os.ReadFile(c.oidcSecretFile)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if c.OIDCClientSecret = strings.TrimSpace(string(content)); c.OIDCClientSecret == "" {
		return fmt.Errorf("%s: want a file that holds a secret, not an empty one", where)
	}
	return nil
}

func (c *Config) readRedisURLFile() error {
	if c.redisURLFile == "" {
		return nil
	}
	where := fmt.Sprintf("CHATD_REDIS_URL_FILE=%q", c.redisURLFile)
	if c.RedisURL != "" {
		return fmt.Errorf("%s: want either this or CHATD_REDIS_URL, not both", where)
	}
	content, err := os.ReadFile(c.redisURLFile)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	value := strings.TrimSpace(string(content))
	if value == "" {
		return fmt.Errorf("%s: want a file that holds a URL, not an empty one", where)
	}
	if err := redisURL(&c.RedisURL).set(value); err != nil {
		return fmt.Errorf("%s holds %q: %w", where, redact(value), err)
	}
	return nil
}

// InstanceName makes an instance's name from this host's name and the port of
// addr (host:port). It is "" while the port is 0, that is, not known yet.
func InstanceName(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return ""
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "chatd"
	}
	host = strings.Map(func(r rune) rune {
		if !isNameByte(r) {
			return '-'
		}
		return r
	}, host)
	return host[:min(len(host), maxNameBytes-1-len(port))] + "-" + port
}

// LogValue lists all settings, a password hidden.
func (c Config) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, s := range c.settings() {
		attrs = append(attrs, slog.String(strings.ReplaceAll(s.name, "-", "_"), s.show()))
	}
	return slog.GroupValue(attrs...)
}

// String is LogValue for fmt.
func (c Config) String() string {
	var parts []string
	for _, a := range c.LogValue().Group() {
		parts = append(parts, a.String())
	}
	return strings.Join(parts, " ")
}

// flagText collects what a flag was given.
type flagText struct {
	setting
	given map[string]string
}

func (f flagText) Set(v string) error { f.given[f.name] = v; return nil }
func (f flagText) String() string     { return f.preset }
func (f flagText) IsBoolFlag() bool   { return f.preset == "true" || f.preset == "false" }

func printHelp(w io.Writer, settings []setting) {
	fmt.Fprint(w, "chatd, a session-aware chat server. Each flag has a variable; the flag wins.\n\n")
	for _, s := range settings {
		arg, help := flag.UnquoteUsage(&flag.Flag{Name: s.name, Usage: s.help, Value: flagText{setting: s}})
		head := strings.TrimSpace("-" + s.name + " " + arg)
		fmt.Fprintf(w, "  %-28s %s\n      %s", head, s.variable(), help)
		if s.preset != "" {
			fmt.Fprintf(w, " (default %s)", strconv.Quote(s.preset))
		}
		fmt.Fprintln(w)
	}
}
