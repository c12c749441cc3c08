package sim

import "slices"

// shrink returns the least plan that it finds to end in the same kind of fault.
func (b *bench) shrink(p *plan, bug bug) *plan {
	first := func(p *plan) string {
		if faults := b.play(p, bug, false).judge.Report().Faults; len(faults) > 0 {
			return faults[0].What
		}
		return ""
	}
	want := first(p)
	tries := 600
	better := func(q *plan) bool {
		if tries--; tries < 0 || first(q) != want {
			return false
		}
		p = q
		return true
	}
	for size := len(p.Acts); size > 0; {
		least := len(p.Acts)
		for i := 0; i < len(p.Acts); {
			q := *p
			q.Acts = slices.Concat(p.Acts[:i], p.Acts[min(i+size, len(p.Acts)):])
			if !better(&q) {
				i += size
			}
		}
		if size = min(size/2, len(p.Acts)); size == 0 && len(p.Acts) < least {
			size = 1 // what is gone may let more go
		}
	}
	for _, smaller := range []func(*plan) bool{
		func(q *plan) bool { q.Rooms--; return q.Rooms > 0 },
		func(q *plan) bool { q.Tabs--; return q.Tabs > 1 },
		func(q *plan) bool { q.Instances--; return q.Instances > 0 },
	} {
		for {
			q := *p
			if !smaller(&q) || !better(&q) {
				break
			}
		}
	}
	return p
}
