package demo

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// Summary is what a run has shown. All of it is counted or measured by the thin clients, except what says otherwise.
type Summary struct {
	Desktops        string  `json:"desktops"` // simulated or QEMU
	Clients         int     `json:"clients"`
	Profile         string  `json:"profile"`
	DurationSeconds float64 `json:"duration_seconds"` // of the shift, as asked for
	Seed            uint64  `json:"seed"`
	Interrupted     bool    `json:"interrupted"`

	LoggedIn     int            `json:"logged_in"`
	FailedLogins map[string]int `json:"failed_logins"` // by the step that failed
	Wait         Quantiles      `json:"wait"`          // for the desktop, first packet to first picture
	Steps        []Step         `json:"steps"`

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
	// FirstLoginSeconds after the demo's start, at the latest.
	FirstLoginSeconds float64 `json:"first_login_seconds,omitempty"`
}

// Quantiles are of durations in milliseconds; all are 0 if there is none.
type Quantiles struct {
	Count  int64   `json:"count"`
	Median float64 `json:"median_ms"`
	P95    float64 `json:"p95_ms"`
	P99    float64 `json:"p99_ms"`
}

// Step is a part of the wait for the desktop.
type Step struct {
	Step string `json:"step"`
	Quantiles
}

// Trip is a kind of round trip: those answered, and how many were not.
type Trip struct {
	Trip string `json:"trip"`
	Lost int    `json:"lost"`
	Quantiles
}

// Site is the visible round trip of one site.
type Site struct {
	Site string `json:"site"`
	Lost int    `json:"lost"` // of all kinds
	Quantiles
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
	Desktops     int     `json:"desktops"`
	AfterSeconds float64 `json:"after_seconds"` // of the shift's beginning
	// NoticedSeconds is how long after it the measurements told of it, at the latest: to the end of
	// the window with the first sign. Nil: they did not.
	NoticedSeconds *float64 `json:"noticed_seconds"`
	Error          string   `json:"error,omitempty"` // why it could not be injected
}

// Harness is what the demo itself took.
type Harness struct {
	K6CPUSeconds       float64 `json:"k6_cpu_seconds"`
	K6MemoryBytes      int64   `json:"k6_memory_bytes"` // at most
	DesktopsCPUSeconds float64 `json:"desktops_cpu_seconds"`
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
		Desktops: m.plan.kind, Clients: m.plan.clients, Profile: m.plan.profile, DurationSeconds: m.plan.duration.Seconds(),
		FailedLogins:  map[string]int{},
		Wait:          quantiles(pick(m.total, waited, results.Trend, "", "")),
		Keys:          whole(pick(m.total, keysSent, results.Counter, "", "").Sum),
		BytesReceived: whole(pick(m.total, bytesReceived, results.Counter, "", "").Sum),
		BytesSent:     whole(pick(m.total, bytesSent, results.Counter, "", "").Sum),
		Losses:        m.losses(),
		Faults:        m.faultsNoticed(),
	}
	s.LoggedIn = int(s.Wait.Count)
	if !m.first.IsZero() {
		s.FirstLoginSeconds = m.first.Sub(m.plan.started).Seconds()
	}
	sites := map[string]bool{}
	for _, a := range m.total.Aggregates() {
		switch {
		case a.Metric == connectFailed && a.Sum > 0:
			s.FailedLogins[a.Tags.Step] += whole(a.Sum)
		case a.Metric == roundTrip:
			sites[a.Tags.Site] = true
		}
	}
	for _, step := range steps() {
		s.Steps = append(s.Steps, Step{step, quantiles(pick(m.total, connectDuration, results.Trend, step, ""))})
	}
	for _, trip := range trips() {
		lost := whole(pick(m.total, lostAnswers, results.Rate, trip, "").Sum)
		s.Trips = append(s.Trips, Trip{trip, lost, quantiles(pick(m.total, roundTrip, results.Trend, trip, ""))})
	}
	if len(sites) > 1 {
		for _, site := range slices.Sorted(maps.Keys(sites)) {
			lost := whole(pick(m.total, lostAnswers, results.Rate, "", site).Sum)
			s.Sites = append(s.Sites, Site{site, lost, quantiles(pick(m.total, roundTrip, results.Trend, trips()[2], site))})
		}
	}
	s.Ended = m.ended()
	if open := m.openSessions(); open.Count > 0 { // it is told at even intervals
		s.SessionSeconds = open.Mean() * open.End.Sub(open.Start).Seconds()
	}
	return s
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
		}
		all = append(all, one)
	}
	return all
}

// round keeps tenths: the windows are no finer.
func round(seconds float64) float64 { return math.Ceil(seconds*10) / 10 }
