// Package engine runs experiments as the Chaos Toolkit does (chaostoolkit-lib 1.44.0, Apache-2.0, is what it is held against):
// the steady-state hypothesis, the method, the rollbacks, and the journal that tells what happened. Where it differs,
// docs/experiments.md says so.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Options are how an experiment is run. All are optional.
type Options struct {
	Table    []native.Function
	Recorder *record.Recorder // is told of activities when they begin and when they end, and of the outcome
	Clock    Clock            // nil: the machine's
	Dry      Dry
	Log      *slog.Logger // nil: none

	// Undo ends all that native activities have injected. It is called after the method, however that ended, before the
	// rollbacks, which may need what a fault cuts, and once more after rollbacks. Its context does not end with that of Run,
	// but with Grace.
	Undo func(context.Context) error
	// Grace is how long undoing, and after it the rollbacks, may take when the context of Run has ended. 0: 5 minutes each.
	Grace time.Duration

	Getenv func(string) (string, bool) // nil: os.LookupEnv
}

// Dry is what a dry run leaves out.
type Dry string

// The Chaos Toolkit's dry runs.
const (
	DryNone       Dry = ""
	DryProbes     Dry = "probes"
	DryActions    Dry = "actions"
	DryActivities Dry = "activities"
	DryPause      Dry = "pause" // pauses
)

// Check refuses what is no dry run: taken for none, it would be carried out.
func (d Dry) Check() error {
	if d == DryNone || d == DryProbes || d == DryActions || d == DryActivities || d == DryPause {
		return nil
	}
	return fmt.Errorf("a dry run of %q: expected probes, actions, activities or pause", d)
}

// Clock is time as a run sees it.
type Clock interface {
	Now() time.Time
	// Sleep returns the context's error when that ends first.
	Sleep(context.Context, time.Duration) error
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run runs an experiment. The error is that it could not be begun, with nothing touched: a variable that is not set, an
// argument that has the wrong type after substitution, a dry run that there is none of; the journal is nil then. All else is in the journal and in the record.
// When ctx ends, the run is interrupted: activities are ended, faults are undone, and rollbacks run if their strategy is
// "always" (or "deviated", and it has).
func Run(ctx context.Context, e *experiment.Experiment, o Options) (*Journal, error) {
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Getenv == nil {
		o.Getenv = os.LookupEnv
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Minute
	}
	if o.Undo == nil {
		o.Undo = func(context.Context) error { return nil }
	}
	if o.Recorder == nil {
		o.Recorder = record.NewRecorder(record.Run{})
	}
	if err := o.Dry.Check(); err != nil {
		return nil, err
	}
	values, err := e.Resolve(o.Getenv)
	if err != nil {
		return nil, fmt.Errorf("reading configuration and secrets: %w", err)
	}
	fingerprint, err := e.Fingerprint(values)
	if err != nil {
		return nil, err
	}
	o.Recorder.Change(func(run *record.Run) { run.Fingerprint = fingerprint })
	r := &run{Options: o, experiment: e, values: values, outcomes: map[string]outcome{}}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("the experiment was not begun: %w", err)
	}
	if r.journal, err = newJournal(e, values, o); err != nil {
		return nil, err
	}
	r.run(ctx)
	return r.journal, nil
}

// run is one run of an experiment.
type run struct {
	Options
	experiment *experiment.Experiment
	values     *experiment.Values

	mutex      sync.Mutex
	journal    *Journal
	errs       []error // why it was aborted or interrupted, and what was not undone
	gateFailed bool    // the hypothesis did not hold before the method
	unsteady   bool    // the hypothesis did not hold at some time during the method
	outcomes   map[string]outcome
}

func (r *run) run(ctx context.Context) {
	began := r.Clock.Now()
	title := r.journal.title
	r.Log.Info("experiment begins", "title", title, "file", r.experiment.File)
	r.Recorder.Change(func(run *record.Run) {
		run.Began, run.Title, run.Tags, run.DryRun = began, title, r.experiment.Tags, r.Dry != DryNone
	})
	r.guarded("running the method", func() { r.phases(ctx) })
	if ctx.Err() != nil {
		r.end(record.Interrupted, context.Cause(ctx))
	}
	r.undo(ctx)
	if r.wantsRollbacks() {
		r.guarded("running the rollbacks", func() {
			ctx, cancel := r.afterwards(ctx)
			defer cancel()
			r.rollbacks(ctx)
		})
		r.undo(ctx)
	}
	if r.journal.Status == "" {
		r.journal.Status = record.Completed
	}
	ended := r.Clock.Now()
	r.journal.End = timestamp(ended)
	r.journal.Duration = ended.Sub(began).Seconds()
	r.report(ended)
}

// guarded keeps a bug of the engine from leaving faults behind: what comes after a panic still has to be done.
func (r *run) guarded(what string, do func()) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("panic", "while", what, "stack", r.values.Hide(string(debug.Stack())))
			r.end(record.Aborted, fmt.Errorf("%s: a bug of deskstorm: %s", what, r.values.Hide(fmt.Sprint(p))))
		}
	}()
	do()
}

// afterwards is the context of what has to be done even when the run was interrupted.
func (r *run) afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return context.WithTimeout(context.WithoutCancel(ctx), r.Grace)
	}
	// The run may be interrupted while this goes on: Grace begins then.
	free, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		_ = r.Clock.Sleep(free, r.Grace)
		cancel()
	})
	return free, func() { stop(); cancel() }
}

func (r *run) undo(ctx context.Context) {
	r.guarded("undoing faults", func() {
		ctx, cancel := r.afterwards(ctx)
		defer cancel()
		if err := r.Undo(ctx); err != nil {
			r.end(record.Aborted, fmt.Errorf("undoing faults: %w", err))
		}
	})
}

// end notes why the run ends early. The first status stays; an error is kept in any case.
func (r *run) end(status record.Status, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.journal.Status == "" || r.journal.Status == record.Completed {
		r.journal.Status = status
	}
	if err != nil {
		err = errors.New(r.values.Hide(err.Error()))
		r.errs = append(r.errs, err)
		// The run's result says it again: whoever waits for that has it in the midst of what is going on otherwise.
		r.Log.Info("experiment cannot go on", "status", status, "error", err)
	}
}

func (r *run) status() record.Status {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.journal.Status
}

// ending says whether the method has to stop.
func (r *run) ending() bool {
	switch r.status() {
	case record.Failed, record.Aborted, record.Interrupted:
		return true
	}
	return false
}

// report fills the record. It is stricter than the journal, which calls a run whose hypothesis did not hold before the method
// "completed" and has no deviation during the method.
func (r *run) report(ended time.Time) {
	status, deviated := r.journal.Status, r.journal.Deviated || r.unsteady
	switch {
	case r.gateFailed && status == record.Completed:
		status = record.Failed
	case deviated && status == record.Failed && !r.gateFailed:
		status = record.Completed
	}
	var text string
	if err := errors.Join(r.errs...); err != nil {
		text = err.Error()
	}
	raw, err := r.journal.JSON()
	if err != nil {
		r.Log.Error("the journal cannot be written as JSON", "error", err)
	}
	r.Recorder.Change(func(run *record.Run) {
		run.Ended, run.Status, run.Deviated, run.Error, run.Journal = ended, status, deviated, text, raw
		for i, g := range run.Generators { // k6 knows the secrets that its script was given
			run.Generators[i].Stderr, run.Generators[i].Lost = r.values.Hide(g.Stderr), r.values.Hide(g.Lost)
		}
	})
	r.Log.Info("experiment ended", "status", status, "deviated", deviated)
}
