package session

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// Whatever comes as a cookie, what is taken for an id has the shape of one, and can be part
// of a key in Redis.
func FuzzCookie(f *testing.F) {
	good := base64.RawURLEncoding.EncodeToString(make([]byte, loginBytes)) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, secretBytes))
	for _, s := range []string{"jsessionid=" + good, "jsessionid=" + good + "; jsessionid=" + good, "jsessionid=\"" + good + "\"", "a=b; jsessionid=" + good + " ;", "jsessionid=*.*", "jsessionid={x}.y", "JSESSIONID=" + good} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Header: http.Header{"Cookie": {header}}}
		login, _, ok := id(r)
		if !ok {
			return
		}
		if b, err := base64.RawURLEncoding.DecodeString(login); err != nil || len(b) != loginBytes || strings.ContainsAny(login, "{}:*\r\n ") || strings.Count(header, CookieName+"=") < 1 {
			t.Errorf("%q is the login %q", header, login)
		}
	})
}
