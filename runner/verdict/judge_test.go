package verdict

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
)

var began = time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)

// at is a time of the run.
func at(d time.Duration) time.Time { return began.Add(d) }

// load adds windows of 10 s for ten minutes, with so many logins each at a site: the median in milliseconds, and every so many
// failing (0: none).
func load(t testing.TB, run *record.Run, site string, each int, median float64, failing int) {
	rng := rand.New(rand.NewPCG(uint64(len(run.Windows)), 1))
	tags := results.Tags{Site: site}
	n := 0
	for start := began; start.Before(at(10 * time.Minute)); start = start.Add(10 * time.Second) {
		set := results.NewSet(start, start.Add(10*time.Second))
		add := func(s results.Series, v float64) { require.NoError(t, set.Add(s, v, start)) }
		for range each {
			n++
			if failing > 0 && n%failing == 0 {
				add(results.Series{Metric: "vdi_login_failed", Kind: results.Rate,
					Tags: results.Tags{Site: site, Step: "auth", Class: "directory-slow"}}, 1)
				continue
			}
			add(results.Series{Metric: "vdi_login_failed", Kind: results.Rate, Tags: tags}, 0)
			total := median * math.Exp(0.3*rng.NormFloat64())
			add(results.Series{Metric: "vdi_login_duration", Kind: results.Trend, Tags: results.Tags{Site: site, Step: "total"}}, total)
			add(results.Series{Metric: "vdi_login_duration", Kind: results.Trend, Tags: results.Tags{Site: site, Step: "auth"}}, total/4)
		}
		run.Windows = append(run.Windows, set.Aggregates()...)
	}
}

func completed() record.Run {
	return record.Run{
		ID: "20261126T021500-7f3a9c", Experiment: "boot-storm", Status: record.Completed, Began: began, Ended: at(12 * time.Minute),
		Generators: []record.Generator{{
			Activity: "storm", Segment: "0:1", Began: began, Ended: at(10 * time.Minute), MachineCPU: 0.4, Iterations: 6000,
		}},
		Versions: map[string]string{"qemu": "8.2.2"},
	}
}

func yes() *bool { b := true; return &b }
func no() *bool  { return new(bool) }

func slow(below time.Duration) Objective {
	return Objective{Metric: "vdi_login_duration", Step: "total", Percentile: 95, Below: below}
}

func budget(atMost float64) Objective { return Objective{Metric: "vdi_login_failed", AtMost: atMost} }

func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(t *testing.T, run *record.Run, o *Objectives)
		outcome Outcome
		says    string
	}{
		{"all is well", func(*testing.T, *record.Run, *Objectives) {}, Passed, "as it should be"},
		{"objective missed", func(_ *testing.T, _ *record.Run, o *Objectives) { o.List[0].Below = time.Second }, Deviated,
			"the p95 of vdi_login_duration, step total is 1.6"},
		{"budget overspent", func(_ *testing.T, _ *record.Run, o *Objectives) { o.List[1].AtMost = 0.005 }, Deviated,
			"the share of vdi_login_failed is 1 %, not at most 0.5 % (1200 samples)"},
		{"objective missed, machine saturated", func(_ *testing.T, run *record.Run, o *Objectives) {
			o.List[0].Below = time.Second
			run.Generators[0].MachineCPU = 0.93
		}, NoVerdict, "93 % busy, above 85 %"},
		{"passed, iterations dropped", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Generators[0].Dropped = 300 }, NoVerdict,
			"300 of 6300 iterations were dropped (4.76 %, more than 1 %)"},
		{"objective missed under less load than was asked for", func(_ *testing.T, run *record.Run, o *Objectives) {
			o.List[0].Below = time.Second
			run.Generators[0].Dropped = 300
		}, Deviated, "p95"},
		{"few iterations dropped", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Generators[0].Dropped = 60 }, Passed, ""},
		{"clock back", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Clock.Jump = -time.Minute }, NoVerdict, "jumped by 1m0s"},
		{"results lost", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Generators[0].Lost = "half a line" }, NoVerdict,
			`"storm", segment 0:1 lost results: half a line`},
		{"script threw", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Generators[0].ExitCode, run.Generators[0].ExitMeans = 107, "the script threw an exception"
		}, NoVerdict, "ended with exit code 107 (the script threw an exception)"},
		{"stopped as the experiment says", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Generators[0].ExitCode, run.Generators[0].Stopped = 105, true
		}, Passed, ""},
		{"stopped by somebody", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Generators[0].ExitCode = 105 }, NoVerdict, "105"},
		{"killed", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Generators[0].ExitCode = -1 }, NoVerdict, "exit code -1 (unknown)"},
		{"threshold crossed", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Generators[0].ExitCode = 99 }, Deviated, "threshold"},
		{"interrupted", func(_ *testing.T, run *record.Run, o *Objectives) {
			run.Status, run.Error = record.Interrupted, "SIGTERM"
			o.List[0].Below = time.Second
		}, NoVerdict, "interrupted: SIGTERM"},
		{"aborted", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Status, run.Error = record.Aborted, "no such script"
			run.Generators[0].MachineCPU = 1
		}, Failed, "no such script"},
		{"no status", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Status = "" }, Failed, "did not end"},
		{"dry run", func(_ *testing.T, run *record.Run, _ *Objectives) { run.DryRun = true }, NoVerdict, "dry run"},
		{"hypothesis missed", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Deviated = true
			run.Activities = append(run.Activities, record.Activity{
				Phase: "hypothesis-after", Name: "a user logs in", Status: "succeeded", ToleranceMet: no(),
			})
		}, Deviated, `"a user logs in" did not hold after the method`},
		{"hypothesis never held", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Status = record.Failed
			run.Activities = []record.Activity{{Phase: "hypothesis-before", Name: "a user logs in", Status: "failed", Error: "refused"}}
		}, Deviated, `did not hold before the method: refused`},
		{"deviated, nobody says where", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Deviated = true }, Deviated, "steady state"},
		{"fault not undone", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Faults = []record.Fault{{Fault: "net.loss", What: "5 % of packets", Injected: at(time.Minute), Error: "no route"}}
		}, Failed, "not undone; run deskstorm recover: no route"},
		{"fault not undone in a dry run of probes", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.DryRun = true
			run.Faults = []record.Fault{{Fault: "net.loss", What: "5 % of packets", Injected: at(time.Minute)}}
		}, Failed, "not undone"},
		{"action not done", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Activities = append(run.Activities, record.Activity{Phase: "method", Kind: "action", Name: "drop renewals", Status: "failed"})
		}, NoVerdict, `"drop renewals" was not done`},
		{"the method's probe failed", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Activities = append(run.Activities, record.Activity{Phase: "method", Kind: "probe", Name: "ask", Status: "failed"})
		}, Passed, ""},
		{"the method's probe as expected", func(_ *testing.T, run *record.Run, o *Objectives) {
			*o = Objectives{}
			run.Generators, run.Windows = nil, nil
			run.Activities = append(run.Activities, record.Activity{
				Phase: "method", Kind: "probe", Name: "renewals are lost", Status: "succeeded", ToleranceMet: yes(),
			})
		}, Passed, ""},
		{"the method's probe not as expected", func(_ *testing.T, run *record.Run, _ *Objectives) {
			run.Activities = append(run.Activities, record.Activity{
				Phase: "method", Kind: "probe", Name: "all run in time", Status: "failed", ToleranceMet: no(), Error: "after 10m there are 3",
			})
		}, Deviated, `"all run in time" was not as expected in the method: after 10m there are 3`},
		{"too few samples", func(t *testing.T, run *record.Run, o *Objectives) {
			run.Windows = nil
			load(t, run, "", 1, 1000, 0)
			o.List[0].Percentile = 99
		}, NoVerdict, "of 60 samples: too few to say whether it is below 3 s; 500 are needed"},
		{"few samples, no doubt", func(t *testing.T, run *record.Run, o *Objectives) {
			run.Windows = nil
			load(t, run, "", 1, 30000, 2)
		}, Deviated, "s (30 samples)"},
		{"nothing measured", func(_ *testing.T, run *record.Run, _ *Objectives) { run.Windows = nil }, NoVerdict, "nothing was measured"},
		{"nothing to judge by", func(_ *testing.T, _ *record.Run, o *Objectives) { *o = Objectives{} }, NoVerdict, "neither"},
		{"hypothesis alone", func(_ *testing.T, run *record.Run, o *Objectives) {
			*o = Objectives{}
			run.Activities = []record.Activity{{Phase: "hypothesis-before", Name: "up", Status: "succeeded", ToleranceMet: yes()}}
			run.Generators, run.Windows = nil, nil
		}, Passed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := completed()
			load(t, &run, "north", 10, 1000, 100)
			load(t, &run, "south", 10, 1000, 100)
			o := Objectives{List: []Objective{slow(3 * time.Second), budget(0.02)}}
			test.change(t, &run, &o)
			v := Judge(run, o, nil)
			require.Equal(t, test.outcome, v.Outcome, "%s: %+v", v.Reason, v.Findings)
			require.Contains(t, v.Reason, test.says)
			_, err := json.Marshal(v)
			require.NoError(t, err)
		})
	}
}

func TestExitCodes(t *testing.T) {
	for outcome, code := range map[Outcome]int{Passed: 0, Deviated: 1, Failed: 2, NoVerdict: 3, "": 2} {
		require.Equal(t, code, Verdict{Outcome: outcome}.ExitCode(), outcome)
	}
}

func find(t *testing.T, v Verdict, check Check, site, step string) Finding {
	t.Helper()
	for _, f := range v.Findings {
		if f.Check == check && f.Site == site && f.Step == step {
			return f
		}
	}
	t.Fatalf("no finding of %s, site %q, step %q in %+v", check, site, step, v.Findings)
	return Finding{}
}

// TestPer: sites and steps are judged by themselves where the objective says so.
func TestPer(t *testing.T) {
	run := completed()
	load(t, &run, "north", 10, 1000, 0)
	load(t, &run, "south", 10, 4000, 10)
	o := Objectives{List: []Objective{
		{Metric: "vdi_login_duration", PerSite: true, Percentile: 95, Below: 3 * time.Second},
		{Metric: "vdi_login_failed", AtMost: 0.02, PerSite: true, PerStep: true},
		{Metric: "vdi_login_failed", AtMost: 0.02, Step: "console"},
		{Metric: "vdi_login_failed", AtMost: 0.06},
	}}
	v := Judge(run, o, nil)
	require.Equal(t, Deviated, v.Outcome)
	require.Equal(t, Good, find(t, v, CheckPercentile, "north", "total").Result)
	require.Equal(t, Good, find(t, v, CheckPercentile, "south", "auth").Result)
	require.Equal(t, Bad, find(t, v, CheckPercentile, "south", "total").Result)

	auth := find(t, v, CheckBudget, "south", "auth")
	require.Equal(t, Bad, auth.Result)
	require.InDelta(t, 0.1, auth.Value, 1e-9, "of all logins, not of those that failed")
	require.Equal(t, int64(600), auth.Samples)
	require.Zero(t, find(t, v, CheckBudget, "north", "auth").Value)
	console := find(t, v, CheckBudget, "", "console")
	require.Equal(t, Good, console.Result, "nothing failed there: %+v", console)
	require.Equal(t, int64(1200), console.Samples)
	require.InDelta(t, 0.05, find(t, v, CheckBudget, "", "").Value, 1e-9)
}

// TestSiteGone: a site that the last night had must not be forgotten because nobody could log in there.
func TestSiteGone(t *testing.T) {
	o := Objectives{List: []Objective{{Metric: "vdi_login_duration", Step: "total", PerSite: true, Percentile: 95, Below: 3 * time.Second}}}
	run := completed()
	load(t, &run, "north", 10, 1000, 0)
	load(t, &run, "south", 10, 1000, 0)
	nights := []Night{NightOf(run, Judge(run, o, nil))}
	run = completed()
	load(t, &run, "north", 10, 1000, 0)
	v := Judge(run, o, nights)
	require.Equal(t, NoVerdict, v.Outcome)
	require.Equal(t, "nothing was measured for the p95 of vdi_login_duration, step total, site south", v.Reason)
}

// TestStepsDoNotMix: what one objective measured last night is not missed by another of the same metric.
func TestStepsDoNotMix(t *testing.T) {
	o := Objectives{List: []Objective{
		{Metric: "vdi_login_duration", Step: "total", PerSite: true, Percentile: 95, Below: 3 * time.Second},
		{Metric: "vdi_login_duration", Step: "auth", Percentile: 95, Below: 3 * time.Second},
		{Metric: "vdi_login_failed", AtMost: 0.5, PerStep: true, PerSite: true},
	}}
	run := completed()
	load(t, &run, "north", 10, 1000, 10)
	nights := []Night{NightOf(run, Judge(run, o, nil))}
	run = completed()
	load(t, &run, "north", 10, 1000, 0)
	v := Judge(run, o, nights)
	require.Equal(t, Passed, v.Outcome, "%+v", v.Findings)
	require.Zero(t, find(t, v, CheckBudget, "north", "").Value, "where nothing failed there are no steps")
}

// TestWindow: a ramp and the time of faults are left out, or looked at alone.
func TestWindow(t *testing.T) {
	run := completed()
	run.Faults = []record.Fault{{Fault: "ldap.slow", Injected: at(4 * time.Minute), Undone: at(5 * time.Minute)}}
	series := results.Series{Metric: "vdi_login_duration", Kind: results.Trend, Tags: results.Tags{Step: "total"}}
	for start := began; start.Before(at(10 * time.Minute)); start = start.Add(10 * time.Second) {
		a := results.New(series, start, start.Add(10*time.Second))
		for range 10 {
			require.NoError(t, a.Add(start.Sub(began).Seconds()*1000, start))
		}
		run.Windows = append(run.Windows, a)
	}
	for _, test := range []struct {
		name    string
		window  Window
		samples int64
		high    float64 // the p100, seconds
	}{
		{"all", Window{}, 600, 590},
		{"without the ramp", Window{From: time.Minute}, 540, 590},
		{"until", Window{From: time.Minute, Until: 3 * time.Minute}, 120, 170},
		{"without the fault", Window{Faults: ExcludeFaults}, 540, 590},
		{"until it has settled", Window{Faults: ExcludeFaults, Settle: 2 * time.Minute}, 420, 590},
		{"the fault alone", Window{Faults: OnlyFaults}, 60, 290},
		{"the fault, until it has settled", Window{Faults: OnlyFaults, Settle: time.Minute}, 120, 350},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := slow(time.Hour)
			o.Percentile, o.Window = 99.99, &test.window
			o.MinSamples = 1
			f := find(t, Judge(run, Objectives{List: []Objective{o}}, nil), CheckPercentile, "", "total")
			require.Equal(t, test.samples, f.Samples)
			require.InDelta(t, test.high*1000, f.Value, test.high*2)
		})
	}
}

func TestFlaky(t *testing.T) {
	for _, test := range []struct {
		name, nights string // p passed, d deviated, n no verdict, P and D of another version; tonight passed
		want         *Flaky
	}{
		{"steady", "pppppp", nil},
		{"broken and repaired", "pppddd", nil},
		{"one bad night", "pppdpp", nil},
		{"back and forth", "pdpdpd", &Flaky{Runs: 7, Passed: 4, Deviated: 3, Changes: 6}},
		{"no verdict between", "pdnpdn", &Flaky{Runs: 5, Passed: 3, Deviated: 2, Changes: 4}},
		{"since the versions changed", "PDPDPp", nil},
		{"what is long ago", "dpdpdpppppp", nil},
		{"first run", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := completed()
			var nights []Night
			for _, c := range test.nights {
				n := Night{Versions: run.Versions}
				switch {
				case c == 'n':
					n.Outcome = NoVerdict
				case strings.ContainsRune("pP", c):
					n.Outcome = Passed
				default:
					n.Outcome = Deviated
				}
				if c == 'P' || c == 'D' {
					n.Versions = map[string]string{"qemu": "7.2"}
				}
				nights = append(nights, n)
			}
			load(t, &run, "", 10, 1000, 0)
			v := Judge(run, Objectives{List: []Objective{slow(3 * time.Second)}}, nights)
			require.Equal(t, Passed, v.Outcome)
			require.Equal(t, test.want, v.Flaky)
		})
	}
}

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Millis, 4212, "4.21 s"}, {Millis, 85.04, "85 ms"}, {Millis, 0.1234, "0.123 ms"}, {Millis, 0, "0 ms"}, {Millis, 123456, "123 s"},
		{Share, 0.008, "0.8 %"}, {Share, 1, "100 %"}, {Share, 0.00012345, "0.0123 %"}, {Millis, 999.6, "1000 ms"},
	} {
		require.Equal(t, test.want, test.unit.Format(test.v))
	}
}
