package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/config"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/report"
	"github.com/deskstorm/deskstorm/runner/schedule"
	"github.com/deskstorm/deskstorm/runner/serve"
	"github.com/deskstorm/deskstorm/runner/undo"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Serve ends what dead runs have left, and then runs the schedule until ctx ends. It returns when the runs that go on then have ended
// and undone what they did. Options are where to listen.
func (r *Runner) Serve(ctx context.Context, o serve.Options) error {
	if len(r.Config.Schedule.Jobs) == 0 {
		return errors.New("the configuration has no schedule; add the section schedule with at least one job")
	}
	if err := CheckSchedule(r.Config); err != nil {
		return err
	}
	if _, err := r.Recover(ctx); err != nil {
		// What cannot be undone now is tried again by hand; other jobs are no worse for it.
		r.options.Log.Error("not all of what dead runs left could be ended; deskstorm recover tries it again", "error", err)
	}
	if err := r.counts.stuck.look(r.runs()); err != nil {
		r.options.Log.Error("it is not known whether dead runs have left faults", "error", err)
	}
	o.Jobs = r.Config.Schedule.Jobs
	shared := r.shared()
	o.Store, o.Leader = shared, shared
	o.Runs, o.History, o.Reports = scheduled{r}, kept{r}, kept{r}
	o.Counts = r.counted
	o.Log = r.options.Log
	server, err := serve.Listen(o)
	if err != nil {
		return err
	}
	tidying, stop := context.WithCancel(ctx)
	defer stop()
	go r.retain(tidying)
	go r.markDeadOften(tidying)
	return server.ServeUntilSignal(ctx)
}

// CheckSchedule reads the experiments and calendars of a schedule's jobs. The error joins what is wrong with each job.
func CheckSchedule(c config.Config) error {
	var errs []error
	for _, j := range c.Schedule.Jobs {
		l, err := Load(j.Experiment)
		if err == nil {
			err = l.set(j.Variables)
		}
		if j.Calendar != nil {
			err = errors.Join(err, j.Calendar.Load())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("job %s: %w", j.Name, err))
		}
	}
	return errors.Join(errs...)
}

// shared is how several runners with one history agree on who starts runs.
func (r *Runner) shared() *schedule.Shared[*history.Lease] {
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	return schedule.NewShared(r.History, schedule.SharedOptions{
		Jobs:     r.Config.Schedule.Names(),
		Held:     func(err error) bool { return errors.As(err, new(*history.HeldError)) },
		Waits:    func(err error) { r.options.Log.Info("another runner starts the runs; this one waits", "why", err) },
		NotFound: is(history.ErrNotFound),
		Lost:     is(history.ErrLost),
	})
}

func requestOf(s schedule.Start) Request {
	return Request{Experiment: s.Job.Experiment, Name: s.Job.Name, Trigger: string(s.Trigger), Variables: s.Job.Variables, Notify: s.Job.Notify}
}

// scheduled carries out the schedule's runs.
type scheduled struct{ *Runner }

// progressEvery is how often the page is told how a run stands.
const progressEvery = time.Second

// Run carries out a job's run.
func (r scheduled) Run(ctx context.Context, s schedule.Start, show func(serve.Progress)) serve.Result {
	failed := func(err error) serve.Result {
		return serve.Result{Title: s.Job.Name, Outcome: serve.Failed, Reason: err.Error()}
	}
	run, err := r.Prepare(requestOf(s))
	if err != nil {
		return failed(err)
	}
	showing, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			show(run.progress())
			select {
			case <-showing.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	result, err := run.Do(ctx)
	if err != nil {
		r.options.Log.Error("a run's results are not all where they belong", "run", run.ID, "job", s.Job.Name, "error", err)
		if result.Dir == "" {
			return failed(err)
		}
	}
	outcome := serve.Outcome(result.Verdict.Outcome)
	if result.Run.Status == record.Interrupted {
		outcome = serve.Interrupted
	}
	return serve.Result{RunID: run.ID, Title: result.Run.Title, Outcome: outcome, Reason: result.Verdict.Reason}
}

// progress is how the run stands.
func (r *Run) progress() serve.Progress {
	run := r.Outline()
	p := serve.Progress{RunID: r.ID}
	for _, a := range slices.Backward(run.Activities) {
		if a.Ended.IsZero() {
			p.Phase, p.Activity = a.Phase, a.Name
			break
		}
	}
	if faults := r.faults.Load(); faults != nil {
		for _, f := range faults.Records() {
			if f.Undone.IsZero() {
				p.Faults = append(p.Faults, f.What)
			}
		}
	}
	p.Steps = steps(r.Totals(func(s results.Series) bool { return s.Metric == loginDuration || s.Metric == loginFailed }))
	return p
}

// The metrics of docs/metrics.md that the page shows while load goes on.
const (
	loginDuration = "vdi_login_duration"
	loginFailed   = "vdi_login_failed"
)

// steps are what the page shows of a login's steps.
func steps(series []*results.Aggregate) []serve.Step {
	totals, err := results.Totals(series) // in the order of their names
	if err != nil {
		return nil // of series that agree there is none
	}
	type key struct{ step, site string }
	failures := map[key]int64{}
	for _, a := range totals {
		if a.Metric == loginFailed {
			failures[key{cmp.Or(a.Tags.Step, "total"), a.Tags.Site}] += int64(a.Sum)
		}
	}
	var all []serve.Step
	for _, a := range totals {
		if a.Metric != loginDuration {
			continue
		}
		quantile := func(q float64) float64 { return a.Quantile(q) / 1000 }
		all = append(all, serve.Step{
			Name: a.Tags.Step, Site: a.Tags.Site, Count: a.Count, Errors: failures[key{a.Tags.Step, a.Tags.Site}],
			P50: quantile(0.5), P95: quantile(0.95), P99: quantile(0.99),
		})
	}
	return all
}

// kept has the runs that ended, for the page.
type kept struct{ *Runner }

func (r kept) List(ctx context.Context, job string, limit int) ([]serve.Entry, error) {
	runs, err := r.History.List(ctx, history.Filter{Experiment: job, Limit: limit})
	if err != nil {
		return nil, err
	}
	entries := []serve.Entry{}
	for _, k := range runs {
		if k.Running || k.DryRun {
			continue
		}
		e := serve.Entry{ID: k.ID, Job: k.Experiment, Title: k.Title, Trigger: k.Trigger, Began: k.Began, Ended: k.Ended,
			Outcome: serve.Outcome(k.Outcome), Reason: k.Error, Reported: true}
		if k.Status == record.Interrupted {
			e.Outcome = serve.Interrupted
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (r kept) One(ctx context.Context, id string) (any, error) {
	k, err := r.History.Run(ctx, id)
	if errors.Is(err, history.ErrNotFound) {
		return nil, serve.ErrNoRun
	}
	return k, err
}

// HTML writes a run's report: the file, or anew from the history where another runner made it.
func (r kept) HTML(ctx context.Context, id string, to io.Writer) error {
	k, err := r.History.Run(ctx, id)
	if errors.Is(err, history.ErrNotFound) {
		return serve.ErrNoRun
	}
	if err != nil {
		return err
	}
	if f, err := os.Open(filepath.Join(r.Dir(k.ID), HTMLFile)); err == nil {
		defer f.Close()
		_, err = io.Copy(to, f)
		return err
	}
	shown, err := r.Report(ctx, k)
	if err != nil {
		return err
	}
	return shown.HTML(to)
}

// Report is the report of a kept run, made anew.
func (r *Runner) Report(ctx context.Context, k history.Kept) (report.Report, error) {
	shown := report.Report{Run: k.Run}
	if len(k.Verdict) == 0 {
		// Nobody wrote down how its faults stand, but their journal has it: on this machine, if it was run here.
		faults, err := undo.Records(r.runs(), k.ID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return shown, err
		}
		if err == nil { // else it was another machine's, which has told the history
			shown.Run.Faults = faults
		}
	}
	switch {
	case len(k.Verdict) > 0:
		if err := json.Unmarshal(k.Verdict, &shown.Verdict); err != nil {
			return shown, fmt.Errorf("reading the verdict of run %s: %w", k.ID, err)
		}
	case k.Running:
		shown.Verdict.Reason = "the run has not ended"
	default: // its runner died
		shown.Verdict = verdict.Judge(shown.Run, verdict.Objectives{}, nil)
	}
	var err error
	shown.Nights, err = r.nights(ctx, k.Run, verdict.Defaults())
	return shown, err
}

// markDeadOften marks runs of other processes whose runner has died, once their claims have ended.
func (r *Runner) markDeadOften(ctx context.Context) {
	ticker := time.NewTicker(claimTTL)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.markDead(ctx); err != nil && ctx.Err() == nil {
			r.counts.historyErrors.Add(1)
			r.options.Log.Error("whether runs' runners have died cannot be known now", "error", err)
		}
	}
}

// retainEvery is how often what is too old is removed.
const retainEvery = 6 * time.Hour

func (r *Runner) retain(ctx context.Context) {
	for {
		_, err := r.History.Retain(ctx, time.Now(), r.Config.History.Retention)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.counts.historyErrors.Add(1)
			r.options.Log.Error("what is too old could not be removed from the history", "error", err)
		}
		if err := r.removeOld(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.options.Log.Error("old runs' folders could not be removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retainEvery):
		}
	}
}

// removeOld removes the folders of runs whose windows the history has given up: reports are made anew from what it has kept. A folder
// stays while a fault of its run is still to be undone. What else people keep beside them is theirs.
func (r *Runner) removeOld(ctx context.Context, now time.Time) error {
	if r.Config.History.Retention.Windows == 0 {
		return nil
	}
	old := now.Add(-r.Config.History.Retention.Windows)
	folders, err := os.ReadDir(r.runs())
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range folders {
		info, err := f.Info()
		if !isID(f.Name()) || err != nil || !info.ModTime().Before(old) || undo.Living(r.runs(), f.Name()) {
			continue
		}
		kept, err := r.History.Run(ctx, f.Name())
		if err != nil && !errors.Is(err, history.ErrNotFound) || len(kept.Windows) > 0 {
			continue
		}
		settled, err := undo.Settled(r.runs(), f.Name())
		if err == nil && settled {
			err = os.RemoveAll(r.Dir(f.Name()))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// counts are what the runner has counted since the process began.
type counts struct {
	injected, undone, historyErrors atomic.Uint64
	stuck                           stuck
	watchdogs                       atomic.Uint64 // that died and were started again
	offered, written, dropped       atomic.Uint64
}

// add counts a run's faults at its end.
func (c *counts) add(run string, faults []record.Fault) {
	for _, f := range faults {
		c.injected.Add(1)
		if f.Undone.IsZero() {
			c.stuck.add(run)
		} else {
			c.undone.Add(1)
		}
	}
}

func (r *Runner) counted() serve.Counts {
	c := &r.counts
	return serve.Counts{
		FaultsInjected: c.injected.Load(), FaultsUndone: c.undone.Load(), FaultsStuck: c.stuck.count(r.runs()),
		InfluxOffered: c.offered.Load(), InfluxWritten: c.written.Load(), InfluxDropped: c.dropped.Load(),
		HistoryErrors: c.historyErrors.Load(), WatchdogRestarts: c.watchdogs.Load(),
	}
}
