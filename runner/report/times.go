package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// maxPoints is how many points a line has at most: more than a page is wide show nothing more, and a soak's would weigh megabytes.
const maxPoints = 240

// chart is lines over time, and the table beside them.
type chart struct {
	ID    string     `json:"id"`
	Title string     `json:"-"`
	About string     `json:"-"` // what it is of, and what it is good for
	Unit  string     `json:"unit"`
	X     []float64  `json:"x"`             // seconds since the first result
	Log   bool       `json:"log,omitempty"` // a logarithmic axis
	Lines []line     `json:"lines"`
	Limit *limitLine `json:"limit,omitempty"`

	Columns []string   `json:"-"`
	Rows    [][]string `json:"-"` // the first cell of each names it
}

// The units of axes.
const (
	unitMillis  = "ms"
	unitPercent = "%"
	unitNumber  = ""
	unitRate    = "/s"
)

type line struct {
	Label string     `json:"label"`
	Y     []*float64 `json:"y"` // null where there is none
}

type limitLine struct {
	Label string  `json:"label"`
	Value float64 `json:"value"`
}

// clock is the time axis: buckets of one or several windows, so that no line has more than maxPoints.
type clock struct {
	from   time.Time // where it begins, which is second 0
	step   time.Duration
	number int
}

func newClock(windows []*results.Aggregate) clock {
	if len(windows) == 0 {
		return clock{}
	}
	c := clock{from: windows[0].Start, step: 10 * time.Second}
	until := c.from
	for _, a := range windows {
		if a.Start.Before(c.from) {
			c.from = a.Start
		}
		if a.End.After(until) {
			until = a.End
		}
	}
	if first := windows[0].End.Sub(windows[0].Start); first > 0 {
		c.step = first
	}
	windowsOf := math.Ceil(float64(until.Sub(c.from)) / float64(c.step) / maxPoints)
	c.step *= time.Duration(max(1, windowsOf))
	c.number = max(1, int(math.Ceil(float64(until.Sub(c.from))/float64(c.step)))) // a window may be without length
	return c
}

// seconds are the buckets' middles, in seconds since the axis began.
func (c clock) seconds() []float64 {
	x := make([]float64, c.number)
	for i := range x {
		x[i] = (float64(i) + 0.5) * c.step.Seconds()
	}
	return x
}

// coarser is the clock with buckets of so many samples, on the average, that a percentile of each is one, and not its worst sample.
func (c clock) coarser(rows map[string][]*slot) clock {
	const wanted, fewest = 20, 24 // samples in a bucket, buckets
	samples, full := 0., 0.
	for _, row := range rows {
		for _, s := range row {
			if s != nil {
				samples += float64(s.Count)
				full++
			}
		}
	}
	times := 1
	for _, t := range []int{1, 2, 3, 6, 12, 30, 60} {
		if c.number/t < fewest {
			break
		}
		times = t
		if samples*float64(t) >= wanted*full {
			break
		}
	}
	c.step *= time.Duration(times)
	c.number = (c.number + times - 1) / times
	return c
}

func (c clock) bucket(t time.Time) int { return min(max(0, int(t.Sub(c.from)/c.step)), c.number-1) }

// slot is a bucket's samples of a series.
type slot = results.Aggregate

// each ends a sentence with what a point stands for.
func (c clock) each() string { return "; a point stands for " + c.step.String() + "." }

// gather merges what is chosen into one row of buckets a name; name returns what an aggregate belongs to, empty: to nothing.
func (c clock) gather(windows []*results.Aggregate, name func(*results.Aggregate) string) map[string][]*slot {
	rows := map[string][]*slot{}
	for _, a := range windows {
		key := name(a)
		if key == "" || a.Count == 0 {
			continue
		}
		if rows[key] == nil {
			rows[key] = make([]*slot, c.number)
		}
		same := *a
		same.Series = results.Series{Metric: a.Metric, Kind: a.Kind}
		merge(&rows[key][c.bucket(a.Start)], &same)
	}
	return rows
}

func merge(into **results.Aggregate, a *results.Aggregate) {
	if *into == nil {
		*into = results.New(a.Series, a.Start, a.End)
	}
	// It fails for other series only, and for more than 2^63 samples, which then are missing in a picture.
	_ = (*into).Merge(a)
}

// trend gathers a metric of durations, in buckets as wide as its percentiles need.
func (c clock) trend(windows []*results.Aggregate, metric string, name func(results.Tags) string) (map[string][]*slot, clock) {
	of := func(a *results.Aggregate) string {
		return given(a.Metric == metric && a.Kind == results.Trend, name(a.Tags))
	}
	rows := c.gather(windows, of)
	if wide := c.coarser(rows); wide.number != c.number {
		return wide.gather(windows, of), wide
	}
	return rows, c
}

// total merges a row of buckets.
func total(row []*slot) *results.Aggregate {
	var all *results.Aggregate
	for _, s := range row {
		if s != nil {
			merge(&all, s)
		}
	}
	return all
}

// draw makes a line of a row.
func draw(label string, row []*slot, y func(*slot) float64) line {
	l := line{Label: label, Y: make([]*float64, len(row))}
	for i, s := range row {
		if s == nil || s.Count == 0 {
			continue
		}
		if v := y(s); !math.IsNaN(v) && !math.IsInf(v, 0) {
			v = math.Round(v*1000) / 1000
			l.Y[i] = &v
		}
	}
	return l
}

// headlines are the steps that say most of a metric: what a person waits for.
var headlines = []string{"total", "visible", "picture"}

// headline is the step of a metric that is shown in full.
func headline(steps []string) string {
	for _, s := range headlines {
		if slices.Contains(steps, s) {
			return s
		}
	}
	return steps[len(steps)-1]
}

// charts are what the page draws over time.
func (r Report) charts() (clock, []chart) {
	windows := r.Run.Windows
	c := newClock(windows)
	var list []chart
	trends := map[string]map[string]bool{}
	for _, a := range windows {
		if a.Kind == results.Trend {
			if trends[a.Metric] == nil {
				trends[a.Metric] = map[string]bool{}
			}
			trends[a.Metric][a.Tags.Step] = true
		}
	}
	for _, metric := range slices.SortedFunc(maps.Keys(trends), compareMetrics) {
		steps := slices.Sorted(maps.Keys(trends[metric]))
		main := headline(steps)
		list = append(list, r.percentiles(c, metric, main))
		if len(steps) > 1 {
			list = append(list, r.steps(c, metric))
		}
		if ch, ok := r.sitesOver(c, metric, main); ok {
			list = append(list, ch)
		}
		for _, step := range steps {
			if step != main && r.called(metric, step) {
				if ch, ok := r.sitesOver(c, metric, step); ok {
					list = append(list, ch)
				}
			}
		}
	}
	list = append(list, r.failures(c)...)
	return c, append(list, r.load(c)...)
}

// compareMetrics puts a login before what follows it.
func compareMetrics(a, b string) int {
	order := []string{"vdi_wait", "vdi_login_duration", "vdi_connect_duration", "vdi_round_trip"}
	rank := func(m string) int {
		if i := slices.Index(order, m); i >= 0 {
			return i
		}
		return len(order)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// called says whether the verdict found a site or a night to differ in it.
func (r Report) called(metric, step string) bool {
	return slices.ContainsFunc(r.Verdict.Findings, func(f verdict.Finding) bool {
		return f.Metric == metric && f.Step == step && f.Site != "" && f.Result == verdict.Bad
	})
}

func label(metric, step string) string {
	if step == "" {
		return metric
	}
	return metric + ", step " + step
}

func (r Report) percentiles(c clock, metric, step string) chart {
	rows, c := c.trend(r.Run.Windows, metric, func(t results.Tags) string { return given(t.Step == step, "all") })
	row := rows["all"]
	ch := chart{Title: label(metric, step), About: "Percentiles over time, all sites together" + c.each(),
		Unit: unitMillis, X: c.seconds(),
		Columns: []string{"", "samples", "p50", "p95", "p99", "max"}}
	for _, q := range []float64{50, 95, 99} {
		ch.Lines = append(ch.Lines, draw("p"+number(q), row, func(s *slot) float64 { return s.Quantile(q / 100) }))
	}
	ch.Rows = append(ch.Rows, trendRow("all sites", total(row)))
	for _, f := range r.Verdict.Findings {
		if f.Check == verdict.CheckPercentile && f.Metric == metric && f.Step == step && f.Limit > 0 {
			ch.Limit = &limitLine{"p" + number(f.Percentile) + " " + limit(f), f.Limit}
			break
		}
	}
	return ch
}

func (r Report) steps(c clock, metric string) chart {
	rows, c := c.trend(r.Run.Windows, metric, func(t results.Tags) string { return t.Step })
	ch := chart{Title: metric + ", by step", About: "The 95th percentile of each step, on a logarithmic axis" + c.each(),
		Unit: unitMillis, Log: true, X: c.seconds(), Columns: []string{"step", "samples", "p50", "p95", "p99", "max"}}
	for _, step := range slices.SortedFunc(maps.Keys(rows), compareSteps) {
		ch.Lines = append(ch.Lines, draw(step, rows[step], p95))
		ch.Rows = append(ch.Rows, trendRow(step, total(rows[step])))
	}
	return ch
}

func (r Report) sitesOver(c clock, metric, step string) (chart, bool) {
	rows, c := c.trend(r.Run.Windows, metric, func(t results.Tags) string { return given(t.Step == step, t.Site) })
	ch := chart{Title: label(metric, step) + ", by site", About: "The 95th percentile at each site" + c.each(),
		Unit: unitMillis, X: c.seconds(),
		Columns: []string{"site", "samples", "p50", "p95", "p99", "max"}}
	sites := slices.Sorted(maps.Keys(rows))
	if len(sites) < 2 {
		return chart{}, false
	}
	if len(sites) > maxLines {
		worst := slices.Clone(sites)
		slices.SortFunc(worst, func(a, b string) int { return cmp.Compare(p95(total(rows[b])), p95(total(rows[a]))) })
		worst = worst[:maxLines]
		ch.About += " Drawn are the worst; the table has all."
		for _, site := range slices.Sorted(slices.Values(worst)) {
			ch.Lines = append(ch.Lines, draw(site, rows[site], p95))
		}
	}
	for _, site := range sites {
		if len(sites) <= maxLines {
			ch.Lines = append(ch.Lines, draw(site, rows[site], p95))
		}
		ch.Rows = append(ch.Rows, trendRow(site, total(rows[site])))
	}
	return ch, true
}

// maxLines is how many lines an eye tells apart.
const maxLines = 8

func (r Report) failures(c clock) []chart {
	rows := c.gather(r.Run.Windows, func(a *results.Aggregate) string { return given(a.Kind == results.Rate, a.Metric) })
	if len(rows) == 0 {
		return nil
	}
	ch := chart{Title: "Failures", About: "The share that failed, all sites together.", Unit: unitPercent, X: c.seconds(),
		Columns: []string{"of", "samples", "failed", "share"}}
	for _, metric := range slices.SortedFunc(maps.Keys(rows), compareMetrics) {
		if len(ch.Lines) < maxLines {
			ch.Lines = append(ch.Lines, draw(metric, rows[metric], func(s *slot) float64 { return 100 * s.Mean() }))
		}
		all := total(rows[metric])
		ch.Rows = append(ch.Rows, []string{metric, number(float64(all.Count)), number(all.Sum), verdict.Share.Format(all.Mean())})
	}
	return []chart{ch}
}

// load are the charts of what was asked of the cloud.
func (r Report) load(c clock) []chart {
	var list []chart
	gauges := c.gather(r.Run.Windows, func(a *results.Aggregate) string { return given(a.Kind == results.Gauge, a.Metric) })
	for _, metric := range slices.Sorted(maps.Keys(gauges)) {
		all := total(gauges[metric])
		list = append(list, chart{Title: metric, About: "A level, by its last value.", Unit: unitNumber, X: c.seconds(),
			Lines:   []line{draw(metric, gauges[metric], func(s *slot) float64 { return s.Last })},
			Columns: []string{"", "highest", "last"}, Rows: [][]string{{metric, number(all.Max), number(all.Last)}}})
	}
	counted := c.gather(r.Run.Windows, func(a *results.Aggregate) string {
		return given(a.Kind == results.Counter && strings.HasSuffix(a.Metric, "iterations"), a.Metric)
	})
	if len(counted) > 0 {
		ch := chart{Title: "Iterations", About: "A second; those dropped were due and not begun.", Unit: unitRate, X: c.seconds(),
			Columns: []string{"of", "altogether"}}
		for _, metric := range slices.SortedFunc(maps.Keys(counted), func(a, b string) int { return cmp.Compare(b, a) }) {
			row := counted[metric]
			for i, s := range row {
				if s == nil { // nothing counted is none
					row[i] = results.New(results.Series{Metric: metric, Kind: results.Counter}, c.from, c.from)
					row[i].Count = 1
				}
			}
			ch.Lines = append(ch.Lines, draw(metric, row, func(s *slot) float64 { return s.Sum / c.step.Seconds() }))
			sum := 0.0
			for _, s := range row {
				sum += s.Sum
			}
			ch.Rows = append(ch.Rows, []string{metric, number(sum)})
		}
		list = append(list, ch)
	}
	return list
}

// given is a text, or none.
func given(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func p95(s *slot) float64 {
	if s == nil {
		return math.NaN()
	}
	return s.Quantile(0.95)
}

func trendRow(name string, a *results.Aggregate) []string {
	if a == nil || a.Count == 0 {
		return []string{name, "0", "-", "-", "-", "-"}
	}
	ms := verdict.Millis.Format
	return []string{name, number(float64(a.Count)), ms(a.Quantile(0.5)), ms(a.Quantile(0.95)), ms(a.Quantile(0.99)), ms(a.Max)}
}

// stepOrder is that of a login and a connect.
var stepOrder = []string{
	"total", "auth", "match", "allocate", "boot", "console", "unaccounted", "link", "main", "picture", "server", "guest", "visible",
}

func compareSteps(a, b string) int {
	rank := func(s string) int {
		if i := slices.Index(stepOrder, s); i >= 0 {
			return i
		}
		return len(stepOrder)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}
