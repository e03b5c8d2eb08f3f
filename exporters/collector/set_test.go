package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

var (
	height = Gauge("deskstorm_test_height_meters", "How high it stands.", "where")
	falls  = Counter("deskstorm_test_falls_total", "How often it fell.")
	waits  = Histogram("deskstorm_test_wait_seconds", "How long it waited.", []float64{1, 10}, "where")
)

// start runs a Set until the test ends.
func start(t *testing.T, exporters ...Exporter) *Set {
	s := NewSet(exporters, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return s
}

func every(interval time.Duration, update func(context.Context, func(prometheus.Metric)) error) []Source {
	return []Source{{Interval: interval, Timeout: interval / 2, Update: update}}
}

// pass lets time pass, and all be done that is due by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func value(t *testing.T, s *Set, name string, labels ...string) float64 {
	t.Helper()
	got, ok := find(t, s, name, labels...)
	require.True(t, ok, "%s %v is not served", name, labels)
	return got
}

// find returns a sample that has all the label values.
func find(t *testing.T, s *Set, name string, labels ...string) (float64, bool) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(s))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
	metrics:
		for _, m := range f.GetMetric() {
			if f.GetName() != name || len(labels) > len(m.GetLabel()) {
				continue
			}
			for _, want := range labels {
				has := false
				for _, l := range m.GetLabel() {
					has = has || l.GetValue() == want
				}
				if !has {
					continue metrics
				}
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

func TestServesWhatWasLastSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		var down atomic.Bool
		s := start(t, Exporter{Name: "test", Families: []*Family{height}, Sources: every(time.Minute,
			func(_ context.Context, emit func(prometheus.Metric)) error {
				n := asked.Add(1)
				if down.Load() {
					return errors.New("the host is down")
				}
				emit(height.Value(float64(n), "here"))
				return nil
			})})
		require.False(t, s.Ready())
		begin := time.Now()
		synctest.Wait()
		require.True(t, s.Ready())
		require.EqualValues(t, 1, value(t, s, height.Name))
		require.Zero(t, value(t, s, dataAge.Name))
		require.Zero(t, value(t, s, lastFailure.Name))

		pass(90 * time.Second)
		require.EqualValues(t, 2, value(t, s, height.Name))
		require.EqualValues(t, 30, value(t, s, dataAge.Name))

		down.Store(true)
		pass(4 * time.Minute)
		require.EqualValues(t, 2, value(t, s, height.Name), "the last answer stays")
		require.EqualValues(t, 4*60+30, value(t, s, dataAge.Name))
		require.EqualValues(t, 4, value(t, s, updates.Name, "failure"))
		require.EqualValues(t, 2, value(t, s, updates.Name, "success"))
		require.EqualValues(t, begin.Add(5*time.Minute).Unix(), value(t, s, lastFailure.Name))
		require.EqualValues(t, begin.Add(time.Minute).Unix(), value(t, s, lastSuccess.Name))

		pass(2 * time.Minute)
		_, served := find(t, s, height.Name)
		require.False(t, served, "but not for ever")
		require.EqualValues(t, 6*60+30, value(t, s, dataAge.Name))

		down.Store(false)
		pass(time.Minute)
		require.EqualValues(t, 9, value(t, s, height.Name))
	})
}

func TestHalfAnAnswerIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, Exporter{Name: "test", Families: []*Family{height}, Sources: every(time.Minute,
			func(_ context.Context, emit func(prometheus.Metric)) error {
				emit(height.Value(7, "here"))
				return errors.New("there did not answer")
			})})
		synctest.Wait()
		require.EqualValues(t, 7, value(t, s, height.Name))
		require.Zero(t, value(t, s, lastSuccess.Name))
	})
}

// TestDeadTargetsHoldUpNobody has more dead targets than there are places.
func TestDeadTargetsHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sources []Source
		for i := range 10 * atOnce {
			sources = append(sources, Source{
				Target: fmt.Sprint("dead ", i), Interval: 10 * time.Second, Timeout: 10 * time.Second,
				// Just short of the timeout: hundreds of contexts that end by time crash the race detector in a bubble (Go 1.26.8).
				Update: func(context.Context, func(prometheus.Metric)) error {
					time.Sleep(10*time.Second - time.Millisecond)
					return context.DeadlineExceeded
				},
			})
		}
		var asked atomic.Int32
		alive := Source{Target: "alive", Interval: time.Second, Timeout: time.Second,
			Update: func(context.Context, func(prometheus.Metric)) error { asked.Add(1); return nil }}
		start(t, Exporter{Name: "test", Sources: append(sources, alive)})
		pass(10 * time.Minute) // each dead one was found dead once
		before := asked.Load()
		pass(10 * time.Minute)
		require.InDelta(t, 600, asked.Load()-before, 1)
	})
}

func TestUpdateIsGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late func(prometheus.Metric)
		s := start(t,
			Exporter{Name: "panics", Sources: every(time.Minute, func(context.Context, func(prometheus.Metric)) error { panic("no") })},
			Exporter{Name: "late", Families: []*Family{falls}, Sources: every(time.Minute, func(_ context.Context, emit func(prometheus.Metric)) error {
				late = emit
				return nil
			})})
		synctest.Wait()
		require.EqualValues(t, 1, value(t, s, updates.Name, "panics", "failure"))
		late(falls.Value(1))
		_, served := find(t, s, falls.Name)
		require.False(t, served, "what is emitted after the end is nobody's")
	})
}

func TestListenerIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		s := start(t, Exporter{Name: "test", Run: func(ctx context.Context) error {
			if runs.Add(1) == 1 {
				return errors.New("the broker closed the connection")
			}
			<-ctx.Done()
			return ctx.Err()
		}})
		synctest.Wait()
		require.Zero(t, value(t, s, running.Name, "test"))
		pass(restartPause)
		require.EqualValues(t, 1, value(t, s, running.Name, "test"))
		require.EqualValues(t, 2, runs.Load())
	})
}

func TestLive(t *testing.T) {
	waited := waits.HistogramVec()
	waited.WithLabelValues("here").Observe(3)
	s := NewSet([]Exporter{{Name: "test", Families: []*Family{waits}, Live: []prometheus.Collector{waited}}}, slog.Default())
	require.NoError(t, testutil.CollectAndCompare(s, strings.NewReader(`
# HELP deskstorm_test_wait_seconds How long it waited.
# TYPE deskstorm_test_wait_seconds histogram
deskstorm_test_wait_seconds_bucket{where="here",le="1"} 0
deskstorm_test_wait_seconds_bucket{where="here",le="10"} 1
deskstorm_test_wait_seconds_bucket{where="here",le="+Inf"} 1
deskstorm_test_wait_seconds_sum{where="here"} 3
deskstorm_test_wait_seconds_count{where="here"} 1
`), waits.Name))
	var native dto.Metric
	require.NoError(t, waited.WithLabelValues("here").(prometheus.Metric).Write(&native))
	require.NotNil(t, native.Histogram.Schema, "native buckets, beside the classic ones")
	require.Len(t, native.Histogram.Bucket, 2)
	problems, err := testutil.CollectAndLint(s)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestFamilyMistakes(t *testing.T) {
	require.Panics(t, func() { falls.HistogramVec() })
	for name, m := range map[string]prometheus.Metric{
		"too few labels":          height.Value(1),
		"a histogram's value":     waits.Value(1, "here"),
		"a label that is no text": height.Value(1, "\xff"),
	} {
		s := NewSet([]Exporter{{Name: "test", Families: []*Family{height, waits}, Sources: every(time.Minute, nil)}}, slog.Default())
		s.sources[0].state.Store(&state{answered: true, begun: time.Now(), metrics: []prometheus.Metric{m}})
		registry := prometheus.NewRegistry()
		require.NoError(t, registry.Register(s))
		_, err := registry.Gather()
		require.Error(t, err, name)
	}
}
