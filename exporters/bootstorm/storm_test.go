package bootstorm

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// simulated reads the disk of a simulated host, whose time goes faster: it shows what a clock of the hardware would.
type simulated struct {
	lab   *sim.Lab
	speed float64

	requests, waited float64 // so far, by the hardware's clock
}

func (s *simulated) Read(context.Context) (storage.Counters, error) {
	var h physics.HostState
	err := s.lab.Hardware.Do(func(m *physics.Model) (err error) {
		h, err = m.Host("compute01")
		return err
	})
	s.waited += (h.Requests - s.requests) * h.Latency.Seconds()
	s.requests = h.Requests
	scaled := func(seconds float64) time.Duration { return time.Duration(seconds / s.speed * 1e9) }
	return storage.Counters{"disk": {
		Reads: uint64(h.Requests / s.speed), Timed: true, ReadTime: scaled(s.waited), QueueTime: scaled(s.waited),
		Host: true, BusyTime: scaled(h.Busy.Seconds()), InFlight: uint64(h.Queue),
	}}, err
}

// TestStormOnTheLab starts a host's 25 desktops at once, and then in pairs: the extreme test of production, which the exporter must
// call by its name. The lab's time goes 300 times as fast; the exporter's own durations are divided by it.
func TestStormOnTheLab(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 25 s")
	}
	const speed, desktops = 300, 25
	for _, test := range []struct {
		atOnce int
		worst  float64 // severity
	}{{desktops, 3}, {2, 2}} {
		t.Run(fmt.Sprint(test.atOnce, " at once"), func(t *testing.T) {
			c := physics.Calibrated()
			c.Host.Disk = c.Slow
			lab, err := sim.Start(t.Context(), sim.Config{
				Hosts: []sim.Host{{VCPUs: 48, MemoryMB: 128 << 10}}, BootsPerHost: test.atOnce,
				Physics: &sim.Physics{Speed: speed, Host: &c.Host, Work: physics.Profile{}},
			})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, lab.Close()) })
			e := stormExporter(t, lab, speed)
			provider, err := openstack.AuthenticatedClient(t.Context(), lab.Admin())
			require.NoError(t, err)
			compute, err := openstack.NewComputeV2(provider, gophercloud.EndpointOpts{Region: sim.Region})
			require.NoError(t, err)
			require.Zero(t, e.value(severity, "compute01"))

			begin := time.Now()
			_, err = servers.Create(t.Context(), compute, servers.CreateOpts{
				Name: "desk", FlavorRef: lab.FlavorID("desktop.small"), ImageRef: lab.ImageID("desktop"), Min: desktops,
				Networks: []servers.Network{{UUID: lab.NetworkID("desktops")}},
			}, nil).Extract()
			require.NoError(t, err)
			var worst, most, slowest, busiest float64
			for e.value(ended, "create", "completed") < desktops {
				require.Less(t, time.Since(begin), 2*time.Minute)
				worst = max(worst, e.value(severity, "compute01"))
				most = max(most, e.value(hostBoots, "compute01"))
				slowest = max(slowest, e.value(hostLatency, "compute01", "read"))
				busiest = max(busiest, e.value(hostUtilisation, "compute01"))
				time.Sleep(20 * time.Millisecond)
			}
			t.Logf("severity %v, %v boots at the host, a request %.1f ms, disk busy %.0f %%, all done after %.1f min of the lab",
				worst, most, 1000*slowest, 100*busiest, time.Since(begin).Minutes()*speed)
			require.Equal(t, test.worst, worst)
			require.GreaterOrEqual(t, most, desktops-2., "the first may be done before the last is seen")
			require.InDelta(t, map[bool]float64{true: 0.209, false: 0.0152}[test.atOnce == desktops], slowest, 0.02, "docs/lab-physics.md, a request")
			require.Eventually(t, func() bool { return e.value(severity, "compute01") == 0 }, 20*time.Second, 20*time.Millisecond)
		})
	}
}

// stormExporter is the exporter on a lab's one host, which looks more often than a real one needs.
func stormExporter(t *testing.T, lab *sim.Lab, speed float64) exported {
	t.Helper()
	file, err := lab.WriteCloudsYAML(t.TempDir())
	require.NoError(t, err)
	counts := newCounters()
	account := boots.New(boots.Config{LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: counts})
	lazy, err := access.Cloud{Name: sim.AdminCloud, File: file}.Lazy()
	require.NoError(t, err)
	p := newPoller(connector(lazy), account, true, "")
	h := &host{name: "compute01", reader: &simulated{lab: lab, speed: speed}, account: account, slow: 50 * time.Millisecond, drowning: 200 * time.Millisecond, now: time.Now}
	set := collector.NewSet([]collector.Exporter{{
		Name: "bootstorm", Families: Families(), Live: append(counts.live(), underWay{account, time.Now}),
		Sources: []collector.Source{
			{Target: "nova", Interval: 200 * time.Millisecond, Timeout: time.Minute, Update: func(ctx context.Context, _ func(prometheus.Metric)) error { return p.poll(ctx) }},
			{Target: "host", Interval: 200 * time.Millisecond, Timeout: time.Minute, Update: h.update},
		},
	}}, slog.New(slog.DiscardHandler))
	e := run(t, set)
	require.Eventually(t, set.Ready, 20*time.Second, time.Millisecond)
	return e
}
