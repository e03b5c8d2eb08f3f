package main

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

// TestPromtool gives Prometheus' own check one sample of every metric that could ever be served.
func TestPromtool(t *testing.T) {
	qemutest.RequireProgram(t, "promtool", "prometheus")
	registry := prometheus.NewPedanticRegistry()
	_, families := exporters.Families()
	for _, of := range families {
		for _, f := range of {
			labels := make([]string, len(f.Labels))
			for i := range labels {
				labels[i] = "some"
			}
			switch f.Kind {
			case collector.GaugeKind:
				v := f.GaugeVec()
				v.WithLabelValues(labels...).Set(1)
				require.NoError(t, registry.Register(v))
			case collector.CounterKind:
				v := f.CounterVec()
				v.WithLabelValues(labels...).Inc()
				require.NoError(t, registry.Register(v))
			case collector.HistogramKind:
				v := f.HistogramVec()
				v.WithLabelValues(labels...).Observe(1)
				require.NoError(t, registry.Register(v))
			}
		}
	}
	gathered, err := registry.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, gathered)
	var text bytes.Buffer
	for _, f := range gathered {
		_, err := expfmt.MetricFamilyToText(&text, f)
		require.NoError(t, err)
	}
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = &text
	said, err := check.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.Empty(t, string(said))
}
