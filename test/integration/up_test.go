//go:build integration

package integration_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// upState is what this test reads of up.json.
type upState struct {
	URL       string
	Instances []struct {
		Name, Addr string
		PID        int
	}
	Redis, HAProxy struct{ PID int }
}

func (s upState) pids() []int {
	pids := []int{s.Redis.PID, s.HAProxy.PID}
	for _, i := range s.Instances {
		pids = append(pids, i.PID)
	}
	return pids
}

func TestUpKeepsAClusterUntilItIsStopped(t *testing.T) {
	program := buildUp(t)
	dir := filepath.Join(t.TempDir(), "run")
	log, err := os.Create(filepath.Join(t.TempDir(), "up.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "-n", "2", "-addr", "127.0.0.1:0", "-dir", dir, "-chatd", chatd)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, or the test has failed

	read := func() (s upState, ok bool) {
		text, err := os.ReadFile(filepath.Join(dir, "up.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return s, false
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatalf("up.json is not whole: %v\n%s", err, text)
		}
		return s, true
	}
	var first upState
	eventually(t, 20*time.Second, "up.json", func() (ok bool) { first, ok = read(); return ok })
	if len(first.Instances) != 2 || !strings.HasPrefix(first.URL, "http://127.0.0.1:") {
		t.Fatalf("up.json: %+v", first)
	}
	if err := visitor(t, first.URL).login(within(t, 10*time.Second), "alice"); err != nil {
		t.Fatal(err)
	}

	if err := syscall.Kill(first.Instances[1].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var second upState
	eventually(t, 15*time.Second, "another chatd-2", func() bool {
		second, _ = read()
		pid := second.Instances[1].PID
		return pid != 0 && pid != first.Instances[1].PID
	})
	if second.Instances[1].Addr != first.Instances[1].Addr || second.Instances[0].PID != first.Instances[0].PID {
		t.Errorf("before %+v, after %+v", first, second)
	}

	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after Ctrl-C: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not stop")
	}
	if _, ok := read(); ok {
		t.Error("up.json outlived it")
	}
	for _, pid := range second.pids() {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there (%v)", pid, err)
		}
	}
}

func TestUpSaysPlainlyWhyItCannotStart(t *testing.T) {
	program := buildUp(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, wrong := range []struct {
		name, want string
		env        []string
		args       []string
	}{
		{"taken port", taken.Addr().String() + " is in use", os.Environ(), []string{"-addr", taken.Addr().String()}},
		{"too many", "want 1 to 16", os.Environ(), []string{"-n", "17"}},
		{"stray word", `unexpected argument "five"`, os.Environ(), []string{"five"}},
		{"wrong configuration", `CHATD_DRAIN="soon"`, append(os.Environ(), "CHATD_DRAIN=soon"), []string{"-addr", "127.0.0.1:0"}},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			cmd := exec.CommandContext(within(t, 20*time.Second), program, append([]string{"-chatd", chatd, "-dir", filepath.Join(t.TempDir(), "run")}, wrong.args...)...)
			cmd.Env = wrong.env
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), wrong.want) || strings.Contains(string(out), "goroutine") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func buildUp(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "up")
	cmd := exec.CommandContext(within(t, time.Minute), "go", "build", "-o", out, "./cmd/up")
	cmd.Dir = root(t)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}
