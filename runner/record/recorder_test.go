package record

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
)

var epoch = time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)

func one(t testing.TB, series results.Series, start time.Time, values ...float64) *results.Aggregate {
	a := results.New(series, start, start.Add(10*time.Second))
	for i, v := range values {
		require.NoError(t, a.Add(v, start.Add(time.Duration(i)*time.Second)))
	}
	return a
}

func TestWindowsAreMergedBySeries(t *testing.T) {
	r := NewRecorder(Run{ID: "x"})
	logins := results.Series{Metric: "vdi_logins", Kind: results.Counter}
	for _, start := range []time.Duration{10, 0, 10} {
		require.NoError(t, r.Add(one(t, logins, epoch.Add(start*time.Second), 1)))
	}
	require.NoError(t, r.AddFrom("second", one(t, logins, epoch, 5)))
	run := r.Run()
	require.Equal(t, "x", run.ID)
	require.Len(t, run.Windows, 2)
	require.Equal(t, []float64{6, 2}, []float64{run.Windows[0].Sum, run.Windows[1].Sum})
	require.Len(t, r.Select(func(_ results.Series, start time.Time) bool { return start.After(epoch) }), 1)
	require.Empty(t, r.Outline().Windows)

	run.Windows[0].Sum = 0
	require.Equal(t, 6.0, r.Run().Windows[0].Sum, "the caller's is a copy")
}

func TestTotals(t *testing.T) {
	r := NewRecorder(Run{})
	times := results.Series{Metric: "vdi_login_duration", Kind: results.Trend}
	for i := range 1000 { // far beyond what is kept in windows of ten seconds
		require.NoError(t, r.AddFrom("first", one(t, times, epoch.Add(10*time.Second*time.Duration(i)), float64(i))))
		require.NoError(t, r.AddFrom("second", one(t, times, epoch, float64(i))))
	}
	require.NoError(t, r.Add(one(t, results.Series{Metric: "vus", Kind: results.Gauge}, epoch, 3)))
	require.NoError(t, r.Add(one(t, results.Series{Metric: "other", Kind: results.Counter}, epoch, 3)))
	all := r.Totals(func(s results.Series) bool { return s.Metric != "other" })
	require.Len(t, all, 1)
	want, err := results.Totals(r.Select(func(s results.Series, _ time.Time) bool { return s == times }))
	require.NoError(t, err)
	require.Equal(t, want, all)
	all[0].Count = 0
	require.EqualValues(t, 2000, r.Totals(func(s results.Series) bool { return s == times })[0].Count)
}

func TestLevelsOfSeveralAreSummed(t *testing.T) {
	r := NewRecorder(Run{})
	vus := results.Series{Metric: "vus", Kind: results.Gauge}
	require.NoError(t, r.AddFrom("first", one(t, vus, epoch, 10, 30)))
	require.NoError(t, r.AddFrom("second", one(t, vus, epoch, 1, 2, 3)))
	require.NoError(t, r.AddFrom("second", one(t, vus, epoch, 4))) // late, of the same window
	require.NoError(t, r.AddFrom("second", one(t, vus, epoch.Add(10*time.Second), 5)))
	all := r.Run().Windows
	require.Len(t, all, 2)
	require.Equal(t, 33.0, all[0].Last, "the latest of each")
	require.Equal(t, []float64{11, 34}, []float64{all[0].Min, all[0].Max})
	require.Equal(t, 20+2.5, all[0].Mean())
	require.Equal(t, 5.0, all[1].Last)
	require.Equal(t, all, r.Run().Windows, "reading changes nothing")
}

// TestOldWindowsAreMinutes checks that nothing is lost by thinning, whatever the order in which windows come.
func TestOldWindowsAreMinutes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := NewRecorder(Run{})
	series := results.Series{Metric: "vdi_a", Kind: results.Trend}
	var all []*results.Aggregate
	for i := range 4 * 360 {
		for range 1 + rng.IntN(2) {
			at := epoch.Add(time.Duration(i) * 10 * time.Second)
			if rng.IntN(20) == 0 { // late, and sometimes by hours
				at = at.Add(-time.Duration(rng.IntN(i+1)) * 10 * time.Second)
			}
			all = append(all, one(t, series, at, rng.Float64()*1000, rng.Float64()*1000))
		}
	}
	for _, a := range all {
		require.NoError(t, r.Add(a))
	}
	got := r.Run().Windows
	require.Less(t, len(got), 360+6*10+180+2)
	require.Greater(t, len(got), 360+180-2)
	for i, a := range got {
		if i > 0 {
			require.True(t, got[i-1].Start.Before(a.Start), "each window once, in order")
		}
	}
	want, err := results.Totals(all)
	require.NoError(t, err)
	total, err := results.Totals(got)
	require.NoError(t, err)
	require.Equal(t, want[0].Count, total[0].Count)
	require.InDelta(t, want[0].Sum, total[0].Sum, 1e-3)
	for _, q := range []float64{0, .01, .5, .9, .99, 1} {
		require.Equal(t, want[0].Quantile(q), total[0].Quantile(q))
	}
	require.Equal(t, epoch, got[0].Start)
	require.Equal(t, epoch.Add(time.Minute), got[1].Start)
	last := got[len(got)-1]
	require.Equal(t, 10*time.Second, last.End.Sub(last.Start))
}

// TestMemoryOfANight is 8 hours of 1,000 people at six sites, as the shipped scripts measure them.
func TestMemoryOfANight(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds, with -race some 15")
	}
	r := NewRecorder(Run{})
	rng := rand.New(rand.NewPCG(1, 2))
	trips := make([]*results.Aggregate, 100) // a window each, of 160 round trips
	for i := range trips {
		trips[i] = results.New(results.Series{Metric: "vdi_round_trip", Kind: results.Trend}, epoch, epoch)
		for range 160 {
			require.NoError(t, trips[i].Add(math.Exp(rng.NormFloat64()*0.5+3), epoch))
		}
	}
	before := heap()
	for i := range 2880 {
		start := epoch.Add(time.Duration(i) * 10 * time.Second)
		for site := range 6 {
			tags := func(step string) results.Tags {
				return results.Tags{Site: fmt.Sprintf("site%d", site), Step: step, Profile: "callcenter", Path: "broker"}
			}
			for _, trip := range []string{"server", "guest", "visible"} {
				a := trips[rng.IntN(len(trips))].Clone()
				a.Tags, a.Start, a.End = tags(trip), start, start.Add(10*time.Second)
				require.NoError(t, r.Add(a))
			}
			for k := range 40 {
				series := results.Series{Metric: fmt.Sprintf("vdi_count_%d", k), Kind: results.Counter, Tags: tags("")}
				require.NoError(t, r.Add(one(t, series, start, 1)))
			}
		}
	}
	took := int64(heap()) - int64(before)
	t.Logf("%d MB for %d windows of 10 s of %d series", took/1e6, 2880, len(r.tracks))
	require.Less(t, took, int64(120e6))
	runtime.KeepAlive(r)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
