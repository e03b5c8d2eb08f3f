package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What a source said is served until it is both five minutes (Prometheus' own staleness) and five intervals old. A figure of
// yesterday helps nobody; the age stays.
const (
	staleAfter     = 5 * time.Minute
	staleIntervals = 5
)

// StaleAfter is for how long an exporter may serve what a source of that interval said.
func StaleAfter(interval time.Duration) time.Duration {
	return max(staleAfter, staleIntervals*interval)
}

// Describe sends all families, so that a registry refuses two of one name.
func (s *Set) Describe(out chan<- *prometheus.Desc) {
	for _, f := range Families() {
		out <- f.desc
	}
	for _, e := range s.exporters {
		for _, f := range e.Families {
			out <- f.desc
		}
	}
}

// Collect sends what is known, without asking anybody.
func (s *Set) Collect(out chan<- prometheus.Metric) {
	for _, e := range s.exporters {
		for _, c := range e.Live {
			if err := guard(func() error { c.Collect(out); return nil }); err != nil {
				s.log.Error("an exporter's metrics cannot be collected", "collector", e.Name, "err", err)
			}
		}
	}
	for _, src := range s.sources {
		s.collectSource(out, src)
	}
	for _, l := range s.listeners {
		out <- running.Value(Bool(l.runs.Load()), l.collector)
	}
}

func (s *Set) collectSource(out chan<- prometheus.Metric, src *source) {
	st := src.state.Load()
	if st == nil {
		st = &state{}
	}
	labels := []string{src.collector, src.Target}
	out <- lastSuccess.Value(seconds(st.success), labels...)
	out <- lastFailure.Value(seconds(st.failure), labels...)
	out <- updateDuration.Value(st.took.Seconds(), labels...)
	out <- updates.Value(float64(st.successes), append(labels, "success")...)
	out <- updates.Value(float64(st.failures), append(labels, "failure")...)
	if !st.answered {
		return
	}
	age := s.now().Sub(st.begun)
	out <- dataAge.Value(age.Seconds(), labels...)
	if age > StaleAfter(src.Interval) {
		return
	}
	for _, m := range st.metrics {
		out <- m
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}
