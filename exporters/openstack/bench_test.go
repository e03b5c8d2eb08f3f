package openstack

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/lab/sim"
)

// cloudOf is a simulated cloud of so many desktops, 40 a host, half of the hosts in an aggregate.
func cloudOf(t testing.TB, desktops int) (*sim.Lab, collector.Exporter) {
	var c clock
	c.ahead.Store(-int64(time.Hour)) // its servers have been as they are for an hour
	config := sim.Config{Servers: desks(desktops), Hosts: make([]sim.Host, (desktops+39)/40), Now: c.now}
	defer c.ahead.Store(0)
	lab, e := startLab(t, config, Config{Timeout: time.Minute})
	var half []string
	for i, h := range lab.Hosts() {
		if i%2 == 0 {
			half = append(half, h.Name)
		}
	}
	aggregate(t, lab, "half", half...)
	return lab, e
}

// fastest is the shortest of some runs: others of the machine do not shorten one.
func fastest(runs int, f func()) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range runs {
		begun := time.Now()
		f()
		best = min(best, time.Since(begun))
	}
	return best
}

// scrape is what a scrape takes here: gathering, writing as text, compressing.
func scrape(t testing.TB, registry *prometheus.Registry) (bytesOut int) {
	families, err := registry.Gather()
	require.NoError(t, err)
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	for _, f := range families {
		n, err := expfmt.MetricFamilyToText(zipped, f)
		require.NoError(t, err)
		bytesOut += n
	}
	require.NoError(t, zipped.Close())
	return bytesOut
}

// TestScale measures a scrape and each source's refresh at 1,000 and 10,000 desktops. The scrape is held below 50 ms.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 10 s")
	}
	sizes := []int{1_000, 10_000}
	targets := []string{"servers, first", "servers, changed", "services", "agents", "placement, first", "placement, again"}
	took := map[string][]time.Duration{}
	var rows []string
	var heap []float64
	for _, size := range sizes {
		lab, e := cloudOf(t, size)
		refresh := func(name, target string, runs int) {
			took[name] = append(took[name], fastest(runs, func() {
				_, err := ask(t, e, target)
				require.NoError(t, err)
			}))
		}
		before := heapInUse()
		refresh("servers, first", "servers", 1)
		heap = append(heap, (heapInUse()-before)/(1<<20))
		c := admin(t, lab)
		for _, s := range lab.Servers()[:size/100] { // one in a hundred changes
			require.NoError(t, c.StopServer(t.Context(), s.ID))
		}
		refresh("servers, changed", "servers", 3)
		refresh("services", "services", 3)
		refresh("agents", "agents", 3)
		refresh("placement, first", "placement", 1)
		refresh("placement, again", "placement", 3)

		set := collector.NewSet([]collector.Exporter{e}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- set.Run(ctx) }()
		require.Eventually(t, set.Ready, time.Minute, 10*time.Millisecond)
		cancel()
		require.NoError(t, <-ended)
		registry := prometheus.NewRegistry()
		registry.MustRegister(set)
		length := scrape(t, registry)
		took["scrape"] = append(took["scrape"], fastest(20, func() { scrape(t, registry) }))
		rows = append(rows, fmt.Sprintf("%d desktops, %d hosts: a scrape is %d bytes", size, len(lab.Hosts()), length))
	}
	rows = append(rows, fmt.Sprintf("%-18s %12s %12s %8s", "", "1,000", "10,000", "ratio"))
	for _, name := range append(slices.Clone(targets), "scrape") {
		of := took[name]
		rows = append(rows, fmt.Sprintf("%-18s %12s %12s %8.1f", name, of[0].Round(10*time.Microsecond), of[1].Round(10*time.Microsecond),
			float64(of[1])/float64(of[0])))
	}
	rows = append(rows, fmt.Sprintf("%-18s %9.1f MB %9.1f MB %8.1f", "inventory's heap", heap[0], heap[1], heap[1]/heap[0]))
	for _, row := range rows {
		t.Log(row)
	}
	require.Less(t, took["scrape"][1], 50*time.Millisecond)
	require.Less(t, heap[1], 50.0, "megabytes")
}

func heapInUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func BenchmarkScrape(b *testing.B) {
	for _, size := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, e := cloudOf(b, size)
			set := collector.NewSet([]collector.Exporter{e}, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- set.Run(ctx) }()
			require.Eventually(b, set.Ready, time.Minute, 10*time.Millisecond)
			registry := prometheus.NewRegistry()
			registry.MustRegister(set)
			for b.Loop() {
				scrape(b, registry)
			}
			cancel()
			require.NoError(b, <-ended)
		})
	}
}
