// Package results is what a run measured: aggregates of a metric over a window of time, their exact merging, and the
// JSON lines they are kept and passed on as.
//
// A percentile of several runs, sites or windows is read from their merged histograms, never averaged.
package results

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	hdrhistogram "github.com/HdrHistogram/hdrhistogram-go"
)

// Kind says what the samples of a metric mean.
type Kind string

// The kinds are those of k6's metrics.
const (
	Trend   Kind = "trend"   // durations in milliseconds; the only kind with quantiles
	Counter Kind = "counter" // increments; Sum is the total
	Gauge   Kind = "gauge"   // levels; Last is the latest
	Rate    Kind = "rate"    // yes or no; Sum counts the samples that were not zero
)

// MaxDuration is the longest duration a Trend tells apart; longer ones are recorded as this and counted in Clamped.
const MaxDuration = time.Hour

// The histogram records integer microseconds with 3 significant figures.
const (
	lowestMicros  = 1
	highestMicros = int64(MaxDuration / time.Microsecond)
	figures       = 3
)

// ErrNotFinite is returned for a sample that is NaN or infinite.
var ErrNotFinite = errors.New("not a finite number")

// ErrDifferentSeries is returned when aggregates of different series are merged.
var ErrDifferentSeries = errors.New("different series")

// Tags are all the dimensions a result has. None of them grows with the number of users.
type Tags struct {
	Site    string `json:"site,omitempty"`
	Step    string `json:"step,omitempty"`
	Profile string `json:"profile,omitempty"`
	Path    string `json:"path,omitempty"`
	Class   string `json:"class,omitempty"` // of a failure
}

// Series names what is measured. It is comparable and can be the key of a map.
type Series struct {
	Metric string `json:"metric"`
	Kind   Kind   `json:"kind"`
	Tags   Tags   `json:"tags,omitzero"`
}

// compare orders series by metric, kind and tags.
func (s Series) compare(t Series) int {
	return cmp.Or(
		cmp.Compare(s.Metric, t.Metric),
		cmp.Compare(s.Kind, t.Kind),
		cmp.Compare(s.Tags.Site, t.Tags.Site),
		cmp.Compare(s.Tags.Step, t.Tags.Step),
		cmp.Compare(s.Tags.Profile, t.Tags.Profile),
		cmp.Compare(s.Tags.Path, t.Tags.Path),
		cmp.Compare(s.Tags.Class, t.Tags.Class),
	)
}

// Compare orders aggregates by the beginning of their windows, then by their series.
func Compare(a, b *Aggregate) int {
	return cmp.Or(a.Start.Compare(b.Start), a.Series.compare(b.Series))
}

// Aggregate is all samples of a series in the window from Start to before End. Durations are in milliseconds. It is not
// safe for concurrent use.
type Aggregate struct {
	Series
	Start, End time.Time

	Count    int64   // samples
	Sum      float64 // of all samples; of a Rate, the samples that were not zero
	Min, Max float64 // exact, before clamping; both 0 while Count is 0
	Clamped  int64   // samples of a Trend below 0 or above MaxDuration

	Last   float64   // of a Gauge, the latest value
	LastAt time.Time // of a Gauge, when Last was measured

	micros *hdrhistogram.PackedHistogram // of a Trend; sparse, because a dense one takes 190 kB
}

// New returns an empty aggregate of series over the window from start to end.
func New(series Series, start, end time.Time) *Aggregate {
	a := &Aggregate{Series: series, Start: start, End: end}
	if series.Kind == Trend {
		a.micros = hdrhistogram.NewPacked(lowestMicros, highestMicros, figures)
	}
	return a
}

// Add records a sample measured at a time: of a Trend, milliseconds. Whether the time lies in the window is the caller's
// concern. It returns ErrNotFinite, and records nothing, for NaN and infinities.
func (a *Aggregate) Add(value float64, at time.Time) error {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return fmt.Errorf("adding a sample to %s: %w", a.Metric, ErrNotFinite)
	}
	switch a.Kind {
	case Trend:
		if err := a.record(value); err != nil {
			return err
		}
	case Gauge:
		a.setLast(value, at)
	case Rate:
		if value != 0 {
			value = 1
		}
	}
	if a.Count == 0 {
		a.Min, a.Max = value, value
	}
	a.Count++
	a.Sum += value
	a.Min = min(a.Min, value)
	a.Max = max(a.Max, value)
	return nil
}

func (a *Aggregate) record(millis float64) error {
	micros := math.Round(millis * 1000)
	clamped := max(0, min(micros, float64(highestMicros)))
	if err := a.micros.RecordValue(int64(clamped)); err != nil {
		return fmt.Errorf("adding a sample to %s: %w", a.Metric, err)
	}
	if clamped != micros {
		a.Clamped++
	}
	return nil
}

// setLast keeps the later value; of two at the same time the greater, so that the order of merging does not matter.
func (a *Aggregate) setLast(value float64, at time.Time) {
	if a.Count == 0 || at.After(a.LastAt) || at.Equal(a.LastAt) && value > a.Last {
		a.Last, a.LastAt = value, at
	}
}

// Merge adds b's samples to a, as if they had been added one by one, and widens a's window to hold both. b stays as it
// is. It returns ErrDifferentSeries if they are not of one series.
//
// Gauges of one instance may be merged over time; the same gauge of several instances is summed by the caller, window by
// window, because their levels exist side by side.
func (a *Aggregate) Merge(b *Aggregate) error {
	if a.Series != b.Series {
		return fmt.Errorf("merging %+v into %+v: %w", b.Series, a.Series, ErrDifferentSeries)
	}
	if a.micros != nil {
		if dropped := a.micros.Merge(b.micros); dropped != 0 {
			return fmt.Errorf("merging %s: %d samples are too many to count", a.Metric, dropped)
		}
	}
	if b.Start.Before(a.Start) {
		a.Start = b.Start
	}
	if b.End.After(a.End) {
		a.End = b.End
	}
	if b.Count == 0 {
		return nil
	}
	if a.Kind == Gauge {
		a.setLast(b.Last, b.LastAt)
	}
	if a.Count == 0 {
		a.Min, a.Max = b.Min, b.Max
	}
	a.Count += b.Count
	a.Sum += b.Sum
	a.Min = min(a.Min, b.Min)
	a.Max = max(a.Max, b.Max)
	a.Clamped += b.Clamped
	return nil
}

// Clone returns an independent copy.
func (a *Aggregate) Clone() *Aggregate {
	c := *a
	if a.micros != nil {
		c.micros = a.micros.Clone()
	}
	return &c
}

// Quantile returns the value that a share q of the samples does not exceed, q from 0 to 1, within 0.1 % and a
// microsecond, and never outside Min to Max. It is NaN for an empty aggregate, a kind other than Trend, and q out of range.
func (a *Aggregate) Quantile(q float64) float64 {
	if a.micros == nil || a.Count == 0 || !(q >= 0 && q <= 1) {
		return math.NaN()
	}
	millis := float64(a.micros.ValueAtPercentile(q*100)) / 1000
	return max(a.Min, min(millis, a.Max))
}

// Mean returns the mean of the samples; of a Rate, the share that was not zero. It is NaN for an empty aggregate.
func (a *Aggregate) Mean() float64 {
	if a.Count == 0 {
		return math.NaN()
	}
	return a.Sum / float64(a.Count)
}
