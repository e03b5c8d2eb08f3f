package bootstorm

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/lease"
)

// exported is an exporter at work.
type exported struct {
	t        *testing.T
	registry *prometheus.Registry
}

func export(t *testing.T, c Config) exported {
	t.Helper()
	e, err := New(c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.NoError(t, err)
	return run(t, collector.NewSet([]collector.Exporter{e}, slog.New(slog.NewTextHandler(t.Output(), nil))))
}

// run runs a Set until the test ends.
func run(t *testing.T, set *collector.Set) exported {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(set))
	return exported{t, registry}
}

// value is a gauge, a counter, or a histogram's count.
func (e exported) value(f *collector.Family, labels ...string) float64 {
	e.t.Helper()
	families, err := e.registry.Gather()
	require.NoError(e.t, err)
	for _, got := range families {
		if got.GetName() != f.Name {
			continue
		}
	metrics:
		for _, m := range got.GetMetric() {
			for i, name := range f.Labels {
				for _, l := range m.GetLabel() {
					if l.GetName() == name && l.GetValue() != labels[i] {
						continue metrics
					}
				}
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return 0
}

// becomes waits until a value is what it should be.
func (e exported) becomes(want float64, f *collector.Family, labels ...string) {
	e.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for e.value(f, labels...) != want {
		if time.Now().After(deadline) {
			e.t.Fatalf("%s %v is %v, not %v", f.Name, labels, e.value(f, labels...), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestStorm follows the same boots with and without notifications.
func TestStorm(t *testing.T) {
	for _, notified := range []bool{true, false} {
		t.Run(map[bool]string{true: "notified", false: "polled"}[notified], func(t *testing.T) {
			config := sim.Config{Boot: func(*rand.Rand) time.Duration { return 3 * time.Second }, Hosts: []sim.Host{{MemoryMB: 64 << 10}}}
			dir := t.TempDir()
			c := Config{
				LostAfter: 10 * time.Second, GiveUpAfter: time.Hour, Poll: 300 * time.Millisecond, Slow: time.Second, Drowning: time.Second,
				Leases: &Leases{Files: []string{filepath.Join(dir, "*", "leases")}, Length: 24 * time.Hour},
			}
			if notified {
				config.NotificationURL = rabbitmqtest.StartT(t).URL
				declareExchange(t, config.NotificationURL)
				t.Setenv("TEST_NOTIFICATIONS", config.NotificationURL)
				c.Notifications = &access.Notifications{URL: configfile.Secret{Env: "TEST_NOTIFICATIONS"}, Exchanges: []string{"nova"}, Topic: "notifications"}
			}
			lab, err := sim.Start(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, lab.Close()) })
			c.Cloud.File, err = lab.WriteCloudsYAML(t.TempDir())
			require.NoError(t, err)
			c.Cloud.Name = sim.AdminCloud
			keepLeases(t, lab, dir)

			admin, err := cloud.New(lab.Admin())
			require.NoError(t, err)
			nova, err := cloud.Connect(t.Context(), admin)
			require.NoError(t, err)
			build := func(n int) (ids []string) {
				for i := range n {
					s, err := nova.CreateServer(t.Context(), cloud.ServerSpec{
						Name: fmt.Sprint("desk-", i), FlavorID: lab.FlavorID("desktop.small"), ImageID: lab.ImageID("desktop"), Networks: []string{lab.NetworkID("desktops")},
					})
					require.NoError(t, err)
					ids = append(ids, s.ID)
				}
				return ids
			}

			e := export(t, c)
			if notified {
				e.becomes(1, listening)
			}
			require.Eventually(t, func() bool { return e.value(updates, "bootstorm", "nova", "success") > 0 }, 30*time.Second, 10*time.Millisecond)
			ids := build(10)
			e.becomes(10, inProgress, "create", "active")
			e.becomes(10, ended, "create", "completed")
			for _, step := range []string{"begun", "active", "leased", "total"} {
				require.EqualValues(t, 10, e.value(took, "create", step), step)
			}
			require.Zero(t, e.value(took, "create", "usable"), "nobody looks")
			require.EqualValues(t, 10, e.value(accepted, "create"))

			require.NoError(t, nova.StopServer(t.Context(), ids[0]))
			require.Eventually(t, func() bool {
				s, err := nova.Server(t.Context(), ids[0])
				return err == nil && s.Status == "SHUTOFF"
			}, 20*time.Second, 10*time.Millisecond)
			require.NoError(t, nova.StartServer(t.Context(), ids[0]))
			e.becomes(1, ended, "start", "completed")

			undo, err := lab.LoseBuilds("", 0)
			require.NoError(t, err)
			gone := build(2)
			e.becomes(2, notBegun, "create")
			undo() // not before: Nova answers before it sends the message to build
			require.GreaterOrEqual(t, e.value(lost, "create"), 2., "a slow machine may be late with others")
			for _, id := range gone {
				require.NoError(t, nova.DeleteServer(t.Context(), id))
			}
			e.becomes(0, notBegun, "create")
			require.EqualValues(t, 2, e.value(ended, "create", "deleted"))

			build(20) // the host has room for 23 in all
			e.becomes(7, failures, "create", "no-valid-host")
			e.becomes(23, ended, "create", "completed")
			require.EqualValues(t, 7, e.value(ended, "create", "failed"))
			for _, step := range []string{"begun", "active", "leased", "usable"} {
				require.Zero(t, e.value(inProgress, "create", step), step)
			}
			require.EqualValues(t, 32, e.value(accepted, "create"))
		})
	}
}

// updates are what the Set says of sources.
var updates = collector.Counter("deskstorm_exporter_updates_total", "", "collector", "target", "result")

// keepLeases writes the lab's lease files, as its dnsmasq would.
func keepLeases(t *testing.T, lab *sim.Lab, dir string) {
	files := lease.NewFiles(dir)
	write := func() {
		leases, _ := lab.Leases()
		require.NoError(t, files.Write(leases))
	}
	write()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool)
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				write()
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// declareExchange makes Nova's exchange, as its services do when they start.
func declareExchange(t *testing.T, url string) {
	t.Helper()
	connection, err := amqp.Dial(url)
	require.NoError(t, err)
	defer connection.Close()
	channel, err := connection.Channel()
	require.NoError(t, err)
	require.NoError(t, channel.ExchangeDeclare("nova", amqp.ExchangeTopic, false, false, false, false, nil))
}
