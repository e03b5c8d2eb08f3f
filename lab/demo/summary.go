package demo

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// Summary is what a run has shown. All of it is counted or measured by the thin clients, except what says otherwise.
type Summary struct {
	Path            string  `json:"path"`     // broker or cloud
	Desktops        string  `json:"desktops"` // simulated or QEMU
	Clients         int     `json:"clients"`
	Profile         string  `json:"profile"`
	DurationSeconds float64 `json:"duration_seconds"` // of the shift, as asked for
	ArrivalsSeconds float64 `json:"arrivals_seconds"` // how long people kept coming, as asked for
	Seed            uint64  `json:"seed"`
	Interrupted     bool    `json:"interrupted"`
	ElapsedSeconds  float64 `json:"elapsed_seconds"` // of the shift: less than its length if the demo was stopped

	LoggedIn   int       `json:"logged_in"`
	Connected  int       `json:"connected"`
	LoggedOut  bool      `json:"logged_out"` // none was left logged in at the end
	LoginsLeft int       `json:"logins_left"`
	Failures   []Failure `json:"failures"` // most first

	Login Quantiles `json:"login"` // the way to the desktop, without connecting to it
	Wait  Quantiles `json:"wait"`  // from the password to the first picture
	// Parts are all pieces of the wait. Their sums and their shares add up; medians and other quantiles are of each part by
	// itself, of those who had it, and do not.
	Parts       []Part  `json:"parts"`
	WaitSeconds float64 `json:"wait_seconds"` // of all people and parts together

	Pool *Pool `json:"pool,omitempty"`

	Keys         int    `json:"keys"`
	KeysReceived *int64 `json:"keys_received,omitempty"` // by the desktops' own counts

	Trips  []Trip  `json:"round_trips"`
	Sites  []Site  `json:"sites,omitempty"` // if there are several
	Losses []Loss  `json:"losses"`          // by what was wrong meanwhile
	Ended  []Ended `json:"sessions_ended"`  // unasked
	Faults []Fault `json:"faults"`          // injected

	BytesReceived  int     `json:"bytes_received"`
	BytesSent      int     `json:"bytes_sent"`
	SessionSeconds float64 `json:"session_seconds"` // of all sessions together

	Harness Harness `json:"harness"`
	// FirstPictureSeconds after the demo's start, at the latest.
	FirstPictureSeconds float64 `json:"first_picture_seconds,omitempty"`
}

// Quantiles are of durations in milliseconds; all are 0 if there is none.
type Quantiles struct {
	Count  int64   `json:"count"`
	Median float64 `json:"median_ms"`
	P95    float64 `json:"p95_ms"`
	P99    float64 `json:"p99_ms"`
}

// Part is a piece of the time from the password to the first picture.
type Part struct {
	Part    string  `json:"part"`
	Metric  string  `json:"metric"`
	Step    string  `json:"step"` // its tag
	Seconds float64 `json:"seconds"`
	Share   float64 `json:"share"` // of WaitSeconds, 0 to 1
	Quantiles
}

// Failure is how many logins failed at a step for a reason.
type Failure struct {
	Metric string `json:"metric"` // of the login or of connecting
	Step   string `json:"step"`
	Class  string `json:"class"`
	Logins int    `json:"logins"`
}

// Pool is how the broker's pool did, as the broker said each second.
type Pool struct {
	LeastReady   int `json:"least_ready"`
	MostAssigned int `json:"most_assigned"` // at least as many as were logged in at once
}

// Trip is a kind of round trip: those answered, and how many were not.
type Trip struct {
	Trip string `json:"trip"`
	Lost int    `json:"lost"`
	Quantiles
}

// Site is how people of one site waited and typed.
type Site struct {
	Site    string    `json:"site"`
	Wait    Quantiles `json:"wait"`
	Visible Quantiles `json:"visible"` // the round trip
	Lost    int       `json:"lost"`    // round trips of all kinds
}

// Loss is how many answers were lost while a fault was on, by kind of round trip.
type Loss struct {
	While string         `json:"while"` // empty: no fault was on
	Lost  map[string]int `json:"lost"`
}

// Ended is how many sessions ended unasked, by reason.
type Ended struct {
	Reason   string `json:"reason"`
	Sessions int    `json:"sessions"`
}

// Fault is what was broken on purpose.
type Fault struct {
	What         string  `json:"what"`
	Desktops     int     `json:"desktops,omitempty"` // that it was about
	AfterSeconds float64 `json:"after_seconds"`      // of the shift's beginning
	// NoticedSeconds is how long after it the measurements told of it, at the latest: to the end of
	// the window with the first sign. Nil: they did not.
	NoticedSeconds *float64 `json:"noticed_seconds"`
	NotNoticed     string   `json:"not_noticed,omitempty"` // why they did not, for people
	Error          string   `json:"error,omitempty"`       // why it could not be injected
}

// Harness is what the demo itself took.
type Harness struct {
	K6CPUSeconds    float64 `json:"k6_cpu_seconds"`
	K6MemoryBytes   int64   `json:"k6_memory_bytes"`   // at most
	CloudCPUSeconds float64 `json:"cloud_cpu_seconds"` // directory, OpenStack, broker, simulated desktops and the display
}

func quantiles(a *results.Aggregate) Quantiles {
	if a.Count == 0 {
		return Quantiles{}
	}
	return Quantiles{Count: a.Count, Median: a.Quantile(0.5), P95: a.Quantile(0.95), P99: a.Quantile(0.99)}
}

// summary is what the model knows when k6 has ended.
func (m *model) summary() *Summary {
	s := &Summary{
		Path: m.plan.path, Desktops: m.plan.kind, Clients: m.plan.people, Profile: m.plan.profile,
		DurationSeconds: m.plan.duration.Seconds(), ArrivalsSeconds: m.plan.arrivals.Seconds(),
		LoginsLeft:    whole(pick(m.total, loginsLeft, results.Counter, "", "").Sum),
		Login:         quantiles(pick(m.total, loginDuration, results.Trend, total, "")),
		Wait:          quantiles(pick(m.total, waited, results.Trend, "", "")),
		Failures:      m.failures(),
		Keys:          whole(pick(m.total, keysSent, results.Counter, "", "").Sum),
		BytesReceived: whole(pick(m.total, bytesReceived, results.Counter, "", "").Sum),
		BytesSent:     whole(pick(m.total, bytesSent, results.Counter, "", "").Sum),
		Losses:        m.losses(),
		Ended:         m.ended(),
		Sites:         m.sites(),
		Faults:        m.faultsNoticed(),
	}
	s.LoggedIn, s.Connected, s.LoggedOut = int(s.Login.Count), int(s.Wait.Count), s.LoginsLeft == 0
	s.ElapsedSeconds = m.plan.duration.Seconds()
	if !m.stopped.IsZero() {
		s.Interrupted, s.ElapsedSeconds = true, m.elapsed(m.stopped).Seconds()
	}
	if !m.first.IsZero() {
		s.FirstPictureSeconds = m.first.Sub(m.plan.started).Seconds()
	}
	for _, one := range shares(m.total, m.plan.path) {
		s.Parts = append(s.Parts, Part{one.name, one.metric, one.step, one.took.Sum / 1000, one.share, quantiles(one.took)})
		s.WaitSeconds += one.took.Sum / 1000
	}
	if m.pool != nil {
		s.Pool = &Pool{LeastReady: m.leastReady, MostAssigned: max(m.mostAssigned, m.atOnce())}
	}
	for _, trip := range trips() {
		lost := whole(pick(m.total, lostAnswers, results.Rate, trip, "").Sum)
		s.Trips = append(s.Trips, Trip{trip, lost, quantiles(pick(m.total, roundTrip, results.Trend, trip, ""))})
	}
	if open := m.openSessions(); open.Count > 0 { // it is told at even intervals
		s.SessionSeconds = open.Mean() * open.End.Sub(open.Start).Seconds()
	}
	return s
}

// atOnce is how many were logged in at one time, at least: until the shift's end nobody logs out but who was thrown out or
// could not connect.
func (m *model) atOnce() int {
	logins := pick(m.between(m.begin.Add(-window), m.begin.Add(m.plan.duration)), loginDuration, results.Trend, total, "").Count
	return int(logins) - whole(pick(m.total, sessionsEnded, results.Counter, "", "").Sum+pick(m.total, connectFailed, results.Rate, "", "").Sum)
}

// failures counts what failed on the way to the picture.
func (m *model) failures() []Failure {
	by := map[Failure]int{}
	for _, a := range m.total.Aggregates() {
		if (a.Metric == loginFailed || a.Metric == connectFailed) && a.Sum > 0 {
			by[Failure{Metric: a.Metric, Step: a.Tags.Step, Class: a.Tags.Class}] += whole(a.Sum)
		}
	}
	all := []Failure{}
	for f, n := range by {
		f.Logins = n
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(b.Logins-a.Logins, cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Class, b.Class))
	})
	return all
}

// sites are all sites, if there are several.
func (m *model) sites() []Site {
	names := map[string]bool{}
	for _, a := range m.total.Aggregates() {
		if a.Metric == waited || a.Metric == roundTrip {
			names[a.Tags.Site] = true
		}
	}
	if len(names) < 2 {
		return nil
	}
	var all []Site
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, Site{
			Site:    name,
			Wait:    quantiles(pick(m.total, waited, results.Trend, "", name)),
			Visible: quantiles(pick(m.total, roundTrip, results.Trend, trips()[2], name)),
			Lost:    whole(pick(m.total, lostAnswers, results.Rate, "", name).Sum),
		})
	}
	return all
}

// openSessions is the level of open sessions over the time in which it was told.
func (m *model) openSessions() *results.Aggregate {
	for _, a := range m.total.Aggregates() {
		if a.Metric == sessionsOpen && a.Kind == results.Gauge {
			return a
		}
	}
	return &results.Aggregate{}
}

// ended counts the sessions that ended unasked by reason, most first.
func (m *model) ended() []Ended {
	by := map[string]int{}
	for _, a := range m.total.Aggregates() {
		if a.Metric == sessionsEnded {
			by[a.Tags.Step] += whole(a.Sum)
		}
	}
	all := []Ended{}
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		all = append(all, Ended{reason, by[reason]})
	}
	slices.SortStableFunc(all, func(a, b Ended) int { return b.Sessions - a.Sessions })
	return all
}

// losses gives each loss to the first fault in whose time it falls; the last one has what falls into none.
func (m *model) losses() []Loss {
	all := make([]Loss, len(m.faults)+1)
	for i, f := range m.faults {
		all[i].While = f.what
	}
	for _, start := range m.starts() {
		begin := time.Unix(0, start)
		i := slices.IndexFunc(m.faults, func(f *fault) bool { return f.explains(begin, begin.Add(window), m.latest, m.plan.probeEvery) })
		if i < 0 {
			i = len(m.faults)
		}
		for _, trip := range trips() {
			if lost := whole(pick(m.windows[start], lostAnswers, results.Rate, trip, "").Sum); lost > 0 {
				if all[i].Lost == nil {
					all[i].Lost = map[string]int{}
				}
				all[i].Lost[trip] += lost
			}
		}
	}
	return slices.DeleteFunc(all, func(l Loss) bool { return l.Lost == nil })
}

// faultsNoticed are the faults that were due.
func (m *model) faultsNoticed() []Fault {
	all := []Fault{}
	for _, f := range m.faults {
		if !f.started {
			continue
		}
		one := Fault{What: f.what, Desktops: f.desktops}
		if f.failed != nil {
			one.Error = f.failed.Error()
		}
		if !f.at.IsZero() {
			one.AfterSeconds = math.Round(f.at.Sub(m.begin).Seconds()*10) / 10
		}
		if after, ok := m.noticed(f); ok {
			seconds := round(after.Seconds())
			one.NoticedSeconds = &seconds
		} else if f.failed == nil {
			one.NotNoticed = m.unnoticed(f)
		}
		all = append(all, one)
	}
	return all
}

// unnoticed says why the measurements did not tell of a fault.
func (m *model) unnoticed(f *fault) string {
	switch {
	case f.nobodyMet(m.latest) && (m.stopped.IsZero() || f.nobodyMet(m.stopped)):
		return "nobody met it"
	case !m.stopped.IsZero():
		return "the demo was stopped"
	}
	return "nobody met it, or the shift was over before"
}

// round keeps tenths: the windows are no finer.
func round(seconds float64) float64 { return math.Ceil(seconds*10) / 10 }
