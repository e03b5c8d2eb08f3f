package demo

import (
	"math"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// view is what is known at one moment of the run, ready to be shown. Durations of logins and round trips are in
// milliseconds, NaN where there is none.
type view struct {
	Plan    plan
	Begun   bool
	Elapsed time.Duration // of the shift, at most its length

	Arrived   int // 0: nobody counts them
	LoggingIn int // or connecting
	Home      int // after the shift
	Working   int
	Failed    int // people who could not log in, or not connect
	Ended     int // sessions that ended unasked

	LoginsPerSecond float64
	Wait, WaitP95   float64       // from the password to the first picture
	Over            time.Duration // what Wait and Parts cover; 0: the whole morning
	Parts           []partView
	Longest         int // of Parts; -1: none

	Pool *poolState // nil: not known

	KeysPerSecond, ReceivedPerSecond, SentPerSecond float64
	Keys                                            int

	Recent time.Duration // what the round trips below cover
	Trips  []tripView
	Silent int // desktops that did not answer their last probe

	Lost   []float64 // answers lost, from the shift's beginning to its end
	Faults []faultView
}

// partView is a part of the waiting.
type partView struct {
	Name        string
	Median, P95 float64
	Share       float64 // of all waiting, 0 to 1
}

type tripView struct {
	Name        string
	Median, P95 float64
	Lost        int
	P95s        []float64 // from the shift's beginning to its end
}

type faultView struct {
	After   time.Duration // of the shift's beginning
	What    string
	Failed  error
	Noticed time.Duration // 0: not yet
	Unmet   bool          // it is over, and nobody met it
}

const (
	rateOver  = 5 * time.Second  // for typing and traffic: k6/x/vdi tells of them once a second
	loginOver = 10 * time.Second // for logins and where their time goes
)

// view is the picture at a time, with histories of so many columns.
func (m *model) view(now time.Time, columns int) view {
	v := view{Plan: m.plan, Begun: !m.begin.IsZero(), Wait: math.NaN(), WaitP95: math.NaN(), Longest: -1, Pool: m.pool, Recent: m.plan.probeEvery}
	if !v.Begun {
		return v
	}
	v.Elapsed = m.elapsed(now)
	m.viewPeople(&v)
	m.viewLogins(&v)
	v.Keys = whole(pick(m.total, keysSent, results.Counter, "", "").Sum)

	last := m.between(m.latest.Add(-rateOver), m.latest)
	over := m.over(rateOver).Seconds()
	v.KeysPerSecond = pick(last, keysSent, results.Counter, "", "").Sum / over
	v.ReceivedPerSecond = pick(last, bytesReceived, results.Counter, "", "").Sum / over
	v.SentPerSecond = pick(last, bytesSent, results.Counter, "", "").Sum / over

	recent := m.between(m.latest.Add(-v.Recent), m.latest)
	history := m.history(columns)
	for _, trip := range trips() {
		rtt := pick(recent, roundTrip, results.Trend, trip, "")
		t := tripView{
			Name: trip, Median: rtt.Quantile(0.5), P95: rtt.Quantile(0.95),
			Lost: whole(pick(recent, lostAnswers, results.Rate, trip, "").Sum),
		}
		for _, part := range history {
			t.P95s = append(t.P95s, pick(part, roundTrip, results.Trend, trip, "").Quantile(0.95))
		}
		// In this time each desktop was asked once.
		v.Silent = min(max(v.Silent, t.Lost), m.plan.people)
		v.Trips = append(v.Trips, t)
	}
	for _, part := range history {
		v.Lost = append(v.Lost, pick(part, lostAnswers, results.Rate, "", "").Sum)
	}
	for _, f := range m.faults {
		if f.at.IsZero() && f.failed == nil {
			continue
		}
		noticed, ok := m.noticed(f)
		v.Faults = append(v.Faults, faultView{
			After: f.at.Sub(m.begin), What: f.what, Failed: f.failed, Noticed: noticed, Unmet: !ok && f.nobodyMet(m.latest),
		})
	}
	return v
}

// viewPeople counts people by where they are, each once. Nobody goes home before the shift's end; from then on the gauge of
// open sessions tells how many are left. It is told once a second, and would lag behind those who come.
func (m *model) viewPeople(v *view) {
	v.Arrived = whole(pick(m.total, arrived, results.Counter, "", "").Sum)
	seen := int(pick(m.total, waited, results.Trend, "", "").Count)
	v.Failed = whole(pick(m.total, loginFailed, results.Rate, "", "").Sum + pick(m.total, connectFailed, results.Rate, "", "").Sum)
	v.Ended = whole(pick(m.total, sessionsEnded, results.Counter, "", "").Sum)
	v.Working = max(0, seen-v.Ended)
	if v.Arrived > 0 { // a counter may be a window behind
		v.Arrived = max(v.Arrived, v.Working+v.Ended+v.Failed)
	}
	v.LoggingIn = max(0, v.Arrived-v.Working-v.Ended-v.Failed)
	if v.Elapsed < m.plan.duration && m.stopped.IsZero() {
		return
	}
	if open := pick(m.total, sessionsOpen, results.Gauge, "", ""); open.Count > 0 {
		left := min(v.Working, whole(open.Last))
		v.Home, v.Working = v.Working-left, left
	}
}

// viewLogins tells how logins go now or, if nobody logs in any more, went in the whole morning.
func (m *model) viewLogins(v *view) {
	v.Over = loginOver
	set := m.between(m.latest.Add(-loginOver), m.latest)
	wait := pick(set, waited, results.Trend, "", "")
	v.LoginsPerSecond = float64(wait.Count) / m.over(loginOver).Seconds()
	if wait.Count == 0 {
		v.Over, set = 0, m.total
		wait = pick(set, waited, results.Trend, "", "")
	}
	v.Wait, v.WaitP95 = wait.Quantile(0.5), wait.Quantile(0.95)
	all := shares(set, m.plan.path)
	for _, s := range all {
		v.Parts = append(v.Parts, partView{s.name, s.took.Quantile(0.5), s.took.Quantile(0.95), s.share})
	}
	v.Longest = longest(all)
}

// over is how much of a time before now the run covers, at least a second.
func (m *model) over(d time.Duration) time.Duration {
	return min(d, max(time.Second, m.latest.Sub(m.begin)))
}

// history cuts the shift into parts of whole seconds, at most so many, and merges each part's windows, up to the
// last part that has begun.
func (m *model) history(parts int) []*results.Set {
	length := m.plan.duration / time.Duration(max(1, parts))
	length = max(time.Second, (length + time.Second - 1).Truncate(time.Second))
	from := m.begin.Truncate(time.Second)
	var all []*results.Set
	for at := from; at.Before(m.latest) && len(all) < parts; at = at.Add(length) {
		all = append(all, m.between(at, at.Add(length)))
	}
	return all
}
