package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// nights are the earlier runs that a run is held against, the latest last. Without them it is judged all the same.
func (r *Runner) nights(ctx context.Context, run record.Run, o verdict.Objectives) ([]verdict.Night, error) {
	kept, err := r.History.Nights(ctx, history.Like{
		Experiment: run.Experiment, Before: run.Began, N: o.LookBack(),
		Outcomes: []string{string(verdict.Passed), string(verdict.Deviated)},
	})
	if err != nil {
		return nil, fmt.Errorf("reading the last nights: %w; the run is not held against them", err)
	}
	var nights []verdict.Night
	for _, k := range slices.Backward(kept) {
		var v verdict.Verdict
		if err := json.Unmarshal(k.Verdict, &v); err != nil {
			return nights, fmt.Errorf("reading the verdict of run %s: %w", k.ID, err)
		}
		nights = append(nights, verdict.NightOf(k.Run, v))
	}
	return nights, nil
}
