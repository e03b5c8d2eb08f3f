package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// oldest is how old a run may be that another is held against: 14 of an experiment that runs each week are younger.
const oldest = 180 * 24 * time.Hour

// nights are the earlier runs that a run is held against, the latest last: those just before it, and the last one of each night before.
// Without them it is judged all the same.
func (r *Runner) nights(ctx context.Context, run record.Run, o verdict.Objectives) ([]verdict.Night, error) {
	var kept []history.Kept
	for _, night := range []*time.Location{nil, time.Local} {
		some, err := r.History.Nights(ctx, history.Like{
			Experiment: run.Experiment, Fingerprint: run.Fingerprint, Since: run.Began.Add(-oldest), Before: run.Began,
			N: o.LookBack(), Night: night,
			Outcomes: []string{string(verdict.Passed), string(verdict.Deviated)},
		})
		if err != nil {
			return nil, fmt.Errorf("reading the last nights: %w; the run is not held against them", err)
		}
		kept = append(kept, some...)
	}
	slices.SortFunc(kept, func(a, b history.Kept) int { return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.ID, b.ID)) })
	kept = slices.CompactFunc(kept, func(a, b history.Kept) bool { return a.ID == b.ID })
	var nights []verdict.Night
	for _, k := range kept {
		if len(k.Verdict) == 0 {
			continue // it could not be written
		}
		var v verdict.Verdict
		if err := json.Unmarshal(k.Verdict, &v); err != nil {
			return nights, fmt.Errorf("reading the verdict of run %s: %w", k.ID, err)
		}
		nights = append(nights, verdict.NightOf(k.Run, v))
	}
	return nights, nil
}
