package compare

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
)

//go:embed compare.html
var page string

// HTML writes the comparison as a page by itself, with a picture: of each row the ratio and where it lies.
func (p *Pair) HTML(w io.Writer) error {
	return render(w, "pair", struct {
		*Pair
		Chart chart
	}{p, p.chart()})
}

// HTML writes the comparison as a page by itself, with a picture: of each row all runs, by group.
func (y *By) HTML(w io.Writer) error {
	type experiment struct {
		Experiment
		Chart chart
	}
	data := struct {
		Key         string
		Experiments []experiment
	}{Key: y.Key}
	for _, e := range y.Experiments {
		data.Experiments = append(data.Experiments, experiment{e, e.chart()})
	}
	return render(w, "by", data)
}

func render(w io.Writer, name string, data any) error {
	t, err := template.New("").Funcs(template.FuncMap{
		"value": func(u Unit, v float64) string { return u.Format(v) },
		"px":    func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) },
	}).Parse(page)
	if err != nil {
		return err
	}
	if err := t.ExecuteTemplate(w, name, data); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// chart is a picture: rows with their names at the left, and marks on a logarithmic axis.
type chart struct {
	Width, Height float64
	Ticks         []tick
	One           float64 // where nothing differs; 0: outside
	Rows          []chartRow
}

type tick struct {
	X    float64
	Text string
}

type chartRow struct {
	Y        float64
	Name     string
	Class    string  // the call
	From, To float64 // a line; equal: none
	Marks    []mark
}

type mark struct {
	X     float64
	Group int
	Title string
}

// Sizes in pixels.
const (
	nameWidth = 320
	axisWidth = 520
	rowHeight = 20
	margin    = 30
)

// axis maps values to places, by their logarithms.
type axis struct{ low, high float64 }

func (a axis) x(v float64) float64 {
	return nameWidth + axisWidth*(math.Log(v)-math.Log(a.low))/(math.Log(a.high)-math.Log(a.low))
}

// axisOf holds all values, with some room.
func axisOf(values []float64) axis {
	a := axis{math.Inf(1), 0}
	for _, v := range values {
		if v > 0 && !math.IsInf(v, 0) {
			a.low, a.high = min(a.low, v), max(a.high, v)
		}
	}
	if a.high == 0 {
		return axis{0.5, 2}
	}
	return axis{a.low / 1.1, a.high * 1.1}
}

// ticks are 1, 2 and 5 and their tens, or finer where those are too few.
func (a axis) ticks(text func(float64) string) []tick {
	var all []tick
	for _, steps := range [][]float64{{1}, {1, 2, 5}, {1, 1.2, 1.5, 2, 3, 5, 7}, {1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 9.5}} {
		all = nil
		for e := math.Floor(math.Log10(a.low)); e <= math.Ceil(math.Log10(a.high)); e++ {
			for _, s := range steps {
				if v := s * math.Pow(10, e); v >= a.low && v <= a.high {
					all = append(all, tick{a.x(v), text(v)})
				}
			}
		}
		if len(all) >= 4 {
			break
		}
	}
	return all
}

// intervalLimit keeps an interval that says nothing from making all others a dot.
const intervalLimit = 10

func (p *Pair) chart() chart {
	var values []float64
	for _, r := range p.Rows {
		if r.Ratio > 0 {
			values = append(values, r.Ratio)
			if r.To > 0 {
				values = append(values, max(r.From, r.Ratio/intervalLimit), min(r.To, r.Ratio*intervalLimit))
			}
		}
	}
	a := axisOf(append(values, 1))
	c := chart{Width: nameWidth + axisWidth + margin, One: a.x(1),
		Ticks: a.ticks(func(v float64) string { return "x " + strconv.FormatFloat(v, 'g', 3, 64) })}
	for i, r := range p.Rows {
		row := chartRow{Y: float64(margin + i*rowHeight), Name: r.Name() + ", " + r.Figure(), Class: string(r.Call)}
		if r.Ratio > 0 {
			row.Marks = []mark{{X: a.x(r.Ratio), Title: r.Unit.Format(r.A) + " to " + r.Unit.Format(r.B)}}
			if r.To > 0 {
				row.From, row.To = max(nameWidth, a.x(max(r.From, a.low))), min(nameWidth+axisWidth, a.x(min(r.To, a.high)))
			}
		}
		c.Rows = append(c.Rows, row)
	}
	c.Height = float64(2*margin + len(p.Rows)*rowHeight)
	return c
}

// chart shows each row's runs as multiples of the first group's median.
func (e Experiment) chart() chart {
	var values []float64
	for _, r := range e.Rows {
		for _, c := range r.Cells {
			for _, v := range c.Values {
				values = append(values, v/base(r))
			}
		}
	}
	a := axisOf(append(values, 1))
	c := chart{Width: nameWidth + axisWidth + margin, One: a.x(1),
		Ticks: a.ticks(func(v float64) string { return "x " + strconv.FormatFloat(v, 'g', 3, 64) })}
	y := float64(margin)
	for _, r := range e.Rows {
		for g, cell := range r.Cells {
			row := chartRow{Y: y}
			if g == 0 {
				row.Name = r.Name() + ", " + r.Figure()
			}
			for _, v := range cell.Values {
				if m := v / base(r); m > 0 && !math.IsInf(m, 0) {
					row.Marks = append(row.Marks, mark{X: a.x(m), Group: g % 6, Title: e.Groups[g].Version + ": " + r.Unit.Format(v)})
				}
			}
			c.Rows = append(c.Rows, row)
			y += rowHeight * 0.7
		}
		y += rowHeight * 0.4
	}
	c.Height = y + margin
	return c
}

// base is what a row's values are multiples of: the first median that there is.
func base(r GroupRow) float64 {
	for _, c := range r.Cells {
		if c.Median > 0 {
			return c.Median
		}
	}
	return math.Inf(1)
}
