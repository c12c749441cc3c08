//go:build integration

package integration_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"chatd/internal/cluster"
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
