package pool

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of all pools.
type Metrics struct {
	ready, replaced                    *prometheus.HistogramVec
	buildsFailed, broken               *prometheus.CounterVec
	orphans, inspectionsFailed, spared *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	// The goal is a bound of its own, so that the part of desktops that keeps it can be read off.
	buckets := []float64{1, 2.5, 5, 10, 20, 30, 60, 90, 120, 180, 240, Goal.Seconds(), 450, 600, 1200, 2400, 3600}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100}, []string{"pool"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		ready: histogram("deskstorm_broker_desktop_ready_seconds",
			"Time from the decision to build a desktop until it could be handed out. The goal is 300 s."),
		replaced: histogram("deskstorm_broker_desktop_replaced_seconds",
			"Time from the moment a desktop was found broken until its pool had another one ready for it. The goal is 300 s."),
		buildsFailed: counter("deskstorm_broker_builds_failed_total", "Desktops that did not become ready, by cause.", "pool", "cause"),
		broken:       counter("deskstorm_broker_desktops_broken_total", "Desktops taken out of use, by cause.", "pool", "cause"),
		orphans: counter("deskstorm_broker_orphans_deleted_total",
			"Servers with this broker's mark that no record knew and that were deleted.", "pool"),
		spared: counter("deskstorm_broker_desktops_spared_total",
			"Desktops and servers that were kept because too many did not answer or were not there at once.", "pool"),
		inspectionsFailed: counter("deskstorm_broker_inspections_failed_total",
			"Inspections of a pool that could not be finished, because of the cloud or the database.", "pool"),
	}
	r.MustRegister(m.ready, m.replaced, m.buildsFailed, m.broken, m.orphans, m.inspectionsFailed, m.spared)
	return m
}
