package config

import (
	"fmt"
	"strings"
	"testing"
)

// Whatever an operator mistypes, the password is not printed, and what is accepted is
// printed in a form that is accepted.
func FuzzSettings(f *testing.F) {
	for _, s := range [][2]string{{"app", "10.0.0.1:6379/0"}, {"", "s1:26379/0?master_name=m&addr=s2:26379"}, {"a/b", "c#d"}, {"chatd:123/", "x"}, {"a?b", "%zz"}, {"x@y", ";password=z"}, {"#", ""}, {"?", "&"}, {"", "/%2fx"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, user, rest string) {
		const secret = "hunter2secret"
		if strings.Contains(user+rest, secret) {
			return
		}
		for _, url := range []string{"redis://" + user + ":" + secret + "@" + rest, "unix://" + user + ":" + secret + "@" + rest, "redis://" + user + "@" + rest + "?password=" + secret} {
			c, err := Load(nil, env("CHATD_REDIS_URL="+url))
			if said := fmt.Sprint(c, err); strings.Contains(said, secret) {
				t.Errorf("%q: %s", url, said)
			}
		}
		for _, name := range []string{"HOSTS", "ORIGINS", "PROXIES", "SECURITY_CONTACT", "ADDR", "INSTANCE", "DRAIN", "HISTORY"} {
			c, err := Load(nil, env("CHATD_"+name+"="+rest))
			if err != nil {
				continue
			}
			for _, s := range c.settings() {
				if strings.EqualFold(s.variable(), "CHATD_"+name) {
					if _, err := Load(nil, env("CHATD_"+name+"="+s.show())); err != nil {
						t.Errorf("CHATD_%s=%q is accepted as %q, which is not: %v", name, rest, s.show(), err)
					}
				}
			}
		}
	})
}
