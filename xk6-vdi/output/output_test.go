package output

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.k6.io/k6/v2/lib/fsext"
	"go.k6.io/k6/v2/metrics"
	k6output "go.k6.io/k6/v2/output"

	"github.com/deskstorm/deskstorm/results"
)

// desk makes samples as k6 does: metrics and tags from one registry.
type desk struct {
	t        *testing.T
	registry *metrics.Registry
}

func newDesk(t *testing.T) desk { return desk{t: t, registry: metrics.NewRegistry()} }

func (d desk) sample(name string, kind metrics.MetricType, value float64, at time.Time, tags ...string) metrics.Sample {
	metric, err := d.registry.NewMetric(name, kind)
	require.NoError(d.t, err)
	set := d.registry.RootTagSet()
	for i := 0; i < len(tags); i += 2 {
		set = set.With(tags[i], tags[i+1])
	}
	return metrics.Sample{TimeSeries: metrics.TimeSeries{Metric: metric, Tags: set}, Time: at, Value: value}
}

func params(argument string, environment map[string]string) k6output.Params {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return k6output.Params{
		ConfigArgument: argument, Environment: environment, Logger: logger, FS: fsext.NewMemMapFs(),
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct{ argument, window, says string }{
		{argument: "", says: "fd:N"},
		{argument: "out.jsonl", window: "fast", says: windowVariable},
		{argument: "out.jsonl", window: "1ms", says: "at least 100ms"},
		{argument: "out.jsonl", window: "-1s", says: "at least 100ms"},
	}
	for _, test := range tests {
		t.Run(test.argument+" "+test.window, func(t *testing.T) {
			environment := map[string]string{}
			if test.window != "" {
				environment[windowVariable] = test.window
			}
			_, err := New(params(test.argument, environment))
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestStartRefuses(t *testing.T) {
	for _, target := range []string{"fd:", "fd:1", "fd:x", "fd:-3", "fd:99999"} {
		t.Run(target, func(t *testing.T) {
			out, err := New(params(target, nil))
			require.NoError(t, err)
			require.ErrorContains(t, out.Start(), "output vdi")
		})
	}
}

func TestFileHoldsAggregatesOfWhatIsKept(t *testing.T) {
	d := newDesk(t)
	p := params("out.jsonl", nil)
	out, err := New(p)
	require.NoError(t, err)
	require.Contains(t, out.Description(), "out.jsonl, every 10s")
	require.NoError(t, out.Start())

	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 100 {
		out.AddMetricSamples([]metrics.SampleContainer{
			d.sample("vdi_rtt_visible", metrics.Trend, float64(i+1), at, "site", "a", "step", "type", "vu", fmt.Sprint(i)),
			metrics.Samples{
				d.sample("vdi_bytes_received", metrics.Counter, 1000, at, "profile", "office", "scenario", "s"),
				d.sample("vdi_lost", metrics.Rate, float64(i%2), at, "path", "server", "class", "pool-empty"),
			},
			metrics.ConnectedSamples{Samples: []metrics.Sample{
				d.sample(metrics.VUsName, metrics.Gauge, float64(i), at.Add(time.Duration(i))),
				d.sample("http_req_duration", metrics.Trend, 1, at),
				d.sample(metrics.IterationDurationName, metrics.Trend, 1, at),
			}},
			d.sample(metrics.IterationsName, metrics.Counter, 1, at),
			d.sample(metrics.DroppedIterationsName, metrics.Counter, 2, at),
		})
	}
	require.NoError(t, out.Stop())

	file, err := p.FS.Open("out.jsonl")
	require.NoError(t, err)
	defer file.Close()
	all, err := results.Read(file)
	require.NoError(t, err)

	got := map[string]*results.Aggregate{}
	for _, a := range all {
		got[a.Metric] = a
		require.Equal(t, at.Truncate(10*time.Second), a.Start)
		require.Equal(t, a.Start.Add(10*time.Second), a.End)
		require.Equal(t, int64(100), a.Count)
	}
	require.Len(t, all, 6, "a line a series, however many samples")
	require.Len(t, got, 6)
	require.Equal(t, results.Tags{Site: "a", Step: "type"}, got["vdi_rtt_visible"].Tags)
	require.InDelta(t, 95, got["vdi_rtt_visible"].Quantile(0.95), 0.1)
	require.Equal(t, results.Tags{Profile: "office"}, got["vdi_bytes_received"].Tags)
	require.Equal(t, 100000.0, got["vdi_bytes_received"].Sum)
	require.Equal(t, results.Tags{Path: "server", Class: "pool-empty"}, got["vdi_lost"].Tags)
	require.Equal(t, 0.5, got["vdi_lost"].Mean())
	require.Equal(t, 99.0, got["vus"].Last)
	require.Equal(t, 200.0, got["dropped_iterations"].Sum)
}

func TestPipeIsWrittenDuringTheRun(t *testing.T) {
	reader, write, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	// The output closes its descriptor, as in a process of its own; the test's own os.File must not close it again.
	inherited, err := syscall.Dup(int(write.Fd()))
	require.NoError(t, err)
	require.NoError(t, write.Close())

	d := newDesk(t)
	out, err := New(params(fmt.Sprintf("fd:%d", inherited), map[string]string{windowVariable: "100ms"}))
	require.NoError(t, err)
	require.NoError(t, out.Start())

	require.NoError(t, reader.SetReadDeadline(time.Now().Add(30*time.Second)))
	lines := results.NewDecoder(reader)
	out.AddMetricSamples([]metrics.SampleContainer{d.sample("vdi_a", metrics.Counter, 1, time.Now().Add(-time.Minute))})
	first, err := lines.Decode()
	require.NoError(t, err, "a window that is over is written before Stop")
	require.Equal(t, "vdi_a", first.Metric)

	out.AddMetricSamples([]metrics.SampleContainer{d.sample("vdi_b", metrics.Counter, 1, time.Now())})
	require.NoError(t, out.Stop())
	last, err := lines.Decode()
	require.NoError(t, err)
	require.Equal(t, "vdi_b", last.Metric)
	_, err = lines.Decode()
	require.ErrorIs(t, err, io.EOF, "the parent sees the end")
}

func TestWindowsBySampleTime(t *testing.T) {
	d := newDesk(t)
	start := time.Unix(1_700_000_000, 0).UTC()
	w := newWindows(10 * time.Second)
	for _, second := range []float64{12, 3, 0, 9.999} {
		w.add(d.sample("vdi_a", metrics.Counter, 1, start.Add(time.Duration(second*float64(time.Second)))))
	}

	require.Empty(t, w.takeBefore(start.Add(9*time.Second)))
	first := w.takeBefore(start.Add(10 * time.Second))
	require.Len(t, first, 1)
	require.Equal(t, int64(3), first[0].Count)
	require.Equal(t, start, first[0].Start)

	w.add(d.sample("vdi_a", metrics.Counter, 5, start))
	now := start.Add(15 * time.Second)
	rest := w.takeAll(now)
	require.Len(t, rest, 2, "a late sample makes another line of its own window")
	require.Equal(t, first[0].End, rest[0].End)
	require.NoError(t, first[0].Merge(rest[0]))
	require.Equal(t, 8.0, first[0].Sum)
	require.Equal(t, now, rest[1].End, "the unfinished window ends with the run")
	require.Empty(t, w.takeAll(now))
}

func TestRefusedSamplesAreCounted(t *testing.T) {
	d := newDesk(t)
	p := params("out.jsonl", nil)
	logger, logged := logtest.NewNullLogger()
	p.Logger = logger
	out, err := New(p)
	require.NoError(t, err)
	require.NoError(t, out.Start())
	out.AddMetricSamples([]metrics.SampleContainer{d.sample("vdi_a", metrics.Trend, math.NaN(), time.Now())})
	require.NoError(t, out.Stop())
	require.Contains(t, logged.LastEntry().Message, "1 samples")
}

// fullDisk refuses every byte.
type fullDisk struct{ closed bool }

var errFull = errors.New("no space left")

func (f *fullDisk) Write([]byte) (int, error) { return 0, errFull }

func (f *fullDisk) Close() error {
	f.closed = true
	return nil
}

func TestWriteErrorIsToldOnceAndReturnedByStop(t *testing.T) {
	d := newDesk(t)
	p := params("out.jsonl", nil)
	logger, logged := logtest.NewNullLogger()
	p.Logger = logger
	created, err := New(p)
	require.NoError(t, err)
	out := created.(*Output)
	disk := &fullDisk{}
	out.open = func(string) (io.WriteCloser, error) { return disk, nil }
	require.NoError(t, out.Start())
	old := time.Now().Add(-time.Hour)
	for i := range 3 {
		out.AddMetricSamples([]metrics.SampleContainer{
			d.sample("vdi_a", metrics.Counter, 1, old.Add(time.Duration(i)*time.Minute)),
		})
	}
	require.ErrorIs(t, out.Stop(), errFull)
	require.True(t, disk.closed)
	require.Len(t, logged.AllEntries(), 1)
}
