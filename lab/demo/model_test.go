package demo

import (
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
)

// recorded is the time of the recorded shift, in seconds after its first window's start.
func recorded(seconds float64) time.Time {
	return time.Date(2026, 11, 21, 20, 20, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func recordedLines(t *testing.T) []*results.Aggregate {
	t.Helper()
	file, err := os.Open("testdata/shift.jsonl")
	require.NoError(t, err)
	defer file.Close()
	all, err := results.Read(file)
	require.NoError(t, err)
	return all
}

// recordedModel has taken the lines of the windows that were over at a time, and knows the faults that had begun.
func recordedModel(t *testing.T, until time.Time) *model {
	t.Helper()
	m := newModel(plan{kind: "simulated", clients: 60, duration: 15 * time.Second, profile: "callcenter", probeEvery: 15 * time.Second, started: recorded(-0.2)})
	for _, a := range recordedLines(t) {
		if !a.End.After(until) {
			require.NoError(t, m.add(a))
		}
	}
	for _, f := range []*fault{
		{kind: hangFault, what: "6 desktops hang", desktops: 6, at: recorded(7.6), until: recorded(10.1)},
		{kind: evictFault, what: "a second client", desktops: 1, at: recorded(9.1)},
		{kind: killedFault, what: "a desktop is killed", desktops: 1, at: recorded(10.6)},
	} {
		if f.at.Before(until) {
			f.started = true
		} else {
			f.at, f.until = time.Time{}, time.Time{}
		}
		m.faults = append(m.faults, f)
	}
	return m
}

func TestViewOfARecordedShift(t *testing.T) {
	v := recordedModel(t, recorded(9)).view(recorded(9.8), 15)
	require.True(t, v.Begun)
	require.Equal(t, 9800*time.Millisecond, v.Elapsed)
	require.Equal(t, 60, v.Connected)
	require.Equal(t, 60, v.LoggedIn)
	require.Zero(t, v.Ended)
	require.Zero(t, v.Silent)
	require.Positive(t, v.KeysPerSecond)
	require.Positive(t, v.ReceivedPerSecond)
	require.Greater(t, v.ReceivedPerSecond, v.SentPerSecond)
	require.Len(t, v.Trips, 3)
	require.InDelta(t, 2.3, v.Trips[0].Median, 0.5)
	require.Greater(t, v.Trips[1].Median, v.Trips[0].Median)
	require.Len(t, v.Trips[0].P95s, 9, "a column a second so far")
	require.Len(t, v.Faults, 1)
	require.Zero(t, v.Faults[0].Noticed, "no probe has met its deadline yet")

	v = recordedModel(t, recorded(12)).view(recorded(13), 15)
	require.Equal(t, 58, v.Connected)
	require.Equal(t, 2, v.Ended)
	require.Equal(t, 1, v.Silent)
	require.Equal(t, 2.0, v.Lost[10])
	require.Equal(t, 3400*time.Millisecond, v.Faults[0].Noticed)
	require.Equal(t, 400*time.Millisecond, v.Faults[1].Noticed)
	require.Equal(t, 900*time.Millisecond, v.Faults[2].Noticed)
}

func TestViewBeforeTheFirstLine(t *testing.T) {
	m := newModel(plan{kind: "simulated", clients: 3, duration: time.Minute, probeEvery: 15 * time.Second, started: recorded(0)})
	require.False(t, m.view(recorded(1), 20).Begun)
	s := m.summary()
	require.Zero(t, s.LoggedIn)
	require.Empty(t, s.Faults)
}

func TestSummaryOfARecordedShift(t *testing.T) {
	s := recordedModel(t, recorded(60)).summary()
	require.Equal(t, 60, s.LoggedIn)
	require.Equal(t, int64(60), s.Wait.Count)
	require.InDelta(t, 0.7, s.FirstLoginSeconds, 0.01)
	require.Equal(t, 2040, s.Keys)
	require.Len(t, s.Steps, 4)
	require.Equal(t, []string{"north", "south"}, []string{s.Sites[0].Site, s.Sites[1].Site})
	require.Greater(t, s.Sites[1].Median, s.Sites[0].Median)
	require.Equal(t, []Loss{{While: "6 desktops hang", Lost: map[string]int{"guest": 1, "visible": 1}}}, s.Losses)
	require.Equal(t, []Ended{{"evicted", 1}, {"gone", 1}}, s.Ended)
	require.InDelta(t, 60*11, s.SessionSeconds, 120, "60 people, who came in the first 2.5 s of 15")
	for i, want := range []float64{3.4, 0.4, 0.9} {
		require.NotNil(t, s.Faults[i].NoticedSeconds)
		require.InDelta(t, want, *s.Faults[i].NoticedSeconds, 1e-9)
	}
	require.InDelta(t, 7.6, s.Faults[0].AfterSeconds, 1e-9)
}

// sample makes a line with one sample.
func sample(t *testing.T, metric string, kind results.Kind, step string, second, value float64) *results.Aggregate {
	t.Helper()
	at := recorded(second)
	a := results.New(results.Series{Metric: metric, Kind: kind, Tags: results.Tags{Step: step}}, at, at.Add(window))
	require.NoError(t, a.Add(value, at))
	return a
}

func TestNoticed(t *testing.T) {
	lost := func(step string, second float64) *results.Aggregate {
		return sample(t, lostAnswers, results.Rate, step, second, 1)
	}
	ended := func(why string, second float64) *results.Aggregate {
		return sample(t, sessionsEnded, results.Counter, why, second, 1)
	}
	tests := []struct {
		name   string
		kind   faultKind
		lines  []*results.Aggregate
		within time.Duration // 0: not noticed
	}{
		{"nothing", hangFault, nil, 0},
		{"loss", hangFault, []*results.Aggregate{lost("guest", 13)}, 3 * time.Second},
		{"loss before", hangFault, []*results.Aggregate{lost("guest", 9)}, 0},
		{"loss in the same window", hangFault, []*results.Aggregate{lost("visible", 10.5)}, 500 * time.Millisecond},
		{"the server's own answers do not tell of a hang", hangFault, []*results.Aggregate{lost("server", 12)}, 0},
		{"probe sent at the hang's end", hangFault, []*results.Aggregate{lost("guest", 17)}, 7 * time.Second},
		{"loss long after", hangFault, []*results.Aggregate{lost("guest", 18)}, 0},
		{"first of several", hangFault, []*results.Aggregate{lost("guest", 14), lost("visible", 12)}, 2 * time.Second},
		{"eviction", evictFault, []*results.Aggregate{ended("gone", 10.5), ended("evicted", 11)}, time.Second},
		{"kill", killedFault, []*results.Aggregate{ended("evicted", 10.5), ended("gone", 12)}, 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel(plan{clients: 10, duration: time.Minute, started: recorded(0)})
			for _, a := range test.lines {
				require.NoError(t, m.add(a))
			}
			within, ok := m.noticed(&fault{kind: test.kind, at: recorded(10.5), until: recorded(15.5)})
			require.Equal(t, test.within != 0, ok)
			require.Equal(t, test.within, within)
		})
	}
}

func TestFaultThatCouldNotBeDone(t *testing.T) {
	m := newModel(plan{clients: 10, duration: time.Minute, started: recorded(0)})
	require.NoError(t, m.add(sample(t, keysSent, results.Counter, "", 1, 1)))
	m.faults = []*fault{{kind: evictFault, what: "a second client", started: true, failed: errors.New("refused")}}
	s := m.summary()
	require.Equal(t, "refused", s.Faults[0].Error)
	require.Nil(t, s.Faults[0].NoticedSeconds)
	require.ErrorContains(t, m.view(recorded(2), 10).Faults[0].Failed, "refused")
}

func TestFailedLoginsAreCountedByStep(t *testing.T) {
	m := newModel(plan{clients: 3, duration: time.Minute, probeEvery: 15 * time.Second, started: recorded(0)})
	for i, step := range []string{"link", "auth", "auth"} {
		require.NoError(t, m.add(sample(t, connectFailed, results.Rate, step, float64(i), 1)))
	}
	require.Equal(t, map[string]int{"link": 1, "auth": 2}, m.summary().FailedLogins)
	v := m.view(recorded(4), 10)
	require.Equal(t, 3, v.FailedLogins)
	require.True(t, math.IsNaN(v.Wait))
}

func TestConnectedIsKnownBeforeTheGauge(t *testing.T) {
	m := newModel(plan{clients: 3, duration: time.Minute, started: recorded(0)})
	require.NoError(t, m.add(sample(t, waited, results.Trend, "", 1, 20)))
	require.Equal(t, 1, m.view(recorded(2), 10).Connected)
	require.NoError(t, m.add(sample(t, sessionsOpen, results.Gauge, "", 1.5, 0)))
	require.Zero(t, m.view(recorded(2), 10).Connected)
}
