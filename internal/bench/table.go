package bench

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"os"
)

// A Result is what Run found out.
type Result struct {
	Sizes        Sizes
	Machine      string
	Systems      []string
	Versions     []string
	Began, Ended time.Time
	Failed       []string // loads that did not come to an end, and why
	rounds       []round
}

// measures are the table's columns.
var measures = []measure{serverCPU, redisCPU, rate, clients, perSocket, p50, p95, p99, longest, back, caughtUp, lost, doubled, trips}

// What the loads are, in the order of the table, and what is counted in each.
var about = []struct {
	load, unit string
	what       func(z Sizes) string
}{
	{fanOut, "delivery", func(z Sizes) string {
		return fmt.Sprintf("%d sockets in %d rooms on one instance, %d messages of %d bytes a second: %s deliveries a second", z.Sockets, z.Rooms, z.Rate, textBytes, number(float64(z.Rate*z.Sockets/z.Rooms)))
	}},
	{fanOutTwo, "delivery", func(z Sizes) string { return "the same, half of each room's sockets on each of two" }},
	{saturated, "delivery", func(z Sizes) string {
		return fmt.Sprintf("the same on one instance as fast as it goes, with at most %d messages of a room on their way; delays are those of a full queue", z.Window)
	}},
	{opening, "socket", func(z Sizes) string {
		return fmt.Sprintf("%d handshakes, 64 at a time, each with its login looked up or its token checked, until welcome", z.Idle)
	}},
	{joiningOne, "socket", func(z Sizes) string {
		return fmt.Sprintf("these sockets join rooms of %d, 64 at a time; at chatd each is told who is there, and is put on and read from Redis' lists", roomSize)
	}},
	{idle, "", func(z Sizes) string {
		return fmt.Sprintf("these sockets, in their rooms, for %v with pings: processor time of all of it, and memory since none was open", z.IdleFor)
	}},
	{idleMost, "", func(z Sizes) string { return fmt.Sprintf("the same with %d sockets, once", z.Most) }},
	{sendsOne, "send", func(z Sizes) string {
		return fmt.Sprintf("%d people, each says the next thing when the former is confirmed, all in one room that nobody reads", z.Senders)
	}},
	{sendsMany, "send", func(z Sizes) string { return fmt.Sprintf("the same in %d rooms", z.SendRooms) }},
	{quietSend, "send", func(z Sizes) string { return "one person alone in a room and on the instance, every 3 ms" }},
	{resume, "", func(z Sizes) string {
		return "one socket was away for ten messages: refresh, handshake, join, until it has them"
	}},
	{unread, "message", func(z Sizes) string {
		return "what a second instance uses for each message of rooms that are read at the first only"
	}},
	{kill, "socket", func(z Sizes) string {
		return fmt.Sprintf("one of two instances is killed under %d of %d sockets at %d messages a second; they come back at once, to the other; what it uses until all are back", z.Sockets/2, z.Sockets, z.KillRate)
	}},
	{herd, "socket", func(z Sizes) string {
		return fmt.Sprintf("the same under all of %d readers in rooms of %d, at %d messages a second", z.Herd, roomSize, z.KillRate/2)
	}},
}

// number is a figure with as many digits as mean something.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		text := fmt.Sprintf("%.0f", v)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func (s Spread) String() string {
	median, low, high := number(s.Median), number(s.Low), number(s.High)
	if low == high {
		return median
	}
	return fmt.Sprintf("%s (%s to %s)", median, low, high)
}

// cell is a measure of a subject as the table has it; "" where there is none.
func (r *Result) cell(of subject, m measure) string {
	s, ok := over(r.rounds, of, m)
	if !ok {
		return ""
	}
	switch m {
	case lost, doubled:
		return number(s.High) // the worst round
	case p50, p95, longest, clients:
		return number(s.Median)
	}
	return s.String()
}

// rows are the table, without its heads.
func (r *Result) rows() [][]string {
	var rows [][]string
	for _, a := range about {
		for _, system := range r.Systems {
			of := subject{a.load, system}
			if !slices.ContainsFunc(r.rounds, func(one round) bool { return one[of] != nil }) {
				continue
			}
			row := []string{a.load, system}
			for _, m := range measures {
				row = append(row, r.cell(of, m))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func heads() []string {
	all := []string{"load", "system"}
	for _, m := range measures {
		all = append(all, string(m))
	}
	return all
}

// Table writes the figures and the bars as text.
func (r *Result) Table(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(heads(), "\t"))
	for _, row := range r.rows() {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	fmt.Fprintln(table)
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(table, "bar\tat\tmeasured\tmet")
	for _, bar := range r.Bars() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", bar.What, bar.Bar, bar.Measured, bar.Verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, what := range r.Failed {
		fmt.Fprintf(w, "\nfailed: %s\n", what)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Summary())
	return err
}

// Summary says what was run, where and when.
func (r *Result) Summary() string {
	rounds := fmt.Sprintf("%d rounds", len(r.rounds))
	if len(r.rounds) == 1 {
		rounds = "One round"
	}
	return fmt.Sprintf("%s, %s to %s. %s. %s.", rounds, r.Began.UTC().Format("2006-01-02 15:04"), r.Ended.UTC().Format("15:04 MST"), r.Machine, strings.Join(r.Versions, ", "))
}

// The lines between which a page holds what Markdown writes.
const (
	pageBegin = "<!-- make bench writes from here -->"
	pageEnd   = "<!-- to here -->"
)

// Page returns the page with the figures of this result in place of those that stand in it.
func (r *Result) Page(page string) (string, error) {
	before, rest, ok := strings.Cut(page, pageBegin)
	_, after, ended := strings.Cut(rest, pageEnd)
	if !ok || !ended {
		return "", fmt.Errorf("the page has no lines %q and %q", pageBegin, pageEnd)
	}
	var out strings.Builder
	out.WriteString(before + pageBegin + "\n\n")
	r.markdown(&out)
	out.WriteString("\n" + pageEnd + after)
	return out.String(), nil
}

func (r *Result) markdown(w *strings.Builder) {
	fmt.Fprintf(w, "%s\n\n### Bars\n\n| what | bar | measured | met |\n| --- | --- | --- | --- |\n", r.Summary())
	for _, bar := range r.Bars() {
		if bar.Verdict == "no" {
			bar.Verdict = "**no**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", bar.What, bar.Bar, bar.Measured, bar.Verdict)
	}
	for _, what := range r.Failed {
		fmt.Fprintf(w, "\nFailed in one round: %s.\n", what)
	}
	fmt.Fprintf(w, "\n### Figures\n")
	rows := r.rows()
	for _, a := range about {
		var of [][]string
		for _, row := range rows {
			if row[0] == a.load {
				of = append(of, row[1:])
			}
		}
		if len(of) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n**%s**: %s.\n\n", a.load, a.what(r.Sizes))
		// Only the columns that this load has.
		heads := heads()[1:]
		var line, rule []string
		var columns []int
		for i, head := range heads {
			if i > 0 && !slices.ContainsFunc(of, func(row []string) bool { return row[i] != "" }) {
				continue
			}
			columns = append(columns, i)
			if i > 0 {
				head = withUnit(measure(head), a.unit)
			}
			line, rule = append(line, head), append(rule, "---")
		}
		fmt.Fprintf(w, "| %s |\n| %s |\n", strings.Join(line, " | "), strings.Join(rule, " | "))
		for _, row := range of {
			var cells []string
			for _, i := range columns {
				cells = append(cells, row[i])
			}
			fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
		}
	}
}

// withUnit is a column's head on the page.
func withUnit(m measure, unit string) string {
	switch m {
	case serverCPU, redisCPU:
		if unit == "" {
			return string(m) + ", s"
		}
		return fmt.Sprintf("%s, µs a %s", m, unit)
	case rate:
		return strings.TrimSuffix(unit, "y") + map[bool]string{true: "ies", false: "s"}[strings.HasSuffix(unit, "y")] + " a second"
	case p50, p95, p99, longest, back, caughtUp:
		return string(m) + ", ms"
	}
	return string(m)
}

// aboutMachine says on what this runs.
func aboutMachine() string {
	load, err := os.ReadFile("/proc/loadavg")
	before := "?"
	if err == nil {
		before = strings.Fields(string(load))[0]
	}
	redis := "?"
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		if _, rest, ok := strings.Cut(string(out), "v="); ok {
			redis, _, _ = strings.Cut(rest, " ")
		}
	}
	return fmt.Sprintf("%d cores, load before %s, %s, Redis %s", runtime.NumCPU(), before, runtime.Version(), redis)
}
