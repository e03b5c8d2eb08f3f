package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/deskstorm/deskstorm/broker/client"
)

// Label values beside classes, routes and methods.
const (
	okLabel    = "ok"    // the class of a login that succeeded
	otherLabel = "other" // a path or method that the API does not have; callers choose them, and would fill the memory
)

type metrics struct {
	requests *prometheus.CounterVec
	logins   *prometheus.CounterVec
	inFlight prometheus.Gauge
	whole    prometheus.Histogram
	steps    *prometheus.HistogramVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	// From a millisecond, a login whose desktop is ready, to five minutes, one whose desktop is built for it.
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	seconds := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{
			Namespace: "deskstorm", Subsystem: "broker", Name: name, Help: help, Buckets: buckets,
			// A twentieth between neighbours, as many as a scrape can bear.
			NativeHistogramBucketFactor: 1.05, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}
	}
	f := promauto.With(registerer)
	m := &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Namespace: "deskstorm", Subsystem: "broker", Name: "requests_total",
			Help: "Requests to the broker's API; status 499: the client hung up.",
		}, []string{"route", "method", "status"}),
		logins: f.NewCounterVec(prometheus.CounterOpts{
			Namespace: "deskstorm", Subsystem: "broker", Name: "logins_total",
			Help: "Logins by how they ended: ok, or the class of the failure; client-gone: the client hung up.",
		}, []string{"class"}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Namespace: "deskstorm", Subsystem: "broker", Name: "logins_in_flight", Help: "Logins under way.",
		}),
		whole: f.NewHistogram(seconds("login_seconds", "Time of a whole login that succeeded, in seconds.")),
		steps: f.NewHistogramVec(seconds("login_step_seconds", "Time of a login's step, in seconds; failed logins count with "+
			"the steps they came to."), []string{"step"}),
	}
	m.logins.WithLabelValues(okLabel)
	m.logins.WithLabelValues(string(clientGone))
	for _, step := range []client.Step{client.StepAuth, client.StepMatch, client.StepAllocate, client.StepBoot, client.StepConsole} {
		m.steps.WithLabelValues(string(step))
	}
	return m
}

// login counts a login that failed, or succeeded if the class is empty.
func (m *metrics) login(class client.Class, steps []client.Timing, took time.Duration) {
	if class == "" {
		class = okLabel
		m.whole.Observe(took.Seconds())
	}
	m.logins.WithLabelValues(string(class)).Inc()
	for _, t := range steps {
		m.steps.WithLabelValues(string(t.Step)).Observe(t.Took.Seconds())
	}
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return otherLabel
}
