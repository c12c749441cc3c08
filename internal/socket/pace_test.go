package socket

import (
	"net/netip"
	"testing"
	"time"
)

// Who left is forgotten, but not before they would be as fast as anybody new.
func TestWhoLeftIsForgottenOnceTheyHaveRested(t *testing.T) {
	s := NewServer(Options{Admit: 1, SendRate: 50})
	defer s.Close()
	near := func(text string) netip.Prefix { return netip.MustParsePrefix(text) }
	for _, user := range []string{"here", "rested", "hasty"} {
		s.pace[user] = newPace(50)
	}
	s.pace["here"].conns[&conn{}] = true
	s.pace["hasty"].deeds.AllowN(time.Now(), 100)
	for _, text := range []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"} {
		s.near[near(text)] = newNearby()
	}
	s.near[near("192.0.2.1/32")].conns++
	s.near[near("192.0.2.3/32")].notes.AllowN(time.Now(), 100)
	s.forgetRested()
	if len(s.pace) != 2 || s.pace["rested"] != nil {
		t.Errorf("of three people %v are known", s.pace)
	}
	if len(s.near) != 2 || s.near[near("192.0.2.2/32")] != nil {
		t.Errorf("of three addresses %v are known", s.near)
	}
}
