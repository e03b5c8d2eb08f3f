package record

import (
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// Recorder collects a run while it goes on. Its methods may be called by many goroutines at once.
type Recorder struct {
	mutex   sync.Mutex
	run     Run
	windows map[window]*results.Aggregate
}

type window struct {
	series results.Series
	start  int64 // Unix nanoseconds
}

// NewRecorder begins the record of a run of which ID, names, trigger and beginning are known.
func NewRecorder(run Run) *Recorder {
	return &Recorder{run: run, windows: map[window]*results.Aggregate{}}
}

// Change changes the run by a function that must not keep it.
func (r *Recorder) Change(change func(*Run)) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	change(&r.run)
}

// Add merges an aggregate into that of its series and window.
func (r *Recorder) Add(a *results.Aggregate) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	key := window{a.Series, a.Start.UnixNano()}
	if have := r.windows[key]; have != nil {
		return have.Merge(a)
	}
	r.windows[key] = a.Clone()
	return nil
}

// Run returns the run as it stands, which is the caller's.
func (r *Recorder) Run() Run {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	run := r.run
	run.Activities = slices.Clone(run.Activities)
	run.Faults = slices.Clone(run.Faults)
	run.Generators = slices.Clone(run.Generators)
	run.Windows = make([]*results.Aggregate, 0, len(r.windows))
	for _, a := range r.windows {
		run.Windows = append(run.Windows, a.Clone())
	}
	slices.SortFunc(run.Windows, results.Compare)
	return run
}

// Since returns the aggregates of the windows that begin at t or later, for objectives that are checked while load goes on.
func (r *Recorder) Since(t time.Time) []*results.Aggregate {
	return slices.DeleteFunc(r.Run().Windows, func(a *results.Aggregate) bool { return a.Start.Before(t) })
}
