package audit

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever strangers typed, a line of the log is one line of plain text; and what names
// no line is known before Redis is asked.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "alice", "a\nb\x1b[31m", "\u202eevil", "\xff\x00", strings.Repeat("ä", 300), "1763712000123-0", "-1", "+", "+1-0", "1-1-1", "$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := plain(s)
		if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) || utf8.RuneCountInString(shown) > 10*maxText+1 {
			t.Errorf("%q is shown as %q", s, shown)
		}
		if _, ok := at(s); ok && strings.Trim(s, "0123456789-") != "" {
			t.Errorf("%q is a line", s)
		}
	})
}
