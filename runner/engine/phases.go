package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/record"
)

// The phases of a run, as the record calls them.
const (
	before    = "hypothesis-before"
	method    = "method"
	during    = "hypothesis-during"
	after     = "hypothesis-after"
	rollbacks = "rollbacks"
)

// phases runs all but the rollbacks.
func (r *run) phases(ctx context.Context) {
	strategy := r.experiment.Runtime.Hypothesis
	if h := r.experiment.Hypothesis; h == nil || len(h.Probes) == 0 {
		strategy = experiment.HypothesisSkip
	}
	var gate, meanwhile, check bool
	switch strategy {
	case experiment.HypothesisDefault, "":
		gate, check = true, true
	case experiment.HypothesisBefore:
		gate = true
	case experiment.HypothesisAfter:
		check = true
	case experiment.HypothesisDuring:
		meanwhile = true
	case experiment.HypothesisContinuously:
		gate, meanwhile, check = true, true, true
	}
	if gate && !r.gate(ctx) {
		return
	}
	r.method(ctx, meanwhile)
	if check && ctx.Err() == nil && r.status() != record.Interrupted && r.status() != record.Aborted {
		r.verify(ctx)
	}
}

// gate checks the hypothesis before the method.
func (r *run) gate(ctx context.Context) bool {
	state, err := r.hypothesis(ctx, before)
	r.journal.SteadyStates.Before = state
	if err != nil {
		r.end(record.Aborted, err)
		return false
	}
	if state.Met != nil && !*state.Met {
		r.gateFailed = true
		r.journal.Status = outcomeOf(state)
		return false
	}
	return ctx.Err() == nil
}

// verify checks the hypothesis after the method.
func (r *run) verify(ctx context.Context) {
	state, err := r.hypothesis(ctx, after)
	r.journal.SteadyStates.After = state
	if err != nil {
		r.end(record.Aborted, err)
		return
	}
	if state.Met != nil && !*state.Met {
		r.journal.Deviated = true
		r.journal.Status = outcomeOf(state)
	}
}

// outcomeOf is the toolkit's status of a run whose hypothesis did not hold: failed only if a probe did not answer at all.
func outcomeOf(state *SteadyState) record.Status {
	for _, probe := range state.Probes {
		if probe.Status != succeeded {
			return record.Failed
		}
	}
	return record.Completed
}

// hypothesis runs the probes until one is not as it should be. The error is that one could not be run.
func (r *run) hypothesis(ctx context.Context, phase string) (*SteadyState, error) {
	state := &SteadyState{Probes: []*Execution{}}
	for i := range r.experiment.Hypothesis.Probes {
		probe := &r.experiment.Hypothesis.Probes[i]
		execution, err := r.activity(ctx, ctx, probe, phase, &state.Probes)
		if ctx.Err() != nil {
			return state, nil
		}
		if err != nil {
			return state, fmt.Errorf("%s, in the hypothesis: %w", probe.Name, err)
		}
		if !*execution.ToleranceMet {
			state.Met = new(bool)
			return state, nil
		}
	}
	met := true
	state.Met = &met
	return state, nil
}

// method runs the method, and the hypothesis meanwhile.
func (r *run) method(ctx context.Context, meanwhile bool) {
	// halt ends pauses and native activities as soon as the run is lost. Requests and processes are let go on to their end, as
	// in the toolkit.
	halt, lost := context.WithCancel(ctx)
	defer lost()
	var background, checks sync.WaitGroup
	over, stop := context.WithCancel(ctx)
	defer stop()
	if meanwhile {
		checks.Go(func() {
			r.guarded("checking the hypothesis during the method", func() { r.continuously(ctx, over) })
			if r.ending() {
				lost()
			}
		})
	}
	for i := range r.experiment.Method {
		if ctx.Err() != nil || r.ending() {
			break
		}
		a := &r.experiment.Method[i]
		if a.Background {
			background.Go(func() {
				// The toolkit does not look at what became of an activity in the background. A native action that cannot be run
				// leaves an experiment without its fault or its load, though.
				r.guarded("running "+a.Name, func() {
					_, err := r.activity(ctx, halt, a, method, &r.journal.Run)
					if err != nil && a.Native != nil && halt.Err() == nil {
						r.end(record.Aborted, fmt.Errorf("%s: %w", a.Name, err))
						lost()
					}
				})
			})
			continue
		}
		if _, err := r.activity(ctx, halt, a, method, &r.journal.Run); err != nil && halt.Err() == nil {
			r.end(record.Aborted, fmt.Errorf("%s: %w", a.Name, err))
			lost()
		}
	}
	background.Wait()
	stop()
	checks.Wait()
}

// The journal keeps so many checks during the method, or as many as are so many bytes. Of later ones it keeps those that were not
// met, without the probes' outputs.
const (
	manyChecks = 10_000
	manyBytes  = 64 << 20
)

// continuously checks the hypothesis until the method is over.
func (r *run) continuously(ctx, over context.Context) {
	runtime := r.experiment.Runtime
	if runtime.Frequency == 0 {
		runtime.Frequency = time.Second
	}
	failed, size := 0, 0
	for i := 1; over.Err() == nil && !r.ending(); i++ {
		state, err := r.hypothesis(ctx, during)
		if err != nil {
			r.end(record.Aborted, err)
			return
		}
		met := state.Met == nil || *state.Met
		if !met {
			failed++
		}
		encoded, _ := json.Marshal(state)
		size += len(encoded)
		many := i > manyChecks || size > manyBytes
		if many {
			for _, probe := range state.Probes {
				probe.Output = nil
			}
		}
		r.mutex.Lock()
		if !met || !many {
			r.journal.SteadyStates.During = append(r.journal.SteadyStates.During, state)
		}
		r.unsteady = r.unsteady || !met
		r.mutex.Unlock()
		if share := float64(failed) * 100 / float64(i); !met && runtime.FailFast && share >= runtime.FailFastRatio {
			r.end(record.Failed, fmt.Errorf("the hypothesis did not hold during the method, in %.1f %% of the checks", share))
			return
		}
		_ = r.Clock.Sleep(over, runtime.Frequency)
	}
}

func (r *run) wantsRollbacks() bool {
	if len(r.experiment.Rollbacks) == 0 {
		return false
	}
	switch r.experiment.Runtime.Rollbacks {
	case experiment.RollbackAlways:
		return true
	case experiment.RollbackNever:
		return false
	case experiment.RollbackDeviated:
		return r.journal.Deviated
	}
	return r.journal.Status != record.Failed && r.journal.Status != record.Interrupted
}

// rollbacks runs all rollbacks. One that cannot be run does not keep the others from it.
func (r *run) rollbacks(ctx context.Context) {
	var background sync.WaitGroup
	for i := range r.experiment.Rollbacks {
		if ctx.Err() != nil {
			r.end(record.Interrupted, fmt.Errorf("rollbacks: %w", ctx.Err()))
			break
		}
		a := &r.experiment.Rollbacks[i]
		roll := func() {
			r.guarded("running "+a.Name, func() {
				if _, err := r.activity(ctx, ctx, a, rollbacks, &r.journal.Rollbacks); err != nil {
					r.end(record.Aborted, fmt.Errorf("%s, in the rollbacks: %w", a.Name, err))
				}
			})
		}
		if a.Background {
			background.Go(roll)
		} else {
			roll()
		}
	}
	background.Wait()
}
