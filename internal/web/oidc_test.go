package web

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"chatd/internal/oidc"
)

// elsewhere stands in for a provider that knows nobody.
type elsewhere struct{}

func (elsewhere) Begin(context.Context, oidc.Attempt) (string, error) {
	return "https://login.example/authorize?x", nil
}
func (elsewhere) Check(oidc.Attempt, url.Values) error { return oidc.ErrStale }
func (elsewhere) Redeem(context.Context, oidc.Attempt, url.Values) (oidc.Person, error) {
	return oidc.Person{}, oidc.ErrStale
}

func TestTheCookieOfAnAttempt(t *testing.T) {
	for public, want := range map[string]http.Cookie{
		"https://chat.example": {Name: "__Host-oidc", Secure: true},
		"http://chat.example":  {Name: "oidc"},
	} {
		s, _ := newServer(t)
		s.PublicURL, s.Provider = public, elsewhere{}
		w := do(s, "GET", "/login/oidc")
		cookies := w.Result().Cookies()
		if w.Code != 303 || w.Header().Get("Location") != "https://login.example/authorize?x" || len(cookies) != 1 {
			t.Fatalf("%s: %d %v", public, w.Code, w.Header())
		}
		got := cookies[0]
		if got.Name != want.Name || got.Secure != want.Secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Path != "/" || got.Domain != "" || got.MaxAge != 600 {
			t.Errorf("%s: %v", public, got)
		}
		if attempt, ok := oidc.ParseAttempt(got.Value); !ok || attempt.Kind != oidc.Login {
			t.Errorf("%s: kept is %q", public, got.Value)
		}
		// One without the prefix is nobody's behind TLS: a page of another host may have put it there.
		if w := do(s, "GET", ReturnPath, "Cookie: oidc="+got.Value); w.Code != 401 {
			t.Errorf("%s: %d", public, w.Code)
		}
	}
}

func TestWithoutAProviderThereIsNoWayThere(t *testing.T) {
	s, _ := newServer(t)
	for _, path := range []string{"/login/oidc", ReturnPath, "/login/oidc/name"} {
		if w := do(s, "GET", path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := do(s, "POST", "/login/oidc/name"); w.Code != 404 {
		t.Errorf("choosing a name: %d", w.Code)
	}
}
