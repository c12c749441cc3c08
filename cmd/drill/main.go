// Command drill makes things fail under people who chat, and counts what became of
// their messages. Without -url it starts a whole system of its own: Redis, instances
// and HAProxy on free ports of loopback.
//
//	drill                        the standard plan
//	drill -plan kill,redis       two faults of it
//	drill -random 10m            mixtures of two faults, by chance
//	drill -url URL -minutes 10   people on a system that runs already; no faults of its own
//	drill judge FILE             judges a history once more
//
// Its exit status is 0 only if every promise held, 1 if one was broken, and 2 if it
// could not be found out.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"chatd/internal/cluster"
	"chatd/internal/drill"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends the program, and all that it started, at once
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case err == nil:
	case errors.Is(err, errBroken):
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "drill:", err)
		os.Exit(2)
	}
}

// errBroken says that a promise was broken, which was said already.
var errBroken = errors.New("a promise was broken")

func run(ctx context.Context, args []string, out *os.File) error {
	if len(args) > 0 && args[0] == "judge" {
		return judgeFile(args[1:], out)
	}
	flags := flag.NewFlagSet("drill", flag.ContinueOnError)
	plan := flags.String("plan", "", "comma separated `faults`, in this order; empty: the standard plan")
	list := flags.Bool("list", false, "name the faults and stop")
	seed := flags.Uint64("seed", 0, "`number` that decides who says what when, and the mixtures; 0: by chance")
	people := flags.Int("people", 60, "`number` of people on each fault, 4 to 5000")
	rooms := flags.Int("rooms", 0, "`number` of rooms they are in, two each; 0: one for ten people")
	pace := flags.Duration("pace", time.Second, "between two messages of one person, on average")
	instances := flags.Int("instances", 3, fmt.Sprintf("`number` of instances, 3 to %d", cluster.Slots-2))
	random := flags.Duration("random", 0, "then random mixtures of faults, for so long")
	history := flags.String("history", "", "write all that happened to this `file`, for drill judge")
	breaks := flags.String("break", "", "build a chatd that makes this `mistake` on purpose; the drill must find it")
	url := flags.String("url", "", "put people on the system at this `URL`, which is your own, instead of starting one; no faults but yours")
	loginsFrom := flags.String("logins", "", "with -url, where guests are not allowed: the `file` with a name and a cookie jsessionid in each line")
	minutes := flags.Float64("minutes", 5, "with -url: `number` of minutes, 0.1 to 1440")
	command := flags.String("exec", "", "with -url: a shell `command` that is the fault, run after a quarter of the time")
	browsers := flags.Int("browsers", 0, "`number` of headless Chromiums among the people, 0 to 10; needs node, chromium and npm ci")
	report := flags.String("report", "", "write a page to look at to this `file`")
	asJSON := flags.String("json", "", "write the result to this `file`, for programs")
	chatd := flags.String("chatd", "", "drill this chatd `program`; empty: build it")
	dir := flags.String("dir", "", "`folder` for logs and Redis's data, which are kept; empty: a temporary one, kept if a promise broke")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *list {
		return listFaults(out)
	}
	if *people < 4 || *people > 5000 {
		return fmt.Errorf("-people %d: want 4 to 5000", *people)
	}
	if *instances < 3 || *instances > cluster.Slots-2 {
		return fmt.Errorf("-instances %d: want 3 to %d", *instances, cluster.Slots-2)
	}
	if *pace < 10*time.Millisecond {
		return fmt.Errorf("-pace %v: want 10ms or more", *pace)
	}
	var script string
	if *browsers < 0 || *browsers > 10 {
		return fmt.Errorf("-browsers %d: want 0 to 10", *browsers)
	} else if *browsers > 0 {
		root, err := cluster.Root()
		if err != nil {
			return err
		}
		script = filepath.Join(root, "cmd", "drill", "browsers.js")
	}
	if *minutes < 0.1 || *minutes > 1440 {
		return fmt.Errorf("-minutes %v: want 0.1 to 1440", *minutes)
	}
	var logins []drill.Login
	switch {
	case *url == "" && *loginsFrom != "":
		return errors.New("-logins is for -url: guests are allowed on a system started here")
	case *loginsFrom != "" && *browsers > 0:
		return errors.New("-logins and -browsers: browsers log in as guests")
	case *loginsFrom != "":
		f, err := os.Open(*loginsFrom)
		if err != nil {
			return err
		}
		defer f.Close()
		if logins, err = drill.ReadLogins(f); err != nil {
			return fmt.Errorf("-logins %s: %w", *loginsFrom, err)
		}
		if len(logins) < *people {
			return fmt.Errorf("-logins %s: %d logins, and -people is %d", *loginsFrom, len(logins), *people)
		}
	}
	switch {
	case *url == "" && *command != "":
		return errors.New("-exec is for -url: the faults of a system started here are its own")
	case *url != "" && (*plan != "" || *random > 0 || *breaks != "" || *chatd != "" || *dir != ""):
		return errors.New("-url is a system that runs already: no -plan, -random, -break, -chatd or -dir")
	}
	if *rooms == 0 {
		*rooms = max(2, *people/10)
	}
	if *rooms < 1 || *rooms > *people/2 {
		return fmt.Errorf("-rooms %d: want 1 to half as many as people", *rooms)
	}
	if *seed == 0 {
		*seed = rand.Uint64N(1_000_000) + 1
	}
	faults := drill.Standard()
	var mistake *drill.Mistake
	if *breaks != "" {
		i := slices.IndexFunc(drill.Mistakes, func(m drill.Mistake) bool { return m.Name == *breaks })
		if i < 0 {
			return fmt.Errorf("-break %s: no such mistake; -list names them", *breaks)
		}
		if *chatd != "" {
			return errors.New("-break and -chatd: a mistake needs a build of its own")
		}
		mistake = &drill.Mistakes[i]
		*plan = cmp.Or(*plan, strings.Join(mistake.Faults, ","))
	}
	switch {
	case *plan != "":
		var err error
		if faults, err = drill.Find(strings.Split(*plan, ",")); err != nil {
			return err
		}
	case *random > 0:
		faults = nil
	}

	var file *os.File
	if *history != "" {
		var err error
		if file, err = os.Create(*history); err != nil {
			return err
		}
		defer file.Close()
	}
	p := newProgress(out)
	opts := drill.Options{
		Faults: faults, Random: *random, Seed: *seed, People: *people, Rooms: *rooms, Pace: *pace, Logins: logins, Instances: *instances,
		Dir: *dir, Chatd: *chatd, Browsers: *browsers, Script: script, Progress: p.say, Row: p.row,
	}
	if file != nil {
		opts.History = file
	}
	var result *drill.Result
	var err error
	if *url != "" {
		result, err = drill.Watch(ctx, opts, *url, time.Duration(*minutes*float64(time.Minute)), *command)
	} else {
		result, err = start(ctx, &opts, mistake)
	}
	p.done()
	if err != nil {
		return err
	}
	if file != nil {
		if err := file.Close(); err != nil {
			return err
		}
	}
	if err := result.Table(out); err != nil {
		return err
	}
	if err := writeFile(*report, result.HTML); err != nil {
		return err
	}
	if err := writeFile(*asJSON, result.JSON); err != nil {
		return err
	}
	if !result.Held() {
		if opts.Dir != "" {
			fmt.Fprintf(out, "Logs: %s\n", opts.Dir)
		}
		return errBroken
	}
	if *dir == "" && opts.Dir != "" {
		return os.RemoveAll(opts.Dir)
	}
	return nil
}

// start runs the drill on a system of its own, in a temporary folder and on a chatd
// that it builds, if opts name none: one that makes the mistake, if it is not nil.
func start(ctx context.Context, opts *drill.Options, mistake *drill.Mistake) (*drill.Result, error) {
	if opts.Dir == "" {
		var err error
		if opts.Dir, err = os.MkdirTemp("", "drill-"); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, err
	}
	if opts.Chatd == "" {
		opts.Chatd = filepath.Join(opts.Dir, "chatd")
		opts.Progress("building chatd")
		if err := mistake.Build(ctx, opts.Chatd); err != nil {
			return nil, err
		}
	}
	return drill.Run(ctx, *opts)
}

// writeFile does nothing if there is no name.
func writeFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func listFaults(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, f := range drill.Standard() {
		fmt.Fprintf(table, "%s\t%s\n", f.Name, f.What)
	}
	fmt.Fprintln(table, "\nmistakes, for -break:")
	for _, m := range drill.Mistakes {
		fmt.Fprintf(table, "%s\t%s\n", m.Name, m.What)
	}
	return table.Flush()
}

func judgeFile(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: drill judge FILE")
	}
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	acts, err := drill.Judge(file)
	if err != nil {
		return err
	}
	broken := false
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "fault\tsent\tconfirmed\tshown\tresumed\tnever answered\tfaults")
	for _, a := range acts {
		r := a.Report
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", a.Act, r.Sent, r.Confirmed, r.Shown, r.Recovered, r.Unknown, len(r.Faults))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, a := range acts {
		for _, f := range a.Report.Faults {
			broken = true
			fmt.Fprintf(out, "%s: %s %s\n", a.Act, f.At.Format("15:04:05.000"), f)
		}
	}
	if broken {
		return errBroken
	}
	return nil
}
