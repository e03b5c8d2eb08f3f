package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/load"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// loadK6 returns the action load.k6, with a real k6, and where it records.
func loadK6(t *testing.T, dir string) (native.Function, *record.Recorder) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv(asDeskstorm, "1")
	recorder := record.NewRecorder(record.Run{})
	return load.Table(load.Env{K6: []string{self, "k6"}, Dir: dir, Recorder: recorder})[0], recorder
}

// TestLoadIsSplitExactly compares the merged results of several k6 with those that one would have.
func TestLoadIsSplitExactly(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "count.js"), []byte(`
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
const trend = new Trend('vdi_test', true);
export const options = { scenarios: {
  shared: { executor: 'shared-iterations', vus: 10, iterations: 500 },
  each: { executor: 'per-vu-iterations', vus: 7, iterations: 1, exec: 'each' },
}, thresholds: { vdi_test: ['max<0'] } };
export default function () { trend.add((exec.scenario.iterationInTest + 1) * 1.5, { site: 'a', step: 'x' }); }
export function each() { trend.add(exec.scenario.iterationInTest * 100 + 5000, { site: 'b', step: 'x' }); }
`), 0o600))
	action, recorder := loadK6(t, dir)
	value, err := action.Run(t.Context(), native.Arguments{"script": "count.js", "processes": 3})
	require.NoError(t, err)
	s := value.(load.Summary)
	require.Equal(t, []int{0, 0, 0}, s.ExitCodes, "thresholds are off")
	require.Equal(t, 17, s.VUs)
	require.Equal(t, int64(507), s.Iterations)
	require.Zero(t, s.Dropped)

	alone := results.New(results.Series{Metric: "vdi_test", Kind: results.Trend}, time.Now(), time.Now())
	for i := range 500 {
		require.NoError(t, alone.Add(float64(i+1)*1.5, time.Now()))
	}
	for i := range 7 {
		require.NoError(t, alone.Add(float64(i)*100+5000, time.Now()))
	}
	i := slices.IndexFunc(s.Metrics, func(m load.Metric) bool { return m.Metric == "vdi_test" })
	require.Equal(t, alone.Count, s.Metrics[i].Count)
	require.InDelta(t, alone.Quantile(.5), s.Metrics[i].P50, 1e-3)
	require.InDelta(t, alone.Quantile(.99), s.Metrics[i].P99, 1e-3)
	require.Equal(t, alone.Max, s.Metrics[i].Max)
	merged := results.New(alone.Series, time.Now(), time.Now())
	for _, a := range recorder.Run().Windows {
		if a.Metric == "vdi_test" {
			a.Tags = results.Tags{}
			require.NoError(t, merged.Merge(a))
		}
	}
	require.Equal(t, alone.Sum, merged.Sum)
	for q := 0.; q <= 1; q += .01 {
		require.Equal(t, alone.Quantile(q), merged.Quantile(q))
	}

	value, err = action.Run(t.Context(), native.Arguments{"script": "count.js", "thresholds": true})
	require.NoError(t, err, "what thresholds find is judged elsewhere")
	require.Equal(t, []int{99}, value.(load.Summary).ExitCodes)

	_, err = action.Run(t.Context(), native.Arguments{"script": "count.js", "options": map[string]any{"dns": "x=y"}})
	require.ErrorContains(t, err, "k6 ended with exit status")
}

// TestLoadOfLogins is a shipped script over three k6, against a desktop cloud.
func TestLoadOfLogins(t *testing.T) {
	const people = 30
	cloud, err := up.Sim(t.Context(), up.Options{Users: people, Desktops: people, Ready: people})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	require.NoError(t, cloud.Await(t.Context(), func(int, int) {}))
	action, recorder := loadK6(t, t.TempDir())
	value, err := action.Run(t.Context(), native.Arguments{"script": "login-storm", "processes": 3, "variables": map[string]any{
		"DESKSTORM_BROKER": cloud.Broker, "DESKSTORM_USERS": float64(people), "DESKSTORM_SITES": "north,south",
		"DESKSTORM_WINDOW": "2s", "DESKSTORM_HOLD": "1s",
	}})
	require.NoError(t, err)
	s := value.(load.Summary)
	require.Equal(t, 3, s.Processes)
	require.Equal(t, people, s.VUs)
	require.Equal(t, int64(people), s.Iterations)
	totals, err := results.Totals(recorder.Run().Windows)
	require.NoError(t, err)
	logins, failed := map[string]int64{}, 0.
	for _, a := range totals {
		switch {
		case a.Metric == "vdi_login_duration" && a.Tags.Step == "total":
			logins[a.Tags.Site] += a.Count
		case a.Metric == "vdi_login_failed" || a.Metric == "vdi_connect_failed":
			failed += a.Sum
		}
	}
	require.Zero(t, failed)
	require.Equal(t, map[string]int64{"north": people / 2, "south": people / 2}, logins, "each person came once")
	require.Len(t, recorder.Run().Generators, 3)
}

// TestLoadOfAKilledK6: one of two dies in the middle, as when memory runs out.
func TestLoadOfAKilledK6(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "long.js"), []byte(`
import { sleep } from 'k6';
export const options = { vus: 4, duration: '10m' };
export default function () { sleep(0.1); }
`), 0o600))
	action, recorder := loadK6(t, dir)
	go func() {
		for t.Context().Err() == nil {
			k6 := children(t, os.Getpid())
			if len(k6) == 2 && len(recorder.Run().Windows) > 0 {
				pid, _ := strconv.Atoi(k6[0])
				_ = syscall.Kill(pid, syscall.SIGKILL)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	value, err := action.Run(t.Context(), native.Arguments{"script": "long.js", "processes": 2})
	require.ErrorContains(t, err, "k6 was ended by the signal killed")
	require.ElementsMatch(t, []int{-1, 105}, value.(load.Summary).ExitCodes)
	lost, iterations := 0, int64(0)
	for _, g := range recorder.Run().Generators {
		if g.Lost != "" {
			lost++
			require.Contains(t, g.Lost, "something killed it")
		}
		iterations += g.Iterations
	}
	require.Equal(t, 1, lost)
	require.Positive(t, iterations, "what the other measured while it ended counts")
}
