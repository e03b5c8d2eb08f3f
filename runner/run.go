package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/ledger"
	"github.com/deskstorm/deskstorm/runner/load"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/notify"
	"github.com/deskstorm/deskstorm/runner/probes"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/target"
	"github.com/deskstorm/deskstorm/runner/undo"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Result is a run that has ended.
type Result struct {
	Run     record.Run
	Verdict verdict.Verdict
	Dir     string // with its journal and reports
	// Refused is why the experiment could not be begun, or not be ended well; nil: it was. It is in Run.Error, too.
	Refused error
}

// Run is one run of an experiment. It is made by Prepare, which refuses what cannot be run, and goes on in Do.
type Run struct {
	*record.Recorder // of the run as it goes on
	ID               string
	Experiment       Loaded

	runner  *Runner
	request Request
	log     *slog.Logger
	faults  atomic.Pointer[undo.Run] // nil until the experiment begins
	points  *points                  // nil: none go to InfluxDB
}

// Prepare reads the experiment and gives the run its id. It touches nothing.
func (r *Runner) Prepare(q Request) (*Run, error) {
	if err := q.Dry.Check(); err != nil {
		return nil, err
	}
	l, err := Load(q.Experiment)
	if err != nil {
		return nil, err
	}
	if err := l.set(q.Variables); err != nil {
		return nil, fmt.Errorf("%s: %w", q.Experiment, err)
	}
	now := time.Now()
	id := newID(now)
	return &Run{
		ID: id, Experiment: l, runner: r, request: q, log: r.options.Log.With("run", id),
		Recorder: record.NewRecorder(record.Run{
			ID: id, Experiment: cmp.Or(q.Name, l.Name), Title: l.Title, Tags: l.Tags, Trigger: cmp.Or(q.Trigger, "manual"), Began: now,
		}),
	}, nil
}

// Do carries the run out, whatever happens to its end: faults are undone, results are judged and kept, reports are written. The end
// of ctx interrupts the experiment; what comes after it is bounded by itself. The error says what went wrong with the run's
// results; why the experiment itself could not be run is in the result.
func (r *Run) Do(ctx context.Context) (Result, error) {
	name := r.Outline().Experiment
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	claim, err := r.runner.claim(ctx, name, r.ID, lost)
	if err != nil {
		return Result{}, err
	}
	defer claim.release()
	if err := r.runner.History.Begin(ctx, r.Outline()); err != nil {
		return Result{}, fmt.Errorf("beginning a run of %s: %w", name, err)
	}
	problem := r.carryOut(ctx)
	return r.conclude(problem)
}

// carryOut runs the experiment. The error is why it could not be run, or what is left of it.
func (r *Run) carryOut(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("panic", "while", "running the experiment", "stack", string(debug.Stack()))
			err = errors.Join(fmt.Errorf("running the experiment: a bug of deskstorm: %v", p), err)
		}
	}()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	clock := watchClock(r.runner.clocks)
	go clock.run(watching)
	defer func() { r.Change(func(run *record.Run) { run.Clock.Jump = clock.jump() }) }()
	if err := r.beginPoints(watching); err != nil {
		return err
	}

	asked := make(chan map[string]string, 1)
	go func() { asked <- r.runner.underTest(watching) }()
	defer func() {
		found := <-asked
		r.Change(func(run *record.Run) { run.Versions = found })
	}()

	book, err := ledger.Open(r.runner.Dir(r.ID))
	if err != nil {
		return err
	}
	// After the faults' end: they may have cut the way to the cloud.
	defer func() {
		_, left := removeMade(context.WithoutCancel(ctx), r.runner.Config, r.ID)
		err = errors.Join(err, book.Close(), left)
	}()
	faults, err := undo.Open(r.runner.runs(), r.ID, r.runner.targets, undo.Options{
		Watchdog: r.runner.watchdog(r.ID), MaxFor: r.runner.Config.Limits.Longest, Log: r.log,
	})
	if err != nil {
		return err
	}
	r.faults.Store(faults)
	defer func() { err = errors.Join(err, r.endFaults(faults)) }()
	_, err = engine.Run(ctx, r.Experiment.Experiment, engine.Options{
		Table: r.table(faults, book), Recorder: r.Recorder, Dry: r.request.Dry, Log: r.log, Undo: faults.UndoAll,
	})
	return err
}

// endFaults ends faults that are left, and writes down what became of all.
func (r *Run) endFaults(faults *undo.Run) error {
	err := faults.Close()
	ended := faults.Records()
	r.runner.counts.add(r.ID, ended)
	r.runner.counts.watchdogs.Add(uint64(faults.WatchdogDeaths()))
	r.Change(func(run *record.Run) { run.Faults = ended })
	return err
}

// table are the native activities of this run.
func (r *Run) table(faults *undo.Run, book *ledger.Ledger) []native.Function {
	c := r.runner.Config
	return slices.Concat(
		fault.Table(fault.Env{
			Targets: c.Targets, Look: r.runner.targets, Limits: c.Limits, Injector: faults,
			Cloud: r.runner.cloud, Relay: r.runner.relay,
		}),
		load.Table(load.Env{K6: append(slices.Clone(r.runner.options.Self), "k6"), Dir: r.Experiment.Dir, Recorder: r.Recorder}),
		probes.Table(probes.Env{Config: c.Probes, Recorder: r.Recorder, Ledger: madeLedger{book}, Run: r.ID}),
	)
}

// cloud logs in to a target's cloud.
func (r *Runner) cloud(ctx context.Context, target string) (fault.Cloud, error) {
	c, err := r.targets.Cloud(ctx, target)
	if err != nil {
		return nil, err // and no cloud that is nil
	}
	return c, nil
}

// relay is the command of a relay at a target: on this machine this program is one.
func (r *Runner) relay(at target.Target) []string {
	if at.Local == nil {
		return nil
	}
	return append(slices.Clone(r.options.Self), "relay")
}

// conclude judges the run, keeps it and writes its reports.
func (r *Run) conclude(problem error) (Result, error) {
	r.Change(func(run *record.Run) {
		run.Ended = time.Now()
		if problem != nil {
			// One that left something behind has not passed, whatever it found.
			if run.Status == "" || run.Status == record.Completed {
				run.Status = record.Aborted
			}
			run.Error = errors.Join(textError(run.Error), problem).Error()
		}
	})
	r.finishPoints(context.Background())
	run := r.Run()
	objectives := r.Experiment.Objectives.Or(r.runner.Config.Verdict)
	nights, nightsErr := r.lastNights(run, objectives)
	judged := verdict.Judge(run, objectives, nights)
	result := Result{Run: run, Verdict: judged, Dir: r.runner.Dir(r.ID), Refused: problem}
	return result, errors.Join(nightsErr, r.save(result), r.write(result, nights), r.tell(result))
}

func (r *Run) lastNights(run record.Run, o verdict.Objectives) ([]verdict.Night, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nightsTimeout)
	defer cancel()
	return r.runner.nights(ctx, run, o)
}

// save keeps the run in the history, or beside it while that is away. A verdict that cannot be written keeps no run from it.
func (r *Run) save(result Result) error {
	text, err := json.Marshal(result.Verdict)
	if err != nil {
		text, err = nil, fmt.Errorf("writing the verdict of run %s: %w", r.ID, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	saved := r.runner.History.SaveOrSpool(ctx, r.runner.spool(), result.Run, string(result.Verdict.Outcome), text)
	if saved != nil {
		r.runner.counts.historyErrors.Add(1)
	}
	return errors.Join(err, saved)
}

// tell tells those whom the request names.
func (r *Run) tell(result Result) error {
	if len(r.request.Notify) == 0 || r.request.Dry != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	return r.runner.notifier.Tell(ctx, r.request.Notify, notify.Event{Run: result.Run, Verdict: result.Verdict})
}

// What comes after an experiment is bounded, each by itself: a database that does not answer keeps nobody from being told.
const (
	nightsTimeout = time.Minute
	saveTimeout   = 5 * time.Minute
	tellTimeout   = 5 * time.Minute
)

// textError is an error from a text that a record has; nil from none.
func textError(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}
