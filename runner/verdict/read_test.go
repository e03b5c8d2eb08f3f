package verdict

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

const extension = `name: deskstorm
window: {from: 2m, until: 20m, faults: exclude, settle: 30s}
objectives:
  - name: logins are quick
    metric: vdi_login_duration
    step: total
    percentile: 95
    below: 5s
    per: site
  - metric: vdi_login_failed
    path: broker
    at_most: 0.5 %
    per: [site, step]
    min_samples: 50
    window: {faults: only}
  - {metric: vdi_round_trip, step: visible, site: north, profile: office, percentile: 99.9, below: 250ms}
regression: {mode: tell, nights: 10, at_least: 20%, false_alarms: 1%}
sites: {mode: off, at_least: 100 %, except: [far]}
harness: {dropped: 2%, cpu: 90%, clock_jump: 500ms}
`

func TestRead(t *testing.T) {
	r, root := configfile.Parse([]byte(extension), "storm.yaml", "objectives")
	o := Read(r, root)
	require.NoError(t, r.Err())
	require.Equal(t, Objectives{
		Window: Window{From: 2 * time.Minute, Until: 20 * time.Minute, Faults: ExcludeFaults, Settle: 30 * time.Second},
		List: []Objective{
			{Name: "logins are quick", Metric: "vdi_login_duration", Step: "total", PerSite: true, Percentile: 95, Below: 5 * time.Second},
			{Metric: "vdi_login_failed", Path: "broker", PerSite: true, PerStep: true, AtMost: 0.005, MinSamples: 50,
				Window: &Window{Faults: OnlyFaults}},
			{Metric: "vdi_round_trip", Step: "visible", Site: "north", Profile: "office", Percentile: 99.9, Below: 250 * time.Millisecond},
		},
		Regression: Regression{Mode: ModeTell, Nights: 10, AtLeast: 0.2, FalseAlarms: 0.01},
		Sites:      Sites{Mode: ModeOff, AtLeast: 1, Except: []string{"far"}},
		Harness:    Harness{Dropped: 0.02, CPU: 0.9, ClockJump: 500 * time.Millisecond},
	}, o)
	require.Equal(t, "p99.9 of vdi_round_trip, step visible, site north below 250 ms", o.List[2].name())
	require.Equal(t, 20, o.LookBack())
	require.Equal(t, 14, Objectives{}.LookBack())
}

// TestParse: the experiment keeps its extension as JSON.
func TestParse(t *testing.T) {
	o, err := Parse([]byte(`{"name": "deskstorm", "objectives": [{"metric": "vdi_login_failed", "at_most": "1 %"}]}`), "storm.json")
	require.NoError(t, err)
	require.Equal(t, []Objective{{Metric: "vdi_login_failed", AtMost: 0.01}}, o.List)
	_, err = Parse(nil, "storm.json")
	require.Error(t, err)
}

func TestDefaults(t *testing.T) {
	r, root := configfile.Parse([]byte("regression: {nights: 5}\nharness: {cpu: 80 %}\n"), "deskstorm.yaml", "x")
	d := ReadDefaults(r, root)
	require.NoError(t, r.Err())
	o := Objectives{Regression: Regression{Nights: 9}}.Or(d).Or(Defaults())
	require.Equal(t, 9, o.Regression.Nights)
	require.Equal(t, 0.8, o.Harness.CPU)
	require.Equal(t, 0.01, o.Harness.Dropped)
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, says string }{
		{"no mapping", "5", "1:1: expected a mapping, found the number 5"},
		{"unknown key", "name: deskstorm\nslo: 1", "2:1: slo: unknown key; expected harness, name, objectives, regression, sites, window"},
		{"other name", "name: other", "1:7: name: expected one of deskstorm"},
		{"no metric", "objectives: [{at_most: 1%}]", "metric is missing"},
		{"bad metric", "objectives: [{metric: 'a b', at_most: 1%}]", "a metric's name"},
		{"no limit", "objectives: [{metric: m}]", "expected percentile and below, or at_most"},
		{"half a limit", "objectives: [{metric: m, percentile: 95}]", "expected percentile and below, or at_most"},
		{"both limits", "objectives: [{metric: m, percentile: 95, below: 1s, at_most: 1%}]", "found both"},
		{"bare share", "objectives: [{metric: m, at_most: 1}]", `such as "1 %", found the number 1`},
		{"share above all", "objectives: [{metric: m, at_most: 101%}]", "a share from 0 % to 100 %"},
		{"share that is none", "objectives: [{metric: m, at_most: NaN %}]", "a share from"},
		{"percentile of all", "objectives: [{metric: m, percentile: 100, below: 1s}]", "up to 99.999, found the number 100"},
		{"percentile as text", "objectives: [{metric: m, percentile: p95, below: 1s}]", `found the text "p95"`},
		{"no unit", "objectives: [{metric: m, percentile: 95, below: 5}]", "with its unit"},
		{"site twice", "objectives: [{metric: m, at_most: 1%, site: a, per: site}]", "expected site or per: site"},
		{"step twice", "objectives: [{metric: m, at_most: 1%, step: a, per: [step]}]", "expected step or per: step"},
		{"per what", "objectives: [{metric: m, at_most: 1%, per: user}]", "expected one of site, step"},
		{"same name", "objectives: [{metric: m, at_most: 1%}, {metric: m, at_most: 1%}]", "another objective is called"},
		{"no objectives", "objectives: []", "at least one item"},
		{"window ends first", "window: {from: 5m, until: 5m}", "expected until to be after from"},
		{"few nights", "regression: {nights: 3}", "a whole number from 5 to 60"},
		{"mode", "sites: {mode: maybe}", "expected one of judge, tell, off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, root := configfile.Parse([]byte(test.text), "storm.yaml", "objectives")
			Read(r, root)
			err := r.Err()
			require.ErrorContains(t, err, test.says)
			var at *configfile.Error
			require.True(t, errors.As(err, &at))
		})
	}
}

// FuzzParse: whatever the file says there are objectives or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(extension))
	f.Add([]byte(`{"name": "deskstorm", "objectives": [{"metric": "vdi_login_failed", "at_most": "1 %"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := Parse(text, "storm.yaml")
		if err != nil {
			return
		}
		run := completed()
		load(t, &run, "north", 1, 1000, 3)
		Judge(run, o, nil)
	})
}
