package demo

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/spice"
)

// Metrics of k6/x/vdi, and one of shift.js.
const (
	connectDuration = "vdi_connect_duration"
	connectFailed   = "vdi_connect_failed"
	roundTrip       = "vdi_round_trip"
	lostAnswers     = "vdi_lost"
	sessionsOpen    = "vdi_sessions_open"
	sessionsEnded   = "vdi_sessions_ended"
	bytesReceived   = "vdi_bytes_received"
	bytesSent       = "vdi_bytes_sent"
	keysSent        = "vdi_keys"
	waited          = "vdi_wait"
)

// plan is what is to happen.
type plan struct {
	kind       string // of the desktops
	clients    int
	duration   time.Duration
	profile    string
	probeEvery time.Duration // each round trip of each desktop
	started    time.Time     // the demo
}

// model is what is known of a run. It does no input or output and looks at no clock.
type model struct {
	plan    plan
	begin   time.Time // of the shift, zero: not yet
	latest  time.Time // the end of the last window
	total   *results.Set
	windows map[int64]*results.Set // by the start in Unix nanoseconds; of any site and profile
	faults  []*fault
	first   time.Time // the end of the window with the first login
}

func newModel(p plan) *model {
	return &model{plan: p, total: results.NewSet(time.Time{}, time.Time{}), windows: map[int64]*results.Set{}}
}

// add takes a line of the results.
func (m *model) add(a *results.Aggregate) error {
	if m.begin.IsZero() || a.Start.Before(m.begin) {
		m.begin = a.Start
		if m.begin.Before(m.plan.started) {
			m.begin = m.plan.started
		}
	}
	if a.End.After(m.latest) {
		m.latest = a.End
	}
	if a.Metric == waited && a.Count > 0 && (m.first.IsZero() || a.End.Before(m.first)) {
		m.first = a.End
	}
	if err := m.total.Merge(a); err != nil {
		return err
	}
	key := a.Start.UnixNano()
	w := m.windows[key]
	if w == nil {
		w = results.NewSet(a.Start, a.End)
		m.windows[key] = w
	}
	anywhere := a.Clone()
	anywhere.Tags = results.Tags{Step: a.Tags.Step}
	return w.Merge(anywhere)
}

// starts are the windows' starts in the order of time.
func (m *model) starts() []int64 {
	all := make([]int64, 0, len(m.windows))
	for start := range m.windows {
		all = append(all, start)
	}
	slices.Sort(all)
	return all
}

// between merges the windows that start from from to before to, into one aggregate a metric and step. The error of
// Merge cannot come: the series is the same.
func (m *model) between(from, to time.Time) *results.Set {
	sum := results.NewSet(from, to)
	for _, start := range m.starts() {
		if start >= from.UnixNano() && start < to.UnixNano() {
			for _, a := range m.windows[start].Aggregates() {
				_ = sum.Merge(a)
			}
		}
	}
	return sum
}

// pick merges a set's aggregates of a metric, of the step if that is not empty, and of the site if that is not. It is
// empty, not nil, when there are none.
func pick(set *results.Set, metric string, kind results.Kind, step, site string) *results.Aggregate {
	sum := results.New(results.Series{Metric: metric, Kind: kind}, time.Time{}, time.Time{})
	for _, a := range set.Aggregates() {
		if a.Metric != metric || a.Kind != kind || step != "" && a.Tags.Step != step || site != "" && a.Tags.Site != site {
			continue
		}
		same := a.Clone()
		same.Tags = results.Tags{}
		_ = sum.Merge(same) // one series by now
	}
	return sum
}

// trips are the round trips from the shortest way to the longest.
func trips() []string {
	return []string{string(spice.ServerTrip), string(spice.GuestTrip), string(spice.VisibleTrip)}
}

// steps are the parts of a login in their order.
func steps() []string {
	return []string{string(spice.StepLink), string(spice.StepAuth), string(spice.StepMain), string(spice.StepPicture)}
}

// slack is how long after a fault's end its losses still come: the deadline of a probe sent at the last moment, and the
// windows' own length.
const slack = spice.DefaultDeadline + window

// covers tells whether a window's losses or ended sessions fall into a fault's time.
func (f *fault) covers(start, end, latest time.Time) bool {
	if f.at.IsZero() || !end.After(f.at) {
		return false
	}
	until := f.until
	if until.IsZero() {
		until = latest
	}
	if f.kind != hangFault { // over at once
		until = f.at
	}
	return !start.After(until.Add(slack))
}

// explains tells whether a window's losses are a fault's: those of its time, and those of the next probe of a desktop that
// hung, because a guest whose keyboard queue overflowed meanwhile has swallowed keys that the probe counts on.
func (f *fault) explains(start, end, latest time.Time, probeEvery time.Duration) bool {
	if f.kind == hangFault && !f.until.IsZero() {
		start = start.Add(-probeEvery)
	}
	return f.covers(start, end, latest)
}

// sign is what in a window tells of a fault.
func (f *fault) sign(w *results.Set) float64 {
	switch f.kind {
	case hangFault: // the server's answers go on: it does not hang
		return pick(w, lostAnswers, results.Rate, string(spice.GuestTrip), "").Sum +
			pick(w, lostAnswers, results.Rate, string(spice.VisibleTrip), "").Sum
	case evictFault:
		return pick(w, sessionsEnded, results.Counter, "evicted", "").Sum
	default:
		return pick(w, sessionsEnded, results.Counter, "gone", "").Sum
	}
}

// noticed returns how long after a fault the measurements told of it, at the latest: to the end of the first window with a
// sign, which for a hang must be within the time that its losses can come in. False: not yet.
func (m *model) noticed(f *fault) (time.Duration, bool) {
	if f.at.IsZero() {
		return 0, false
	}
	for _, start := range m.starts() {
		begin := time.Unix(0, start)
		end := begin.Add(window)
		if !end.After(f.at) || f.kind == hangFault && !f.covers(begin, end, m.latest) {
			continue
		}
		if f.sign(m.windows[start]) > 0 {
			return end.Sub(f.at), true
		}
	}
	return 0, false
}

// count is "1 desktop hangs" or "20 desktops hang".
func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// whole is a sum of counts as a number.
func whole(v float64) int { return int(math.Round(v)) }
