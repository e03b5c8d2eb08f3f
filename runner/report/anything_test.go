package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/report"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// anything is a run that may be like anything: half done, without ends, with odd figures.
func anything(rng *rand.Rand) record.Run {
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	when := func() time.Time {
		if rng.IntN(8) == 0 {
			return time.Time{}
		}
		return time.Date(2026, 11, 26, 2, rng.IntN(60), rng.IntN(60), 0, time.UTC)
	}
	run := record.Run{
		ID: fmt.Sprint(rng.Int64()), Experiment: "x", Began: when(), Ended: when(), Deviated: rng.IntN(3) == 0, DryRun: rng.IntN(20) == 0,
		Status:   record.Status(pick("completed", "completed", "completed", "failed", "aborted", "interrupted", "")),
		Versions: map[string]string{"qemu": pick("1", "2")}, Clock: record.Clock{Jump: time.Duration(rng.NormFloat64() * 1e9)},
	}
	for range rng.IntN(6) {
		a := record.Activity{Phase: pick("hypothesis-before", "method", "hypothesis-during", "rollbacks", ""), Kind: pick("probe", "action", ""),
			Name: pick("a", "b"), Began: when(), Ended: when(), Status: pick("succeeded", "failed", "aborted", "")}
		if rng.IntN(2) == 0 {
			met := rng.IntN(2) == 0
			a.ToleranceMet = &met
		}
		run.Activities = append(run.Activities, a)
	}
	for range rng.IntN(3) {
		run.Faults = append(run.Faults, record.Fault{Fault: "net.loss", Injected: when(), Undone: when()})
	}
	for range rng.IntN(3) {
		run.Generators = append(run.Generators, record.Generator{Activity: "load", Began: when(), Ended: when(),
			ExitCode: []int{0, 0, 0, 99, 105, 107, 110, -1}[rng.IntN(8)], Stopped: rng.IntN(2) == 0, MachineCPU: rng.Float64(),
			Iterations: rng.Int64N(100), Dropped: rng.Int64N(4), Lost: pick("", "", "", "half a line")})
	}
	for range rng.IntN(60) {
		start := when()
		kind := []results.Kind{results.Trend, results.Rate, results.Gauge, results.Counter}[rng.IntN(4)]
		a := results.New(results.Series{Metric: pick("m", "n", "iterations"), Kind: kind,
			Tags: results.Tags{Site: pick("", "s1", "s2", "s3", "s4", "s5"), Step: pick("", "total", "auth")}}, start,
			start.Add(time.Duration(rng.IntN(60))*time.Second))
		for range rng.IntN(80) {
			value := []float64{0, 1, -1, 1e12, math.Exp(3 * rng.NormFloat64())}[rng.IntN(5)]
			_ = a.Add(value, start)
		}
		run.Windows = append(run.Windows, a)
	}
	slices.SortFunc(run.Windows, results.Compare)
	return run
}

// TestAnything: whatever a run is like there is a verdict by the order of precedence, and every report can be written.
func TestAnything(t *testing.T) {
	o := verdict.Objectives{
		Window: verdict.Window{From: 30 * time.Second, Faults: verdict.ExcludeFaults},
		List: []verdict.Objective{
			{Metric: "m", Percentile: 95, Below: time.Second, PerSite: true, MinSamples: 1, Window: &verdict.Window{}},
			{Metric: "m", AtMost: 0.5, PerStep: true}, {Metric: "n", AtMost: 0.5, Step: "auth", PerSite: true, MinSamples: 1},
			{Metric: "n", Percentile: 50, Below: time.Second, Window: &verdict.Window{Faults: verdict.OnlyFaults}},
		},
	}
	outcomes := map[verdict.Outcome]int{}
	var nights []verdict.Night
	for seed := range uint64(400) {
		run := anything(rand.New(rand.NewPCG(seed, 13)))
		judged := o
		if seed%2 == 0 {
			judged = verdict.Objectives{} // the hypothesis alone, which may hold
		}
		v := verdict.Judge(run, judged, nights)
		outcomes[v.Outcome]++
		nights = append(nights[max(0, len(nights)-30):], verdict.NightOf(run, v))
		want := verdict.Passed
		switch {
		case len(v.With(verdict.Broken)) > 0:
			want = verdict.Failed
		case run.DryRun || len(v.With(verdict.Unsound)) > 0:
			want = verdict.NoVerdict
		case len(v.With(verdict.Bad)) > 0:
			want = verdict.Deviated
		case len(v.With(verdict.Undecided)) > 0 || len(v.With(verdict.Good)) == 0:
			want = verdict.NoVerdict
		}
		require.Equal(t, want, v.Outcome, "seed %d: %+v", seed, v)
		require.NotEmpty(t, v.Reason)
		text, err := json.Marshal(v)
		require.NoError(t, err)
		var again verdict.Verdict
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, v.Figures, again.Figures, "what the history keeps")

		r := report.Report{Run: run, Verdict: v, Nights: nights}
		var b bytes.Buffer
		require.NoError(t, r.HTML(&b), "seed %d", seed)
		require.False(t, strings.Contains(b.String(), "NaN"), "seed %d", seed)
		require.NoError(t, r.Markdown(&b))
		require.NoError(t, r.Text(&b, true))
		b.Reset()
		require.NoError(t, r.JUnit(&b))
		require.NoError(t, xml.Unmarshal(b.Bytes(), new(suites)))
	}
	t.Log(outcomes)
	require.Len(t, outcomes, 4, "each outcome is among them")
}
