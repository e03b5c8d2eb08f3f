package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/collector"
)

// serving is an exporter that runs.
type serving struct {
	t        *testing.T
	registry *prometheus.Registry
	stop     func() // and waits until it has ended
}

func serve(t *testing.T, config Config) *serving {
	t.Helper()
	e, err := New(config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	set := collector.NewSet([]collector.Exporter{e}, slog.New(slog.DiscardHandler))
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(set))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	s := &serving{t: t, registry: registry, stop: sync.OnceFunc(func() { cancel(); <-ended })}
	t.Cleanup(s.stop)
	return s
}

// value is what a metric with some of its labels' values is; NaN if it is not there.
func (s *serving) value(family *collector.Family, labels ...string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	require.NoError(s.t, err)
	for _, f := range families {
		if f.GetName() != family.Name {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasValues(m, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return math.NaN()
}

func hasValues(m *dto.Metric, labels []string) bool {
	for _, l := range labels {
		if !slices.ContainsFunc(m.GetLabel(), func(p *dto.LabelPair) bool { return p.GetValue() == l }) {
			return false
		}
	}
	return true
}

// until waits until the exporter says so.
func (s *serving) until(what string, within time.Duration, said func() bool) {
	s.t.Helper()
	if !eventually(within, said) {
		families, _ := s.registry.Gather()
		var text strings.Builder
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if !strings.Contains(f.GetName(), "round_trip") {
					fmt.Fprintf(&text, "%s %v\n", f.GetName(), m)
				}
			}
		}
		s.t.Fatalf("the exporter did not say within %s: %s; it says:\n%s", within, what, text.String())
	}
}

func eventually(d time.Duration, f func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return f()
}
