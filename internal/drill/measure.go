package drill

import (
	"math"
	"slices"
	"time"
)

// A spread counts durations in buckets that are 5 % wide, so that a quantile of
// millions costs nothing.
type spread struct {
	n       int
	longest time.Duration
	buckets [400]int // from 100 µs on
}

const bucketGrowth = 1.05

func (s *spread) add(d time.Duration) {
	s.n++
	s.longest = max(s.longest, d)
	i := 0
	if d > 100*time.Microsecond {
		i = int(math.Log(float64(d)/1e5) / math.Log(bucketGrowth))
	}
	s.buckets[min(i, len(s.buckets)-1)]++
}

// quantile returns the duration that the part q of all does not exceed, up to a
// bucket's width.
func (s *spread) quantile(q float64) time.Duration {
	if s.n == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(s.n)))
	for i, n := range s.buckets {
		if rank -= n; rank <= 0 {
			return min(s.longest, time.Duration(1e5*math.Pow(bucketGrowth, float64(i+1))))
		}
	}
	return s.longest
}

// quantile is the value of sorted or unsorted durations at q; 0 of none.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// A Second is what happened in one second of a run, all people together.
type Second struct {
	Sockets   map[string]int // by instance, at its end
	Sent      int
	Confirmed int
	Delivered int           // events shown, to all readers
	P50, P99  time.Duration // of their delay since they were written
	Longest   time.Duration
}

// A series is a run second by second.
type series struct {
	begin   time.Time
	seconds []Second
	sockets map[string]int
	delays  spread // of the last second
}

// at returns the second that now is in, having closed those before it.
func (s *series) at(now time.Time) *Second {
	if s.begin.IsZero() {
		s.begin = now
	}
	n := max(0, int(now.Sub(s.begin)/time.Second))
	for len(s.seconds) <= n {
		s.close()
		s.delays = spread{}
		s.seconds = append(s.seconds, Second{})
	}
	return &s.seconds[len(s.seconds)-1]
}

func (s *series) close() {
	if len(s.seconds) == 0 {
		return
	}
	last := &s.seconds[len(s.seconds)-1]
	last.P50, last.P99, last.Longest = s.delays.quantile(0.5), s.delays.quantile(0.99), s.delays.longest
	last.Sockets = map[string]int{}
	for name, n := range s.sockets {
		if n > 0 {
			last.Sockets[name] = n
		}
	}
}

func (s *series) socket(now time.Time, instance string, by int) {
	s.at(now)
	s.sockets[instance] += by
}

func (s *series) shown(now time.Time, delay time.Duration) {
	s.at(now).Delivered++
	s.delays.add(delay)
}
