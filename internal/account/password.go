package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go/match"
	"github.com/ccojocar/zxcvbn-go/matching"
	"github.com/ccojocar/zxcvbn-go/scoring"
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
// no mixture of characters does (NIST SP 800-63B-4, section 3.1.1.2). That takes up to
// some 30 ms of a core, and its turn among those that hash.
func (a *Accounts) checkNew(ctx context.Context, name, password string) (string, error) {
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
	}
	var score int
	if err := a.hashing(ctx, func() error {
		score = strength(string(runes[:min(len(runes), looked)]), name, "chatd", "chat")
		return nil
	}); err != nil {
		return "", err
	}
	if score < strong {
		return "", weak("This password is easy to guess: it is a common one, your name, or a pattern. A few words that do not belong together are hard to guess.")
	}
	return prepared, nil
}

// readings are what digits and signs stand for in words that are written with them.
var readings = []*strings.Replacer{reading("1i", "|i", "7t"), reading("1l", "|l", "7l")}

func reading(own ...string) *strings.Replacer {
	var pairs []string
	for _, pair := range append(own, "4a", "@a", "8b", "(c", "{c", "[c", "<c", "3e", "6g", "9g", "!i", "0o", "$s", "5s", "+t", "%x", "2z") {
		pairs = append(pairs, pair[:1], pair[1:])
	}
	return strings.NewReplacer(pairs...)
}

// strength is zxcvbn's score, 0 to 4. Its own way with p4ssw0rds tries each combination
// of what the signs could stand for, thousands of them: seconds, for whoever asks. Here
// all signs are read in two ways.
func strength(password string, known ...string) int {
	found := matching.Omnimatch(password, known, matching.FilterL33tMatcher)
	for _, reading := range readings {
		if read := reading.Replace(password); read != password {
			words := matching.Omnimatch(read, known, matching.FilterL33tMatcher)
			found = append(found, slices.DeleteFunc(words, func(m match.Match) bool { return m.Pattern != "dictionary" })...)
		}
	}
	return scoring.MinimumEntropyMatchSequence(password, found).Score
}

func weak(format string, args ...any) *chat.Error {
	return &chat.Error{Code: CodeWeak, Message: fmt.Sprintf(format, args...)}
}
