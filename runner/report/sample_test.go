package report_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/report"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// sampleSites are a desktop cloud's; harbour's directory is slow tonight.
var sampleSites = []string{"airport", "centre", "east", "harbour", "north", "west"}

const (
	sampleLoad   = 20 * time.Minute
	sampleWindow = 10 * time.Second
)

// model makes the windows of a night of boot storms: at minute 8 two hundred desktops are started at once, and whoever needs one then
// waits for the disks. slowness multiplies all that the cloud does, and harbour what the directory at harbour does.
func model(t testing.TB, began time.Time, seed uint64, slowness, harbour float64) []*results.Aggregate {
	rng := rand.New(rand.NewPCG(seed, 11))
	around := func(median, spread float64) float64 { return median * math.Exp(spread*rng.NormFloat64()) }
	var all []*results.Aggregate
	open := 0.0
	for start := began; start.Before(began.Add(sampleLoad)); start = start.Add(sampleWindow) {
		set := results.NewSet(start, start.Add(sampleWindow))
		add := func(metric string, kind results.Kind, tags results.Tags, value float64) {
			s := results.Series{Metric: metric, Kind: kind, Tags: tags}
			require.NoError(t, set.Add(s, value, start.Add(time.Second)))
		}
		minute := start.Sub(began).Minutes()
		storm := 1 + 9*math.Exp(-math.Pow((minute-9.5)/1.4, 2)) // as the disks see it
		ramp := min(1, 0.2+minute/4)
		for i, site := range sampleSites {
			far := 1 + 0.06*float64(i%3) // sites differ a little
			for range int(6*ramp + rng.Float64()) {
				directory := 1.0
				if site == "harbour" {
					directory = harbour
				}
				steps := map[string]float64{
					"auth": around(70*far*directory, 0.35), "match": around(9, 0.2), "allocate": around(120*slowness, 0.3),
					"console": around(60*slowness*math.Sqrt(storm), 0.3), "unaccounted": around(18*far, 0.3),
				}
				if rng.Float64() < 0.35 {
					steps["boot"] = around(900*slowness*storm, 0.35)
				}
				total := 0.0
				for _, v := range steps {
					total += v
				}
				tags := func(step string) results.Tags { return results.Tags{Site: site, Step: step, Path: "broker"} }
				if steps["boot"] > 20000 || rng.Float64() < 0.002 {
					failed := results.Tags{Site: site, Step: "boot", Path: "broker", Class: "build-timeout"}
					add("vdi_login_failed", results.Rate, failed, 1)
					continue
				}
				add("vdi_login_failed", results.Rate, results.Tags{Site: site, Path: "broker"}, 0)
				for _, step := range []string{"auth", "match", "allocate", "boot", "console", "unaccounted"} {
					if v, ok := steps[step]; ok {
						add("vdi_login_duration", results.Trend, tags(step), v)
					}
				}
				add("vdi_login_duration", results.Trend, tags("total"), total)
				for _, c := range []struct {
					step   string
					median float64
				}{{"link", 14 * far}, {"auth", 6}, {"main", 35 * far}, {"picture", 150 * math.Sqrt(storm)}} {
					add("vdi_connect_duration", results.Trend, results.Tags{Site: site, Step: c.step}, around(c.median, 0.3))
				}
				add("vdi_connect_failed", results.Rate, results.Tags{Site: site}, 0)
				for range 3 {
					add("vdi_round_trip", results.Trend, results.Tags{Site: site, Step: "visible", Profile: "office"}, around(45*far*math.Pow(storm, 0.3), 0.35))
					add("vdi_round_trip", results.Trend, results.Tags{Site: site, Step: "server", Profile: "office"}, around(6*far, 0.25))
				}
				open++
				add("iterations", results.Counter, results.Tags{}, 1)
			}
		}
		add("vus", results.Gauge, results.Tags{}, math.Round(40*ramp*math.Sqrt(storm)))
		add("vdi_sessions_open", results.Gauge, results.Tags{}, open)
		if storm > 9 {
			add("dropped_iterations", results.Counter, results.Tags{}, 1)
		}
		all = append(all, set.Aggregates()...)
	}
	return all
}

func sampleObjectives() verdict.Objectives {
	return verdict.Objectives{
		List: []verdict.Objective{
			{Name: "logins are quick", Metric: "vdi_login_duration", Step: "total", Percentile: 95, Below: 8 * time.Second, PerSite: true},
			{Name: "the directory answers", Metric: "vdi_login_duration", Step: "auth", Percentile: 95, Below: 200 * time.Millisecond},
			{Name: "few logins fail", Metric: "vdi_login_failed", AtMost: 0.01},
			{Name: "keys are seen at once", Metric: "vdi_round_trip", Step: "visible", Percentile: 95, Below: 150 * time.Millisecond},
		},
	}
}

// sample is a night with all that a report has to show, and the seven before it.
func sample(t testing.TB) report.Report {
	o := sampleObjectives()
	last := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
	var nights []verdict.Night
	for i := range 7 {
		began := last.AddDate(0, 0, i-7)
		run := sampleRun(began, model(t, began, uint64(i), 1+0.04*math.Sin(float64(i)*2), 1))
		run.Versions["qemu"] = "7.2.15"
		nights = append(nights, verdict.NightOf(run, verdict.Judge(run, o, nights)))
	}
	run := sampleRun(last, model(t, last, 7, 1.02, 3.2))
	return report.Report{Run: run, Verdict: verdict.Judge(run, o, nights), Nights: nights}
}

func sampleRun(began time.Time, windows []*results.Aggregate) record.Run {
	at := func(d time.Duration) time.Time { return began.Add(d) }
	yes := true
	activity := func(phase, kind, name string, from, until time.Duration) record.Activity {
		a := record.Activity{Phase: phase, Kind: kind, Name: name, Began: at(from), Ended: at(until), Status: "succeeded"}
		if phase[0] == 'h' {
			a.ToleranceMet = &yes
		}
		return a
	}
	failed := activity("method", "probe", "the broker's health while desktops boot", 9*time.Minute, 9*time.Minute+5*time.Second)
	failed.Status, failed.Error = "failed", "GET /healthz: no answer within 5s"
	run := record.Run{
		ID: began.Format("20060102T150405") + "-7f3a9c", Experiment: "boot-storm", Title: "Two hundred desktops start at once",
		Tags: []string{"storm", "nightly"}, Trigger: "schedule", Began: at(-40 * time.Second), Ended: at(sampleLoad + 30*time.Second),
		Status: record.Completed,
		Activities: []record.Activity{
			activity("hypothesis-before", "probe", "a user logs in", -35*time.Second, -31*time.Second),
			activity("hypothesis-before", "probe", "leases are renewed", -31*time.Second, -25*time.Second),
			activity("method", "action", "logins of a morning", 0, sampleLoad),
			activity("method", "action", "start 200 desktops", 8*time.Minute, 11*time.Minute),
			failed,
			activity("method", "action", "slow the directory of one site", 14*time.Minute, 16*time.Minute),
			activity("hypothesis-after", "probe", "a user logs in", sampleLoad+5*time.Second, sampleLoad+9*time.Second),
			activity("hypothesis-after", "probe", "leases are renewed", sampleLoad+9*time.Second, sampleLoad+15*time.Second),
			activity("rollbacks", "action", "stop what was started", sampleLoad+16*time.Second, sampleLoad+29*time.Second),
		},
		Faults: []record.Fault{
			{ID: "f1", Fault: "desktops.boot", What: "200 desktops of 12 hosts are started at once", Targets: []string{"cloud"},
				Injected: at(8 * time.Minute), Undone: at(11 * time.Minute), UndoneBy: "runner"},
			{ID: "f2", Fault: "ldap.slow", What: "answers of the directory at harbour wait 150 ms", Targets: []string{"ldap-harbour"},
				Injected: at(14 * time.Minute), Undone: at(16 * time.Minute), UndoneBy: "target"},
		},
		Versions: map[string]string{
			"deskstorm": "0.6.0", "kernel": "6.1.0-25-amd64", "libvirt": "9.0.0", "openstack": "2025.1", "ovs": "3.1.0", "qemu": "8.2.2",
		},
		Clock:   record.Clock{Jump: 3 * time.Millisecond},
		Windows: windows,
	}
	for i := range 2 {
		run.Generators = append(run.Generators, record.Generator{
			Activity: "logins of a morning", Segment: fmt.Sprintf("%d/2:%d/2", i, i+1), Began: began, Ended: at(sampleLoad),
			CPUSeconds: 210, MaxRSS: 300 << 20, MachineCPU: 0.61, Iterations: 2000, Dropped: 3,
		})
	}
	return run
}
