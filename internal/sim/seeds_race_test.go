//go:build race

package sim

// seeds are how many a plain test run plays; CHATD_SIM_SEEDS says otherwise. There
// is one goroutine at a time in a run, so the race detector costs much and finds
// nothing.
const seeds = 200
