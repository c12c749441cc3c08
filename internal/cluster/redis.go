package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// MasterName is what sentinels call the Redis that is written to.
const MasterName = "chatd"

const (
	sentinels = 3
	quorum    = 2

	// With one second a busy machine makes sentinels fail over a master that is well.
	downAfterMS       = 2000
	failoverTimeoutMS = 6000
)

// writeUsers writes the users that operators give to Redis: chatd's, with a password of
// this run, and one with all rights for the tests, whom operators switch off.
func (c *Cluster) writeUsers() error {
	users, err := os.ReadFile(c.users)
	if err != nil {
		return err
	}
	text := strings.NewReplacer("PASSWORD", c.secret, "user default off", "user default on nopass ~* &* +@all").Replace(string(users))
	return os.WriteFile(c.usersFile(), []byte(text), 0o600)
}

func (c *Cluster) usersFile() string { return filepath.Join(c.dir, "users.acl") }

// chatdsLogin is what an instance is told of Redis at addr.
func (c *Cluster) chatdsLogin(addr string) string {
	return "redis://chatd:" + c.secret + "@" + addr
}

// chatdsURL is what the instances connect to, but for Options.RedisAddr.
func (c *Cluster) chatdsURL() string {
	if len(c.Sentinels) == 0 {
		return c.chatdsLogin(c.Redis.Addr)
	}
	return c.RedisURL() + "&username=chatd&password=" + c.secret
}

func (c *Cluster) startRedis(ctx context.Context) error {
	if err := c.writeUsers(); err != nil {
		return err
	}
	for n := 1; n <= 1+c.opts.Replicas; n++ {
		name := "redis"
		if c.opts.Replicas > 0 {
			name = fmt.Sprintf("redis-%d", n)
		}
		p, err := c.newRedis(name)
		if err != nil {
			return err
		}
		c.Redises = append(c.Redises, p)
		if n == 1 {
			c.Redis = p
		}
		if err := c.startOnFreePorts(ctx, p, &p.Addr); err != nil {
			return err
		}
	}
	if c.opts.Replicas == 0 {
		return nil
	}
	// Sentinels look for replicas every ten seconds; there is nothing to wait for if they
	// find them at the first look.
	if err := c.AwaitReplicas(ctx); err != nil {
		return err
	}
	for n := 1; n <= sentinels; n++ {
		p := c.newSentinel(fmt.Sprintf("sentinel-%d", n))
		c.Sentinels = append(c.Sentinels, p)
		if err := c.startOnFreePorts(ctx, p, &p.Addr); err != nil {
			return err
		}
	}
	return c.await(ctx, "the sentinels know each other and the replicas", func() (bool, error) {
		for _, s := range c.Sentinels {
			about, err := redisSay(ctx, s.Addr, "SENTINEL MASTER "+MasterName)
			if err != nil {
				return false, err
			}
			fields := strings.Split(about, "\n")
			for name, want := range map[string]int{"num-slaves": c.opts.Replicas, "num-other-sentinels": sentinels - 1} {
				if field(fields, name) != strconv.Itoa(want) {
					return false, nil
				}
			}
		}
		return true, nil
	})
}

// field is what follows name in a list of names and values.
func field(list []string, name string) string {
	for i := 0; i+1 < len(list); i += 2 {
		if list[i] == name {
			return list[i+1]
		}
	}
	return ""
}

func (c *Cluster) newRedis(name string) (*Process, error) {
	var p *Process
	p = c.newProcess(name, func() *exec.Cmd {
		host, port, _ := strings.Cut(p.Addr, ":")
		args := []string{"--bind", host, "--port", port, "--dir", c.dirOf(p),
			// Confirmed means kept, whatever dies: each write is on the disk before its answer.
			"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no",
			"--repl-diskless-sync-delay", "0", "--aclfile", c.usersFile()}
		if master := c.followed(); master != p {
			host, port, _ := strings.Cut(master.Addr, ":")
			args = append(args, "--replicaof", host, port)
		}
		// A write beyond a limit of the file's size is an error like that of a full disk,
		// and not the end of the process.
		return exec.Command("/bin/sh", append([]string{"-c", `trap "" XFSZ; exec "$@"`, "sh", c.redisServer}, append(args, c.opts.RedisArgs...)...)...)
	}, nil)
	p.ready = func(ctx context.Context) error { return redisPing(ctx, p.Addr) }
	return p, os.MkdirAll(c.dirOf(p), 0o755)
}

func (c *Cluster) newSentinel(name string) *Process {
	var p *Process
	p = c.newProcess(name, func() *exec.Cmd {
		// It writes what it learns into its file, which must stay for its next start.
		file := filepath.Join(c.dir, name+"-"+p.Addr+".conf")
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			host, port, _ := strings.Cut(p.Addr, ":")
			lines := []string{"bind " + host, "port " + port, "dir " + c.dir,
				fmt.Sprintf("sentinel monitor %s %s %d", MasterName, strings.Replace(c.followed().Addr, ":", " ", 1), quorum),
				fmt.Sprintf("sentinel down-after-milliseconds %s %d", MasterName, downAfterMS),
				fmt.Sprintf("sentinel failover-timeout %s %d", MasterName, failoverTimeoutMS),
				fmt.Sprintf("sentinel parallel-syncs %s %d\n", MasterName, c.opts.Replicas)}
			// Where this fails the program finds no file, and Start says so.
			_ = os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600)
		}
		return exec.Command(c.redisServer, file, "--sentinel")
	}, nil)
	p.ready = func(ctx context.Context) error { return redisPing(ctx, p.Addr) }
	return p
}

// follow makes p the one that servers replicate when they are started.
func (c *Cluster) follow(p *Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.master = p
}

func (c *Cluster) followed() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.master, c.Redis)
}

// RedisURL is Redis, or its sentinels, for who watches a run: with all rights.
func (c *Cluster) RedisURL() string {
	if len(c.Sentinels) == 0 {
		return "redis://" + c.Redis.Addr
	}
	url := "redis://" + c.Sentinels[0].Addr + "/0?master_name=" + MasterName
	for _, s := range c.Sentinels[1:] {
		url += "&addr=" + s.Addr
	}
	return url
}

// RedisDir is the folder with the append-only files of Redis, the first if there are
// several.
func (c *Cluster) RedisDir() string { return c.dirOf(c.Redis) }

func (c *Cluster) dirOf(p *Process) string { return filepath.Join(c.dir, p.Name) }

// RedisSay says one command, its words separated by spaces, to Redis and returns the
// answer: a bulk or simple string or an integer as its text, an array with each
// element on a line of its own. Redis' own errors are errors here. Of several it is
// the master that hears it, as the cluster last knew.
func (c *Cluster) RedisSay(ctx context.Context, command string) (string, error) {
	return redisSay(ctx, c.followed().Addr, command)
}

// Master is the Redis that all sentinels hold for the master and that is one. While
// they do not agree it is an error.
func (c *Cluster) Master(ctx context.Context) (*Process, error) {
	if len(c.Sentinels) == 0 {
		return c.Redis, nil
	}
	said := make([]string, len(c.Sentinels))
	errs := make([]error, len(c.Sentinels))
	var wg sync.WaitGroup
	for n, s := range c.Sentinels {
		wg.Go(func() { said[n], errs[n] = redisSay(ctx, s.Addr, "SENTINEL GET-MASTER-ADDR-BY-NAME "+MasterName) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	addr := strings.Replace(said[0], "\n", ":", 1)
	for _, other := range said[1:] {
		if other != said[0] {
			return nil, fmt.Errorf("sentinels do not agree: %q", said)
		}
	}
	for _, p := range c.Redises {
		if p.Addr != addr {
			continue
		}
		role, err := redisSay(ctx, addr, "ROLE")
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(role, "master\n") {
			return nil, fmt.Errorf("%s is to be the master, and is not yet", p.Name)
		}
		c.follow(p)
		return p, nil
	}
	return nil, fmt.Errorf("sentinels hold %s for the master, which is none of ours", addr)
}

// Failover asks a sentinel to make a replica the master while the master lives. It
// does not wait: see AwaitFailover.
func (c *Cluster) Failover(ctx context.Context) error {
	_, err := redisSay(ctx, c.Sentinels[0].Addr, "SENTINEL FAILOVER "+MasterName)
	return err
}

// AwaitFailover waits until another Redis than was is the master.
func (c *Cluster) AwaitFailover(ctx context.Context, was *Process) error {
	return c.await(ctx, "another master than "+was.Name, func() (bool, error) {
		now, err := c.Master(ctx)
		return err == nil && now != was, err
	})
}

// AwaitReplicas waits until all other servers follow the master and have what it had
// when they were asked.
func (c *Cluster) AwaitReplicas(ctx context.Context) error {
	var want int64
	return c.await(ctx, "the replicas have what the master has", func() (bool, error) {
		master, err := c.Master(ctx)
		if err != nil {
			return false, err
		}
		about, err := redisSay(ctx, master.Addr, "INFO replication")
		if err != nil {
			return false, err
		}
		offset, replicas := replication(about)
		if want == 0 {
			want = offset
		}
		if len(replicas) < c.opts.Replicas {
			return false, fmt.Errorf("%d replicas are online, and %d are wanted", len(replicas), c.opts.Replicas)
		}
		for _, has := range replicas {
			if has < want {
				return false, fmt.Errorf("a replica is %d bytes behind", want-has)
			}
		}
		return true, nil
	})
}

// replication reads the master's offset, and those of its replicas that are online,
// from INFO replication.
func replication(info string) (offset int64, replicas []int64) {
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "master_repl_offset":
			offset, _ = strconv.ParseInt(value, 10, 64)
		case strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online"):
			_, rest, _ := strings.Cut(value, "offset=")
			has, _, _ := strings.Cut(rest, ",")
			if n, err := strconv.ParseInt(has, 10, 64); err == nil {
				replicas = append(replicas, n)
			}
		}
	}
	return offset, replicas
}
