package drill

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Login is one that somebody made on a system of theirs: a person's name, and what
// their browser's cookie jsessionid says.
type Login struct{ Name, Cookie string }

// ReadLogins reads one login from each line, name and cookie; empty lines and those
// that begin with # are none.
func ReadLogins(r io.Reader) ([]Login, error) {
	var all []Login
	known := map[string]bool{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
			continue
		case len(words) != 2: // not the line itself: it may hold a cookie
			return nil, fmt.Errorf("line %d: want a name and a cookie", n)
		case known[words[0]]:
			return nil, fmt.Errorf("line %d: %s is there already", n, words[0])
		}
		known[words[0]] = true
		all = append(all, Login{words[0], strings.TrimPrefix(words[1], cookieName+"=")})
	}
	return all, lines.Err()
}

const cookieName = "jsessionid"

func (l Login) into(jar http.CookieJar, at string) error {
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	jar.SetCookies(u, []*http.Cookie{{Name: cookieName, Value: l.Cookie, Path: "/"}})
	return nil
}
