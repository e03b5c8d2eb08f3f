package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// number spells a number for people.
func number(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }

// percent is a place or a width in a picture.
type percent float64

func (p percent) String() string {
	return strconv.FormatFloat(math.Round(float64(p)*1000)/1000, 'f', -1, 64) + "%"
}

// bar is a stretch of a track.
type bar struct {
	X, Width percent
	Class    string
	Title    string
}

// timelineRow is an activity, a fault or a load generator as a stretch of the run.
type timelineRow struct {
	What, Name, State, Began, Took string
	Bad                            bool
	Bars                           []bar
}

// timeline is what was done when, from the run's begin to its end.
func (r Report) timeline() []timelineRow {
	from, until := r.Run.Began, r.Run.Ended
	for _, f := range r.Run.Faults { // a watchdog may have ended it after the runner's death
		if f.Undone.After(until) {
			until = f.Undone
		}
	}
	if !until.After(from) {
		return nil
	}
	place := func(a, b time.Time, class string) bar {
		of := func(t time.Time) percent {
			return percent(100 * math.Min(math.Max(t.Sub(from).Seconds()/until.Sub(from).Seconds(), 0), 1))
		}
		if b.Before(a) {
			b = until
		}
		return bar{X: min(of(a), 99.5), Width: max(of(b)-of(a), 0.5), Class: class} // wide enough to be seen
	}
	since := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return "+" + lasting(t.Sub(from).Truncate(time.Second))
	}
	var rows []timelineRow
	for _, a := range r.activities() {
		row := timelineRow{What: a.Phase, Name: a.Name, State: a.state(), Began: since(a.Began), Took: lasting(a.Took), Bad: a.Failed > 0}
		class := "activity"
		if a.Failed > 0 {
			class = "bad"
		}
		for _, s := range a.Spans[:min(len(a.Spans), maxPoints)] {
			if !s.From.IsZero() {
				row.Bars = append(row.Bars, place(s.From, s.Until, class))
			}
		}
		rows = append(rows, row)
	}
	for _, f := range r.Run.Faults {
		row := timelineRow{What: "fault", Name: f.Fault + ": " + f.What, State: undone(f), Began: since(f.Injected),
			Took: took(f.Injected, f.Undone), Bad: !f.Injected.IsZero() && f.Undone.IsZero()}
		if !f.Injected.IsZero() {
			row.Bars = []bar{place(f.Injected, f.Undone, "fault")}
		}
		rows = append(rows, row)
	}
	for _, g := range r.Run.Generators {
		row := timelineRow{What: "load", Name: g.Activity + ", " + g.Segment, State: exited(g),
			Began: since(g.Began), Took: took(g.Began, g.Ended), Bad: g.ExitCode != 0 && !g.Stopped || g.Lost != ""}
		if !g.Began.IsZero() {
			row.Bars = []bar{place(g.Began, g.Ended, "load")}
		}
		rows = append(rows, row)
	}
	return rows
}

// breakdown is where each second of a login went, from the password to the first picture.
type breakdown struct {
	Steps []string // the columns
	Rows  []breakdownRow
}

type breakdownRow struct {
	Site  string
	Total string
	Cells []string
	Bars  []bar
}

// breakdown splits the mean login. Means are shown because they add up, which percentiles do not.
func (r Report) breakdown() *breakdown {
	type key struct{ site, step string }
	sums := map[key]float64{}
	logins := map[key]int64{} // logins and connects by site; step is the metric
	steps := map[string]bool{}
	sites := map[string]bool{}
	of := map[string]string{"vdi_login_duration": "total", "vdi_connect_duration": "picture"}
	for _, a := range r.Run.Windows {
		whole, ok := of[a.Metric]
		if !ok || a.Kind != results.Trend {
			continue
		}
		for _, site := range []string{"", a.Tags.Site}[:1+min(len(a.Tags.Site), 1)] {
			sites[site] = true
			if a.Tags.Step == whole {
				logins[key{site, a.Metric}] += a.Count
			}
			if a.Tags.Step != "total" {
				step := given(a.Metric == "vdi_connect_duration", "connect: ") + a.Tags.Step
				steps[step] = true
				sums[key{site, step}] += a.Sum
			}
		}
	}
	if len(steps) == 0 || logins[key{"", "vdi_login_duration"}]+logins[key{"", "vdi_connect_duration"}] == 0 {
		return nil
	}
	b := &breakdown{Steps: slices.SortedFunc(maps.Keys(steps), func(x, y string) int {
		return cmp.Or(cmp.Compare(stage(x), stage(y)), compareStages(x, y))
	})}
	longest := 0.0
	totals := map[string]float64{}
	mean := func(site, step string) float64 {
		metric := "vdi_login_duration"
		if stage(step) == 1 {
			metric = "vdi_connect_duration"
		}
		if n := logins[key{site, metric}]; n > 0 {
			return sums[key{site, step}] / float64(n)
		}
		return 0
	}
	for site := range sites {
		for _, step := range b.Steps {
			totals[site] += mean(site, step)
		}
		longest = max(longest, totals[site])
	}
	if longest == 0 {
		return nil
	}
	for _, site := range slices.Sorted(maps.Keys(sites)) {
		row := breakdownRow{Site: cmp.Or(site, "all sites"), Total: verdict.Millis.Format(totals[site])}
		x := percent(0)
		for i, step := range b.Steps {
			v := mean(site, step)
			width := percent(100 * v / longest)
			row.Cells = append(row.Cells, verdict.Millis.Format(v))
			title := step + ": " + verdict.Millis.Format(v)
			row.Bars = append(row.Bars, bar{X: x, Width: width, Class: fmt.Sprintf("step%d", i%12), Title: title})
			x += width
		}
		b.Rows = append(b.Rows, row)
	}
	return b
}

func stage(step string) int {
	if bare(step) != step {
		return 1
	}
	return 0
}

// connectOrder is that in which a client connects; its auth is another than a login's.
var connectOrder = []string{"connect: link", "connect: auth", "connect: main", "connect: picture"}

func compareStages(a, b string) int {
	if stage(a) == 1 && stage(b) == 1 {
		return cmp.Or(cmp.Compare(slices.Index(connectOrder, a), slices.Index(connectOrder, b)), cmp.Compare(a, b))
	}
	return compareSteps(a, b)
}

func bare(step string) string {
	const connect = "connect: "
	if len(step) > len(connect) && step[:len(connect)] == connect {
		return step[len(connect):]
	}
	return step
}

// siteTable is the sites of the night beside each other in one measure.
type siteTable struct {
	Title string
	Rows  []siteRow
}

type siteRow struct {
	Site, Samples, Value, Note string
	Bad                        bool
	Bar                        bar
	Limit                      *percent
}

// sites are the figures of the verdict by site.
func (r Report) sites() []siteTable {
	type group struct{ measure, step string }
	var order []group
	by := map[group][]verdict.Figure{}
	for _, f := range r.Verdict.Figures {
		if f.Site == "" {
			continue
		}
		g := group{f.Measure, f.Step}
		if by[g] == nil {
			order = append(order, g)
		}
		by[g] = append(by[g], f)
	}
	var tables []siteTable
	for _, g := range order {
		figures := by[g]
		if len(figures) < 2 {
			continue
		}
		most, limitOf := 0.0, 0.0
		for _, f := range figures {
			most = max(most, f.Value)
		}
		for _, f := range r.Verdict.Findings {
			if objective(f) && f.Metric == figures[0].Metric && f.Step == g.step && f.Percentile == figures[0].Percentile && f.Limit > 0 &&
				(f.Site == "" || f.Site == figures[0].Site) {
				limitOf = f.Limit
			}
		}
		most = max(most, min(limitOf, 2*most)) // a limit that is far away would leave the bars no room
		table := siteTable{Title: strip(figures[0])}
		for _, f := range figures {
			row := siteRow{Site: f.Site, Samples: number(float64(f.Samples)), Value: f.Unit.Format(f.Value), Bar: bar{Class: "activity"}}
			if most > 0 {
				row.Bar.Width = percent(100 * f.Value / most)
				if limitOf > 0 && limitOf <= most {
					at := percent(100 * limitOf / most)
					row.Limit = &at
				}
			}
			for _, x := range r.Verdict.Findings {
				if x.Result == verdict.Bad && x.Site == f.Site && x.Metric == f.Metric && x.Step == f.Step && x.Percentile == f.Percentile {
					row.Bad, row.Bar.Class = true, "bad"
					row.Note += given(row.Note != "", "; ") + checkWords(x.Check) + ": " + limit(x)
				}
			}
			table.Rows = append(table.Rows, row)
		}
		tables = append(tables, table)
	}
	return tables
}

func objective(f verdict.Finding) bool {
	return f.Check == verdict.CheckPercentile || f.Check == verdict.CheckBudget
}

// strip names a figure without its site.
func strip(f verdict.Figure) string {
	f.Site = ""
	return f.What()
}

// trend is a figure over the last nights.
type trend struct {
	Title         string
	Tonight, Past string
	Bad           bool
	Dots          []dot
	Path          string
	Limit         *float64 // as a place
	LimitText     string
	Rows          [][2]string
	High          string
}

type dot struct {
	X, Y    float64
	Tonight bool
	Called  bool
	Title   string
}

// The size of a trend's picture, in its own units.
const (
	trendWidth, trendHeight = 300., 90.
	trendMargin             = 8.
)

// trends are the figures of all sites, and those of sites that the verdict called, over the last nights.
func (r Report) trends() []trend {
	var list []trend
	nights := r.Nights[max(0, len(r.Nights)-14):]
	for _, f := range r.Verdict.Figures {
		bad := slices.ContainsFunc(r.Verdict.Findings, func(x verdict.Finding) bool {
			return x.Result == verdict.Bad && x.Metric == f.Metric && x.Step == f.Step && x.Site == f.Site && x.Percentile == f.Percentile
		})
		if f.Site != "" && !bad {
			continue
		}
		var past []verdict.Figure
		var when []string
		for _, n := range nights {
			for _, p := range n.Figures {
				if p.Measure == f.Measure && p.Step == f.Step && p.Site == f.Site {
					past = append(past, p)
					when = append(when, n.Began.Format("2 Jan 15:04"))
				}
			}
		}
		if len(past) == 0 {
			continue
		}
		list = append(list, r.trend(f, past, when, bad))
	}
	return list
}

func (r Report) trend(f verdict.Figure, past []verdict.Figure, when []string, bad bool) trend {
	t := trend{Title: f.What(), Tonight: f.Unit.Format(f.Value), Bad: bad}
	all := append(slices.Clone(past), f)
	when = append(slices.Clone(when), "this run")
	high := 0.0
	for _, p := range all {
		high = max(high, p.Value)
	}
	var limits []float64
	for _, x := range r.Verdict.Findings {
		if objective(x) && x.Metric == f.Metric && x.Step == f.Step && x.Percentile == f.Percentile && x.Site == f.Site && x.Limit > 0 {
			limits = append(limits, x.Limit)
			t.LimitText = limit(x)
		}
	}
	if len(limits) > 0 && limits[0] < 3*high {
		high = max(high, limits[0])
	} else {
		limits = nil
	}
	if high == 0 {
		high = 1
	}
	place := func(v float64) float64 {
		return math.Round(10*(trendHeight-trendMargin-(trendHeight-2*trendMargin)*v/high)) / 10
	}
	if len(limits) > 0 {
		y := place(limits[0])
		t.Limit = &y
	}
	t.High = f.Unit.Format(high)
	values := make([]float64, 0, len(past))
	for i, p := range all {
		x := math.Round(10*(trendMargin+(trendWidth-2*trendMargin)*float64(i)/float64(len(all)-1))) / 10
		d := dot{X: x, Y: place(p.Value), Tonight: i == len(all)-1, Called: p.Called, Title: when[i] + ": " + p.Unit.Format(p.Value)}
		t.Dots = append(t.Dots, d)
		t.Path += fmt.Sprintf("%s%g,%g ", map[bool]string{true: "M", false: "L"}[i == 0], d.X, d.Y)
		t.Rows = append(t.Rows, [2]string{when[i], p.Unit.Format(p.Value)})
		if i < len(past) {
			values = append(values, p.Value)
		}
	}
	slices.Sort(values)
	t.Past = fmt.Sprintf("median of %d earlier runs: %s", len(values), f.Unit.Format(values[len(values)/2]))
	return t
}
