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

// recorded is the time of the recorded morning, in seconds after its first window's start.
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
	p := plan{
		path: PathBroker, kind: "simulated", people: 40, duration: 15 * time.Second, arrivals: 6 * time.Second,
		profile: "callcenter", probeEvery: 15 * time.Second, started: recorded(-2),
	}
	m := newModel(p)
	for _, a := range recordedLines(t) {
		if !a.End.After(until) {
			require.NoError(t, m.add(a))
		}
	}
	m.addPool(poolState{Ready: 12})
	m.addPool(poolState{Ready: 2, Building: 4, Assigned: 36})
	m.addPool(poolState{Ready: 5, Assigned: 35})
	for _, f := range []*fault{
		{kind: slowFault, step: "auth", what: "LDAP is slow", at: recorded(2.1), until: recorded(3)},
		{kind: errorFault, step: "console", class: "cloud-failed", what: "Nova fails", at: recorded(3.6), until: recorded(4.2)},
		{kind: hangFault, what: "4 desktops hang", desktops: 4, at: recorded(8.3), until: recorded(10.8)},
		{kind: evictFault, what: "a second client", desktops: 1, at: recorded(10.5)},
		{kind: killedFault, what: "a desktop is killed", desktops: 1, at: recorded(12)},
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

func TestViewOfARecordedMorning(t *testing.T) {
	v := recordedModel(t, recorded(4)).view(recorded(4.4), 15)
	require.True(t, v.Begun)
	require.Equal(t, 4400*time.Millisecond, v.Elapsed)
	require.Equal(t, 37, v.Arrived)
	require.Equal(t, v.Arrived, v.LoggingIn+v.Failed+int(pick(recordedModel(t, recorded(4)).total, waited, results.Trend, "", "").Count))
	require.Positive(t, v.Working)
	require.Equal(t, v.Arrived, v.LoggingIn+v.Working+v.Failed+v.Ended, "each is somewhere")
	require.Positive(t, v.LoginsPerSecond)
	require.Equal(t, loginOver, v.Over)
	require.Equal(t, "auth", v.Parts[v.Longest].Name, "LDAP is slow")
	require.Greater(t, v.WaitP95, v.Wait)
	require.Equal(t, 5, v.Pool.Ready)
	require.Len(t, v.Faults, 2)
	require.Equal(t, 1400*time.Millisecond, v.Faults[0].Noticed)
	require.Zero(t, v.Faults[1].Noticed, "nobody's login has failed yet")

	v = recordedModel(t, recorded(30)).view(recorded(30), 15)
	require.Equal(t, 15*time.Second, v.Elapsed, "no more than its length")
	require.Equal(t, 40, v.Arrived)
	require.Equal(t, 3, v.Failed)
	require.Zero(t, v.LoggingIn)
	require.Equal(t, 2, v.Ended)
	require.Zero(t, v.Working)
	require.Equal(t, 35, v.Home)
	require.Zero(t, v.Over, "nobody logs in any more")
	require.Len(t, v.Parts, 10)
	sum := 0.
	for _, p := range v.Parts {
		sum += p.Share
	}
	require.InDelta(t, 1, sum, 1e-9)
	require.Len(t, v.Trips, 3)
	require.InDelta(t, 2.4, v.Trips[0].Median, 0.5)
	require.Greater(t, v.Trips[1].Median, v.Trips[0].Median)
	require.Len(t, v.Faults, 5)
}

func TestViewBeforeTheFirstLine(t *testing.T) {
	m := newModel(plan{people: 3, duration: time.Minute, probeEvery: 15 * time.Second, started: recorded(0)})
	require.False(t, m.view(recorded(1), 20).Begun)
	s := m.summary()
	require.Zero(t, s.LoggedIn)
	require.Empty(t, s.Faults)
	require.Nil(t, s.Pool)
}

func TestSummaryOfARecordedMorning(t *testing.T) {
	s := recordedModel(t, recorded(60)).summary()
	require.Equal(t, 37, s.LoggedIn)
	require.Equal(t, 37, s.Connected)
	require.True(t, s.LoggedOut)
	require.Equal(t, []Failure{{loginFailed, "console", "cloud-failed", 3}}, s.Failures)
	require.Equal(t, &Pool{LeastReady: 2, MostAssigned: 36}, s.Pool)
	require.Equal(t, 1217, s.Keys)

	require.Len(t, s.Parts, 10)
	seconds, share := 0., 0.
	for _, p := range s.Parts {
		seconds += p.Seconds
		share += p.Share
	}
	require.InDelta(t, s.WaitSeconds, seconds, 1e-9)
	require.InDelta(t, 1, share, 1e-9)
	require.InDelta(t, 14.14, s.WaitSeconds, 0.01)
	require.InDelta(t, pick(recordedModel(t, recorded(60)).total, waited, results.Trend, "", "").Sum/1000, s.WaitSeconds, 0.01,
		"the parts are what people waited")

	require.Len(t, s.Sites, 6)
	require.Equal(t, "N1", s.Sites[0].Site)
	require.Equal(t, int64(7), s.Sites[0].Wait.Count)
	require.Equal(t, []Loss{{While: "4 desktops hang", Lost: map[string]int{"guest": 1, "visible": 2}}}, s.Losses)
	require.Equal(t, []Ended{{"evicted", 1}, {"gone", 1}}, s.Ended)
	require.InDelta(t, 37*11, s.SessionSeconds, 60, "37 people, who came in the first 6 s of 15")
	require.Len(t, s.Faults, 5)
	for i, want := range []float64{1.4, 0.9, 2.7, 1, 0.5} {
		require.NotNil(t, s.Faults[i].NoticedSeconds, s.Faults[i].What)
		require.InDelta(t, want, *s.Faults[i].NoticedSeconds, 1e-9, s.Faults[i].What)
	}
	require.InDelta(t, 8.3, s.Faults[2].AfterSeconds, 1e-9)
}

// sample makes a line with one sample.
func sample(t *testing.T, metric string, kind results.Kind, step string, second, value float64) *results.Aggregate {
	t.Helper()
	at := recorded(second)
	a := results.New(results.Series{Metric: metric, Kind: kind, Tags: results.Tags{Step: step}}, at, at.Add(window))
	require.NoError(t, a.Add(value, at))
	return a
}

// usual are lines of logins whose step auth took some milliseconds, one each second before the tenth.
func usual(t *testing.T) (all []*results.Aggregate) {
	t.Helper()
	for second := range 10 {
		all = append(all, sample(t, loginDuration, results.Trend, "auth", float64(second), 4+float64(second%2)))
	}
	return all
}

func TestNoticed(t *testing.T) {
	lost := func(step string, second float64) *results.Aggregate {
		return sample(t, lostAnswers, results.Rate, step, second, 1)
	}
	ended := func(why string, second float64) *results.Aggregate {
		return sample(t, sessionsEnded, results.Counter, why, second, 1)
	}
	auth := func(second, ms float64) *results.Aggregate {
		return sample(t, loginDuration, results.Trend, "auth", second, ms)
	}
	failed := func(step, class string, second, value float64) *results.Aggregate {
		a := sample(t, loginFailed, results.Rate, step, second, value)
		a.Tags.Class = class
		return a
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
		{"slow logins", slowFault, append(usual(t), auth(12, 900)), 2 * time.Second},
		{"logins as before", slowFault, append(usual(t), auth(12, 6)), 0},
		{"many times as slow, and still quick", slowFault, append(usual(t), auth(12, 60)), 0},
		{"nothing to compare with", slowFault, []*results.Aggregate{auth(9, 5), auth(12, 900)}, 0},
		{"another step", slowFault, append(usual(t), sample(t, loginDuration, results.Trend, "boot", 12, 900)), 0},
		{"slow before, and as slow after", slowFault, append(usual(t), auth(3, 900), auth(3.5, 900), auth(12, 6)), 0},
		{"slow much later", slowFault, append(usual(t), auth(30, 900)), 0},
		{"logins fail", errorFault, []*results.Aggregate{failed("console", "cloud-failed", 11, 1)}, time.Second},
		{"logins succeed", errorFault, []*results.Aggregate{failed("console", "cloud-failed", 11, 0)}, 0},
		{"logins fail elsewhere", errorFault, []*results.Aggregate{failed("auth", "cloud-failed", 11, 1)}, 0},
		{"logins fail for another reason", errorFault, []*results.Aggregate{failed("console", "desktop-died", 11, 1)}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel(plan{people: 10, duration: time.Minute, started: recorded(0)})
			for _, a := range test.lines {
				require.NoError(t, m.add(a))
			}
			step := map[faultKind]string{slowFault: "auth", errorFault: "console"}[test.kind]
			within, ok := m.noticed(&fault{kind: test.kind, step: step, class: "cloud-failed", at: recorded(10.5), until: recorded(15.5)})
			require.Equal(t, test.within != 0, ok)
			require.Equal(t, test.within, within)
		})
	}
}

func TestAFaultOfTheWayLosesNoAnswers(t *testing.T) {
	m := newModel(plan{people: 10, duration: time.Minute, probeEvery: 15 * time.Second, started: recorded(0)})
	require.NoError(t, m.add(sample(t, lostAnswers, results.Rate, "guest", 12, 1)))
	m.faults = []*fault{{kind: slowFault, step: "auth", what: "LDAP", started: true, at: recorded(10), until: recorded(15)}}
	require.Equal(t, []Loss{{Lost: map[string]int{"guest": 1}}}, m.summary().Losses)
}

func TestFaultThatCouldNotBeDone(t *testing.T) {
	m := newModel(plan{people: 10, duration: time.Minute, started: recorded(0)})
	require.NoError(t, m.add(sample(t, keysSent, results.Counter, "", 1, 1)))
	m.faults = []*fault{{kind: evictFault, what: "a second client", started: true, failed: errors.New("refused")}}
	s := m.summary()
	require.Equal(t, "refused", s.Faults[0].Error)
	require.Nil(t, s.Faults[0].NoticedSeconds)
	require.ErrorContains(t, m.view(recorded(2), 10).Faults[0].Failed, "refused")
}

func TestFailuresAreCountedByStep(t *testing.T) {
	m := newModel(plan{people: 9, duration: time.Minute, probeEvery: 15 * time.Second, started: recorded(0)})
	for i, step := range []string{"auth", "boot", "auth"} {
		failed := sample(t, loginFailed, results.Rate, step, float64(i), 1)
		failed.Tags.Class = "because-of-" + step
		require.NoError(t, m.add(failed))
		require.NoError(t, m.add(sample(t, arrived, results.Counter, "", float64(i), 1)))
	}
	require.NoError(t, m.add(sample(t, connectFailed, results.Rate, "auth", 3, 1)))
	require.NoError(t, m.add(sample(t, loginsLeft, results.Counter, "", 3, 2)))
	s := m.summary()
	require.Equal(t, []Failure{
		{loginFailed, "auth", "because-of-auth", 2}, {connectFailed, "auth", "", 1}, {loginFailed, "boot", "because-of-boot", 1},
	}, s.Failures)
	require.Equal(t, 2, s.LoginsLeft)
	require.False(t, s.LoggedOut)
	v := m.view(recorded(4), 10)
	require.Equal(t, 4, v.Failed)
	require.Zero(t, v.LoggingIn, "not less than none")
	require.True(t, math.IsNaN(v.Wait))
	require.Equal(t, -1, v.Longest)
}

func TestPeopleAddUp(t *testing.T) {
	m := newModel(plan{people: 30, duration: time.Minute, started: recorded(0)})
	for range 26 {
		require.NoError(t, m.add(sample(t, arrived, results.Counter, "", 1, 1)))
		require.NoError(t, m.add(sample(t, waited, results.Trend, "", 1, 20)))
	}
	require.NoError(t, m.add(sample(t, sessionsOpen, results.Gauge, "", 1, 19))) // it lags
	people := func(at float64) string { return style{}.people(m.view(recorded(at), 10)) }
	require.Equal(t, "26 of 30 came: 0 logging in, 26 at work", people(2))

	require.NoError(t, m.add(sample(t, arrived, results.Counter, "", 1.5, 3)))
	require.NoError(t, m.add(sample(t, loginFailed, results.Rate, "console", 1.5, 1)))
	require.NoError(t, m.add(sample(t, sessionsEnded, results.Counter, "gone", 1.5, 1)))
	require.Equal(t, "29 of 30 came: 2 logging in, 25 at work, 1 failed, 1 thrown out", people(2))

	require.Equal(t, "29 of 30 came: 2 logging in, 19 at work, 6 went home, 1 failed, 1 thrown out", people(61), "the shift is over")
	m.stopped = recorded(2)
	require.Equal(t, "29 of 30 came: 2 logging in, 19 at work, 6 went home, 1 failed, 1 thrown out", people(2), "they are sent home")

	require.NoError(t, m.add(sample(t, loginFailed, results.Rate, "console", 2, 1)))
	require.NoError(t, m.add(sample(t, loginFailed, results.Rate, "console", 2.1, 1)))
	require.NoError(t, m.add(sample(t, loginFailed, results.Rate, "console", 2.2, 1)))
	v := m.view(recorded(3), 10)
	require.Zero(t, v.LoggingIn)
	require.Equal(t, 30, v.Arrived, "who failed has come")
}

func TestSummaryOfAStoppedDemo(t *testing.T) {
	m := newModel(plan{path: PathBroker, kind: "simulated", people: 200, duration: 40 * time.Second, arrivals: 16 * time.Second,
		profile: "callcenter", probeEvery: 15 * time.Second, started: recorded(0)})
	for second := range 10 {
		require.NoError(t, m.add(sample(t, loginDuration, results.Trend, total, float64(second), 20)))
	}
	require.NoError(t, m.add(sample(t, sessionsEnded, results.Counter, "gone", 9, 1)))
	m.addPool(poolState{Assigned: 7})
	m.stopped = recorded(10.9)
	m.faults = []*fault{
		{kind: hangFault, what: "long over", started: true, at: recorded(2), until: recorded(3)},
		{kind: hangFault, what: "cut off", started: true, at: recorded(8), until: recorded(9)},
		{kind: evictFault, what: "taken over", started: true, at: recorded(1), until: recorded(11)},
	}
	require.NoError(t, m.add(sample(t, keysSent, results.Counter, "", 20, 1))) // what k6 tells while it ends
	s := m.summary()
	require.True(t, s.Interrupted)
	require.InDelta(t, 10.9, s.ElapsedSeconds, 1e-6)
	require.Equal(t, 9, s.Pool.MostAssigned, "10 logged in, one was thrown out")
	require.Equal(t, "nobody met it", s.Faults[0].NotNoticed)
	require.Equal(t, "the demo was stopped", s.Faults[1].NotNoticed)
	require.Equal(t, "the demo was stopped", s.Faults[2].NotNoticed)
	text := renderSummary(s, style{})
	require.Contains(t, text, "\n10 s of 40 s, stopped early:\n200 people by broker to simulated desktops, profile callcenter\n")
	require.Contains(t, text, "10 of 200, in 10 s;")
	require.Contains(t, text, "not noticed: the demo was stopped\n")

	m.stopped = time.Time{}
	require.False(t, m.summary().Interrupted)
	require.InDelta(t, 40, m.summary().ElapsedSeconds, 1e-9)
	require.Equal(t, "nobody met it", m.summary().Faults[1].NotNoticed)
}

// Later, nobody would meet it: three tenths of the people have a desktop that is ready, and have come before the window's middle.
func TestNovaFailsWhileDesktopsAreReady(t *testing.T) {
	for _, shift := range []time.Duration{MinDuration, 40 * time.Second, MaxDuration} {
		all := (&desktopCloud{}).faults(200, shift)
		require.Equal(t, errorFault, all[0].kind)
		require.Equal(t, slowFault, all[1].kind)
		require.LessOrEqual(t, all[0].after+all[0].lasts, all[0].untilMet)
		require.LessOrEqual(t, all[0].untilMet, all[1].after, "one after the other")
		require.Less(t, all[0].untilMet, arrivals(shift)*2/5)
	}
}

func TestAFaultThatNobodyMeets(t *testing.T) {
	m := newModel(plan{people: 30, duration: 40 * time.Second, arrivals: 16 * time.Second, started: recorded(0)})
	f := &fault{kind: errorFault, step: "console", class: "cloud-failed", what: "Nova", started: true, at: recorded(9), lasts: time.Second, untilMet: 16 * time.Second}
	m.faults = []*fault{f}
	require.NoError(t, m.add(sample(t, keysSent, results.Counter, "", 0, 1)))
	require.True(t, f.over(recorded(11)))
	require.True(t, m.holds(f, recorded(11)), "nobody's login has failed")
	require.False(t, m.holds(f, recorded(16)), "nobody comes any more")
	m.stopped = recorded(10)
	require.False(t, m.holds(f, recorded(11)))
	m.stopped = time.Time{}
	require.False(t, m.holds(&fault{kind: hangFault, at: recorded(9), lasts: time.Second}, recorded(11)), "this one has its length")

	f.until = recorded(16)
	require.NoError(t, m.add(sample(t, keysSent, results.Counter, "", 20, 1)))
	require.False(t, m.view(recorded(21), 10).Faults[0].Unmet, "a login may still fail of it")
	require.NoError(t, m.add(sample(t, keysSent, results.Counter, "", 27, 1)))
	v := m.view(recorded(28), 10)
	require.True(t, v.Faults[0].Unmet)
	require.Contains(t, renderView(v, style{}), "Nova: nobody met it\n")

	failed := sample(t, loginFailed, results.Rate, "console", 11, 1)
	failed.Tags.Class = "cloud-failed"
	require.NoError(t, m.add(failed))
	require.False(t, m.view(recorded(28), 10).Faults[0].Unmet)
	f.until = time.Time{}
	require.False(t, m.holds(f, recorded(12)), "one has failed")
}

func TestPartsOfBothWays(t *testing.T) {
	names := map[string]bool{}
	for _, p := range parts(PathBroker) {
		names[p.name] = true
	}
	require.Len(t, names, len(parts(PathBroker)), "each has a name of its own")
	for i, p := range parts(PathCloud) {
		require.Equal(t, parts(PathBroker)[i].name, p.name)
		require.NotEmpty(t, p.explained)
		require.LessOrEqual(t, len(p.explained), 31, p.explained)
	}
}
