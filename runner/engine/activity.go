package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// How an activity ended.
const (
	succeeded = "succeeded"
	failed    = "failed"
	aborted   = "aborted" // it could not be run, or was interrupted; the toolkit's journal has no word for that
)

// failure is that an activity was run and failed: the toolkit's ActivityFailed. Other errors say that it could not be run.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failedf(format string, args ...any) error { return &failure{fmt.Errorf(format, args...)} }

// activity runs an activity with its pauses and adds it to a list of the journal's. Its error is one that the run does not
// survive. halt, which ends with ctx or before it, ends pauses and native activities.
func (r *run) activity(ctx, halt context.Context, a *experiment.Activity, phase string, to *[]*Execution) (*Execution, error) {
	dry := r.dry(a)
	pause := func(p experiment.Pause) error {
		d, err := r.pause(p)
		if err != nil || d == 0 || dry || r.Dry == DryPause {
			return err
		}
		r.Log.Info("pause", "activity", a.Name, "for", d)
		return r.Clock.Sleep(halt, d)
	}
	if err := pause(a.Before); err != nil {
		return nil, err
	}
	began := r.Clock.Now()
	execution := &Execution{Activity: a.Source, Start: timestamp(began)}
	r.mutex.Lock()
	*to = append(*to, execution)
	r.mutex.Unlock()
	note := r.note(phase, a, began)
	r.Log.Info("activity begins", "phase", phase, "kind", a.Kind, "name", a.Name)

	output, err := r.provider(ctx, halt, a, dry)
	ended := r.Clock.Now()
	execution.End, execution.Duration = timestamp(ended), ended.Sub(began).Seconds()
	execution.Output = r.values.HideIn(output)
	fatal := r.settle(execution, a, err)
	var met *bool
	var why string
	if a.Tolerance != nil && execution.Status != aborted {
		met, why = r.judge(ctx, a, output, execution.Status)
	}
	if phase != method && phase != rollbacks { // where the toolkit judges nothing
		execution.ToleranceMet = met
	}
	if err != nil {
		why = err.Error()
	}
	why = r.values.Hide(why)
	note(execution, ended, met, why)
	log := r.Log.With("phase", phase, "name", a.Name, "status", execution.Status)
	if why != "" {
		log = log.With("error", why)
	}
	log.Info("activity ended")
	if fatal != nil {
		return execution, fatal
	}
	return execution, pause(a.After)
}

// settle writes how an activity ended, and returns the error if the run does not survive it.
func (r *run) settle(execution *Execution, a *experiment.Activity, err error) error {
	if err == nil {
		execution.Status = succeeded
		return nil
	}
	var f *failure
	execution.Status = aborted
	class := ""
	if errors.As(err, &f) {
		execution.Status, class = failed, "chaoslib.exceptions.ActivityFailed: "
	}
	execution.Exception = []string{class + r.values.Hide(err.Error()) + "\n"}
	// An experiment whose fault or load is missing says nothing about the system.
	if f == nil || a.Native != nil && a.Kind == experiment.Action {
		return err
	}
	return nil
}

// judge holds a probe's output against its tolerance.
func (r *run) judge(ctx context.Context, a *experiment.Activity, output any, status string) (met *bool, why string) {
	met = new(bool)
	switch {
	case status != succeeded:
	case r.Dry == DryProbes || r.Dry == DryActivities:
		*met = true
	default:
		*met, why = r.within(ctx, a.Tolerance, output)
	}
	return met, why
}

func (r *run) dry(a *experiment.Activity) bool {
	switch r.Dry {
	case DryActivities:
		return true
	case DryActions:
		return a.Kind == experiment.Action
	case DryProbes:
		return a.Kind == experiment.Probe
	}
	return false
}

func (r *run) pause(p experiment.Pause) (time.Duration, error) {
	if p.Var == "" {
		return p.For, nil
	}
	d, ok := experiment.Seconds(r.values.Substitute(p.Var))
	if !ok {
		return 0, fmt.Errorf("%s is no number of seconds; if it comes from the environment, give it env_var_type: float", p.Var)
	}
	return d, nil
}

// provider does what the activity is about.
func (r *run) provider(ctx, halt context.Context, a *experiment.Activity, dry bool) (any, error) {
	switch {
	case a.Native != nil:
		return r.native(halt, a, r.arguments(a), dry)
	case dry:
		return nil, nil
	case a.HTTP != nil:
		return r.http(ctx, a.HTTP)
	default:
		return r.process(ctx, a.Process, a.Process.Arguments)
	}
}

// arguments are a native activity's after substitution. One that substitution has left empty is not there, so that one file serves
// where there is something to say, such as a port, and where there is not.
func (r *run) arguments(a *experiment.Activity) native.Arguments {
	arguments, _ := r.values.Substitute(a.Native.Arguments).(map[string]any)
	for name, written := range a.Native.Arguments {
		if text, ok := written.(string); ok && text != "" && (arguments[name] == nil || arguments[name] == "") {
			delete(arguments, name)
		}
	}
	return arguments
}

// native calls a native function. In a dry run it is asked what it would touch.
func (r *run) native(ctx context.Context, a *experiment.Activity, arguments native.Arguments, dry bool) (output any, err error) {
	function, err := native.Find(r.Table, a.Native.Func, a.Kind)
	if err != nil {
		return nil, err
	}
	call := function.Run
	if dry {
		call = function.Plan
		if call == nil {
			return nil, nil
		}
	}
	if call == nil {
		return nil, fmt.Errorf("%s cannot be run by this program", function.Name)
	}
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("panic", "function", function.Name, "stack", r.values.Hide(string(debug.Stack())))
			output, err = nil, failedf("%s: a bug of deskstorm: %v", function.Name, p)
		}
	}()
	value, err := call(native.WithActivity(ctx, a.Name), arguments)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s was ended: %w", function.Name, err)
		}
		return nil, failedf("%s: %w", function.Name, err)
	}
	encoded, err := json.Marshal(value)
	if err == nil {
		output, err = experiment.DecodeJSON(encoded)
	}
	if err != nil {
		return nil, failedf("%s: its answer is no JSON: %w", function.Name, err)
	}
	return output, nil
}

// outcome is what the record knows of a probe during the method.
type outcome struct {
	status string
	met    bool
}

// note tells the record that an activity begins, and returns what tells it of its end. A check during the method comes again
// and again: it is told only when it has another outcome than the last time.
func (r *run) note(phase string, a *experiment.Activity, began time.Time) func(*Execution, time.Time, *bool, string) {
	entry := record.Activity{Phase: phase, Kind: string(a.Kind), Name: a.Name, Began: began}
	index := -1
	if phase != during {
		r.Recorder.Change(func(run *record.Run) {
			index = len(run.Activities)
			run.Activities = append(run.Activities, entry)
		})
	}
	return func(execution *Execution, ended time.Time, met *bool, why string) {
		entry.Ended, entry.Status, entry.ToleranceMet, entry.Error = ended, execution.Status, met, why
		entry.Output, _ = json.Marshal(execution.Output)
		if index < 0 {
			now := outcome{execution.Status, met != nil && *met}
			r.mutex.Lock()
			last, known := r.outcomes[a.Name]
			r.outcomes[a.Name] = now
			r.mutex.Unlock()
			if known && last == now {
				return
			}
		}
		r.Recorder.Change(func(run *record.Run) {
			if index < 0 {
				run.Activities = append(run.Activities, entry)
				return
			}
			run.Activities[index] = entry
		})
	}
}

// check finds what is wrong with the substituted values, before anything is touched.
func (r *run) check() error {
	var errs []error
	e := r.experiment
	activities := slices.Concat(e.Method, e.Rollbacks)
	if e.Hypothesis != nil {
		activities = append(slices.Clone(e.Hypothesis.Probes), activities...)
	}
	for i := range activities {
		a := &activities[i]
		wrong := func(err error) {
			if err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %s: %s", e.File, a.Line, a.Name, r.values.Hide(err.Error())))
			}
		}
		_, err := r.pause(a.Before)
		wrong(err)
		_, err = r.pause(a.After)
		wrong(err)
		switch {
		case a.HTTP != nil:
			_, err = r.timeout(a.HTTP.Timeout)
			wrong(err)
			if !experiment.ValidURL(experiment.Text(r.values.Substitute(a.HTTP.URL))) {
				wrong(fmt.Errorf("%s is no address that begins with http:// or https://", a.HTTP.URL))
			}
		case a.Native != nil:
			function, err := native.Find(r.Table, a.Native.Func, a.Kind)
			if err == nil {
				err = function.CheckValues(r.arguments(a))
			}
			if err == nil && function.Verify != nil {
				err = function.Verify(r.arguments(a))
			}
			wrong(err)
		}
		if a.Tolerance != nil {
			wrong(r.checkTolerance(a.Tolerance))
		}
	}
	return errors.Join(errs...)
}
