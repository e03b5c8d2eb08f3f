package baseline

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var key = Key{"N1", "sales"}

// floor is the exporter's for 200 people.
const floor = 0.02

// office makes the gap's share in a department where people work from 8 to 16: a handful is always away, lunch empties half of
// the seats around noon, beginning a few minutes early or late each day.
type office struct {
	rand *rand.Rand
	day  int
	noon float64 // minutes by which lunch is late on that day
	away float64 // more or fewer are ill on that day
}

func (o *office) share(at time.Time) float64 {
	if at.YearDay() != o.day {
		o.day, o.noon, o.away = at.YearDay(), o.rand.NormFloat64()*1.5, o.rand.NormFloat64()*0.01
	}
	m := float64(at.Hour()*60+at.Minute()) - o.noon
	lunch := 0.5 / (1 + math.Exp(-(m-690)/4)) / (1 + math.Exp((m-750)/4)) // 11:30 to 12:30, some minutes' edges
	return 0.06 + o.away + lunch + o.rand.NormFloat64()*0.01
}

// working calls f for each minute of the shifts of some weeks, Monday to Friday.
func working(from time.Time, weeks int, f func(at time.Time)) {
	for day := range 7 * weeks {
		date := from.AddDate(0, 0, day)
		if wd := date.Weekday(); wd == time.Saturday || wd == time.Sunday {
			continue
		}
		for m := 8 * 60; m < 16*60; m++ {
			f(time.Date(date.Year(), date.Month(), date.Day(), 0, m, 0, 0, date.Location()))
		}
	}
}

// alarms counts what an alert for 3 minutes above the threshold would fire.
func alarms(scores []float64, threshold float64) (n int) {
	above := 0
	for _, z := range scores {
		if z <= threshold {
			above = 0
			continue
		}
		if above++; above == 3 {
			n++
		}
	}
	return n
}

const threshold = 4

// Eight weeks are learned, across the change of the clocks, and four judged: lunch is no alarm, an outage of a fifth of the
// seats is one at ten, and one of half of those that work is one at noon.
func TestLunchAndOutage(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	var falseAlarms, minutesJudged int
	for seed := range uint64(10) {
		o := &office{rand: rand.New(rand.NewPCG(seed, 5))}
		h := New(8)
		from := time.Date(2026, 9, 7, 0, 0, 0, 0, berlin) // a Monday
		working(from, 8, func(at time.Time) { h.Observe(key, at, o.share(at)) })
		var scores []float64
		lunch, weeks := 0.0, 0
		working(from.AddDate(0, 0, 56), 4, func(at time.Time) {
			share := o.share(at)
			var z float64
			z, weeks = h.Score(key, at, share, floor)
			scores = append(scores, z)
			if at.Hour() == 12 && at.Minute() == 0 {
				lunch = share
			}
			for _, outage := range []struct {
				hour, minute int
				of           float64 // those who work
			}{{10, 0, 0.2}, {12, 0, 0.5}, {11, 32, 0.8}, {15, 59, 0.3}} {
				if at.Hour() == outage.hour && at.Minute() == outage.minute {
					z, _ := h.Score(key, at, share+(1-share)*outage.of, floor)
					require.Greater(t, z, float64(threshold), "seed %d: an outage at %s", seed, at)
				}
			}
			h.Observe(key, at, share)
		})
		require.Equal(t, 8, weeks)
		require.Greater(t, lunch, 0.4)
		falseAlarms += alarms(scores, threshold)
		minutesJudged += len(scores)
	}
	t.Logf("%d false alarms in %d minutes (%d working days)", falseAlarms, minutesJudged, minutesJudged/480)
	require.LessOrEqual(t, falseAlarms, 1)
}

// An outage must not make the next one usual: three of eight weeks had one at the same hour.
func TestOutagesAreNotLearned(t *testing.T) {
	o := &office{rand: rand.New(rand.NewPCG(1, 2))}
	h := New(8)
	from := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	week := 0
	working(from, 8, func(at time.Time) {
		week = int(at.Sub(from).Hours() / 24 / 7)
		share := o.share(at)
		if week >= 5 && at.Hour() == 10 {
			share = 1
		}
		h.Observe(key, at, share)
	})
	at := from.AddDate(0, 0, 56).Add(10*time.Hour + 30*time.Minute)
	z, weeks := h.Score(key, at, 1, floor)
	require.Equal(t, 8, weeks)
	require.Greater(t, z, float64(threshold))
	z, _ = h.Score(key, at, 0.06, floor)
	require.Less(t, math.Abs(z), 1.0)
}

func TestFewWeeksHaveNoScore(t *testing.T) {
	h := New(8)
	at := time.Date(2026, 3, 2, 0, 2, 0, 0, time.UTC) // a Monday: its neighbours are in the week before
	for week := range 3 {
		_, weeks := h.Score(key, at, 0.9, floor)
		require.Equal(t, week, weeks)
		h.Observe(key, at.Add(-4*time.Minute), 0.1)
		h.Observe(key, at, math.NaN())
		at = at.AddDate(0, 0, 7)
	}
	z, compared := h.Score(key, at, 0.9, 0.02)
	require.Equal(t, 3, compared)
	require.InDelta(t, (0.9-0.1)/0.02, z, 1e-9)
	h.Observe(key, time.Unix(0, 0).AddDate(0, 0, -30), 0.1)
	_, weeks := h.Score(key, time.Unix(0, 0).UTC(), 0.1, floor)
	require.Zero(t, weeks)
	at = at.AddDate(0, 0, 7*7) // the first two weeks are forgotten
	_, weeks = h.Score(key, at, 0.9, 0.02)
	require.Equal(t, 1, weeks)
}

// The same wall time is compared, whatever the clocks did between.
func TestWallClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	h := New(8)
	for week := range 5 {
		h.Observe(key, time.Date(2026, 10, 5+7*week, 9, 0, 0, 0, berlin), 0.5)
	}
	_, weeks := h.Score(key, time.Date(2026, 11, 9, 9, 0, 0, 0, berlin), 0.5, floor)
	require.Equal(t, 5, weeks)
	_, weeks = h.Score(key, time.Date(2026, 11, 9, 10, 0, 0, 0, berlin), 0.5, floor)
	require.Zero(t, weeks)
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gaps")
	h, err := Load(path, 8)
	require.NoError(t, err)
	o := &office{rand: rand.New(rand.NewPCG(1, 2))}
	from := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	working(from, 10, func(at time.Time) {
		h.Observe(key, at, o.share(at))
		h.Observe(Key{"N2", "care"}, at, -0.25)
	})
	require.Len(t, h.series[key], 9)
	require.NoError(t, h.Save(path))
	require.NoError(t, h.Save(path))
	again, err := Load(path, 8)
	require.NoError(t, err)
	require.Equal(t, h, again)
	shorter, err := Load(path, 3)
	require.NoError(t, err)
	_, weeks := shorter.Score(key, from.AddDate(0, 0, 70).Add(9*time.Hour), 0, floor)
	require.Equal(t, 3, weeks)

	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	t.Logf("%d bytes for 2 series of 9 weeks", len(whole))
	for _, n := range []int{0, 5, 100, len(whole) / 2, len(whole) - 1} {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		_, err = Load(path, 8)
		require.Error(t, err, n)
	}
	whole[len(whole)/2] ^= 1
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	_, err = Load(path, 8)
	require.ErrorContains(t, err, path)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Error(t, h.Save(filepath.Join(path, "not a folder")))
}

func BenchmarkScore(b *testing.B) {
	h := New(8)
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for week := range 8 {
		for m := range 60 {
			h.Observe(key, at.AddDate(0, 0, 7*week).Add(time.Duration(m)*time.Minute), float64(m)/60)
		}
	}
	at = at.AddDate(0, 0, 56).Add(30 * time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		h.Score(key, at, 0.5, floor)
	}
}
