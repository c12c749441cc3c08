package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestWrongArgumentsAreSaidBeforeAnythingStarts(t *testing.T) {
	for args, want := range map[string]string{
		"-rounds 0":   "want 1 to 100",
		"-rounds 101": "want 1 to 100",
		"-no":         "not defined",
		"all":         `unexpected argument "all"`,
	} {
		err := run(context.Background(), strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("bench %s: got %v, want %q", args, err, want)
		}
	}
}
