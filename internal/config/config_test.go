package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if n, v, _ := strings.Cut(p, "="); n == name {
				return v
			}
		}
		return ""
	}
}

func TestDefaultsAreTheContract(t *testing.T) {
	c, err := Load(nil, env())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(c.Instance, "-8080") {
		t.Errorf("instance %q does not end in the port", c.Instance)
	}
	c.Instance = "x"
	want := "addr=127.0.0.1:8080 admin_addr=127.0.0.1:9080 redis_url=embedded redis_url_file= instance=x guests=true accounts=true password_min=15 hosts= public_url= oidc_issuer= oidc_client_id= oidc_client_secret= oidc_client_secret_file= oidc_name= origins= " +
		"drain=15s window=50 history=10000 audit=100000 session_idle=24h0m0s session_max=720h0m0s text_max=4000 admins= proxies=127.0.0.0/8,::1/128 " +
		"max_sockets=20000 sockets_per_user=100 sockets_per_address=2000 requests_per_address=300 handshakes=500 send_rate=50 security_contact= log_format=text log_level=info dev=false"
	if c.String() != want {
		t.Errorf("got  %s\nwant %s", c, want)
	}
}

func TestFlagWinsOverVariable(t *testing.T) {
	c, err := Load([]string{"-drain", "30s", "-dev"}, env("CHATD_DRAIN=20s", "CHATD_WINDOW=9", "CHATD_DEV=false", "CHATD_GUESTS="))
	if err != nil {
		t.Fatal(err)
	}
	if c.Drain != 30*time.Second || c.Window != 9 || !c.Dev || !c.Guests {
		t.Errorf("drain %s, window %d, dev %t, guests %t", c.Drain, c.Window, c.Dev, c.Guests)
	}
}

func TestInstanceIsLeftToMainWhilePortIsUnknown(t *testing.T) {
	c, err := Load([]string{"-addr", "127.0.0.1:0", "-admin-addr", "127.0.0.1:0"}, env())
	if err != nil || c.Instance != "" {
		t.Errorf("instance %q, %v", c.Instance, err)
	}
}

func TestListsTakeTheFormThatIsCompared(t *testing.T) {
	c, err := Load(nil, env("CHATD_ORIGINS= HTTPS://Chat.Example:443, http://127.0.0.1:8000,", "CHATD_PROXIES=10.1.2.3/8,::1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Origins); got != "[https://chat.example http://127.0.0.1:8000]" {
		t.Errorf("origins %s", got)
	}
	if got := fmt.Sprint(c.Proxies); got != "[10.0.0.0/8 ::1/128]" {
		t.Errorf("proxies %s", got)
	}
	if c, err := Load(nil, env("CHATD_PROXIES=none")); err != nil || c.Proxies != nil {
		t.Errorf("none: %v, %v", c.Proxies, err)
	}
}

func TestWrongValuesNameTheSettingTheValueAndWhatIsAllowed(t *testing.T) {
	for _, wrong := range []struct{ set, want string }{
		{"CHATD_ADDR=8080", "want host:port"},
		{"CHATD_ADDR=localhost:http", "want a port"},
		{"CHATD_ADMIN_ADDR=:65536", "want a port"},
		{"CHATD_ADMIN_ADDR=127.0.0.1:8080", "another address than CHATD_ADDR"},
		{"CHATD_REDIS_URL=http://127.0.0.1", "want redis://"},
		{"CHATD_REDIS_URL=redis:///0", "want a host"},
		{"CHATD_REDIS_URL=unix://", "want a path"},
		{"CHATD_REDIS_URL=redis://s1:26379?master_name=", "want the master's name"},
		{"CHATD_REDIS_URL=redis://s1?master_name=mymaster", "want the sentinel's port"},
		{"CHATD_REDIS_URL=redis://s1:26379?addr=s2:26379", "want master_name"},
		{"CHATD_REDIS_URL=redis://s1:26379?master_name=mymaster&addr=s2", "want host:port in each addr"},
		{"CHATD_REDIS_URL_FILE=/nowhere/at/all", "no such file"},
		{"CHATD_INSTANCE=a~b", "want 1 to 64"},
		{"CHATD_INSTANCE=" + strings.Repeat("x", 65), "want 1 to 64"},
		{"CHATD_GUESTS=maybe", "want true or false"},
		{"CHATD_HOSTS=https://chat.example", "want host or host:port"},
		{"CHATD_HOSTS=*.example", "no *"},
		{"CHATD_HOSTS=chat.example/", "want host"},
		{"CHATD_SOCKETS_PER_USER=0", "from 1 to 1000000"},
		{"CHATD_SECURITY_CONTACT=root@chat.example", "want mailto:"},
		{"CHATD_SECURITY_CONTACT=javascript:alert(1)", "want mailto:"},
		{"CHATD_PUBLIC_URL=chat.example", "want one http://"},
		{"CHATD_PUBLIC_URL=https://chat.example/path", "nothing after it"},
		{"CHATD_PUBLIC_URL=https://chat.example,https://chat.example.org", "want one http://"},
		{"CHATD_OIDC_ISSUER=login.example", "want a URL"},
		{"CHATD_OIDC_ISSUER=http://login.example", "want https://"},
		{"CHATD_OIDC_ISSUER=https://login.example?tenant=1", "without a query"},
		{"CHATD_OIDC_CLIENT_SECRET_FILE=/does/not/exist", "no such file"},
		{"CHATD_OIDC_CLIENT_SECRET_FILE=/dev/null", "not an empty one"},
		{"CHATD_ORIGINS=chat.example", "want http://"},
		{"CHATD_ORIGINS=https://chat.example/", "nothing after it"},
		{"CHATD_ORIGINS=https://*.example", "no *"},
		{"CHATD_ORIGINS=https://u@chat.example", "want http://"},
		{"CHATD_DRAIN=15", "from 1s to 10m0s"},
		{"CHATD_DRAIN=11m", "from 1s to 10m0s"},
		{"CHATD_WINDOW=0", "from 1 to 500"},
		{"CHATD_HISTORY=99", "from 100 to 1000000"},
		{"CHATD_SESSION_IDLE=59s", "from 1m0s to 720h0m0s"},
		{"CHATD_SESSION_MAX=23h", "at least CHATD_SESSION_IDLE"},
		{"CHATD_TEXT_MAX=16001", "from 1 to 16000"},
		{"CHATD_PROXIES=10.0.0.0/33", "want an address or a network"},
		{"CHATD_MAX_SOCKETS=many", "from 1 to 1000000"},
		{"CHATD_LOG_FORMAT=xml", "want text or json"},
		{"CHATD_LOG_LEVEL=loud", "want debug, info, warn or error"},
		{"CHATD_DEV=yes", "want true or false"},
	} {
		t.Run(wrong.set, func(t *testing.T) {
			name, value, _ := strings.Cut(wrong.set, "=")
			_, err := Load(nil, env(wrong.set))
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.HasPrefix(err.Error(), name+"=") || !strings.Contains(err.Error(), wrong.want) {
				t.Errorf("got %q", err)
			}
			if name != "CHATD_SESSION_MAX" && !strings.Contains(err.Error(), value) {
				t.Errorf("the value is not in %q", err)
			}
		})
	}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	_, err := Load([]string{"-drain=1h"}, env("CHATD_WINDOW=0", "CHATD_LOG_LEVEL=loud"))
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `-drain="1h":`) {
		t.Errorf("got %q", lines)
	}
	for _, args := range [][]string{{"-nonsense"}, {"serve"}} {
		if _, err := Load(args, env()); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(args[0], "-")) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	for _, url := range []string{
		"redis://app:hunter2@10.0.0.1:6379/0?sentinel_password=hunter2",
		"unix://:hunter2@/run/redis.sock",
		"redis://u:hunter2@s1:26379/0?addr=s2:26379&master_name=m&password=hunter2&username=app",
		"http://app:hunter2@10.0.0.1",       // wrong scheme
		"redis://app:hunter2%@10.0.0.1",     // not a URL
		"redis://:hunter2@:6379",            // no host
		"app:hunter2@10.0.0.1:6379",         // opaque
		"//app:hunter2@10.0.0.1:6379",       // no scheme
		"redis://app:hunter2@10.0.0.1:port", // bad port
		"redis://app:1/hunter2@10.0.0.1",    // a "/" in the password
		"redis://app:1#hunter2@10.0.0.1",
		"redis://app:1?hunter2@10.0.0.1",
		"unix://app:x/hunter2@/run/redis.sock",
		"redis://10.0.0.1:6379/0?pw=hunter2",
	} {
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, set := range []string{"CHATD_REDIS_URL=" + url, "CHATD_REDIS_URL_FILE=" + file} {
			c, err := Load(nil, env(set))
			var out bytes.Buffer
			slog.New(slog.NewTextHandler(&out, nil)).Info("config", "config", c)
			fmt.Fprintf(&out, "%v %+v %s %v", c, c, c, err)
			if strings.Contains(out.String(), "hunter2") {
				t.Errorf("%s: printed: %s", set, out.String())
			}
			if err == nil && c.RedisURL != url {
				t.Errorf("%s: the URL itself must stay whole, got %q", set, c.RedisURL)
			}
		}
	}
	if _, err := Load(nil, env("CHATD_REDIS_URL=redis://127.0.0.1", "CHATD_REDIS_URL_FILE="+file)); err == nil || !strings.Contains(err.Error(), "not both") {
		t.Errorf("URL and file: %v", err)
	}
}

// Who forgets to make a password is told so, and not served.
func TestSampleSecretsAreRefused(t *testing.T) {
	users, err := os.ReadFile("../../redis/users.acl")
	if err != nil || !strings.Contains(string(users), "on >"+samplePassword+" ") {
		t.Fatalf("%v: the sample is another one: %s", err, users)
	}
	for _, url := range []string{"redis://chatd:" + samplePassword + "@10.0.0.2:6379", "redis://s1:26379/0?master_name=m&username=chatd&password=" + samplePassword} {
		if _, err := Load(nil, env("CHATD_REDIS_URL="+url)); err == nil || !strings.Contains(err.Error(), "of your own") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestALoginProviderNeedsItsOtherSettings(t *testing.T) {
	all := []string{"CHATD_OIDC_ISSUER=https://login.example/realm/", "CHATD_OIDC_CLIENT_ID=chatd", "CHATD_PUBLIC_URL=HTTPS://Chat.Example:443/"}
	for i, missing := range []string{"", "CHATD_OIDC_CLIENT_ID=", "CHATD_PUBLIC_URL="} {
		given := slices.Clone(all)
		if i > 0 {
			given = slices.Delete(given, i, i+1)
		}
		c, err := Load(nil, env(given...))
		if i > 0 && (err == nil || !strings.HasPrefix(err.Error(), missing)) {
			t.Errorf("without %s: %v", missing, err)
		}
		if _, err := Load(nil, env(append(given, "CHATD_HOSTS=other.example")...)); err == nil || i == 0 && !strings.Contains(err.Error(), "want a host of CHATD_HOSTS") {
			t.Errorf("people come back to another host: %v", err)
		}
		if _, err := Load(nil, env(append(given, "CHATD_HOSTS=other.example,chat.example:443")...)); i == 0 && err != nil {
			t.Error(err)
		}
		if i == 0 && (err != nil || c.OIDCIssuer != "https://login.example/realm/" || c.PublicURL != "https://chat.example") {
			t.Errorf("%q, %q, %v", c.OIDCIssuer, c.PublicURL, err)
		}
	}
}

func TestTheSecretAtTheProviderIsNeverPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, set := range [][]string{
		{"CHATD_OIDC_CLIENT_SECRET=hunter2"},
		{"CHATD_OIDC_CLIENT_SECRET_FILE=" + file},
		{"CHATD_OIDC_CLIENT_SECRET=hunter2", "CHATD_OIDC_CLIENT_SECRET_FILE=" + file},
		{"CHATD_OIDC_ISSUER=https://app:hunter2@login.example"},
	} {
		c, err := Load(nil, env(set...))
		if out := fmt.Sprintf("%v %+v %s %v", c, c, c, err); strings.Contains(out, "hunter2") {
			t.Errorf("%s: printed: %s", set, out)
		}
		if both := len(set) > 1; both != (err != nil && strings.Contains(err.Error(), "not both")) || err == nil && c.OIDCClientSecret != "hunter2" {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func TestHelpListsEverySettingWithVariableAndDefault(t *testing.T) {
	var out bytes.Buffer
	if _, err := load([]string{"-h"}, env(), &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v", err)
	}
	var c Config
	for _, s := range c.settings() {
		if !strings.Contains(out.String(), "-"+s.name+" ") || !strings.Contains(out.String(), s.variable()) || !strings.Contains(out.String(), s.preset) {
			t.Errorf("-%s is not wholly in the help", s.name)
		}
	}
	if fields := reflect.TypeFor[Config]().NumField(); len(c.settings()) != fields {
		t.Errorf("%d settings for %d fields", len(c.settings()), fields)
	}
}

func TestInstanceNameIsAlwaysAllowed(t *testing.T) {
	name := InstanceName("127.0.0.1:8080")
	if _, err := load([]string{"-instance", name}, env(), io.Discard); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{"127.0.0.1:0", "nonsense"} {
		if name := InstanceName(addr); name != "" {
			t.Errorf("%s: %q", addr, name)
		}
	}
}
