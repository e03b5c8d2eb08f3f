package openstack

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/aggregates"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/lab/sim"
)

// values are metrics by name and label values: "deskstorm_openstack_servers ACTIVE,nova".
type values map[string]float64

// positive are those of a family that are not 0, without its name.
func (v values) positive(f *collector.Family) values {
	some := values{}
	for key, value := range v {
		if name, labels, _ := strings.Cut(key, " "); name == f.Name && value != 0 {
			some[labels] = value
		}
	}
	return some
}

func (v values) add(t testing.TB, m prometheus.Metric) {
	var wire dto.Metric
	require.NoError(t, m.Write(&wire))
	labels := map[string]string{}
	for _, l := range wire.Label {
		labels[l.GetName()] = l.GetValue()
	}
	for _, f := range Families() {
		if !strings.Contains(m.Desc().String(), `"`+f.Name+`"`) {
			continue
		}
		var key []string
		for _, name := range f.Labels {
			key = append(key, labels[name])
		}
		v[f.Name+" "+strings.Join(key, ",")] = wire.GetGauge().GetValue() + wire.GetCounter().GetValue() +
			float64(wire.GetHistogram().GetSampleCount())
	}
}

// ask asks one source.
func ask(t testing.TB, e collector.Exporter, target string) (values, error) {
	t.Helper()
	for _, s := range e.Sources {
		if s.Target == target {
			ctx, cancel := context.WithTimeout(t.Context(), s.Timeout)
			defer cancel()
			v := values{}
			err := s.Update(ctx, func(m prometheus.Metric) { v.add(t, m) })
			return v, err
		}
	}
	t.Fatalf("there is no source %s", target)
	return nil, nil
}

// live are the metrics that the exporter counts itself.
func live(t testing.TB, e collector.Exporter) values {
	t.Helper()
	v := values{}
	for _, c := range e.Live {
		metrics := make(chan prometheus.Metric, 1000)
		c.Collect(metrics)
		close(metrics)
		for m := range metrics {
			v.add(t, m)
		}
	}
	return v
}

// desks are servers of a lab that run from the start.
func desks(n int) []sim.ServerSeed {
	var all []sim.ServerSeed
	for i := range n {
		all = append(all, sim.ServerSeed{Name: fmt.Sprintf("desk-%05d", i)})
	}
	return all
}

// startLab starts a cloud and an exporter that watches it.
func startLab(t testing.TB, lab sim.Config, config Config) (*sim.Lab, collector.Exporter) {
	t.Helper()
	lab.Boot = func(*rand.Rand) time.Duration { return 0 }
	l, err := sim.Start(t.Context(), lab)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	clouds, err := l.WriteCloudsYAML(t.TempDir())
	require.NoError(t, err)
	config.Cloud = &access.Cloud{Name: sim.AdminCloud, File: clouds}
	e, err := New(config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return l, e
}

// aggregate makes a host aggregate.
func aggregate(t testing.TB, lab *sim.Lab, name string, hosts ...string) {
	t.Helper()
	provider, err := openstack.AuthenticatedClient(t.Context(), lab.Admin())
	require.NoError(t, err)
	compute, err := openstack.NewComputeV2(provider, gophercloud.EndpointOpts{})
	require.NoError(t, err)
	made, err := aggregates.Create(t.Context(), compute, aggregates.CreateOpts{Name: name}).Extract()
	require.NoError(t, err)
	for _, host := range hosts {
		_, err := aggregates.AddHost(t.Context(), compute, made.ID, aggregates.AddHostOpts{Host: host}).Extract()
		require.NoError(t, err)
	}
}
