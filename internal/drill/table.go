package drill

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// columns of the table: heads, and a row's cells.
var columns = []struct {
	head string
	cell func(r *Row) string
}{
	{"fault", func(r *Row) string { return r.Name }},
	{"held", func(r *Row) string {
		if r.Held() {
			return "yes"
		}
		return "NO"
	}},
	{"people", func(r *Row) string { return fmt.Sprint(r.People + r.Pages) }},
	{"confirmed", func(r *Row) string { return fmt.Sprint(r.Confirmed) }},
	{"lost", func(r *Row) string { return fmt.Sprint(r.Lost) }},
	{"lost by Redis", func(r *Row) string { return fmt.Sprint(r.LostByRedis) }},
	{"doubled", func(r *Row) string { return fmt.Sprint(r.Doubled) }},
	{"reordered", func(r *Row) string { return fmt.Sprint(r.Reordered) }},
	{"logged out", func(r *Row) string { return fmt.Sprint(r.LoggedOut) }},
	{"disagree", func(r *Row) string { return fmt.Sprint(r.Disagree) }},
	{"no socket, p99", func(r *Row) string { return Short(r.OfflineP99) }},
	{"no socket, longest", func(r *Row) string { return Short(r.OfflineLongest) }},
	{"delay, p99", func(r *Row) string { return Short(r.DelayP99) }},
	{"delay, longest", func(r *Row) string { return Short(r.DelayLongest) }},
	{"caught up", func(r *Row) string { return Short(r.CaughtUp) }},
}

// Heads are the table's columns.
func Heads() []string {
	var heads []string
	for _, c := range columns {
		heads = append(heads, c.head)
	}
	return heads
}

// Cells are the row in the table's columns.
func (r *Row) Cells() []string {
	var cells []string
	for _, c := range columns {
		cells = append(cells, c.cell(r))
	}
	return cells
}

// Short is a duration as people read it.
func Short(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(1, d.Milliseconds()))
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// Table writes the rows as text, what was broken below them, and the verdict.
func (r *Result) Table(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(Heads(), "\t"))
	for i := range r.Rows {
		fmt.Fprintln(table, strings.Join(r.Rows[i].Cells(), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		for _, what := range row.Broken {
			fmt.Fprintf(w, "\n%s: %s\n", row.Name, what)
		}
		for _, f := range row.Faults {
			fmt.Fprintf(w, "    %s %s\n", f.At.Format("15:04:05.000"), f)
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Verdict())
	return err
}

// Verdict is the result in one line.
func (r *Result) Verdict() string {
	if r.Held() {
		return "Every promise held: " + r.Summary()
	}
	return "PROMISES WERE BROKEN: " + r.Summary()
}

// Summary is the result in figures.
func (r *Result) Summary() string {
	broken, people, confirmed, byRedis := 0, 0, 0, 0
	for i := range r.Rows {
		row := &r.Rows[i]
		if !row.Held() {
			broken++
		}
		people += row.People + row.Pages
		confirmed += row.Confirmed
		byRedis += row.LostByRedis
	}
	took := r.Ended.Sub(r.Began).Round(time.Second)
	none := "none lost, doubled or out of order"
	if byRedis > 0 {
		none = fmt.Sprintf("none lost but %d by Redis itself, which everybody was told, none doubled or out of order", byRedis)
	}
	if broken == 0 {
		return fmt.Sprintf("%d faults, %d people, %d messages confirmed, %s. Seed %d, %v.",
			len(r.Rows), people, confirmed, none, r.Seed, took)
	}
	return fmt.Sprintf("%d of %d faults were not survived as promised; %d people, %d messages confirmed. Seed %d, %v.",
		broken, len(r.Rows), people, confirmed, r.Seed, took)
}
