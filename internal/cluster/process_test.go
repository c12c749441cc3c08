package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is also the programs that the tests start.
func TestMain(m *testing.M) {
	switch os.Getenv("CLUSTER_TEST_ROLE") {
	case "":
		goleak.VerifyTestMain(m)
	case "stay":
		time.Sleep(time.Hour)
	case "fail":
		fmt.Println("boom")
		os.Exit(3)
	case "well":
		os.Exit(0)
	case "write":
		signal.Ignore(syscall.SIGXFSZ)
		file := os.Getenv("CLUSTER_TEST_LOG")
		for {
			if err := os.WriteFile(file, make([]byte, 2000), 0o600); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	case "taken":
		fmt.Println("listen tcp 127.0.0.1:1: bind: address already in use")
		os.Exit(1)
	case "parent":
		p := &Process{Name: "child", Log: os.Getenv("CLUSTER_TEST_LOG"), command: role("stay"), ready: at}
		if err := p.Start(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
		time.Sleep(time.Hour)
	}
}

// role is the command that runs this program as another.
func role(name string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CLUSTER_TEST_ROLE="+name)
		return cmd
	}
}

func at(context.Context) error    { return nil }
func never(context.Context) error { return errors.New("not yet") }

func process(t *testing.T, command func() *exec.Cmd, ready func(context.Context) error) (*Process, chan error) {
	t.Helper()
	deaths := make(chan error, 10)
	p := &Process{Name: "child", Log: filepath.Join(t.TempDir(), "log", "child.log"), command: command, ready: ready,
		died: func(_ *Process, how error) { deaths <- how }}
	t.Cleanup(p.close)
	return p, deaths
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func mustStart(t *testing.T, p *Process) {
	t.Helper()
	if err := p.Start(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func TestDeathThatNobodyAskedForIsReported(t *testing.T) {
	p, deaths := process(t, role("stay"), at)
	mustStart(t, p)
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case how := <-deaths:
		if !strings.Contains(how.Error(), "killed") {
			t.Errorf("how: %v", how)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not reported")
	}
	if p.PID() != 0 {
		t.Errorf("pid %d of a dead process", p.PID())
	}
}

func TestFullDiskIsAnErrorOfAWrite(t *testing.T) {
	t.Setenv("CLUSTER_TEST_LOG", filepath.Join(t.TempDir(), "data"))
	p, deaths := process(t, role("write"), at)
	mustStart(t, p)
	if err := p.LimitFiles(1000); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(p.Log); err != nil || !strings.Contains(string(log), "file too large") || p.ExitCode() != 1 {
		t.Errorf("it ended with %d: %s, %v", p.ExitCode(), log, err)
	}
	select {
	case how := <-deaths:
		t.Errorf("reported as a death: %v", how)
	default:
	}
	if err := p.LimitFiles(1); err != nil {
		t.Errorf("of one that is gone: %v", err)
	}
}

func TestDeathThatWasAskedForIsNot(t *testing.T) {
	p, deaths := process(t, role("stay"), at)
	mustStart(t, p)
	if err := p.Restart(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	p.Pause()
	p.Kill() // a paused one too
	if err := p.Wait(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	mustStart(t, p)
	if err := p.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	p.close()
	if err := p.Start(t.Context()); err == nil {
		t.Error("started after the end")
	}
	if len(deaths) > 0 {
		t.Errorf("reported: %v", <-deaths)
	}
}

func TestExitCode(t *testing.T) {
	for program, want := range map[string]int{"well": 0, "fail": 3} {
		p, _ := process(t, role(program), never)
		if got := p.ExitCode(); got != -1 {
			t.Errorf("before the first run: %d", got)
		}
		if err := p.Start(within(t, 10*time.Second)); err == nil {
			t.Error("it was ready")
		}
		if got := p.ExitCode(); got != want {
			t.Errorf("%s: got %d, want %d", program, got, want)
		}
	}
	p, _ := process(t, role("stay"), at)
	mustStart(t, p)
	if got := p.ExitCode(); got != -1 {
		t.Errorf("while it runs: %d", got)
	}
	p.Kill()
	if got := p.ExitCode(); got != -1 {
		t.Errorf("killed: %d", got)
	}
}

func TestInstanceReachesRedisWhereItIsTold(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1:2": "redis://chatd:secret@127.0.0.1:2", "": "redis://chatd:secret@127.0.0.1:1"} {
		c := &Cluster{secret: "secret", Redis: &Process{Addr: "127.0.0.1:1"}, opts: Options{Chatd: "chatd", RedisAddr: func(instance, real string) string {
			if instance != "chatd-3" || real != "127.0.0.1:1" {
				t.Errorf("asked for %s, Redis at %s", instance, real)
			}
			return addr
		}}}
		if env := c.newInstance(3).command().Env; !slices.Contains(env, "CHATD_REDIS_URL="+want) {
			t.Errorf("%q: the instance gets %q", addr, env)
		}
	}
}

func TestStartThatFailsTellsWhy(t *testing.T) {
	p, deaths := process(t, role("fail"), never)
	for range 2 { // the second time the log holds the first time's words too
		err := p.Start(within(t, 10*time.Second))
		if err == nil || !strings.Contains(err.Error(), "exit status 3") || strings.Count(err.Error(), "boom") != 1 {
			t.Errorf("got %v", err)
		}
	}
	p.command = role("stay")
	err := p.Start(within(t, 50*time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("got %v", err)
	}
	if p.PID() != 0 {
		t.Error("it was left running")
	}
	p.command = func() *exec.Cmd { return exec.Command("/nowhere/at/all") }
	if err := p.Start(within(t, 10*time.Second)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if len(deaths) > 0 {
		t.Errorf("reported too: %v", <-deaths)
	}
}

func TestNothingSurvivesUs(t *testing.T) {
	parent := role("parent")()
	parent.Env = append(parent.Env, "CLUSTER_TEST_LOG="+filepath.Join(t.TempDir(), "child.log"))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	// Its threads are idle now: the child must not be taken for an orphan.
	if !running(child) {
		t.Error("the child ended before its parent")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	for deadline := time.Now().Add(10 * time.Second); running(child); {
		if time.Now().After(deadline) {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("the child survived its parent")
		}
		time.Sleep(5 * time.Millisecond) // polling, with the deadline above
	}
}

// running tells a living process from none, and from a dead one that init has not
// yet collected.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func TestPortThatSomebodyElseTookIsTriedAgain(t *testing.T) {
	c := &Cluster{}
	tries := 0
	p, _ := process(t, func() *exec.Cmd {
		if tries++; tries == 1 {
			return role("taken")()
		}
		return role("stay")()
	}, nil)
	p.ready = func(context.Context) error {
		if tries == 1 {
			return errors.New("not yet")
		}
		return nil
	}
	var one, other string
	if err := c.startOnFreePorts(within(t, 10*time.Second), p, &one, &other); err != nil {
		t.Fatal(err)
	}
	if tries != 2 || one == "" || one == other {
		t.Errorf("%d tries, %q and %q", tries, one, other)
	}
	p.Kill()
	p.command, p.ready = role("fail"), never
	if err := c.startOnFreePorts(within(t, 10*time.Second), p, &one); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("another failure is no reason to try again: %v", err)
	}
}

func TestFreePortsAreNotThoseOfOutgoingConnections(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	lowest, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(port); err != nil || n >= lowest {
		t.Errorf("%s is one of the ports from %d on", addr, lowest)
	}
}

func TestFolderIsForOneCluster(t *testing.T) {
	one, two := &Cluster{dir: t.TempDir()}, &Cluster{}
	two.dir = one.dir
	if err := one.lockDir(); err != nil {
		t.Fatal(err)
	}
	if err := two.lockDir(); err == nil {
		t.Error("two clusters in one folder")
	}
	two.Close()
	one.Close()
	if err := two.lockDir(); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
	two.Close()
}

func TestHAProxyReachesInstancesWhereItIsTold(t *testing.T) {
	i := &Instance{Process: &Process{Name: "chatd-2", Addr: "127.0.0.1:1"}, slot: 2}
	for addr, want := range map[string]string{"127.0.0.1:2": "127.0.0.1:2", "": "127.0.0.1:1"} {
		c := &Cluster{dir: t.TempDir(), instances: []*Instance{i}, HAProxy: &Process{}, opts: Options{FrontAddr: func(instance, real string) string {
			if instance != "chatd-2" || real != "127.0.0.1:1" {
				t.Errorf("asked for %s at %s", instance, real)
			}
			return addr
		}}}
		if env := c.haproxyCommand().Env; !slices.Contains(env, "CHATD_2="+want) {
			t.Errorf("told %q, and HAProxy has %v", addr, env)
		}
	}
}

func TestHAProxyThatIsAwayIsToldOnceItIsBack(t *testing.T) {
	c := &Cluster{dir: t.TempDir()}
	err := c.tell(within(t, 60*time.Millisecond), "set server x state maint", true)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "set server x") {
		t.Errorf("nobody was there: %v", err)
	}
	told := make(chan error, 1)
	go func() { told <- c.tell(within(t, 10*time.Second), "set server x state maint", true) }()
	ln, err := net.Listen("unix", c.RuntimeSocket())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, answer := range []string{"No such server.\n", "\n"} { // the first is no yes
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Error(err)
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	if err := <-told; err != nil {
		t.Error(err)
	}
}

func TestParseStat(t *testing.T) {
	const text = `S.3.1.0.pxname.1:KNSV:str:chatd
S.3.1.1.svname.1:KNSV:str:chatd-1
S.3.1.17.status.1:MGSV:str:UP
S.3.1.73.addr.1:CGSV:str:127.0.0.1:8081
S.3.2.1.svname.1:KNSV:str:chatd-2
S.3.2.17.status.1:MGSV:str:DOWN (agent)

nonsense`
	got := parseStat(text)
	if len(got) != 2 || got["chatd-1"]["addr"] != "127.0.0.1:8081" || got["chatd-2"]["status"] != "DOWN (agent)" {
		t.Errorf("got %v", got)
	}
}
