package client

import "time"

// backoff says how long to wait before the next try: full jitter, so that a
// crowd that lost one instance does not come back as a crowd.
type backoff struct {
	min, max time.Duration
	rand     func() float64
	tries    int
}

// next returns a random time in [0, min·2ⁿ), capped at max, n growing with each call.
func (b *backoff) next() time.Duration {
	ceiling := b.max
	if b.tries < 32 && b.min<<b.tries < b.max {
		ceiling = b.min << b.tries
	}
	b.tries++
	return time.Duration(b.rand() * float64(ceiling))
}
