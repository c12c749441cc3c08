// Package cluster runs a real chatd cluster on loopback: redis-server with its
// append-only file, N instances, and HAProxy with the project's own configuration.
// `make up`, the integration tests and the drill use it to start, pause, kill and
// replace each of them.
//
//	c, err := cluster.Start(ctx, cluster.Options{Dir: dir, Chatd: "bin/chatd", Instances: 3})
//	defer c.Close()
//	c.Instances()[0].Kill()         // kill -9
//	c.Instances()[0].Start(ctx)
//	added, err := c.Add(ctx)        // takes a spare slot of HAProxy
//	err = c.Remove(ctx, added)
//
// What it starts ends with it, also when this program is killed. It never restarts
// anything by itself, and it makes no requests but those that find out whether a
// process is ready.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Slots is how many instances haproxy.cfg has room for.
const Slots = 16

// Options say what to start. The zero value of a field without "required" is fine.
type Options struct {
	Dir       string // required: logs, sockets and Redis's data; made where missing. A short path: sockets lie in it
	Chatd     string // required: the program, see Build
	Instances int    // 1 to Slots; 0 means 3
	Addr      string // host:port of HAProxy; "" or port 0 takes a free one

	// Env are further variables of the instances ("CHATD_DRAIN=5s"). The cluster sets
	// addresses, name and Redis itself; no CHATD_ variable of this process gets through.
	Env []string

	// Replicas are the servers that follow Redis, 0 to 4. With any there are three sentinels
	// too, through which the instances find the master; RedisAddr is not asked then.
	Replicas int
	// RedisArgs are further arguments of each redis-server ("--min-replicas-to-write", "1").
	RedisArgs []string

	// RedisAddr is asked once per instance for the host:port at which it reaches Redis,
	// which is at real: a proxy that makes faults, say. nil, or "" for an answer: at real.
	RedisAddr func(instance, real string) string

	// FrontAddr is asked, as often as HAProxy is told, for the host:port at which HAProxy
	// reaches an instance, which is at real. nil, or "" for an answer: at real.
	FrontAddr func(instance, real string) string

	// Died hears of a process that ended though nobody asked it to. It is called on a
	// goroutine of that process and must not block.
	Died func(p *Process, how error)
}

// Instance is one chatd.
type Instance struct {
	*Process
	Admin string // host:port of its /metrics
	slot  int    // 1 to Slots
}

// URL is where the instance answers, past HAProxy.
func (i *Instance) URL() string { return "http://" + i.Addr }

// Cluster is what Start started.
type Cluster struct {
	Redis     *Process   // the first of Redises
	Redises   []*Process // with replicas the master may be any: see Master
	Sentinels []*Process // none without replicas
	HAProxy   *Process

	opts   Options
	dir    string // absolute
	config string // haproxy.cfg
	users  string // redis/users.acl
	secret string // of chatd in Redis
	lock   *os.File

	redisServer, haproxy string // the programs' paths

	mu        sync.Mutex
	instances []*Instance // by slot
	master    *Process    // of Redises, as far as known
}

// ErrTaken says that something else listens on Options.Addr.
var ErrTaken = errors.New("address taken")

// Start starts Redis, the instances and HAProxy, in this order, and waits until all
// serve or ctx ends. On an error nothing is left running.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Instances == 0 {
		opts.Instances = 3
	}
	if opts.Instances < 1 || opts.Instances > Slots {
		return nil, fmt.Errorf("%d instances: want 1 to %d", opts.Instances, Slots)
	}
	if opts.Replicas < 0 || opts.Replicas > 4 {
		return nil, fmt.Errorf("%d replicas: want 0 to 4", opts.Replicas)
	}
	root, err := Root()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return nil, err
	}
	c := &Cluster{opts: opts, dir: dir, config: filepath.Join(root, "haproxy", "haproxy.cfg"), users: filepath.Join(root, "redis", "users.acl"), secret: rand.Text()}
	if err := c.start(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.lockDir(); err != nil {
		return err
	}
	// What is missing or taken is said before anything is started.
	var missing []error
	for program, path := range map[string]*string{"redis-server": &c.redisServer, "haproxy": &c.haproxy} {
		var err error
		*path, err = find(program)
		missing = append(missing, err)
	}
	if err := errors.Join(missing...); err != nil {
		return err
	}
	if c.fixedAddr() {
		if err := available(c.opts.Addr); err != nil {
			return fmt.Errorf("%w: %w", ErrTaken, err)
		}
	}
	if err := c.startRedis(ctx); err != nil {
		return err
	}
	errs := make(chan error, c.opts.Instances)
	for slot := 1; slot <= c.opts.Instances; slot++ {
		i := c.newInstance(slot)
		c.instances = append(c.instances, i)
		go func() { errs <- c.startOnFreePorts(ctx, i.Process, &i.Addr, &i.Admin) }()
	}
	var failed []error
	for range c.opts.Instances {
		failed = append(failed, <-errs)
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return c.startHAProxy(ctx)
}

func (c *Cluster) newInstance(slot int) *Instance {
	i := &Instance{slot: slot}
	name, redis := fmt.Sprintf("chatd-%d", slot), c.chatdsURL()
	if c.opts.RedisAddr != nil && c.opts.Replicas == 0 {
		if addr := c.opts.RedisAddr(name, c.Redis.Addr); addr != "" {
			redis = c.chatdsLogin(addr)
		}
	}
	i.Process = c.newProcess(name, func() *exec.Cmd {
		cmd := exec.Command(c.opts.Chatd)
		cmd.Env = append(foreignEnv(), c.opts.Env...)
		cmd.Env = append(cmd.Env, "CHATD_ADDR="+i.Addr, "CHATD_ADMIN_ADDR="+i.Admin,
			"CHATD_INSTANCE="+i.Name, "CHATD_REDIS_URL="+redis)
		return cmd
	}, func(ctx context.Context) error { return getOK(ctx, i.URL()+"/readyz") })
	return i
}

// foreignEnv is the environment without what would configure chatd.
func foreignEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CHATD_") })
}

func (c *Cluster) newProcess(name string, command func() *exec.Cmd, ready func(context.Context) error) *Process {
	return &Process{Name: name, Log: filepath.Join(c.dir, "log", name+".log"), command: command, ready: ready, died: c.opts.Died}
}

// startOnFreePorts gives each addr a free port and starts p; where somebody else
// was faster to a port, again with others.
func (c *Cluster) startOnFreePorts(ctx context.Context, p *Process, addrs ...*string) error {
	for try := 1; ; try++ {
		for _, addr := range addrs {
			free, err := FreeAddr()
			if err != nil {
				return err
			}
			*addr = free
		}
		err := p.Start(ctx)
		if err == nil || try == 3 || !strings.Contains(strings.ToLower(err.Error()), "address already in use") {
			return err
		}
	}
}

// frontAddr is where HAProxy reaches the instance.
func (c *Cluster) frontAddr(i *Instance) string {
	if c.opts.FrontAddr != nil {
		if addr := c.opts.FrontAddr(i.Name, i.Addr); addr != "" {
			return addr
		}
	}
	return i.Addr
}

// URL is where people connect: HAProxy.
func (c *Cluster) URL() string { return "http://" + c.HAProxy.Addr }

// Instances are those there are now, by name; those that were killed too, those that
// were removed not.
func (c *Cluster) Instances() []*Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.instances)
}

// Processes are all there are now, HAProxy first, Redis and its sentinels last.
func (c *Cluster) Processes() []*Process {
	var all []*Process
	if c.HAProxy != nil {
		all = append(all, c.HAProxy)
	}
	for _, i := range c.Instances() {
		all = append(all, i.Process)
	}
	return slices.Concat(all, c.Sentinels, c.Redises)
}

// Add starts one more instance and gives it to HAProxy, in the first free slot. It
// returns once HAProxy has found it well.
func (c *Cluster) Add(ctx context.Context) (*Instance, error) {
	c.mu.Lock()
	slot := 1
	for slot <= len(c.instances) && c.instances[slot-1].slot == slot {
		slot++
	}
	if slot > Slots {
		c.mu.Unlock()
		return nil, fmt.Errorf("all %d slots of HAProxy are taken", Slots)
	}
	i := c.newInstance(slot)
	c.instances = slices.Insert(c.instances, slot-1, i)
	c.mu.Unlock()

	err := c.startOnFreePorts(ctx, i.Process, &i.Addr, &i.Admin)
	if err == nil {
		err = c.enableSlot(ctx, i)
	}
	if err != nil {
		i.close()
		c.forget(i)
		return nil, err
	}
	return i, nil
}

// Remove lets an instance drain, waits until it has ended or ctx ends, and frees its
// slot.
func (c *Cluster) Remove(ctx context.Context, i *Instance) error {
	// In this order: while it drains HAProxy must know it, or its sockets would be cut.
	i.Term()
	if err := i.Wait(ctx); err != nil {
		return err
	}
	i.close()
	c.forget(i)
	return c.disableSlot(ctx, i)
}

func (c *Cluster) forget(gone *Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instances = slices.DeleteFunc(c.instances, func(i *Instance) bool { return i == gone })
}

// Shutdown ends everything as an operator would: the instances drain, all at once,
// then HAProxy and Redis stop. What has not ended when ctx does is killed; the error
// names it. The cluster is closed then.
func (c *Cluster) Shutdown(ctx context.Context) error {
	defer c.Close()
	var late []error
	stop := func(processes ...*Process) {
		for _, p := range processes {
			p.Term()
		}
		for _, p := range processes {
			late = append(late, p.Wait(ctx))
		}
	}
	var instances []*Process
	for _, i := range c.Instances() {
		instances = append(instances, i.Process)
	}
	stop(instances...)
	stop(c.HAProxy)
	stop(c.Sentinels...)
	stop(c.Redises...)
	return errors.Join(late...)
}

// Close kills everything at once and waits until it is gone. Redis's data and the logs
// stay. Close may be called twice.
func (c *Cluster) Close() {
	for _, p := range c.Processes() {
		p.close()
	}
	if c.lock != nil {
		c.lock.Close()
	}
}

// lockDir keeps a second cluster off the folder: two Redis servers would write one file.
func (c *Cluster) lockDir() error {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	c.lock = f
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another cluster runs in %s", c.dir)
	}
	return nil
}

// find looks where Debian puts servers too, which is not in everybody's PATH.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", program)); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is not installed (apt-get install %s)", program, program)
}

// Root is the repository's folder: this one, or the next above with chatd's go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module chatd\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("not inside chatd's repository")
		}
		dir = up
	}
}

// Build builds chatd into the file out, with further arguments for go build.
func Build(ctx context.Context, out string, args ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	out, err = filepath.Abs(out)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", out}, args, []string{"./cmd/chatd"})...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build chatd: %w\n%s", err, text)
	}
	return nil
}

// looker asks for health, each time over a new connection: one kept open could be
// to an instance that is gone.
var looker = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func getOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := looker.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", url, resp.Status)
	}
	return nil
}
