package record

import (
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// Recorder collects a run while it goes on. Its methods may be called by many goroutines at once.
//
// Windows older than an hour are merged to minutes: those of ten seconds of a whole night take twice the memory.
type Recorder struct {
	mutex  sync.Mutex
	run    Run
	tracks map[trackKey]*track
	totals map[results.Series]*results.Aggregate // of all but gauges
	latest time.Time                             // the beginning of the latest window
}

// trackKey is a series, and of a gauge who reports it: a level that several report is the sum of theirs.
type trackKey struct {
	series results.Series
	source string
}

// NewRecorder begins the record of a run of which ID, names, trigger and beginning are known.
func NewRecorder(run Run) *Recorder {
	return &Recorder{run: run, tracks: map[trackKey]*track{}, totals: map[results.Series]*results.Aggregate{}}
}

// Change changes the run by a function that must not keep it.
func (r *Recorder) Change(change func(*Run)) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	change(&r.run)
}

// Add merges an aggregate into that of its series and window.
func (r *Recorder) Add(a *results.Aggregate) error { return r.AddFrom("", a) }

// AddFrom is Add of what one of several load generators measured: gauges of several exist side by side, and are summed.
func (r *Recorder) AddFrom(source string, a *results.Aggregate) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if a.Kind != results.Gauge {
		source = ""
	}
	key := trackKey{a.Series, source}
	t := r.tracks[key]
	if t == nil {
		t = &track{series: a.Series}
		r.tracks[key] = t
	}
	if a.Start.After(r.latest) {
		r.latest = a.Start
	}
	if err := t.add(a, r.latest); err != nil || a.Kind == results.Gauge {
		return err
	}
	if total := r.totals[a.Series]; total != nil {
		return total.Merge(a)
	}
	r.totals[a.Series] = a.Clone()
	return nil
}

// Totals returns copies of the series that are wanted, each merged over the whole run so far, but for gauges, whose levels have no
// total. The function is asked under a lock, as Select's. It is for those who look often: after eight hours of six sites, Select's windows
// take a sixth of a second to copy and to merge.
func (r *Recorder) Totals(want func(results.Series) bool) []*results.Aggregate {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var all []*results.Aggregate
	for series, total := range r.totals {
		if want(series) {
			all = append(all, total.Clone())
		}
	}
	slices.SortFunc(all, results.Compare)
	return all
}

// Run returns the run as it stands, which is the caller's. It copies all windows; see Outline and Select.
func (r *Recorder) Run() Run {
	run := r.Outline()
	run.Windows = r.Select(func(results.Series, time.Time) bool { return true })
	return run
}

// Outline is Run without its windows.
func (r *Recorder) Outline() Run {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	run := r.run
	run.Activities = slices.Clone(run.Activities)
	run.Faults = slices.Clone(run.Faults)
	run.Generators = slices.Clone(run.Generators)
	return run
}

// Select returns copies of the aggregates that are wanted, by their series and their window's beginning. The function is asked under
// a lock: it must be quick, and ask nothing of the Recorder.
func (r *Recorder) Select(want func(s results.Series, start time.Time) bool) []*results.Aggregate {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var all []*results.Aggregate
	levels := map[level]*results.Aggregate{}
	for _, t := range r.tracks {
		for _, a := range t.windows {
			if !want(t.series, a.Start) {
				continue
			}
			if a.Kind != results.Gauge {
				all = append(all, a.Clone())
				continue
			}
			at := level{t.series, a.Start.UnixNano()}
			if have := levels[at]; have != nil {
				beside(have, a)
				continue
			}
			levels[at] = a.Clone()
			all = append(all, levels[at])
		}
	}
	slices.SortFunc(all, results.Compare)
	return all
}

type level struct {
	series results.Series
	start  int64 // Unix nanoseconds
}

// beside adds the levels of b, of another source in the same window, to those of a. Min and Max are then bounds: the sources' lowest
// levels need not have been at one moment.
func beside(a, b *results.Aggregate) {
	mean := a.Mean() + b.Mean()
	a.Count = max(a.Count, b.Count)
	a.Sum = mean * float64(a.Count)
	a.Min, a.Max, a.Last = a.Min+b.Min, a.Max+b.Max, a.Last+b.Last
	if b.LastAt.After(a.LastAt) {
		a.LastAt = b.LastAt
	}
	if b.End.After(a.End) {
		a.End = b.End
	}
}
