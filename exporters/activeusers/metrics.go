package activeusers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/activeusers/baseline"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/activity"
)

// What the exporter serves.
var (
	tracked = collector.Gauge("deskstorm_activeusers_clients",
		"Clients that reported and are not forgotten.", "site", "department")
	clientsLimit = collector.Gauge("deskstorm_activeusers_clients_limit",
		"Clients that are tracked at most; reports of others are refused as full.")
	unseen = collector.Gauge("deskstorm_activeusers_clients_unseen",
		"Clients of the inventory that have not reported since the exporter started.", "site", "department")
	silentClients = collector.Gauge("deskstorm_activeusers_clients_silent",
		"Clients that have not reported for longer than 1m, 5m, 1h, 1d; not those that were switched off.",
		"site", "department", "longer_than")
	connected = collector.Gauge("deskstorm_activeusers_connected",
		"Clients that report and show a desktop.", "site", "department")
	active = collector.Gauge("deskstorm_activeusers_active",
		"Connected clients with input in the last 300 seconds, or what is configured.", "site", "department")
	idle = collector.Gauge("deskstorm_activeusers_idle",
		"Connected clients without input for that long.", "site", "department")
	inputEvents = collector.Counter("deskstorm_activeusers_input_events_total",
		"Keys and buttons pressed and movements of pointers.", "site", "department")

	expected = collector.Gauge("deskstorm_activeusers_expected",
		"People who should be working now, says the roster.", "site", "department")
	gap = collector.Gauge("deskstorm_activeusers_gap",
		"People expected less clients active; negative, if more are active.", "site", "department")
	gapScore = collector.Gauge("deskstorm_activeusers_gap_zscore",
		"How many standard deviations the gap's share of those expected is above the same weekday and minute of earlier weeks.",
		"site", "department")
	gapWeeks = collector.Gauge("deskstorm_activeusers_gap_samples",
		"With how many earlier weeks the gap is compared; there is no score from fewer than 3.", "site", "department")

	reports = collector.Counter("deskstorm_activeusers_reports_total",
		"Reports by what became of them: accepted, duplicate, late, future, unknown, forged, malformed, full.", "result")
	agents = collector.Gauge("deskstorm_activeusers_agents",
		"Reporting clients by their agent's version: the ten most frequent, and other.", "version")
	displayErrors = collector.Counter("deskstorm_activeusers_display_client_errors_total",
		"Errors of the programs that show desktops.", "site")
	droppedReports = collector.Counter("deskstorm_activeusers_dropped_reports_total",
		"Reports that agents lost because their queue was full.", "site")
	recentlyBooted = collector.Gauge("deskstorm_activeusers_recently_booted",
		"Reporting clients that booted in the last 10 minutes.", "site")
	hottest = collector.Gauge("deskstorm_activeusers_hottest_client_celsius",
		"Temperature of the hottest reporting client.", "site")
	fullest = collector.Gauge("deskstorm_activeusers_least_disk_free_ratio",
		"Free part of the fullest disk of the reporting clients.", "site")

	fileError = collector.Gauge("deskstorm_activeusers_roster_error",
		"1 while the roster or inventory is broken and its last good version is in use.", "file")
	fileLoaded = collector.Gauge("deskstorm_activeusers_roster_last_load_timestamp_seconds",
		"When the roster or inventory was last read well; 0 if never.", "file")
	fileEntries = collector.Gauge("deskstorm_activeusers_roster_entries",
		"Shifts of the roster or clients of the inventory that is in use.", "file")
	historyError = collector.Gauge("deskstorm_activeusers_history_error",
		"1 if the history of gaps could not be read at start or last be written.")
)

// Families are all that the exporter serves.
func Families() []*collector.Family {
	return []*collector.Family{
		tracked, clientsLimit, unseen, silentClients, connected, active, idle, inputEvents,
		expected, gap, gapScore, gapWeeks,
		reports, agents, displayErrors, droppedReports, recentlyBooted, hottest, fullest,
		fileError, fileLoaded, fileEntries, historyError,
	}
}

// Describe sends nothing: the Families are described where they are served.
func (e *exporter) Describe(chan<- *prometheus.Desc) {}

// Collect sends what is known now.
func (e *exporter) Collect(out chan<- prometheus.Metric) {
	now := e.now()
	s := e.clients.snapshot(now)
	e.collectPlaces(out, s)
	e.collectSites(out, s)
	for version, n := range topVersions(s.versions) {
		out <- agents.Value(float64(n), version)
	}
	out <- clientsLimit.Value(float64(e.config.MaxClients))

	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timeline != nil {
		for _, c := range e.timeline.Cells() {
			people := e.timeline.Expected(c, now)
			at := e.places.at(c.Site, c.Department)
			out <- expected.Value(float64(people), c.Site, c.Department)
			out <- gap.Value(float64(people-s.places[at].active), c.Site, c.Department)
		}
	}
	e.collectScores(out)
	for _, f := range e.files {
		out <- fileError.Value(collector.Bool(f.broken), f.path)
		loaded := 0.0
		if !f.loaded.IsZero() {
			loaded = float64(f.loaded.UnixNano()) / 1e9
		}
		out <- fileLoaded.Value(loaded, f.path)
		out <- fileEntries.Value(float64(f.entries), f.path)
	}
	out <- historyError.Value(collector.Bool(!e.readWell || !e.wroteWell))
}

func (e *exporter) collectScores(out chan<- prometheus.Metric) {
	for at, s := range e.scores {
		site, department := e.places.labels(at)
		out <- gapWeeks.Value(float64(s.weeks), site, department)
		if s.weeks >= baseline.MinWeeks {
			out <- gapScore.Value(s.z, site, department)
		}
	}
}

// collectPlaces sends what clients do, at all places that ever had one.
func (e *exporter) collectPlaces(out chan<- prometheus.Metric, s snapshot) {
	for at, n := range s.places {
		if !n.used {
			continue
		}
		site, department := e.places.labels(place(at))
		out <- tracked.Value(float64(n.tracked), site, department)
		out <- unseen.Value(float64(n.unseen), site, department)
		for i, step := range silences() {
			out <- silentClients.Value(float64(n.silent[i]), site, department, step.label)
		}
		out <- connected.Value(float64(n.connected), site, department)
		out <- active.Value(float64(n.active), site, department)
		out <- idle.Value(float64(n.connected-n.active), site, department)
		out <- inputEvents.Value(float64(n.events), site, department)
	}
	for _, result := range activity.Results() {
		out <- reports.Value(float64(s.results[result]), string(result))
	}
}

func (e *exporter) collectSites(out chan<- prometheus.Metric, s snapshot) {
	for i, site := range e.places.sites {
		d := s.sites[i]
		out <- displayErrors.Value(float64(d.errors), site)
		out <- droppedReports.Value(float64(d.dropped), site)
		if !d.reported {
			continue
		}
		out <- recentlyBooted.Value(float64(d.booted), site)
		if d.hottest != nil {
			out <- hottest.Value(*d.hottest, site)
		}
		if d.fullest != nil {
			out <- fullest.Value(*d.fullest, site)
		}
	}
}
