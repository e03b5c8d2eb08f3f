package demo

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/spice"
)

// Metrics of k6/x/vdi, and two of morning-shift.js.
const (
	loginDuration   = "vdi_login_duration"
	loginFailed     = "vdi_login_failed"
	loginsLeft      = "vdi_logins_left"
	connectDuration = "vdi_connect_duration"
	connectFailed   = "vdi_connect_failed"
	roundTrip       = "vdi_round_trip"
	lostAnswers     = "vdi_lost"
	sessionsOpen    = "vdi_sessions_open"
	sessionsEnded   = "vdi_sessions_ended"
	bytesReceived   = "vdi_bytes_received"
	bytesSent       = "vdi_bytes_sent"
	keysSent        = "vdi_keys"
	arrived         = "vdi_arrivals" // people who began to log in
	waited          = "vdi_wait"     // from the password to the first picture
)

// plan is what is to happen.
type plan struct {
	path       string // to the desktops
	kind       string // of the desktops
	people     int
	duration   time.Duration
	arrivals   time.Duration // how long people keep coming
	profile    string
	probeEvery time.Duration // each round trip of each desktop
	started    time.Time     // the demo
}

// environment is the plan as morning-shift.js reads it.
func (p plan) environment() []string {
	return []string{
		"DESKSTORM_PATH=" + p.path,
		"DESKSTORM_DOMAIN=" + sim.UsersDomain,
		"DESKSTORM_PROFILE=" + p.profile,
		fmt.Sprintf("DESKSTORM_DURATION=%dms", p.duration.Milliseconds()),
		fmt.Sprintf("DESKSTORM_WINDOW=%dms", p.arrivals.Milliseconds()),
	}
}

// poolState is how the broker's pool of desktops stands, as the broker says.
type poolState struct {
	Ready, Building, Assigned int
}

// model is what is known of a run. It does no input or output and looks at no clock.
type model struct {
	plan    plan
	begin   time.Time // of the shift, zero: not yet
	stopped time.Time // before its end; zero: it was not
	latest  time.Time // the end of the last window
	total   *results.Set
	windows map[int64]*results.Set // by the start in Unix nanoseconds; of any site and profile
	faults  []*fault
	first   time.Time // the end of the window with the first picture

	pool         *poolState // nil: not known
	leastReady   int        // in the pool at a time
	mostAssigned int
}

func newModel(p plan) *model {
	return &model{plan: p, total: results.NewSet(time.Time{}, time.Time{}), windows: map[int64]*results.Set{}}
}

// addPool takes how the pool stands now.
func (m *model) addPool(s poolState) {
	if m.pool == nil {
		m.leastReady = s.Ready
	}
	m.leastReady, m.mostAssigned = min(m.leastReady, s.Ready), max(m.mostAssigned, s.Assigned)
	m.pool = &s
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
	anywhere.Tags.Site, anywhere.Tags.Profile, anywhere.Tags.Path = "", "", ""
	return w.Merge(anywhere)
}

// elapsed is how much of the shift is over at a time.
func (m *model) elapsed(now time.Time) time.Duration {
	if m.begin.IsZero() {
		return 0
	}
	return min(max(0, now.Sub(m.begin)), m.plan.duration)
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

// count is "1 desktop hangs" or "20 desktops hang".
func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + more
}

// whole is a sum of counts as a number.
func whole(v float64) int { return int(math.Round(v)) }
