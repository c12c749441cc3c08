package account

import (
	"fmt"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
	"golang.org/x/text/secure/precis"

	"chatd/internal/chat"
)

const (
	// maxPassword bounds a password, in characters. A phrase fits.
	maxPassword = 256
	// looked is how much of a password is looked at for patterns, whose search takes
	// time with the square of it.
	looked = 64
	// strong is the least of zxcvbn's scores, 0 to 4, that resists somebody who has
	// the hashes for a while (10^8 guesses).
	strong = 3
)

// prepare brings a password into the one form of RFC 8265's OpaqueString profile, so
// that it is the same from every keyboard. No character is refused that one can type.
func prepare(password string) (string, error) {
	if len(password) > maxPassword*utf8.UTFMax {
		return "", weak("This password is too long: %d characters at most.", maxPassword)
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		return "", weak("This password has characters that cannot be typed everywhere, or none at all.")
	}
	return prepared, nil
}

// checkNew prepares a password that is new. Length and what is easily guessed count,
// no mixture of characters does (NIST SP 800-63B-4, section 3.1.1.2).
func (a *Accounts) checkNew(name, password string) (string, error) {
	prepared, err := prepare(password)
	if err != nil {
		return "", err
	}
	runes := []rune(prepared)
	switch {
	case len(runes) < a.least:
		return "", weak("This password is too short: at least %d characters. A few words are easy to remember.", a.least)
	case len(runes) > maxPassword:
		return "", weak("This password is too long: %d characters at most.", maxPassword)
	case zxcvbn.PasswordStrength(string(runes[:min(len(runes), looked)]), []string{name, "chatd", "chat"}).Score < strong:
		return "", weak("This password is easy to guess: it is a common one, your name, or a pattern. A few words that do not belong together are hard to guess.")
	}
	return prepared, nil
}

func weak(format string, args ...any) *chat.Error {
	return &chat.Error{Code: CodeWeak, Message: fmt.Sprintf(format, args...)}
}
