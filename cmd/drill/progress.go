package main

import (
	"fmt"
	"os"
	"strings"

	"chatd/internal/drill"
)

// progress says what happens now: in place on a terminal, line by line elsewhere.
type progress struct {
	out     *os.File
	inPlace bool
}

func newProgress(out *os.File) *progress {
	info, err := out.Stat()
	return &progress{out, err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

const eraseLine = "\r\x1b[K"

func (p *progress) say(line string) {
	if p.inPlace {
		const width = 100 // a longer line would wrap, and could not be erased
		if runes := []rune(line); len(runes) > width {
			line = string(runes[:width-1]) + "…"
		}
		fmt.Fprint(p.out, eraseLine+line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// row says how an act ended, for good.
func (p *progress) row(r drill.Row) {
	line := fmt.Sprintf("%-8s held: %d confirmed, at most %s without a socket, caught up in %s",
		r.Name, r.Confirmed, drill.Short(r.OfflineLongest), drill.Short(r.CaughtUp))
	if !r.Held() {
		line = fmt.Sprintf("%-8s BROKEN: %s", r.Name, strings.Join(r.Broken, "; "))
	}
	p.done()
	fmt.Fprintln(p.out, line)
}

// done leaves the line to others.
func (p *progress) done() {
	if p.inPlace {
		fmt.Fprint(p.out, eraseLine)
	}
}
