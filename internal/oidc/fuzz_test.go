package oidc

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Whatever a provider signs, somebody comes out of it who has a subject and whose token was
// made for this attempt and this client, or nobody.
func FuzzPerson(f *testing.F) {
	const issuer = "https://login.example"
	p, a := New(Options{Issuer: issuer, ClientID: "chat"}), NewAttempt(Confirm)
	f.Cleanup(p.Close)
	verifier := oidc.NewVerifier(issuer, nil, &oidc.Config{ClientID: "chat", InsecureSkipSignatureCheck: true, SkipExpiryCheck: true})
	for _, claims := range []string{
		`{"iss":"https://login.example","aud":"chat","sub":"1","nonce":"NONCE","preferred_username":"alice@example.org"}`,
		`{"iss":"https://login.example","aud":["chat","x"],"azp":"chat","sub":"1","nonce":"NONCE","auth_time":1e99}`,
		`{"iss":"https://login.example","aud":["chat","x"],"sub":"1","nonce":"NONCE","nickname":"\u202e"}`,
		`{"iss":"https://login.example","aud":"chat","sub":7,"nonce":null}`,
		`[]`,
	} {
		f.Add(claims)
	}
	enc := base64.RawURLEncoding
	f.Fuzz(func(t *testing.T, claims string) {
		raw := enc.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + enc.EncodeToString([]byte(strings.ReplaceAll(claims, "NONCE", a.nonce()))) + ".x"
		id, err := verifier.Verify(t.Context(), raw)
		if err != nil {
			return
		}
		who, err := p.person(a, id)
		if err != nil {
			return
		}
		if who.Issuer != issuer || who.Subject == "" || len(who.Subject) > maxSubject || len(who.Name) > maxName || id.Nonce != a.nonce() || !slices.Contains(id.Audience, "chat") {
			t.Errorf("%s is %+v", claims, who)
		}
	})
}
