package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/deskstorm/deskstorm/runner/schedule"
)

// Counts are what other parts of the runner have counted since the process began.
type Counts struct {
	FaultsInjected, FaultsUndone uint64
	FaultsStuck                  int // that could not be undone yet
	WatchdogRestarts             uint64
	// Points for InfluxDB. What was offered and is neither written nor dropped waits.
	InfluxOffered, InfluxWritten, InfluxDropped uint64
	HistoryErrors                               uint64 // of writing; those of reading for the page are added
}

// metrics are what Prometheus sees of the runner. Label experiment is the job's name.
type metrics struct {
	server  *Server
	runs    *prometheus.CounterVec
	skipped *prometheus.CounterVec
	length  *prometheus.HistogramVec
	last    *prometheus.GaugeVec
	success *prometheus.GaugeVec
	ends    *prometheus.GaugeVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		server: s,
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "deskstorm_runner_runs_total", Help: "Runs that ended, by their outcome.",
		}, []string{"experiment", "outcome"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "deskstorm_runner_skipped_total", Help: "Occurrences in the schedule that were not run, by the reason.",
		}, []string{"experiment", "reason"}),
		length: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "deskstorm_runner_run_duration_seconds", Help: "How long runs took.",
			Buckets: []float64{10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200},
		}, []string{"experiment"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "deskstorm_runner_last_outcome", Help: "1 for the outcome of the last run, 0 for the others.",
		}, []string{"experiment", "outcome"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "deskstorm_runner_last_success_timestamp_seconds",
			Help: "When the last run that passed ended; not there if none is known.",
		}, []string{"experiment"}),
		ends: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "deskstorm_runner_last_end_timestamp_seconds", Help: "When the last run ended; not there if none is known.",
		}, []string{"experiment"}),
	}
	// What never happened is 0 and not nothing, so that a first time is seen as an increase.
	for _, j := range s.options.Jobs {
		for _, o := range Outcomes() {
			m.runs.WithLabelValues(j.Name, string(o))
		}
		for _, r := range schedule.Reasons() {
			m.skipped.WithLabelValues(j.Name, string(r))
		}
		m.length.WithLabelValues(j.Name)
	}
	return m
}

func (m *metrics) skip(s schedule.Skipped) {
	m.skipped.WithLabelValues(s.Job, string(s.Reason)).Add(float64(s.Count))
}

func (m *metrics) ended(e Entry) {
	outcome := m.known(e)
	m.runs.WithLabelValues(e.Job, string(outcome)).Inc()
	m.length.WithLabelValues(e.Job).Observe(max(0, e.Ended.Sub(e.Began).Seconds()))
}

// known sets what is known of a job's last run.
func (m *metrics) known(e Entry) Outcome {
	outcome := m.setLast(e)
	if outcome == Passed {
		m.success.WithLabelValues(e.Job).Set(float64(e.Ended.Unix()))
	}
	return outcome
}

// setLast returns the outcome as a label has it: one of Outcomes.
func (m *metrics) setLast(e Entry) Outcome {
	outcome := e.Outcome
	if !slices.Contains(Outcomes(), outcome) {
		outcome = Failed
	}
	for _, o := range Outcomes() {
		is := 0.0
		if o == outcome {
			is = 1
		}
		m.last.WithLabelValues(e.Job, string(o)).Set(is)
	}
	m.ends.WithLabelValues(e.Job).Set(float64(e.Ended.Unix()))
	return outcome
}

// remember sets what is known of a job's runs before this process, the latest first.
func (m *metrics) remember(job string, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	last := entries[0]
	last.Job = job
	m.setLast(last)
	for _, e := range entries {
		if e.Outcome == Passed {
			m.success.WithLabelValues(job).Set(float64(e.Ended.Unix()))
			return
		}
	}
}

func (m *metrics) handler() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		m.runs, m.skipped, m.length, m.last, m.success, m.ends, &now{m.server},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError, Registry: registry,
		ErrorLog: slog.NewLogLogger(m.server.log.Handler(), slog.LevelError),
	}), nil
}

// now is what is looked up at each scrape.
type now struct{ server *Server }

var (
	byExperiment = []string{"experiment"}

	runningDesc = prometheus.NewDesc("deskstorm_runner_running", "Whether a run of the experiment goes on.", byExperiment, nil)
	waitingDesc = prometheus.NewDesc("deskstorm_runner_waiting", "Whether a run of the experiment waits for another one's end.",
		byExperiment, nil)
	pausedDesc = prometheus.NewDesc("deskstorm_runner_paused", "Whether the experiment is paused.", byExperiment, nil)
	nextDesc   = prometheus.NewDesc("deskstorm_runner_next_run_timestamp_seconds",
		"When the experiment will run next, with its jitter; not there while it is paused.", byExperiment, nil)
	leaderDesc  = prometheus.NewDesc("deskstorm_runner_leader", "Whether this runner is the one that starts runs.", nil, nil)
	troubleDesc = prometheus.NewDesc("deskstorm_runner_schedule_errors_total",
		"How often the database, the lead or a calendar kept the schedule from its work.", nil, nil)
	injectedDesc = prometheus.NewDesc("deskstorm_runner_faults_injected_total", "Faults that were injected.", nil, nil)
	undoneDesc   = prometheus.NewDesc("deskstorm_runner_faults_undone_total", "Faults that were undone.", nil, nil)
	stuckDesc    = prometheus.NewDesc("deskstorm_runner_faults_stuck", "Faults that should be undone, and could not be yet.",
		nil, nil)
	watchdogDesc = prometheus.NewDesc("deskstorm_runner_watchdog_restarts_total",
		"Times that the watchdog had to be started again.", nil, nil)
	offeredDesc = prometheus.NewDesc("deskstorm_runner_influx_points_offered_total",
		"Points that were to be written to InfluxDB.", nil, nil)
	writtenDesc = prometheus.NewDesc("deskstorm_runner_influx_points_written_total", "Points that InfluxDB has taken.", nil, nil)
	droppedDesc = prometheus.NewDesc("deskstorm_runner_influx_points_dropped_total", "Points that are lost.", nil, nil)
	errsDesc    = prometheus.NewDesc("deskstorm_runner_history_errors_total", "Failures of the history's database.", nil, nil)
)

// Describe has all that Collect has.
func (n *now) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		runningDesc, waitingDesc, pausedDesc, nextDesc, leaderDesc, troubleDesc, injectedDesc, undoneDesc, stuckDesc, watchdogDesc,
		offeredDesc, writtenDesc, droppedDesc, errsDesc,
	} {
		to <- d
	}
}

// Collect looks.
func (n *now) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	ctx := context.Background() // a collector has none; both are bounded by themselves
	n.server.scheduler.Look(ctx)
	if runs, err := n.server.past.look(ctx, n.server.options.History); err == nil {
		n.server.follow(runs) // what is set by it is seen by the next scrape
	}
	all := n.server.scheduler.Status(0)
	runs := n.server.runningNames(all)
	for _, j := range all.Jobs {
		name := j.Job.Name
		gauge(runningDesc, is(slices.Contains(runs, name)), name)
		gauge(waitingDesc, is(slices.ContainsFunc(all.Waiting, func(w schedule.Start) bool { return w.Job.Name == name })), name)
		gauge(pausedDesc, is(j.Pause != nil), name)
		if !j.Next.IsZero() {
			gauge(nextDesc, float64(j.Next.Unix()), name)
		}
	}
	gauge(leaderDesc, is(all.Leads))
	counter(troubleDesc, float64(all.Troubles))
	var c Counts
	if n.server.options.Counts != nil {
		c = n.server.options.Counts()
	}
	counter(injectedDesc, float64(c.FaultsInjected))
	counter(undoneDesc, float64(c.FaultsUndone))
	gauge(stuckDesc, float64(c.FaultsStuck))
	counter(watchdogDesc, float64(c.WatchdogRestarts))
	counter(offeredDesc, float64(c.InfluxOffered))
	counter(writtenDesc, float64(c.InfluxWritten))
	counter(droppedDesc, float64(c.InfluxDropped))
	counter(errsDesc, float64(c.HistoryErrors)+float64(n.server.past.failures()))
}
