package drill

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// JSON writes the result for programs: durations are nanoseconds, seconds[0] begins
// at began.
func (r *Result) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(struct {
		Held    bool   `json:"held"`
		Verdict string `json:"verdict"`
		*Result
	}{r.Held(), r.Verdict(), r})
}

//go:embed report.html
var reportSource string

var reportPage = template.Must(template.New("report").Parse(reportSource))

// HTML writes the result as one page that needs nothing else.
func (r *Result) HTML(w io.Writer) error {
	page := struct {
		*Result
		Heads   []string
		Rows    []*Row // to call their methods
		Numbers []int
		Plots   []plot
	}{Result: r, Heads: Heads(), Plots: r.plots()}
	for i := range r.Rows {
		page.Rows, page.Numbers = append(page.Rows, &r.Rows[i]), append(page.Numbers, i+1)
	}
	return reportPage.Execute(w, page)
}

// The plots' place, in SVG units.
const (
	plotWidth  = 1120.0
	plotHeight = 190.0
	plotLeft   = 56.0
	plotRight  = 8.0
	plotTop    = 22.0
	plotBottom = 22.0
)

// A plot is one picture over the time of a run.
type plot struct {
	Title, Note   string
	Width, Height float64
	Left, Right   float64 // where the time axis begins and ends
	Top, Bottom   float64 // where the value axis ends and begins
	Marks         []mark
	Values, Times []tick
	Lines         []curve
}

// A mark is a fault.
type mark struct {
	X, Width, Middle float64
	Label, Tip       string
	Broken           bool
}

type tick struct {
	At    float64
	Label string
}

// A curve is a line, or the area below it. Color is a number of the page's palette.
type curve struct {
	Name  string
	Color int
	Area  bool
	Path  string
}

// A measure is a curve's values, one a second.
type measure struct {
	name   string
	color  int
	values []float64
}

func (r *Result) plots() []plot {
	n := len(r.Seconds)
	if n < 2 {
		return nil
	}
	of := func(name string, color int, value func(s *Second) float64) measure {
		m := measure{name, color, make([]float64, n)}
		for i := range r.Seconds {
			m.values[i] = value(&r.Seconds[i])
		}
		return m
	}
	names := map[string]bool{}
	for _, s := range r.Seconds {
		for name := range s.Sockets {
			names[name] = true
		}
	}
	var sockets []measure
	for i, name := range slices.Sorted(maps.Keys(names)) {
		sockets = append(sockets, of(name, i%8+1, func(s *Second) float64 { return float64(s.Sockets[name]) }))
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return []plot{
		r.linear("Sockets by instance", "one above the other", sockets, true),
		r.linear("Messages per second, by those who write", "", []measure{
			of("written", 1, func(s *Second) float64 { return float64(s.Sent) }),
			of("confirmed", 3, func(s *Second) float64 { return float64(s.Confirmed) }),
		}, false),
		r.linear("Messages per second, by all who read", "", []measure{
			of("shown", 2, func(s *Second) float64 { return float64(s.Delivered) }),
		}, false),
		r.logarithmic("From writing to other people's eyes", "milliseconds", []measure{
			of("half of all", 3, func(s *Second) float64 { return ms(s.P50) }),
			of("99 of 100", 1, func(s *Second) float64 { return ms(s.P99) }),
			of("longest", 4, func(s *Second) float64 { return ms(s.Longest) }),
		}),
	}
}

func (r *Result) frame(title, note string) plot {
	p := plot{Title: title, Note: note, Width: plotWidth, Height: plotHeight, Left: plotLeft, Right: plotWidth - plotRight,
		Top: plotTop, Bottom: plotHeight - plotBottom}
	total := float64(len(r.Seconds))
	x := func(at time.Time) float64 {
		return p.Left + (p.Right-p.Left)*min(1, max(0, at.Sub(r.Began).Seconds()/total))
	}
	step := nice(total, 12)
	for s := 0.0; s <= total; s += step {
		d := time.Duration(s) * time.Second
		p.Times = append(p.Times, tick{x(r.Began.Add(d)), fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)})
	}
	const narrow = 7.5 // a letter's width
	last := math.Inf(-1)
	for i := range r.Rows {
		row := &r.Rows[i]
		m := mark{X: x(row.Made), Tip: fmt.Sprintf("%d. %s: %s", i+1, row.Name, row.What), Label: row.Name, Broken: !row.Held()}
		m.Width = max(2, x(row.Healed)-m.X)
		m.Middle = m.X + m.Width/2
		half := float64(len(m.Label)) * narrow / 2
		if m.Middle-half < last { // it would stand on the one before
			m.Label, half = fmt.Sprint(i+1), narrow
		}
		if m.Middle-half < last {
			m.Label = ""
		} else {
			last = m.Middle + half
		}
		p.Marks = append(p.Marks, m)
	}
	return p
}

// nice is a round step that cuts what there is into at most so many parts.
func nice(all float64, parts int) float64 {
	steps := []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600}
	for _, s := range steps {
		if all/s <= float64(parts) {
			return s
		}
	}
	return 7200
}

// linear draws from zero; stacked, each curve upon the one before.
func (r *Result) linear(title, note string, measures []measure, stacked bool) plot {
	p := r.frame(title, note)
	sum := make([]float64, len(r.Seconds))
	highest := 1.0
	for _, m := range measures {
		for i, v := range m.values {
			if stacked {
				sum[i] += v
				v = sum[i]
			}
			highest = max(highest, v)
		}
	}
	step := math.Pow(10, math.Floor(math.Log10(highest)))
	for highest/step < 3 {
		step /= 2
	}
	step = max(1, step)
	top := math.Ceil(highest/step) * step
	y := func(v float64) float64 { return p.Bottom - (p.Bottom-p.Top)*v/top }
	for v := 0.0; v <= top; v += step {
		p.Values = append(p.Values, tick{y(v), fmt.Sprint(math.Round(v*10) / 10)})
	}
	below := make([]float64, len(r.Seconds))
	for _, m := range measures {
		above := m.values
		if stacked {
			above = make([]float64, len(below))
			for i := range above {
				above[i] = below[i] + m.values[i]
			}
		}
		c := curve{Name: m.name, Color: m.color, Area: stacked, Path: p.path(above, y)}
		if stacked {
			back := slices.Clone(below)
			c.Path += p.back(back, y)
			below = above
		}
		p.Lines = append(p.Lines, c)
	}
	return p
}

// logarithmic draws from 1; a second without a value is a break in the line.
func (r *Result) logarithmic(title, note string, measures []measure) plot {
	p := r.frame(title, note)
	highest := 10.0
	for _, m := range measures {
		highest = max(highest, slices.Max(m.values))
	}
	decades := math.Ceil(math.Log10(highest))
	y := func(v float64) float64 {
		if v <= 0 {
			return math.NaN()
		}
		return p.Bottom - (p.Bottom-p.Top)*max(0, math.Log10(v))/decades
	}
	for d := 0.0; d <= decades; d++ {
		p.Values = append(p.Values, tick{y(math.Pow(10, d)), fmt.Sprintf("%.0f", math.Pow(10, d))})
	}
	for _, m := range measures {
		p.Lines = append(p.Lines, curve{Name: m.name, Color: m.color, Path: p.path(m.values, y)})
	}
	return p
}

// BandHeight is how high a mark's band is.
func (p plot) BandHeight() float64 { return p.Bottom - p.Top }

func (p *plot) x(i, n int) float64 { return p.Left + (p.Right-p.Left)*(float64(i)+0.5)/float64(n) }

func (p *plot) path(values []float64, y func(float64) float64) string {
	var b strings.Builder
	pen := "M"
	for i, v := range values {
		at := y(v)
		if math.IsNaN(at) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, p.x(i, len(values)), at)
		pen = "L"
	}
	return b.String()
}

// back closes an area along its lower edge.
func (p *plot) back(values []float64, y func(float64) float64) string {
	var b strings.Builder
	for i := len(values) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "L%.1f %.1f", p.x(i, len(values)), y(values[i]))
	}
	return b.String() + "Z"
}
