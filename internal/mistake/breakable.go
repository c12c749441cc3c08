//go:build breakable

package mistake

import (
	"fmt"
	"os"
)

var name = os.Getenv("CHATD_BREAK")

var (
	NoDedupe     = name == "dedupe"
	NoGapCheck   = name == "gap-check"
	NoJoinBuffer = name == "join-buffer"
	FastShutdown = name == "shutdown"
)

func init() {
	if name == "" {
		return
	}
	if !NoDedupe && !NoGapCheck && !NoJoinBuffer && !FastShutdown {
		fmt.Fprintf(os.Stderr, "CHATD_BREAK=%q: no such mistake\n", name)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "THIS CHATD MAKES A MISTAKE ON PURPOSE: %s\n", name)
}
