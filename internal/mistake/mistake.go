//go:build !breakable

// Package mistake lets a build that is made for it, with the tag breakable, make
// one mistake on purpose, so that the drill can show that it would be found. In any
// other build all of this is constant, and gone.
package mistake

const (
	// NoDedupe forgets which keys were used: a repeat makes another event.
	NoDedupe = false
	// NoGapCheck gives out what the relay brings, and never looks into the feed.
	NoGapCheck = false
	// NoJoinBuffer loses what comes while a joining reader's history is read.
	NoJoinBuffer = false
	// FastShutdown ends on SIGTERM without asking anybody to move.
	FastShutdown = false
)
