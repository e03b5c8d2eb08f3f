package probes

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

func TestSLO(t *testing.T) {
	recorder := record.NewRecorder(record.Run{})
	now := time.Now()
	add := func(ago time.Duration, metric string, kind results.Kind, tags results.Tags, values ...float64) {
		start := now.Add(-ago)
		a := results.New(results.Series{Metric: metric, Kind: kind, Tags: tags}, start, start.Add(10*time.Second))
		for _, v := range values {
			require.NoError(t, a.Add(v, start))
		}
		require.NoError(t, recorder.Add(a))
	}
	for i := range 100 {
		add(20*time.Second, "vdi_login_duration", results.Trend, results.Tags{Site: "a", Step: "total"}, float64(i+1))
		add(20*time.Second, "vdi_login_duration", results.Trend, results.Tags{Site: "b", Step: "total"}, float64(i+101))
		add(10*time.Minute, "vdi_login_duration", results.Trend, results.Tags{Site: "a", Step: "total"}, 5000)
	}
	add(20*time.Second, "vdi_login_failed", results.Rate, results.Tags{}, 0, 0, 0)
	add(20*time.Second, "vdi_login_failed", results.Rate, results.Tags{Class: "pool-empty"}, 1)
	add(20*time.Second, "vdi_arrivals", results.Counter, results.Tags{Site: "a"}, 3, 4)
	add(30*time.Second, "vdi_logged_in", results.Gauge, results.Tags{Site: "a"}, 50)
	add(20*time.Second, "vdi_logged_in", results.Gauge, results.Tags{Site: "a"}, 5)
	add(20*time.Second, "vdi_logged_in", results.Gauge, results.Tags{Site: "b"}, 7)

	a := func(pairs ...any) native.Arguments {
		args := native.Arguments{}
		for i := 0; i < len(pairs); i += 2 {
			args[pairs[i].(string)] = pairs[i+1]
		}
		return args
	}
	for _, test := range []struct {
		a    native.Arguments
		want float64
		says string
	}{
		{a: a("metric", "vdi_login_duration", "window", "1m"), want: 190},
		{a: a("metric", "vdi_login_duration", "window", "1m", "site", "a"), want: 95},
		{a: a("metric", "vdi_login_duration", "window", "1m", "site", "a", "statistic", "p50"), want: 50},
		{a: a("metric", "vdi_login_duration", "site", "a", "statistic", "max"), want: 5000},
		{a: a("metric", "vdi_login_duration", "statistic", "count"), want: 300},
		{a: a("metric", "vdi_login_failed"), want: .25},
		{a: a("metric", "vdi_login_failed", "class", "pool-empty", "statistic", "count"), want: 1},
		{a: a("metric", "vdi_arrivals"), want: 7},
		{a: a("metric", "vdi_arrivals", "statistic", "mean"), want: 3.5},
		{a: a("metric", "vdi_logged_in"), want: 12},
		{a: a("metric", "vdi_logged_in", "statistic", "max"), want: 50},
		{a: a("metric", "vdi_nothing", "empty", 0), want: 0},
		{a: a("metric", "vdi_nothing", "site", "x"), says: "nothing was measured of vdi_nothing with the site x"},
		{a: a("metric", "vdi_arrivals", "statistic", "p95"), says: `statistic: "p95" is no statistic of a counter`},
		{a: a("metric", "vdi_login_duration", "statistic", "p101"), says: `"p101" is no statistic`},
		{a: a("metric", "vdi_login_duration", "statistic", "pNaN"), says: `"pNaN" is no statistic`},
	} {
		got, err := call(t, Env{Recorder: recorder}, "slo", test.a)
		if test.says != "" {
			require.ErrorContains(t, err, test.says)
			continue
		}
		require.NoError(t, err)
		require.InDelta(t, test.want, got, test.want/1000, "%v", test.a)
	}
}
