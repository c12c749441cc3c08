package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const backend = "chatd" // its name in haproxy.cfg

// RuntimeSocket is HAProxy's: "show stat", "set server".
func (c *Cluster) RuntimeSocket() string { return filepath.Join(c.dir, "haproxy.sock") }

func (c *Cluster) masterSocket() string { return filepath.Join(c.dir, "haproxy-master.sock") }
func (c *Cluster) stateFile() string    { return filepath.Join(c.dir, "haproxy.servers") }

func (c *Cluster) startHAProxy(ctx context.Context) error {
	c.HAProxy = c.newProcess("haproxy", c.haproxyCommand, func(ctx context.Context) error {
		_, err := c.Runtime(ctx, "show info")
		return err
	})
	var err error
	if c.fixedAddr() {
		c.HAProxy.Addr = c.opts.Addr
		err = c.HAProxy.Start(ctx)
	} else {
		err = c.startOnFreePorts(ctx, c.HAProxy, &c.HAProxy.Addr)
	}
	if err != nil {
		return err
	}
	for _, i := range c.Instances() {
		if err := c.awaitUp(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) fixedAddr() bool {
	return c.opts.Addr != "" && !strings.HasSuffix(c.opts.Addr, ":0")
}

func (c *Cluster) haproxyCommand() *exec.Cmd {
	// HAProxy would go by what the last reload saved, and not by the environment below.
	_ = c.saveState("") // where this fails its log cannot be opened either, and Start says so

	cmd := exec.Command(c.haproxy, "-W", "-db", "-f", c.config, "-S", c.masterSocket())
	cmd.Env = append(os.Environ(), "BIND="+c.HAProxy.Addr, "RUNTIME_SOCKET="+c.RuntimeSocket(), "STATE_FILE="+c.stateFile())
	used := make(map[int]string)
	for _, i := range c.Instances() {
		used[i.slot] = c.frontAddr(i)
	}
	for slot := 1; slot <= Slots; slot++ {
		if addr, ok := used[slot]; ok {
			cmd.Env = append(cmd.Env, fmt.Sprintf("CHATD_%d=%s", slot, addr), fmt.Sprintf("CHATD_%d_STATE=enabled", slot))
		} else {
			cmd.Env = append(cmd.Env, fmt.Sprintf("CHATD_%d_STATE=disabled", slot))
		}
	}
	if me, err := user.Current(); err == nil && me.Uid != "0" {
		// Only root can run it as another user.
		group, err := user.LookupGroupId(me.Gid)
		if err == nil {
			cmd.Env = append(cmd.Env, "RUN_AS="+me.Username, "RUN_AS_GROUP="+group.Name)
		}
	}
	return cmd
}

// Runtime says a command to HAProxy's runtime socket and returns the answer. The
// answer to a wrong command is not an error.
func (c *Cluster) Runtime(ctx context.Context, command string) (string, error) {
	return say(ctx, c.RuntimeSocket(), command)
}

func say(ctx context.Context, socket, command string) (answer string, err error) {
	err = talk(ctx, "unix", socket, func(conn net.Conn) error {
		if _, err := io.WriteString(conn, command+"\n"); err != nil {
			return err
		}
		// The master's socket answers until we close our side.
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			return err
		}
		all, err := io.ReadAll(conn)
		answer = strings.TrimSpace(string(all))
		return err
	})
	return answer, err
}

func (c *Cluster) enableSlot(ctx context.Context, i *Instance) error {
	host, port, err := net.SplitHostPort(c.frontAddr(i))
	if err != nil {
		return err
	}
	for _, command := range []string{
		fmt.Sprintf("set server %s/%s addr %s port %s", backend, i.Name, host, port),
		fmt.Sprintf("set server %s/%s state ready", backend, i.Name),
	} {
		if err := c.tell(ctx, command, false); err != nil {
			return err
		}
	}
	return c.awaitUp(ctx, i)
}

func (c *Cluster) disableSlot(ctx context.Context, i *Instance) error {
	return c.tell(ctx, fmt.Sprintf("set server %s/%s state maint", backend, i.Name), true)
}

// tell says a command that may be repeated until HAProxy, which may be away, has taken
// it, or ctx ends. silent: it has not, if it answers anything.
func (c *Cluster) tell(ctx context.Context, command string, silent bool) error {
	return c.await(ctx, "haproxy: "+command, func() (bool, error) {
		answer, err := c.Runtime(ctx, command)
		if err == nil && silent && answer != "" {
			err = errors.New(answer)
		}
		return err == nil, err
	})
}

// awaitUp waits until HAProxy has checked the instance at its address and found it well.
func (c *Cluster) awaitUp(ctx context.Context, i *Instance) error {
	addr := c.frontAddr(i)
	return c.await(ctx, fmt.Sprintf("haproxy: %s up at %s", i.Name, addr), func() (bool, error) {
		s, err := c.server(ctx, i)
		return s["addr"] == addr && s["status"] == "UP" && s["check_status"] == "L7OK", err
	})
}

// AwaitState waits until HAProxy holds the instance for what state says: "UP", "NOLB"
// (it leaves, and is given nobody new), "DOWN" (dead or hung) or "MAINT" (a free slot).
func (c *Cluster) AwaitState(ctx context.Context, i *Instance, state string) error {
	return c.await(ctx, fmt.Sprintf("haproxy: %s %s", i.Name, state), func() (bool, error) {
		s, err := c.server(ctx, i)
		return s["status"] == state, err
	})
}

// server is what HAProxy's "show stat" says of the instance's slot.
func (c *Cluster) server(ctx context.Context, i *Instance) (map[string]string, error) {
	const servers, all = "4", "-1"
	table, err := c.Runtime(ctx, "show stat "+backend+" "+servers+" "+all+" typed")
	if err != nil {
		return nil, err
	}
	return parseStat(table)[i.Name], nil
}

// parseStat reads "show stat … typed", lines of S.proxy.id.field.N.name.process:tags:type:value,
// into server → field → value.
func parseStat(text string) map[string]map[string]string {
	byID := make(map[string]map[string]string)
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		head, rest, _ := strings.Cut(lines.Text(), ":")
		at, tagged := strings.Split(head, "."), strings.SplitN(rest, ":", 3)
		if len(at) < 6 || len(tagged) < 3 {
			continue
		}
		if byID[at[2]] == nil {
			byID[at[2]] = make(map[string]string)
		}
		byID[at[2]][at[4]] = tagged[2]
	}
	servers := make(map[string]map[string]string)
	for _, fields := range byID {
		servers[fields["svname"]] = fields
	}
	return servers
}

// ReloadHAProxy reloads as an operator does: saves what was set at run time, tells the
// master, and waits until new workers serve. Old ones stay until their last socket ends.
func (c *Cluster) ReloadHAProxy(ctx context.Context) error {
	servers, err := c.Runtime(ctx, "show servers state")
	if err != nil {
		return err
	}
	if err := c.saveState(servers); err != nil {
		return err
	}
	before, err := c.worker(ctx)
	if err != nil {
		return err
	}
	if err := syscall.Kill(c.HAProxy.PID(), syscall.SIGUSR2); err != nil {
		return fmt.Errorf("haproxy: reload: %w", err)
	}
	return c.await(ctx, "haproxy: a new worker after the reload", func() (bool, error) {
		now, err := c.worker(ctx)
		if err != nil || now == "" || now == before {
			return false, err
		}
		info, err := c.Runtime(ctx, "show info")
		return strings.Contains(info, "Pid: "+now+"\n"), err
	})
}

// saveState keeps what was set at run time for the next reload; "" is nothing. What an
// earlier run has left would send people to the addresses of then.
func (c *Cluster) saveState(servers string) error {
	if servers == "" {
		servers = "1" // the format's version
	}
	return os.WriteFile(c.stateFile(), []byte(servers+"\n"), 0o644)
}

// worker is the process id of the worker that takes new connections.
func (c *Cluster) worker(ctx context.Context) (string, error) {
	table, err := say(ctx, c.masterSocket(), "show proc")
	if err != nil {
		return "", err
	}
	_, workers, _ := strings.Cut(table, "# workers\n")
	if pid, _, ok := strings.Cut(workers, " "); ok && !strings.HasPrefix(pid, "#") {
		return pid, nil
	}
	return "", nil
}

// await looks until there is what it waits for, or ctx ends. A look that fails is one
// that has not seen it: HAProxy may be starting, or busy.
func (c *Cluster) await(ctx context.Context, what string, look func() (bool, error)) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	var last error
	for {
		ok, err := look()
		if ok {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: not in time: %w", what, errors.Join(context.Cause(ctx), last))
		}
	}
}
