package output

import (
	"slices"
	"time"

	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/results"
)

// windows are the windows not yet written, by their start.
type windows struct {
	length  time.Duration
	open    map[int64]*openWindow // by the start, as Unix nanoseconds
	refused int                   // samples that were no finite numbers
}

type openWindow struct {
	end time.Time
	set *results.Set
}

func newWindows(length time.Duration) *windows {
	return &windows{length: length, open: make(map[int64]*openWindow)}
}

// add puts a sample into the window of the time at which it was measured.
func (w *windows) add(sample metrics.Sample) {
	start := sample.Time.UnixNano() / int64(w.length) * int64(w.length)
	window := w.open[start]
	if window == nil {
		from := time.Unix(0, start).UTC()
		window = &openWindow{end: from.Add(w.length)}
		window.set = results.NewSet(from, window.end)
		w.open[start] = window
	}
	if err := window.set.Add(seriesOf(sample.TimeSeries), sample.Value, sample.Time.UTC()); err != nil {
		w.refused++
	}
}

// takeBefore removes the windows that ended by t and returns their aggregates, earliest first.
func (w *windows) takeBefore(t time.Time) []*results.Aggregate {
	return w.take(func(window *openWindow) bool { return !window.end.After(t) })
}

// takeAll removes all windows. The last ends at now if it is not yet over, so that rates a second come out right.
func (w *windows) takeAll(now time.Time) []*results.Aggregate {
	all := w.take(func(*openWindow) bool { return true })
	for _, a := range all {
		if a.End.After(now) && now.After(a.Start) {
			a.End = now.UTC()
		}
	}
	return all
}

func (w *windows) take(wanted func(*openWindow) bool) []*results.Aggregate {
	var starts []int64
	for start, window := range w.open {
		if wanted(window) {
			starts = append(starts, start)
		}
	}
	slices.Sort(starts)
	var all []*results.Aggregate
	for _, start := range starts {
		all = append(all, w.open[start].set.Aggregates()...)
		delete(w.open, start)
	}
	return all
}

func seriesOf(s metrics.TimeSeries) results.Series {
	tag := func(name string) string {
		value, _ := s.Tags.Get(name)
		return value
	}
	return results.Series{
		Metric: s.Metric.Name,
		Kind:   kindOf(s.Metric.Type),
		Tags:   results.Tags{Site: tag("site"), Step: tag("step"), Profile: tag("profile"), Path: tag("path"), Class: tag("class")},
	}
}

func kindOf(t metrics.MetricType) results.Kind {
	switch t {
	case metrics.Trend:
		return results.Trend
	case metrics.Gauge:
		return results.Gauge
	case metrics.Rate:
		return results.Rate
	default:
		return results.Counter
	}
}
