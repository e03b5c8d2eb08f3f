package bootstorm

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

// bootBuckets are seconds from a fake server's boot to the 40 minutes of the worst storm seen (an extreme test in production).
var bootBuckets = []float64{0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 2400, 3600}

var (
	inProgress = collector.Gauge("deskstorm_bootstorm_boots_in_progress",
		"Boots under way, by kind and by the step they wait for.", "kind", "step")
	notBegun = collector.Gauge("deskstorm_bootstorm_boots_not_begun",
		"Boots that Nova accepted and no compute node has begun for longer than lost_after: their message was lost, or nova-compute hangs.", "kind")
	oldest = collector.Gauge("deskstorm_bootstorm_oldest_boot_age_seconds",
		"Age of the oldest boot under way, 0 if there is none.", "kind")
	accepted = collector.Counter("deskstorm_bootstorm_accepted_total",
		"Boots that Nova accepted.", "kind")
	ended = collector.Counter("deskstorm_bootstorm_ended_total",
		"Boots that ended, by result: completed (the last step that can be seen), failed or deleted.", "kind", "result")
	failures = collector.Counter("deskstorm_bootstorm_failures_total",
		"Boots that failed, by class of the fault.", "kind", "class")
	lost = collector.Counter("deskstorm_bootstorm_lost_total",
		"Boots that were ever counted as not begun.", "kind")
	took = collector.Histogram("deskstorm_bootstorm_boot_duration_seconds",
		"How long each step of a boot took, and total: all of them, of boots that completed.", bootBuckets, "kind", "step")
	notifications = collector.Counter("deskstorm_bootstorm_notifications_total",
		"Notifications heard, by result: boot (it told of one), other or malformed.", "result")
	listening = collector.Gauge("deskstorm_bootstorm_listening",
		"1 while notifications are heard, 0 while the message broker is away or none is configured.")

	hostBoots = collector.Gauge("deskstorm_bootstorm_host_boots_in_progress",
		"Boots under way at a configured host.", "host")
	hostLatency = collector.Gauge("deskstorm_bootstorm_host_request_latency_seconds",
		"Mean time of the disk requests that ended since the last look, by direction: read or write.", "host", "direction")
	hostUtilisation = collector.Gauge("deskstorm_bootstorm_host_utilisation_ratio",
		"Share of the time in which the busiest disk had requests; only from diskstats.", "host")
	hostQueue = collector.Gauge("deskstorm_bootstorm_host_queue_requests",
		"Disk requests under way on average.", "host")
	hostInFlight = collector.Gauge("deskstorm_bootstorm_host_requests_in_flight",
		"Disk requests under way at the last look; only from diskstats.", "host")
	hostRate = collector.Gauge("deskstorm_bootstorm_host_requests_per_second",
		"Disk requests ended a second, by direction: read or write.", "host", "direction")
	severity = collector.Gauge("deskstorm_bootstorm_severity",
		"0: nothing boots. 1: boots, and the disks keep up. 2: boots, and requests take longer than slow or a disk is busy all the time. "+
			"3: boots, and requests take longer than drowning, or longer than slow at a disk that is busy all the time.", "host")
)

// Families are all metrics of the exporter.
func Families() []*collector.Family {
	return []*collector.Family{
		inProgress, notBegun, oldest, accepted, ended, failures, lost, took, notifications, listening,
		hostBoots, hostLatency, hostUtilisation, hostQueue, hostInFlight, hostRate, severity,
	}
}

// counters count boots as things happen to them. They are the account's Observer.
type counters struct {
	accepted, ended, failures, lost, notifications *prometheus.CounterVec
	listening                                      prometheus.Gauge
	took                                           *prometheus.HistogramVec
}

func newCounters() *counters {
	c := &counters{
		accepted: accepted.CounterVec(), ended: ended.CounterVec(), failures: failures.CounterVec(), lost: lost.CounterVec(),
		notifications: notifications.CounterVec(), took: took.HistogramVec(), listening: listening.GaugeVec().WithLabelValues(),
	}
	for _, k := range boots.Kinds() { // those that may be alerted on are there from the start
		c.accepted.WithLabelValues(string(k))
		c.lost.WithLabelValues(string(k))
		for _, r := range boots.Results() {
			c.ended.WithLabelValues(string(k), string(r))
		}
		for _, class := range cloud.FaultClasses() {
			c.failures.WithLabelValues(string(k), string(class))
		}
	}
	return c
}

func (c *counters) live() []prometheus.Collector {
	return []prometheus.Collector{c.accepted, c.ended, c.failures, c.lost, c.notifications, c.listening, c.took}
}

// Accepted is boots.Observer's.
func (c *counters) Accepted(k boots.Kind) { c.accepted.WithLabelValues(string(k)).Inc() }

// Took is boots.Observer's.
func (c *counters) Took(k boots.Kind, s boots.Step, d time.Duration) {
	c.took.WithLabelValues(string(k), string(s)).Observe(d.Seconds())
}

// Ended is boots.Observer's.
func (c *counters) Ended(k boots.Kind, r boots.Result) {
	c.ended.WithLabelValues(string(k), string(r)).Inc()
}

// Failed is boots.Observer's.
func (c *counters) Failed(k boots.Kind, class string) {
	c.failures.WithLabelValues(string(k), class).Inc()
}

// Lost is boots.Observer's.
func (c *counters) Lost(k boots.Kind) { c.lost.WithLabelValues(string(k)).Inc() }

// underWay is the account of boots as metrics, when Prometheus asks.
type underWay struct {
	account *boots.Account
	now     func() time.Time
}

// Describe is prometheus.Collector's; a Set describes all families.
func (u underWay) Describe(chan<- *prometheus.Desc) {}

// Collect is prometheus.Collector's.
func (u underWay) Collect(out chan<- prometheus.Metric) {
	s := u.account.Summary(u.now())
	for _, k := range boots.Kinds() {
		for _, step := range boots.Steps() {
			out <- inProgress.Value(float64(s.Waiting[k][step]), string(k), string(step))
		}
		out <- notBegun.Value(float64(s.Lost[k]), string(k))
		out <- oldest.Value(s.Oldest[k].Seconds(), string(k))
	}
}
