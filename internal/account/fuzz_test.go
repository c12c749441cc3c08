package account

import (
	"testing"
	"unicode/utf8"
)

// Whatever somebody chooses as a password, it is refused or prepared, and once prepared it is
// the same for ever.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{"", phrase, "correct horse battery staple", "ﬁne ﬁsh ﬂy for ﬁve", "\u00a0\u2003 x", "a\x00b", "\xff", "пароль из многих слов"} {
		f.Add("alice", s)
	}
	a := New(nil, nil, 15)
	f.Fuzz(func(t *testing.T, name, password string) {
		prepared, err := prepare(password)
		again, e := prepare(prepared)
		if err == nil && len(prepared) <= len(password) && (e != nil || again != prepared) {
			t.Errorf("%q is prepared as %q, and that as %q, %v", password, prepared, again, e)
		}
		if kept, err := a.checkNew(t.Context(), name, password); err == nil && (kept != prepared || utf8.RuneCountInString(kept) < a.least || utf8.RuneCountInString(kept) > maxPassword) {
			t.Errorf("%q is kept as %q", password, kept)
		}
	})
}
