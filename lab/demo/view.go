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

	Connected, LoggedIn, FailedLogins int
	Wait                              float64            // median
	Steps                             map[string]float64 // medians by step

	KeysPerSecond, ReceivedPerSecond, SentPerSecond float64
	Keys                                            int

	Recent time.Duration // what the round trips below cover
	Trips  []tripView
	Silent int // desktops that did not answer their last probe

	Lost   []float64 // answers lost, from the shift's beginning to its end
	Ended  int       // sessions that ended unasked
	Faults []faultView
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
}

// rateOver is how long typing and traffic are averaged over: k6/x/vdi tells of them once a second.
const rateOver = 5 * time.Second

// view is the picture at a time, with histories of so many columns.
func (m *model) view(now time.Time, columns int) view {
	v := view{Plan: m.plan, Begun: !m.begin.IsZero(), Wait: math.NaN(), Recent: m.plan.probeEvery}
	if !v.Begun {
		return v
	}
	v.Elapsed = min(max(0, now.Sub(m.begin)), m.plan.duration)
	wait := pick(m.total, waited, results.Trend, "", "")
	v.LoggedIn, v.Wait = int(wait.Count), wait.Quantile(0.5)
	v.Connected = v.LoggedIn
	if open := pick(m.total, sessionsOpen, results.Gauge, "", ""); open.Count > 0 { // it is told once a second
		v.Connected = whole(open.Last)
	}
	v.FailedLogins = whole(pick(m.total, connectFailed, results.Rate, "", "").Sum)
	v.Steps = map[string]float64{}
	for _, step := range steps() {
		v.Steps[step] = pick(m.total, connectDuration, results.Trend, step, "").Quantile(0.5)
	}
	v.Keys = whole(pick(m.total, keysSent, results.Counter, "", "").Sum)
	v.Ended = whole(pick(m.total, sessionsEnded, results.Counter, "", "").Sum)

	last := m.between(m.latest.Add(-rateOver), m.latest)
	over := min(rateOver, max(time.Second, m.latest.Sub(m.begin))).Seconds()
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
		v.Silent = min(max(v.Silent, t.Lost), m.plan.clients)
		v.Trips = append(v.Trips, t)
	}
	for _, part := range history {
		v.Lost = append(v.Lost, pick(part, lostAnswers, results.Rate, "", "").Sum)
	}
	for _, f := range m.faults {
		if f.at.IsZero() && f.failed == nil {
			continue
		}
		noticed, _ := m.noticed(f)
		v.Faults = append(v.Faults, faultView{After: f.at.Sub(m.begin), What: f.what, Failed: f.failed, Noticed: noticed})
	}
	return v
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
