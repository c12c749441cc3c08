// Command bench measures what chatd costs, beside a floor and two peers, and holds it
// against what is wanted.
//
//	bench                            all of it, three times: about a quarter of an hour
//	bench -quick                     a minute, to see whether something changed by much
//	bench -page docs/performance.md  and writes the figures into the page
//	bench -loads fan-out,idle        some of it
//
// It needs redis-server, haproxy, node and npm, and the registries for what of the
// peers is not there yet. Its exit status is 0 also where a bar is not met, and 1 if
// something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"chatd/internal/bench"
	"chatd/internal/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends the program, and all that it started, at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// floor is the hidden word that makes this program the floor.
const floor = "floor"

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 2 && args[0] == floor {
		return bench.Floor(ctx, args[1])
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "less of everything, once")
	rounds := flags.Int("rounds", 3, "`number` of times that all is measured, 1 to 100; 1 with -quick")
	loads := flags.String("loads", "", "comma separated `parts` of the names of loads; empty: all")
	peers := flags.Bool("peers", true, "measure Centrifugo and Socket.IO too")
	page := flags.String("page", "", "write the figures into this `file`; not with -quick, -loads or -profile")
	profile := flags.String("profile", "", "write profiles of chatd to this `folder`, for go tool pprof; figures are a little worse then, and no page is written")
	chatd := flags.String("chatd", "", "measure this chatd `program`; empty: build it")
	dir := flags.String("dir", "", "`folder` for logs and Redis's data, which are kept; empty: a temporary one, in memory where there is such")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *rounds < 1 || *rounds > 100 {
		return fmt.Errorf("-rounds %d: want 1 to 100", *rounds)
	}
	opts := bench.Options{Rounds: *rounds, Sizes: bench.Whole, Chatd: *chatd, Dir: *dir, Profile: *profile}
	if *quick {
		opts.Sizes, opts.Rounds = bench.Quick, 1
	}
	if *loads != "" {
		opts.Loads = strings.Split(*loads, ",")
	}
	if *quick || *loads != "" || *profile != "" {
		*page = "" // figures for the page are whole
	}
	begin := time.Now()
	opts.Report = func(text string) { fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(begin).Seconds(), text) }

	self, err := os.Executable()
	if err != nil {
		return err
	}
	opts.Floor = []string{self, floor}
	if *peers {
		if opts.Peers, err = bench.GetPeers(ctx, filepath.Dir(self), opts.Report); err != nil {
			return err
		}
	}
	if opts.Dir == "" {
		if opts.Dir, err = temporary(); err != nil {
			return err
		}
		defer os.RemoveAll(opts.Dir)
	}
	if opts.Chatd == "" {
		opts.Chatd = filepath.Join(opts.Dir, "chatd-built")
		opts.Report("building chatd")
		if err := cluster.Build(ctx, opts.Chatd, "-trimpath"); err != nil {
			return err
		}
	}
	result, err := bench.Run(ctx, opts)
	if err != nil {
		return err
	}
	if err := result.Table(out); err != nil {
		return err
	}
	failed := error(nil)
	if n := len(result.Failed); n > 0 {
		failed = fmt.Errorf("%d loads failed", n)
	}
	if *page == "" {
		return failed
	}
	was, err := os.ReadFile(*page)
	if err != nil {
		return err
	}
	is, err := result.Page(string(was))
	if err != nil {
		return fmt.Errorf("%s: %w", *page, err)
	}
	return errors.Join(failed, os.WriteFile(*page, []byte(is), 0o644))
}

// temporary makes a folder in memory where there is such, so that it is not the disk
// that is measured.
func temporary() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "bench-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "bench-")
}
