package compare

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format spells a value for people: "4.21 s", "85 ms", "0.8 %".
func (u Unit) Format(v float64) string {
	switch {
	case u == Share:
		return significant(v*100) + " %"
	case math.Abs(v) >= 1000:
		return significant(v/1000) + " s"
	}
	return significant(v) + " ms"
}

// significant keeps three figures, and all that stand before the point.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
}

// nothingMeasured is said instead of a table without rows.
const nothingMeasured = "There is nothing that load has measured in both."

// Text writes the comparison as a table for a terminal.
func (p *Pair) Text(w io.Writer) error {
	var b bytes.Buffer
	for _, s := range []struct {
		letter string
		side   Side
	}{{"A", p.A}, {"B", p.B}} {
		fmt.Fprintf(&b, "%s  %s  %s, %s, %s\n", s.letter, s.side.ID, s.side.Experiment, s.side.Began, cmp.Or(s.side.Outcome, s.side.Status, "goes on"))
	}
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "   %s: %s -> %s\n", c.Name, cmp.Or(c.A, "not known"), cmp.Or(c.B, "not known"))
	}
	fmt.Fprintln(&b)
	if len(p.Rows) == 0 {
		fmt.Fprintln(&b, nothingMeasured)
	} else {
		p.table(&b)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(&b, "- "+n)
	}
	_, err := b.WriteTo(w)
	return err
}

func (p *Pair) table(b *bytes.Buffer) {
	table := [][]string{{"", "figure", "A", "B", "B / A", "95 %", ""}}
	last := ""
	for _, r := range p.Rows {
		name := r.Name()
		if name == last {
			name = ""
		} else {
			last = name
		}
		table = append(table, []string{name, r.Figure(), r.Unit.Format(r.A), r.Unit.Format(r.B), r.ratioText(), r.interval(), r.callText()})
	}
	write(b, table)
	fmt.Fprintln(b)
	fmt.Fprintf(b, "worse, better: more than noise at 5 %% for all %d rows together, %s.\n", len(p.Rows), p.basis())
}

// write writes a table's rows: the first column, and a last one without a name, aligned at their left, the others, which are numbers, at
// their right.
func write(b *bytes.Buffer, rows [][]string) {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		text := ""
		for i, cell := range r {
			room := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i == 0:
				text += cell + room
			case i == len(rows[0])-1 && rows[0][i] == "":
				text += "  " + cell
			default:
				text += "  " + room + cell
			}
		}
		fmt.Fprintln(b, strings.TrimRight(text, " "))
	}
}

// basis says what noise is known.
func (p *Pair) basis() string {
	if p.Nights == 0 {
		return "the noise within these two runs"
	}
	return fmt.Sprintf("the noise within these two runs and between %d earlier ones", p.Nights)
}

func (r Row) ratioText() string {
	if r.Ratio == 0 {
		return "-"
	}
	return strconv.FormatFloat(r.Ratio, 'f', 2, 64)
}

func (r Row) interval() string {
	if r.From == 0 && r.To == 0 {
		return "-"
	}
	return strconv.FormatFloat(r.From, 'f', 2, 64) + " to " + strconv.FormatFloat(r.To, 'f', 2, 64)
}

func (r Row) callText() string {
	switch r.Call {
	case Unknown:
		return "? " + r.Why
	case Noise:
		return ""
	}
	return string(r.Call)
}

// Text writes the comparison as tables for a terminal, one an experiment.
func (y *By) Text(w io.Writer) error {
	var b bytes.Buffer
	for i, e := range y.Experiments {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		e.text(&b, y.Key)
	}
	_, err := b.WriteTo(w)
	return err
}

func (e Experiment) text(b *bytes.Buffer, key string) {
	fmt.Fprintf(b, "%s by %s\n\n", e.Name, key)
	var table [][]string
	row := func(first, second string, cell func(int) string) {
		r := []string{first, second}
		for i := range e.Groups {
			r = append(r, cell(i))
		}
		table = append(table, r)
	}
	row("", "", func(i int) string { return e.Groups[i].Version })
	row("runs", "", func(i int) string { return strconv.Itoa(e.Groups[i].Runs) })
	for _, o := range e.outcomes() {
		row("", o, func(i int) string { return strconv.Itoa(e.Groups[i].Outcomes[o]) })
	}
	row("from", "", func(i int) string { return e.Groups[i].From.UTC().Format("2006-01-02") })
	row("to", "", func(i int) string { return e.Groups[i].Until.UTC().Format("2006-01-02") })
	for _, r := range e.Rows {
		figure := "median of " + r.Figure() + "s"
		row(r.Name(), figure, func(i int) string {
			c := r.Cells[i]
			if c.Runs == 0 {
				return "-"
			}
			text := r.Unit.Format(c.Median)
			if c.Ratio > 0 {
				text += " (x " + strconv.FormatFloat(c.Ratio, 'f', 2, 64) + ")"
			}
			if c.Call == Worse || c.Call == Better {
				text += " " + string(c.Call)
			}
			return text
		})
	}
	write(b, table)
	fmt.Fprintln(b)
	for _, c := range e.Confounders {
		fmt.Fprintf(b, "%s:", c.Name)
		for i, values := range c.Values {
			fmt.Fprintf(b, " %s with %s %s;", strings.Join(values, " and "), key, e.Groups[i].Version)
		}
		b.Truncate(b.Len() - 1)
		fmt.Fprintln(b)
	}
	for _, n := range e.Notes {
		fmt.Fprintln(b, "- "+n)
	}
}

func (e Experiment) outcomes() []string {
	all := map[string]bool{}
	for _, g := range e.Groups {
		for o := range g.Outcomes {
			all[o] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
