package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and what it is made of
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// What the page is made of. uPlot v1.6.32 (https://github.com/leeoniya/uPlot, MIT; its licence is beside it) draws the lines; what has
// no axis of time is SVG that the template writes, for which no script is needed.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
	//go:embed uplot/uPlot.iife.min.js
	uplotJS string
	//go:embed uplot/uPlot.min.css
	uplotCSS string
	//go:embed uplot/LICENSE
	uplotLicense string
)

// page is what the template shows.
type page struct {
	Title, Outcome, Class, Reason, Flaky string
	Policy                               string
	CSS                                  template.CSS
	Script                               template.JS
	License                              string
	Facts                                [][2]string
	Findings                             []findingRow
	Timeline                             []timelineRow
	Breakdown                            *breakdown
	Charts                               []chart
	Sites                                []siteTable
	Trends                               []trend
	Versions                             []version
	Nights                               []nightRow
	Generators                           []generatorRow
	Data                                 pageData
}

type findingRow struct{ Result, Class, About, Text, Value, Limit, Samples string }

type nightRow struct{ Run, Began, Outcome, Class string }

type generatorRow struct{ Name, CPU, Memory, Iterations, Dropped, Exit string }

// pageData is what the script draws.
type pageData struct {
	Charts []chart    `json:"charts"`
	Bands  []pageBand `json:"bands"`
}

type pageBand struct {
	Label string  `json:"label"`
	From  float64 `json:"from"`
	Until float64 `json:"until"`
}

// HTML writes the whole report as one page that needs nothing besides itself, and that a browser lets load nothing.
func (r Report) HTML(w io.Writer) error {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, r.page()); err != nil {
		return fmt.Errorf("writing the run %s as HTML: %w", r.Run.ID, err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the run %s as HTML: %w", r.Run.ID, err)
	}
	return nil
}

func (r Report) page() page {
	css, script := uplotCSS+"\n"+pageCSS, uplotJS+"\n"+pageJS
	p := page{
		Title: r.title(), Outcome: words(r.Verdict.Outcome), Class: string(r.Verdict.Outcome), Reason: sentence(r.Verdict.Reason),
		Flaky: r.flaky(), CSS: template.CSS(css), Script: template.JS(script), License: uplotLicense,
		// A page without sources: what it has it has in itself, and only scripts and styles of these very bytes are obeyed.
		Policy: fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'",
			digest(script), digest(css)),
		Facts: r.facts(), Timeline: r.timeline(), Breakdown: r.breakdown(), Sites: r.sites(), Trends: r.trends(), Versions: r.versions(),
	}
	for _, f := range r.findings() {
		p.Findings = append(p.Findings, findingRow{
			resultWords(f.Result), string(f.Result), checkWords(f.Check), sentence(described(f)), value(f), limit(f), samples(f),
		})
	}
	for _, n := range slices.Backward(r.Nights) {
		p.Nights = append(p.Nights, nightRow{n.RunID, n.Began.Format("2006-01-02 15:04 MST"), words(n.Outcome), string(n.Outcome)})
	}
	for _, g := range r.Run.Generators {
		p.Generators = append(p.Generators, generator(g))
	}
	c, charts := r.charts()
	charts = append([]chart{}, charts...) // no charts are none in JSON, and not null
	for i := range charts {
		charts[i].ID = fmt.Sprintf("chart%d", i)
	}
	p.Charts = charts
	p.Data = pageData{Charts: charts, Bands: []pageBand{}}
	if c.number == 0 {
		return p
	}
	faults := slices.Clone(r.Run.Faults)
	slices.SortStableFunc(faults, func(a, b record.Fault) int { return a.Injected.Compare(b.Injected) })
	for _, f := range faults {
		if f.Injected.IsZero() {
			continue
		}
		until := f.Undone
		if until.IsZero() {
			until = r.Run.Ended
		}
		p.Data.Bands = append(p.Data.Bands, pageBand{f.Fault, f.Injected.Sub(c.from).Seconds(), until.Sub(c.from).Seconds()})
	}
	return p
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (r Report) facts() [][2]string {
	facts := [][2]string{
		{"experiment", r.Run.Experiment}, {"run", r.Run.ID}, {"began", moment(r.Run.Began)}, {"took", took(r.Run.Began, r.Run.Ended)},
		{"trigger", r.Run.Trigger}, {"status", string(r.Run.Status)},
	}
	facts = append(facts, [2]string{"tags", strings.Join(r.Run.Tags, ", ")})
	if p := r.Run.Points; p != nil {
		lost := fmt.Sprint(p.Lost)
		if p.Lost < 0 {
			lost = "unknown"
		}
		facts = append(facts, [2]string{"points for InfluxDB",
			fmt.Sprintf("%d, written %d, waiting %d, dropped %d, lost %s", p.Offered, p.Written, p.Buffered, p.Dropped, lost)})
	}
	return slices.DeleteFunc(facts, func(f [2]string) bool { return f[1] == "" })
}

func generator(g record.Generator) generatorRow {
	return generatorRow{
		g.Activity + ", " + g.Segment, verdict.Share.Format(g.MachineCPU), fmt.Sprintf("%d MiB", g.MaxRSS>>20),
		fmt.Sprint(g.Iterations), fmt.Sprint(g.Dropped), exited(g),
	}
}
