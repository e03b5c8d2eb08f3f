// Package influx writes what runs measure to InfluxDB 2, or what takes its line protocol (VictoriaMetrics).
//
// An aggregate of a series and a window is one point: its metric is the measurement, its time the window's beginning in
// milliseconds. Tags are experiment, site, step, profile, path and class, each of which has a handful of values; never a user or a
// virtual user. The run's id is a field, "run", and no tag: each run would begin all its series anew, 100 series a night and as many
// a quarter of an hour for a health check, and those that have ended stay in the index. Nothing is lost by that: an experiment runs
// once at a time, so experiment and time say which run it was.
//
// Fields are count, sum, min and max; of durations p50, p95 and p99 as well, in milliseconds; of levels last.
package influx

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/influxdata/influxdb-client-go/v2/api/write"
	protocol "github.com/influxdata/line-protocol"

	"github.com/deskstorm/deskstorm/results"
)

// precision of the points' times.
const precision = time.Millisecond

// point makes an aggregate's.
func point(run, experiment string, a *results.Aggregate) *write.Point {
	p := write.NewPointWithMeasurement(a.Metric).SetTime(a.Start)
	for _, t := range [][2]string{
		{"experiment", experiment}, {"site", a.Tags.Site}, {"step", a.Tags.Step}, {"profile", a.Tags.Profile}, {"path", a.Tags.Path},
		{"class", a.Tags.Class},
	} {
		if value := tidy(t[1]); value != "" {
			p.AddTag(t[0], value)
		}
	}
	p.AddField("run", run).AddField("count", a.Count).AddField("sum", a.Sum)
	if a.Count > 0 {
		p.AddField("min", a.Min).AddField("max", a.Max)
	}
	for _, q := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}} {
		if v := a.Quantile(q.share); !math.IsNaN(v) {
			p.AddField(q.name, v)
		}
	}
	if a.Kind == results.Gauge && a.Count > 0 {
		p.AddField("last", a.Last)
	}
	return p.SortTags().SortFields()
}

// tidy makes a text one that line protocol has no trouble with as a tag: without control characters, and without a backslash at its
// end, which would take the space or comma after it (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol).
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	if trimmed := strings.TrimRight(s, `\`); trimmed != s {
		s = trimmed + "_"
	}
	return s
}

// line is a point in line protocol, without the line break.
func line(p *write.Point) (string, error) {
	var b bytes.Buffer
	e := protocol.NewEncoder(&b)
	e.SetFieldTypeSupport(protocol.UintSupport)
	e.FailOnFieldErr(true)
	e.SetPrecision(precision)
	if _, err := e.Encode(p); err != nil {
		return "", fmt.Errorf("a point of %s: %w", p.Name(), err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
