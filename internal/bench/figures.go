package bench

import (
	"maps"
	"math"
	"slices"
	"time"
)

// A measure is one of the things that a load finds out.
type measure string

const (
	serverCPU measure = "server CPU" // µs for each of what the load counts, or, of idle sockets, seconds in all
	redisCPU  measure = "Redis CPU"  // likewise
	rate      measure = "a second"   // of what the load counts
	clients   measure = "clients' cores"
	perSocket measure = "KiB a socket"
	p50       measure = "p50" // of delays, in ms, as those below
	p95       measure = "p95"
	p99       measure = "p99"
	longest   measure = "longest"
	back      measure = "all back" // ms
	caughtUp  measure = "all caught up"
	lost      measure = "lost"
	doubled   measure = "doubled"
	trips     measure = "Redis round trips"
)

// Figures are what one load found out about one system.
type Figures map[measure]float64

// delays adds the quantiles of delays.
func (f Figures) delays(all []time.Duration) {
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		return ms(all[max(0, int(math.Ceil(q*float64(len(all))))-1)])
	}
	f[p50], f[p95], f[p99], f[longest] = at(0.5), at(0.95), at(0.99), at(1)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// each is a duration's part of n, in µs.
func each(d time.Duration, n int64) float64 {
	return float64(d) / float64(time.Microsecond) / float64(max(1, n))
}

// A subject is a load on a system.
type subject struct{ load, system string }

// A round is what was found out while all loads were put on all systems once.
type round map[subject]Figures

// A Spread is a measure over several rounds.
type Spread struct{ Median, Low, High float64 }

func spreadOf(values []float64) (s Spread, ok bool) {
	if len(values) == 0 {
		return Spread{}, false
	}
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return Spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}, true
}

// over is a measure of a subject over the rounds; ok is false if none has it.
func over(rounds []round, of subject, m measure) (Spread, bool) {
	var values []float64
	for _, r := range rounds {
		if v, ok := r[of][m]; ok {
			values = append(values, v)
		}
	}
	return spreadOf(values)
}

// ratio is a measure of one subject divided by that of another, each within a round.
func ratio(rounds []round, of, to subject, m measure) (Spread, bool) {
	var values []float64
	for _, r := range rounds {
		a, ok := r[of][m]
		b, also := r[to][m]
		if ok && also && b > 0 {
			values = append(values, a/b)
		}
	}
	return spreadOf(values)
}

func (r round) add(load, system string, f Figures) {
	of := subject{load, system}
	if r[of] == nil {
		r[of] = Figures{}
	}
	maps.Copy(r[of], f)
}
