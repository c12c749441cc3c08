package chatd_test

import (
	"os/exec"
	"strings"
	"testing"
)

// arrows are the imports within the project, as docs/design.md draws them. A new
// one is a decision: draw it there too.
var arrows = map[string]string{
	"chatd":                           "",
	"chatd/internal/chat":             "",
	"chatd/internal/account":          "audit chat throttle",
	"chatd/internal/audit":            "chat",
	"chatd/internal/chat/confusables": "",
	"chatd/internal/throttle":         "chat",
	"chatd/internal/config":           "",
	"chatd/internal/feed":             "chat",
	"chatd/internal/gate":             "audit chat throttle",
	"chatd/internal/oidc":             "chat",
	"chatd/internal/presence":         "chat",
	"chatd/internal/directory":        "audit chat throttle",
	"chatd/internal/session":          "chat",
	"chatd/internal/room":             "chat",
	"chatd/internal/socket":           "audit chat directory feed room session throttle",
	"chatd/internal/web":              "account audit chat gate oidc session socket throttle",
	"chatd/internal/client":           "chat",
	"chatd/internal/cluster":          "",
	"chatd/internal/judge":            "",
	"chatd/internal/drill":            "chat client cluster judge",
	"chatd/internal/bench":            "cluster",
	"chatd/internal/chattest":         "",
	"chatd/internal/sim":              "",
	"chatd/cmd/chatd":                 "account audit chatd chat config directory feed gate oidc presence room session socket web",
	"chatd/cmd/up":                    "cluster",
	"chatd/cmd/drill":                 "cluster drill",
	"chatd/cmd/bench":                 "bench cluster",
}

// homes are the packages that may import a technology.
var homes = map[string]string{
	"github.com/labstack/echo/v4":                             "web",
	"github.com/coder/websocket":                              "socket client",
	"github.com/gorilla/sessions":                             "session",
	"github.com/rbcervilla/redisstore/v9":                     "session",
	"github.com/redis/go-redis/v9":                            "account audit throttle feed gate presence directory session chattest cmd/chatd",
	"github.com/Shopify/toxiproxy/v2":                         "drill",
	"github.com/alicebob/miniredis/v2":                        "chattest cmd/chatd",
	"golang.org/x/text/secure/precis":                         "account chat chat/confusables",
	"github.com/alexedwards/argon2id":                         "account",
	"github.com/ccojocar/zxcvbn-go":                           "account",
	"github.com/coreos/go-oidc/v3/oidc":                       "oidc",
	"golang.org/x/oauth2":                                     "oidc",
	"github.com/prometheus/client_golang/prometheus/promhttp": "cmd/chatd",
}

func TestImportsFollowTheArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		pkg, imports := imports[0], imports[1:]
		allowed, drawn := arrows[pkg]
		if !drawn {
			t.Errorf("%s is in no picture: draw it in docs/design.md and here", pkg)
		}
		for _, imp := range imports {
			if home, ok := homes[imp]; ok && !has(home, short(pkg)) {
				t.Errorf("%s imports %s, whose home is %s", pkg, imp, home)
			}
			if strings.HasPrefix(imp, "chatd") && !has(allowed, short(imp)) {
				t.Errorf("%s imports %s, against the arrows", pkg, imp)
			}
		}
	}
}

func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "chatd/"), "internal/")
}

func has(list, name string) bool {
	for _, n := range strings.Fields(list) {
		if n == name {
			return true
		}
	}
	return false
}
