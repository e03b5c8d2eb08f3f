package record

import (
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// Windows are kept as they come for fineFor, and then merged to windows of coarse.
const (
	fineFor = time.Hour
	coarse  = time.Minute
)

// track is the windows of one series, by their beginnings. Those before the index coarse are merged ones.
type track struct {
	series  results.Series
	windows []*results.Aggregate
	coarse  int
}

// add merges a into its window. The latest window of all series tells which are old.
func (t *track) add(a *results.Aggregate, latest time.Time) error {
	start := a.Start
	if t.coarse > 0 && start.Before(t.windows[t.coarse-1].Start.Add(coarse)) {
		start = start.Truncate(coarse)
	}
	i, found := slices.BinarySearchFunc(t.windows, start, func(w *results.Aggregate, at time.Time) int { return w.Start.Compare(at) })
	if found {
		return t.windows[i].Merge(a)
	}
	own := a.Clone()
	own.Series = t.series // whose texts all windows share
	if !start.Equal(own.Start) {
		own.Start = start
	}
	t.windows = slices.Insert(t.windows, i, own)
	if i < t.coarse {
		t.coarse++
	}
	return t.thin(latest.Add(-fineFor).Truncate(coarse))
}

// thin merges the windows that begin before a time, a multiple of coarse.
func (t *track) thin(before time.Time) error {
	end := t.coarse
	for end < len(t.windows) && t.windows[end].Start.Before(before) {
		end++
	}
	// A few at a time would move all the later ones each time.
	if end == t.coarse || end < len(t.windows) && end-t.coarse < 60 {
		return nil
	}
	merged := t.windows[:t.coarse]
	for _, w := range t.windows[t.coarse:end] {
		start := w.Start.Truncate(coarse)
		if n := len(merged); n > 0 && merged[n-1].Start.Equal(start) {
			if err := merged[n-1].Merge(w); err != nil {
				return err
			}
			continue
		}
		w.Start = start
		merged = append(merged, w)
	}
	t.coarse = len(merged)
	kept := append(merged, t.windows[end:]...)
	clear(t.windows[len(kept):])
	t.windows = kept
	return nil
}
