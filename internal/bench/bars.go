package bench

import "fmt"

// A Bar is what is wanted of chatd, and what was found.
type Bar struct {
	What, Bar, Measured string
	Verdict             string // yes, no, or "" where it was not measured
}

// Bars are all that is wanted of what Run measures, met or not. Whether one is met is
// decided by the median, and by the worst round for what must not happen at all.
func (r *Result) Bars() []Bar {
	chatd := func(load string) subject { return subject{load, chatdName} }
	peer := func(load string) subject { return subject{load, centrifugoName} }
	var bars []Bar
	add := func(what, bar string, s Spread, ok bool, times string, met bool) {
		b := Bar{What: what, Bar: bar}
		if ok {
			b.Measured, b.Verdict = s.String()+times, map[bool]string{true: "yes", false: "no"}[met]
		}
		bars = append(bars, b)
	}
	atMost := func(what, bar, unit string, limit float64, of subject, m measure) {
		s, ok := over(r.rounds, of, m)
		add(what, bar, s, ok, unit, s.Median <= limit)
	}
	atLeast := func(what, bar, unit string, limit float64, of subject, m measure) {
		s, ok := over(r.rounds, of, m)
		add(what, bar, s, ok, unit, s.Median >= limit)
	}
	times := func(what string, limit float64, to string, of, than subject, m measure) {
		s, ok := ratio(r.rounds, of, than, m)
		add(what, fmt.Sprintf("≤ %v × %s", limit, to), s, ok, " ×", s.Median <= limit)
	}

	const cpuEach = "server CPU a delivery"
	times(fanOut+": "+cpuEach, 1.3, "the floor", chatd(fanOut), subject{fanOut, floorName}, serverCPU)
	times(fanOut+": "+cpuEach, 0.75, centrifugoName, chatd(fanOut), peer(fanOut), serverCPU)
	times(fanOutTwo+": "+cpuEach, 1.15, "one instance", chatd(fanOutTwo), chatd(fanOut), serverCPU)
	times(fanOut+": p99 of delays", 1, centrifugoName, chatd(fanOut), peer(fanOut), p99)
	s, ok := ratio(r.rounds, chatd(saturated), peer(saturated), rate)
	add(saturated+": deliveries a second", "≥ 2 × "+centrifugoName, s, ok, " ×", s.Median >= 2)
	atMost(idle+": memory", "≤ 12 KiB a socket", " KiB", 12, chatd(idle), perSocket)
	atMost(idle+": server CPU", fmt.Sprintf("≤ 0.3 s in %v", r.Sizes.IdleFor), " s", 0.3, chatd(idle), serverCPU)
	times(opening+": server CPU", 2, centrifugoName, chatd(opening), peer(opening), serverCPU)
	times(kill+": until all have caught up", 1.2, centrifugoName, chatd(kill), peer(kill), caughtUp)
	for _, load := range []string{kill, herd} {
		for _, m := range []measure{lost, doubled} {
			s, ok := over(r.rounds, chatd(load), m)
			add(fmt.Sprintf("%s: %s", load, m), "0", s, ok, "", s.High == 0)
		}
	}
	atLeast(sendsOne, "≥ 60,000 a second", "", 60_000, chatd(sendsOne), rate)
	atLeast(sendsMany, "≥ 80,000 a second", "", 80_000, chatd(sendsMany), rate)
	atMost(quietSend+": p99", "≤ 1 ms", " ms", 1, chatd(quietSend), p99)
	// A look of the instance at itself, once a second, is counted with them.
	atMost(quietSend+": Redis round trips", "1", "", 1.1, chatd(quietSend), trips)
	atMost(resume+": Redis round trips", "≤ 4", "", 4, chatd(resume), trips)
	// The kernel's clock ticks a hundred times a second: one tick is one µs for each message.
	atMost(unread+": server CPU", "≤ 1 µs a message, a tick of the clock", " µs", 1, chatd(unread), serverCPU)
	return bars
}
