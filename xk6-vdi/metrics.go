package vdi

import (
	"time"

	"go.k6.io/k6/v2/metrics"
)

// vdiMetrics are the module's metrics; docs/metrics.md is their table.
type vdiMetrics struct {
	loginDuration               *metrics.Metric
	loginFailed, renewFailed    *metrics.Metric
	loginsOpen, loginsLeft      *metrics.Metric
	connectDuration, roundTrip  *metrics.Metric
	connectFailed, lost         *metrics.Metric
	sessionsOpen, sessionsEnded *metrics.Metric
	bytesReceived, bytesSent    *metrics.Metric
	drawings, keys              *metrics.Metric
	reports                     *metrics.Metric
}

// registerMetrics registers the metrics, or finds those that another virtual
// user has registered.
func registerMetrics(r *metrics.Registry) (*vdiMetrics, error) {
	m := &vdiMetrics{}
	for _, d := range []struct {
		to       **metrics.Metric
		name     string
		typ      metrics.MetricType
		contains metrics.ValueType
	}{
		{&m.loginDuration, "vdi_login_duration", metrics.Trend, metrics.Time},
		{&m.loginFailed, "vdi_login_failed", metrics.Rate, metrics.Default},
		{&m.loginsOpen, "vdi_logins_open", metrics.Gauge, metrics.Default},
		{&m.loginsLeft, "vdi_logins_left", metrics.Counter, metrics.Default},
		{&m.renewFailed, "vdi_renew_failed", metrics.Rate, metrics.Default},
		{&m.connectDuration, "vdi_connect_duration", metrics.Trend, metrics.Time},
		{&m.connectFailed, "vdi_connect_failed", metrics.Rate, metrics.Default},
		{&m.roundTrip, "vdi_round_trip", metrics.Trend, metrics.Time},
		{&m.lost, "vdi_lost", metrics.Rate, metrics.Default},
		{&m.sessionsOpen, "vdi_sessions_open", metrics.Gauge, metrics.Default},
		{&m.sessionsEnded, "vdi_sessions_ended", metrics.Counter, metrics.Default},
		{&m.bytesReceived, "vdi_bytes_received", metrics.Counter, metrics.Data},
		{&m.bytesSent, "vdi_bytes_sent", metrics.Counter, metrics.Data},
		{&m.drawings, "vdi_drawings", metrics.Counter, metrics.Default},
		{&m.keys, "vdi_keys", metrics.Counter, metrics.Default},
		{&m.reports, "vdi_reports", metrics.Counter, metrics.Default},
	} {
		var err error
		if *d.to, err = r.NewMetric(d.name, d.typ, d.contains); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// sample makes a sample of now. Tags must be the few that docs/metrics.md
// names: none that grows with users.
func sample(m *metrics.Metric, tags *metrics.TagSet, value float64) metrics.Sample {
	return metrics.Sample{TimeSeries: metrics.TimeSeries{Metric: m, Tags: tags}, Time: time.Now(), Value: value}
}

// boolean is a Rate's value.
func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
