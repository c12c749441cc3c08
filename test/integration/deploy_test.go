//go:build integration

package integration_test

import (
	"debug/elf"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/dns/dnsmessage"

	"chatd/internal/cluster"
	"chatd/internal/config"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// No Docker engine runs in the tests, so this runs the first stage's steps itself: in
// an empty folder that holds what they copy and nothing else.
func TestImageBuildsFromWhatItCopies(t *testing.T) {
	repo, src := root(t), t.TempDir()
	text, err := os.ReadFile(filepath.Join(repo, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages, stage := 0, ""
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "FROM ") {
			stages++
		}
		if stages == 1 {
			stage += line
		}
	}
	ran := 0
	for line := range strings.Lines(stage) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "COPY":
			args := strings.Fields(rest)
			to := filepath.Join(src, args[len(args)-1])
			for _, pattern := range args[:len(args)-1] {
				from, err := filepath.Glob(filepath.Join(repo, pattern))
				if err != nil || len(from) == 0 {
					t.Fatalf("COPY %s copies nothing (%v)", pattern, err)
				}
				copyTo(t, from, to)
			}
		case "RUN":
			cmd := exec.CommandContext(t.Context(), "sh", "-c", rest)
			cmd.Dir = src
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", rest, err, out)
			}
			ran++
		}
	}
	if ran < 2 {
		t.Fatalf("only %d RUN steps found", ran)
	}

	// The second stage has no libraries and no files.
	program := filepath.Join(src, "chatd")
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("not static: %v, %v", libraries, err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-h")
	cmd.Dir, cmd.Env = t.TempDir(), []string{}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "CHATD_REDIS_URL") {
		t.Errorf("chatd -h: %v\n%s", err, out)
	}
}

// copyTo is Dockerfile's COPY: a folder's content, or files into a folder.
func copyTo(t *testing.T, from []string, to string) {
	t.Helper()
	for _, path := range from {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			if err := os.CopyFS(to, os.DirFS(path)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

type compose struct {
	Services map[string]struct {
		Image, User, Build string
		Privileged         bool
		Restart            string
		ReadOnly           bool `yaml:"read_only"`
		Command            []string
		Environment        map[string]string
		Volumes, Networks  []string
		Ports              []string
		Healthcheck        struct{ Test []string }
	}
	Networks map[string]any
	Volumes  map[string]any
}

func readCompose(t *testing.T) compose {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestComposeRunsNothingAsRootAndPublishesOnlyHAProxy(t *testing.T) {
	c := readCompose(t)
	for _, name := range []string{"redis", "chatd", "haproxy"} {
		s, ok := c.Services[name]
		if !ok {
			t.Fatalf("no service %s", name)
		}
		// chatd's image says who it is; see below.
		if root := s.User == "" || s.User == "root" || s.User == "0"; root && s.Build == "" || s.Privileged || !s.ReadOnly {
			t.Errorf("%s: user %q, privileged %t, read only %t", name, s.User, s.Privileged, s.ReadOnly)
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("%s: restart %q", name, s.Restart)
		}
		if published := len(s.Ports) > 0; published != (name == "haproxy") {
			t.Errorf("%s publishes %v", name, s.Ports)
		}
		if name != "chatd" && len(s.Healthcheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
		for _, n := range s.Networks {
			if _, ok := c.Networks[n]; !ok {
				t.Errorf("%s: no network %s", name, n)
			}
		}
	}
	if _, ok := c.Volumes["redis"]; !ok || !slices.Contains(c.Services["redis"].Volumes, "redis:/data") {
		t.Error("Redis's data is not on a volume")
	}
	if !slices.Contains(c.Services["redis"].Command, "--appendonly") {
		t.Error("Redis keeps no append-only file")
	}
	dockerfile, err := os.ReadFile(filepath.Join(root(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(dockerfile), "\nUSER 65532:65532\n") {
		t.Error("the image runs as root")
	}
}

func TestHAProxyAcceptsItsConfigurations(t *testing.T) {
	repo := root(t)
	sock := "RUNTIME_SOCKET=" + filepath.Join(t.TempDir(), "sock")
	check := func(name string, args, env []string) {
		cmd := exec.CommandContext(t.Context(), "haproxy", append([]string{"-c"}, args...)...)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin"}, append(env, sock)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	main, more := filepath.Join(repo, "haproxy", "haproxy.cfg"), filepath.Join(repo, "haproxy", "compose.cfg")
	check("haproxy.cfg", []string{"-f", main}, nil)

	s := readCompose(t).Services["haproxy"]
	var args, env []string
	for n, word := range s.Command {
		if n > 0 && s.Command[n-1] == "-f" {
			args = append(args, "-f", filepath.Join(repo, "haproxy", filepath.Base(word)))
		}
	}
	if !slices.Contains(args, more) {
		t.Errorf("compose does not use compose.cfg: %v", s.Command)
	}
	for name, value := range s.Environment {
		env = append(env, name+"="+value)
	}
	check("compose", args, env)
}

func TestComposeFindsInstancesByDNS(t *testing.T) {
	c := startCluster(t, 1)
	resolver := serveDNS(t)
	front := freeAddr(t)
	_, port, err := net.SplitHostPort(c.Instances()[0].Addr)
	if err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(root(t), "haproxy")
	cmd := exec.CommandContext(t.Context(), "haproxy", "-db", "-f", filepath.Join(dir, "haproxy.cfg"), "-f", filepath.Join(dir, "compose.cfg"))
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin", "BIND="+front, "BACKEND=chatd-by-dns",
		"CHATD_DNS=chatd.test:"+port, "RESOLVER="+resolver, "STATE_FILE=/dev/null", "RUNTIME_SOCKET="+filepath.Join(t.TempDir(), "sock"),
		"CHATD_1_STATE=disabled", "CHATD_2_STATE=disabled", "CHATD_3_STATE=disabled")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})

	p := visitor(t, "http://"+front)
	eventually(t, 10*time.Second, "a login through an instance that DNS named", func() bool {
		return p.login(within(t, 5*time.Second), "alice") == nil
	})
	if pin := p.pin(); pin == "" || pin == "chatd-1" {
		t.Errorf("pinned to %q, want a hash of the address", pin)
	}
	s := reopenAt(t, p)
	defer s.close()
	if s.instance != "chatd-1" {
		t.Errorf("socket on %q", s.instance)
	}
}

// reopenAt is reopen where the pin is no instance's name.
func reopenAt(t *testing.T, p *person) *socket {
	t.Helper()
	ctx := within(t, 10*time.Second)
	if _, err := p.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := p.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serveDNS answers every question for an IPv4 address with 127.0.0.1, as Docker's DNS
// does with the containers of a service.
func serveDNS(t *testing.T) (addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		packet := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return // closed
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			answer, err := m.Pack()
			if err != nil {
				continue
			}
			if _, err := conn.WriteTo(answer, from); err != nil {
				return
			}
		}
	}()
	return conn.LocalAddr().String()
}

// The unit leaves chatd nothing that it does not need, and lets it drain.
func TestServiceHasNoRights(t *testing.T) {
	unit := filepath.Join(root(t), "systemd", "chatd@.service")
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			settings[name] = value
		}
	}
	for name, want := range map[string]string{
		"DynamicUser": "yes", "CapabilityBoundingSet": "", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateDevices": "yes",
		"PrivateUsers": "yes", "ProtectProc": "invisible", "MemoryDenyWriteExecute": "yes", "RestrictNamespaces": "yes", "SystemCallArchitectures": "native",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "SystemCallFilter": "~@privileged @resources",
	} {
		if got, ok := settings[name]; !ok || got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	cfg, err := config.Load(nil, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if stop, err := time.ParseDuration(settings["TimeoutStopSec"] + "s"); err != nil || stop < cfg.Drain+5*time.Second {
		t.Errorf("TimeoutStopSec is %q, a drain takes %v", settings["TimeoutStopSec"], cfg.Drain)
	}
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil { // not every machine has it
		instance := filepath.Join(t.TempDir(), "chatd@1.service")
		if err := os.WriteFile(instance, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold=20", instance).CombinedOutput(); err != nil {
			t.Errorf("exposed at more than 2.0: %v\n%s", err, out)
		}
	}
}
