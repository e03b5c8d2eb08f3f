package probes

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/native"
)

func (p *prober) slo() []native.Function {
	return []native.Function{{
		Name: "slo", Kind: native.Probe,
		Doc: "A figure of what this run's load has measured so far: a percentile, a share of failures, a count.",
		Parameters: []native.Parameter{
			{Name: "metric", Type: native.Text, Required: true, Doc: "such as vdi_login_duration (docs/metrics.md)"},
			{Name: "statistic", Type: native.Text, Doc: "p50, p95, p99.9 ... of durations, in milliseconds; share, of yes and no; mean, min, max; " +
				"count, of samples; sum; last, of levels; absent: p95 of durations, share of yes and no, sum of counts, last of levels"},
			{Name: "step", Type: native.Text, Doc: "only of this step; absent: of all together"},
			{Name: "site", Type: native.Text, Doc: "only of this site; absent: of all together"},
			{Name: "profile", Type: native.Text, Doc: "only of this workload profile; absent: of all together"},
			{Name: "path", Type: native.Text, Doc: "only of this way to the desktops; absent: of all together"},
			{Name: "class", Type: native.Text, Doc: "only of this class of failures; absent: of all together"},
			{Name: "window", Type: native.Duration, Doc: "only of so long ago until now (load is told of 11 s late); absent: of all the run"},
			{Name: "empty", Type: native.Number, Doc: "the value where nothing was measured; absent: that is an error"},
		},
		Run: p.runSLO,
	}}
}

func (p *prober) runSLO(_ context.Context, a native.Arguments) (any, error) {
	since := time.Time{}
	if a.Has("window") {
		since = time.Now().Add(-a.Duration("window", 0))
	}
	only := func(name, value string) bool { return !a.Has(name) || a.Text(name, "") == value }
	metric := a.Text("metric", "")
	fits := func(s results.Series) bool {
		return s.Metric == metric && only("step", s.Tags.Step) && only("site", s.Tags.Site) && only("profile", s.Tags.Profile) &&
			only("path", s.Tags.Path) && only("class", s.Tags.Class)
	}
	var all []*results.Aggregate
	if !a.Has("window") {
		all = p.Recorder.Totals(fits) // which a hypothesis may ask for each second of a night
	}
	if len(all) == 0 {
		all = p.Recorder.Select(func(s results.Series, start time.Time) bool { return fits(s) && !start.Before(since) })
	}
	total, err := together(all)
	if err != nil {
		return nil, err
	}
	if total == nil || total.Count == 0 {
		if a.Has("empty") {
			return a.Number("empty", 0), nil
		}
		return nil, fmt.Errorf("nothing was measured of %s%s; with the argument empty that has a value", metric, where(a))
	}
	value, err := statistic(total, a.Text("statistic", usual(total.Kind)))
	if err != nil {
		return nil, native.Wrong("statistic", "%v", err)
	}
	return value, nil
}

// where is what the arguments narrow a metric to, for people.
func where(a native.Arguments) (text string) {
	for _, name := range []string{"step", "site", "profile", "path", "class", "window"} {
		if a.Has(name) {
			text += fmt.Sprintf(" with the %s %v", name, a[name])
		}
	}
	return text
}

// together merges aggregates of one metric whatever their tags; nil: there is none. Levels of different tags exist side by side, so the
// last level is the sum of those of the latest window.
func together(all []*results.Aggregate) (*results.Aggregate, error) {
	if len(all) == 0 {
		return nil, nil
	}
	latest, last := all[len(all)-1].Start, 0.
	for _, a := range all {
		if a.Start.Equal(latest) {
			last += a.Last
		}
	}
	total := all[0]
	total.Tags = results.Tags{}
	for _, a := range all[1:] {
		a.Tags = results.Tags{}
		if err := total.Merge(a); err != nil {
			return nil, err
		}
	}
	total.Last = last
	return total, nil
}

func usual(kind results.Kind) string {
	switch kind {
	case results.Trend:
		return "p95"
	case results.Rate:
		return "share"
	case results.Gauge:
		return "last"
	}
	return "sum"
}

func statistic(a *results.Aggregate, name string) (float64, error) {
	percentile, isPercentile := strings.CutPrefix(name, "p")
	switch {
	case name == "count":
		return float64(a.Count), nil
	case name == "sum":
		return a.Sum, nil
	case name == "min":
		return a.Min, nil
	case name == "max":
		return a.Max, nil
	case name == "mean":
		return a.Mean(), nil
	case name == "share" && a.Kind == results.Rate:
		return a.Mean(), nil
	case name == "last" && a.Kind == results.Gauge:
		return a.Last, nil
	case isPercentile && a.Kind == results.Trend:
		q, err := strconv.ParseFloat(percentile, 64)
		if err == nil && q >= 0 && q <= 100 {
			return math.Round(a.Quantile(q/100)*1000) / 1000, nil
		}
	}
	return 0, fmt.Errorf("%q is no statistic of a %s; expected count, sum, min, max, mean, or %s", name, a.Kind, usual(a.Kind))
}
