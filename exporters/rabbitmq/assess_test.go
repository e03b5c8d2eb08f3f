package rabbitmq

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/collector"
	probe "github.com/deskstorm/deskstorm/probe/amqp"
	"github.com/deskstorm/deskstorm/probe/sockdiag"
)

// assessedBroker knows some connections from both sources.
func assessedBroker(t testing.TB, count int) *broker {
	b, err := newBroker(Broker{Name: "bus", CutOff: time.Hour, Management: &Management{}, Sockets: &Sockets{}}, classifier{
		services: DefaultServices(),
		groups:   []Group{{Name: "compute", Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}},
	}, newCanaryMetrics(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	var all []apiConnection
	var kernel []sockdiag.Socket
	for i := range count {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), uint16(30000+i%20000))
		all = append(all, apiConnection{
			Name: remote.String(), UserProvided: DefaultServices()[i%8] + ":1:x", PeerHost: remote.Addr().String(),
			PeerPort: number{int64(remote.Port()), true}, Timeout: number{int64(i % 2 * 60), true},
		})
		kernel = append(kernel, sockdiag.Socket{Remote: remote})
	}
	b.rowsAt, b.tracesAt = b.now(), b.now()
	b.looked = b.rows.look(b.rowsAt, all, nil, b.classify)
	b.traces = b.traces.look(b.tracesAt, kernel)
	return b
}

// gather is what the broker says, a line each: "name labels value", sorted.
func gather(t *testing.T, b *broker) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(b)
	families, err := registry.Gather()
	require.NoError(t, err)
	var text strings.Builder
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&text, f)
		require.NoError(t, err)
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimPrefix(line, "deskstorm_rabbitmq_"))
		}
	}
	return strings.Join(lines, "")
}

func TestJoin(t *testing.T) {
	b := assessedBroker(t, 16) // 8 services, half of which have heartbeats
	now := time.Unix(1000, 0)
	b.now = func() time.Time { return now }
	b.rowsAt, b.tracesAt = now, now
	canary := apiConnection{Name: "canary", UserProvided: ownPrefix + "h.fresh", PeerHost: "10.1.9.9", PeerPort: number{1, true}}
	looked := b.rows.look(now, []apiConnection{canary}, nil, b.classify)
	b.looked = append(b.looked, looked...)
	b.traces[looked[0].remote] = trace{}
	unnamed := netip.MustParseAddrPort("192.0.2.1:1")
	b.traces[unnamed] = trace{Socket: sockdiag.Socket{Remote: unnamed}}
	count := func() (services, others int) {
		joined, _, _ := b.join()
		for _, c := range joined {
			if c.service == other {
				others++
			} else {
				services++
			}
		}
		return services, others
	}
	requireCounts := func(why string, services, others int) {
		t.Helper()
		s, o := count()
		require.Equal(t, [2]int{services, others}, [2]int{s, o}, why)
	}
	before := b.traces
	requireCounts("canaries are left out, also where the kernel knows them", 16, 1)

	fresh := netip.MustParseAddrPort("192.0.2.1:2")
	b.traces = b.traces.look(now, []sockdiag.Socket{{Remote: fresh}})
	require.Equal(t, now, b.traces[fresh].since)
	b.traces = b.traces.look(now.Add(time.Second), []sockdiag.Socket{{Remote: fresh}})
	b.askedBefore = now.Add(-time.Second)
	requireCounts("what is new has no name yet", 16, 0)
	lost := b.traces[fresh]
	lost.Timer, lost.Probes = sockdiag.Keepalive, 2
	require.True(t, lost.HalfOpen())
	b.traces[fresh] = lost
	requireCounts("what is new and lost", 16, 1)
	lost.Timer = sockdiag.None
	b.traces[fresh] = lost
	b.askedBefore = now
	requireCounts("two answers did not name it", 16, 1)
	b.askedBefore, b.traces = time.Time{}, before

	b.rowsAt = now.Add(-time.Hour)
	for remote := range b.traces {
		if remote != unnamed && remote != looked[0].remote && len(b.traces) > 10 {
			delete(b.traces, remote)
		}
	}
	requireCounts("the API's are gone if the kernel says so later", len(b.traces)-2, 1)
	b.rowsAt, b.tracesAt = now.Add(-4*time.Minute), now.Add(-4*time.Minute)
	requireCounts("what both said some minutes ago is all that there is", 16, 1)
	b.rowsAt, b.tracesAt = now.Add(-time.Hour), now.Add(-time.Hour)
	requireCounts("what both said an hour ago is no news", 0, 0)
	b.rowsAt = now
	requireCounts("the kernel's are gone if the API says so later", 16, 0)
}

// TestUnanswered is that of sources that answer no more. Their figures do not stay as they were, nor become 0.
func TestUnanswered(t *testing.T) {
	b := assessedBroker(t, 8)
	now := time.Unix(1000, 0)
	b.now = func() time.Time { return now }
	b.rowsAt, b.tracesAt = now, now
	b.assess()
	said := gather(t, b)
	require.Contains(t, said, "suspected_half_open_connections")
	require.Contains(t, said, "message_loss_risk")
	require.Contains(t, said, "unacknowledged_messages")

	b.sockets.Namespace = "/there-is-none"
	now = now.Add(2 * time.Minute)
	require.Error(t, b.updateSockets(t.Context()))
	said = gather(t, b)
	require.NotContains(t, said, "suspected_half_open_connections", "nobody knows")
	require.NotContains(t, said, "sockets{")
	require.NotContains(t, said, "message_loss_risk", "keepalive may protect them")
	require.NotContains(t, said, "unprotected_connections")
	require.Contains(t, said, "unacknowledged_messages")

	now = now.Add(time.Hour)
	b.management.URL = "http://127.0.0.1:1"
	require.Error(t, b.updateManagement(t.Context()))
	require.NotContains(t, gather(t, b), "service=")
}

func TestAssess(t *testing.T) {
	now := time.Unix(100000, 0)
	remote := netip.MustParseAddrPort("10.1.0.7:40000")
	base := func(t *testing.T) *broker {
		b, err := newBroker(Broker{Name: "bus", Management: &Management{}, Sockets: &Sockets{}},
			classifier{services: DefaultServices()}, newCanaryMetrics(), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		b.now = func() time.Time { return now }
		return b
	}
	ladder := func(lower, upper time.Duration) []probe.Rung {
		return []probe.Rung{{Idle: lower, At: now, Outcome: probe.Delivered}, {Idle: upper, At: now, Outcome: probe.Lost}}
	}
	for _, test := range []struct {
		name   string
		rungs  []probe.Rung
		row    *row
		trace  *trace
		weak   float64 // seconds
		risk   float64 // NaN: not told
		unprot float64
	}{
		{"nobody measured", nil, &row{}, &trace{}, math.Inf(1), math.NaN(), 1},
		{"nothing protects", ladder(30*time.Minute, time.Hour), &row{}, &trace{}, math.Inf(1), 1, 1},
		{"nothing protects, nothing is cut", []probe.Rung{{Idle: 2 * time.Hour, At: now, Outcome: probe.Delivered}},
			&row{}, &trace{}, math.Inf(1), 0, 1},
		{"heartbeat", ladder(30*time.Minute, time.Hour), &row{heartbeat: time.Minute}, &trace{}, 30, 0, 0},
		{"heartbeat, kernel unknown", ladder(30*time.Minute, time.Hour), &row{heartbeat: time.Minute}, nil, 30, 0, 0},
		{"keepalive after the cut-off", ladder(30*time.Minute, time.Hour), &row{}, &trace{keepAlive: 2 * time.Hour}, 7200, 1, 1},
		{"keepalive between the bounds", ladder(30*time.Minute, time.Hour), &row{}, &trace{keepAlive: 40 * time.Minute}, 2400, 1, 1},
		{"keepalive before the cut-off", ladder(30*time.Minute, time.Hour), nil, &trace{keepAlive: 5 * time.Minute}, 300, 0, 0},
		{"the soonest counts", ladder(30*time.Minute, time.Hour),
			&row{heartbeat: time.Hour}, &trace{keepAlive: 5 * time.Minute}, 300, 0, 0},
		{"even the shortest silence was lost", []probe.Rung{{Idle: time.Minute, At: now, Outcome: probe.Closed}},
			&row{heartbeat: time.Minute}, nil, 30, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := base(t)
			b.rungs = test.rungs
			if test.row != nil {
				test.row.remote, test.row.service = remote, "nova-compute"
				b.looked, b.rowsAt = []row{*test.row}, now
			} else {
				b.management = nil
			}
			if test.trace != nil {
				b.traces, b.tracesAt = traces{remote: *test.trace}, now
			} else {
				b.sockets = nil
			}
			b.assess()
			s := &serving{t: t, registry: prometheus.NewRegistry()}
			s.registry.MustRegister(b)
			require.Equal(t, test.weak, s.value(weakestProtection))
			require.Equal(t, test.unprot, s.value(unprotected))
			if math.IsNaN(test.risk) {
				require.True(t, math.IsNaN(s.value(lossRisk)))
			} else {
				require.Equal(t, test.risk, s.value(lossRisk))
			}
		})
	}
}

func TestAssessedMetrics(t *testing.T) {
	b := assessedBroker(t, 8)
	b.looked[0].unacknowledged, b.looked[0].growing = 3, 90*time.Second
	b.assess()
	text := gather(t, b)
	for _, want := range []string{
		`connections{broker="bus",group="compute",service="nova-compute"} 1`,
		`connections_without_heartbeat{broker="bus",group="compute",service="nova-compute"} 1`,
		`unacknowledged_messages{broker="bus",group="compute",service="nova-compute"} 3`,
		`unacknowledged_growth_seconds{broker="bus",group="compute",service="nova-compute"} 90`,
		`heartbeat_seconds{bound="min",broker="bus",group="compute",service="nova-conductor"} 60`,
		`weakest_protection_seconds{broker="bus",group="compute",service="nova-compute"} +Inf`,
		`weakest_protection_seconds{broker="bus",group="compute",service="nova-conductor"} 30`,
		`message_loss_risk{broker="bus",group="compute",service="nova-compute"} 1`,
		`message_loss_risk{broker="bus",group="compute",service="nova-conductor"} 0`,
		`idle_cutoff_seconds{bound="upper",broker="bus"} 3600`,
		`sockets{broker="bus",group="compute",service="nova-compute",timer="none"} 1`,
		`suspected_half_open_connections{broker="bus",group="compute",service="nova-compute"} 0`,
	} {
		require.Contains(t, text, want+"\n")
	}
	require.NotContains(t, text, `heartbeat_seconds{bound="min",broker="bus",group="compute",service="nova-compute"}`)
}

// TestLint holds all families against Prometheus's conventions, with a value each.
func TestLint(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, f := range Families() {
		switch labels := make([]string, len(f.Labels)); f.Kind {
		case collector.GaugeKind:
			v := f.GaugeVec()
			v.WithLabelValues(labels...)
			registry.MustRegister(v)
		case collector.CounterKind:
			v := f.CounterVec()
			v.WithLabelValues(labels...)
			registry.MustRegister(v)
		default:
			v := f.HistogramVec()
			v.WithLabelValues(labels...)
			registry.MustRegister(v)
		}
	}
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// TestScrape: a scrape at 10,000 connections is served from memory.
func TestScrape(t *testing.T) {
	b := assessedBroker(t, 10_000)
	b.assess()
	e := collector.Exporter{Name: "rabbitmq", Families: Families(), Live: []prometheus.Collector{b}}
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(collector.NewSet([]collector.Exporter{e}, slog.New(slog.DiscardHandler))))
	begun := time.Now()
	families, err := registry.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, families)
	took := time.Since(begun)
	require.Less(t, took, time.Second)
	series := 0
	for _, f := range families {
		series += len(f.GetMetric())
	}
	require.Less(t, series, 200, "series grow with services and groups, not with connections")
	t.Log(fmt.Sprint(series, " series in ", took))
}
