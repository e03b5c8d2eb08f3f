package report_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/report"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// soak is a night of hours at a number of sites, six steps each.
func soak(t testing.TB, hours, sites int) report.Report {
	began := time.Date(2026, 11, 26, 22, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(1, 1))
	var windows []*results.Aggregate
	for start := began; start.Before(began.Add(time.Duration(hours) * time.Hour)); start = start.Add(10 * time.Second) {
		set := results.NewSet(start, start.Add(10*time.Second))
		for site := range sites {
			for _, step := range []string{"auth", "match", "allocate", "boot", "console", "total"} {
				s := results.Series{Metric: "vdi_login_duration", Kind: results.Trend, Tags: results.Tags{Site: fmt.Sprintf("site%02d", site), Step: step}}
				for range 3 {
					require.NoError(t, set.Add(s, 100+rng.ExpFloat64()*500, start))
				}
			}
		}
		windows = append(windows, set.Aggregates()...)
	}
	run := sampleRun(began, windows)
	run.Ended = began.Add(time.Duration(hours) * time.Hour)
	for i := range run.Generators {
		run.Generators[i].Ended = run.Ended
	}
	o := verdict.Objectives{List: []verdict.Objective{
		{Metric: "vdi_login_duration", Step: "total", Percentile: 95, Below: 5 * time.Second, PerSite: true},
		{Metric: "vdi_login_duration", Percentile: 99, Below: 9 * time.Second},
	}}
	return report.Report{Run: run, Verdict: verdict.Judge(run, o, nil)}
}

// TestSoak: a long night at many sites makes a page that a browser, and a mail, can hold.
func TestSoak(t *testing.T) {
	hours := 8
	if testing.Short() {
		hours = 1
	}
	r := soak(t, hours, 12)
	require.Equal(t, verdict.Passed, r.Verdict.Outcome, r.Verdict.Reason)
	began := time.Now()
	var b bytes.Buffer
	require.NoError(t, r.HTML(&b))
	t.Logf("%d aggregates: %d kB of HTML in %v", len(r.Run.Windows), b.Len()>>10, time.Since(began))
	require.Less(t, b.Len(), 1<<20)
}

func BenchmarkJudge(b *testing.B) {
	r := soak(b, 8, 12)
	o := verdict.Objectives{List: []verdict.Objective{
		{Metric: "vdi_login_duration", Step: "total", Percentile: 95, Below: 5 * time.Second, PerSite: true},
		{Metric: "vdi_login_duration", Percentile: 99, Below: 9 * time.Second},
	}}
	for b.Loop() {
		verdict.Judge(r.Run, o, nil)
	}
	b.ReportMetric(float64(len(r.Run.Windows)), "aggregates")
}

func BenchmarkHTML(b *testing.B) {
	r := soak(b, 8, 12)
	for b.Loop() {
		var page bytes.Buffer
		require.NoError(b, r.HTML(&page))
	}
}
