package demo

import (
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/spice"
)

// A step of logins is slow in a window when its median there is so many times the median of all before, of which there must
// be a few, and a delay that people feel: on a busy machine single milliseconds become tens.
const (
	slowTimes  = 5
	slowBy     = 200 // ms
	slowAfter  = 5   // logins
	signLogins = 10 * time.Second
)

// slack is how long after a fault's end its losses still come: the deadline of a probe sent at the last moment, and the
// windows' own length. Logins take longer: what made them slow or fail may be told when they end.
const slack = spice.DefaultDeadline + window

// covers tells whether what a window tells of falls into a fault's time.
func (f *fault) covers(start, end, latest time.Time) bool {
	if f.at.IsZero() || !end.After(f.at) {
		return false
	}
	until := f.until
	if until.IsZero() {
		until = latest
	}
	if f.kind == evictFault || f.kind == killedFault { // over at once
		until = f.at
	}
	return !start.After(until.Add(f.late()))
}

// late is how long after a fault's end its signs still come.
func (f *fault) late() time.Duration {
	if f.kind == slowFault || f.kind == errorFault {
		return signLogins
	}
	return slack
}

// nobodyMet tells whether a fault that was not noticed is over for so long by then that it will not be. Somebody is at each
// desktop that is taken over or killed: their fault's sign is only late.
func (f *fault) nobodyMet(by time.Time) bool {
	return f.kind != evictFault && f.kind != killedFault && !f.until.IsZero() && by.After(f.until.Add(f.late()))
}

// holds tells whether a fault whose time is over is to go on: until somebody has met it, but not for ever.
func (m *model) holds(f *fault, now time.Time) bool {
	if !m.stopped.IsZero() || !now.Before(m.begin.Add(f.untilMet)) {
		return false
	}
	_, met := m.noticed(f)
	return !met
}

// explains tells whether a window's losses are a fault's: those of its time, and those of the next probe of a desktop that
// hung, because a guest whose keyboard queue overflowed meanwhile has swallowed keys that the probe counts on.
func (f *fault) explains(start, end, latest time.Time, probeEvery time.Duration) bool {
	switch f.kind {
	case slowFault, errorFault: // desktops go on
		return false
	case hangFault:
		if !f.until.IsZero() {
			start = start.Add(-probeEvery)
		}
	}
	return f.covers(start, end, latest)
}

// noticed returns how long after a fault the measurements told of it, at the latest: to the end of the first window with a
// sign. False: not yet. What is a sign does not depend on when the fault was.
func (m *model) noticed(f *fault) (time.Duration, bool) {
	if f.at.IsZero() {
		return 0, false
	}
	before := results.New(results.Series{Metric: loginDuration, Kind: results.Trend}, time.Time{}, time.Time{})
	for _, start := range m.starts() {
		begin := time.Unix(0, start)
		end := begin.Add(window)
		w := m.windows[start]
		sign := f.kind != slowFault && f.sign(w)
		if f.kind == slowFault {
			now := pick(w, loginDuration, results.Trend, f.step, "")
			sign = isSlow(before, now)
			_ = before.Merge(now) // one series
		}
		if !sign || !end.After(f.at) {
			continue
		}
		// A second client and a killed desktop are told of by what nothing else causes.
		if f.kind == evictFault || f.kind == killedFault || f.covers(begin, end, m.latest) {
			return end.Sub(f.at), true
		}
	}
	return 0, false
}

// isSlow tells whether a window's logins take much longer at a step than those before it.
func isSlow(before, now *results.Aggregate) bool {
	if before.Count < slowAfter || now.Count == 0 {
		return false
	}
	usual := before.Quantile(0.5)
	return now.Quantile(0.5) > max(slowTimes*usual, usual+slowBy)
}

// sign tells whether something in a window tells of a fault.
func (f *fault) sign(w *results.Set) bool {
	switch f.kind {
	case errorFault:
		for _, a := range w.Aggregates() {
			if a.Metric == loginFailed && a.Tags.Step == f.step && a.Tags.Class == f.class && a.Sum > 0 {
				return true
			}
		}
		return false
	case hangFault: // the server's answers go on: it does not hang
		return pick(w, lostAnswers, results.Rate, string(spice.GuestTrip), "").Sum+
			pick(w, lostAnswers, results.Rate, string(spice.VisibleTrip), "").Sum > 0
	case evictFault:
		return pick(w, sessionsEnded, results.Counter, "evicted", "").Sum > 0
	default:
		return pick(w, sessionsEnded, results.Counter, "gone", "").Sum > 0
	}
}
