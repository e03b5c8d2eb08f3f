package undo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/target"
)

// Options are how a run's faults are kept.
type Options struct {
	// Watchdog is the command, as an argument vector, that calls Watch for this run: it is started before the first fault, and again
	// when it dies. Nil: there is none, and when this process dies, faults last until Recover.
	Watchdog []string
	MaxFor   time.Duration // of a fault; 0: no limit
	// UndoTime is how long Undo, UndoAll and Close go on trying, also when their context has ended: 2 minutes if 0.
	UndoTime time.Duration
	Log      *slog.Logger // nil: none

	settle time.Duration
	beat   time.Duration
}

// ErrTakenOver is of a run whose watchdog has ended its faults because the runner hung for longer than its lease.
var ErrTakenOver = errors.New("the watchdog has ended the faults of this run, because the runner did not respond for too long")

// Run is the faults of a run. Its methods may be called by many goroutines at once.
type Run struct {
	*keeper
	options  Options
	owner    *os.File
	watchdog *guard

	mu     sync.Mutex
	faults []*state // in the order in which they were injected
	timers map[string]*time.Timer
	ending sync.WaitGroup // timers that have not been stopped
	closed bool
}

// Open makes the run's folder below dir, an absolute path; it belongs to this process until Close. A run in which a dead process has
// left faults is refused: Recover comes first.
func Open(dir, run string, do target.Executor, o Options) (*Run, error) {
	o.UndoTime = cmp.Or(o.UndoTime, 2*time.Minute)
	o.beat = cmp.Or(o.beat, defaultBeat)
	o.settle = cmp.Or(o.settle, defaultSettle)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	j, err := create(dir, run)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(context.Background(), time.Second) // for who just looks whether it is held
	defer cancel()
	owner, err := lock(waiting, j.path(ownerFile))
	if errors.Is(err, errHeld) {
		return nil, fmt.Errorf("the run %s belongs to another process: %w", run, err)
	}
	if err != nil {
		return nil, err
	}
	sign(owner)
	r := &Run{
		keeper:  &keeper{journal: j, do: do, by: byRunner, log: o.Log, settle: o.settle},
		options: o, owner: owner, timers: map[string]*time.Timer{},
	}
	told, err := r.read()
	if err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	if left := told.left(); len(left) > 0 {
		return nil, errors.Join(fmt.Errorf("the run %s has %d faults that a dead process left behind: recover it first", run, len(left)), owner.Close())
	}
	r.faults = told.faults
	if len(o.Watchdog) > 0 {
		r.watchdog = newGuard(o, j)
	}
	return r, nil
}

// Inject writes the fault down, and then injects it. If that fails, or ctx ends meanwhile, what was done is undone at once.
func (r *Run) Inject(ctx context.Context, p fault.Plan) error {
	if err := r.inject(ctx, p); err != nil {
		return fmt.Errorf("injecting the fault %s, %s: %w", p.ID, p.Fault, err)
	}
	return nil
}

func (r *Run) inject(ctx context.Context, p fault.Plan) error {
	if err := r.check(p); err != nil {
		return err
	}
	if r.watchdog != nil {
		if err := r.watchdog.ready(ctx); err != nil {
			return err
		}
	}
	held, err := lock(ctx, r.lockPath(p.ID))
	if err != nil {
		return err
	}
	defer held.Close()
	told, err := r.read()
	switch {
	case err != nil:
		return err
	case told.takeOver != "":
		return fmt.Errorf("%w: %s", ErrTakenOver, told.takeOver)
	case told.find(p.ID) != nil:
		return errors.New("there is, or was, a fault of this id")
	}
	s := &state{plan: p, injected: time.Now().UTC()}
	if err := r.append(entry{Inject: &p}); err != nil {
		return err
	}
	if err := r.keep(s); err != nil {
		return err
	}
	if err := r.apply(ctx, p); err != nil {
		return r.revoke(ctx, *s, err)
	}
	told, readErr := r.read()
	if err := r.append(entry{Applied: p.ID}); err != nil {
		return r.revoke(ctx, *s, err)
	}
	r.mu.Lock()
	s.applied = true
	r.mu.Unlock()
	if readErr == nil && !told.find(p.ID).undone.IsZero() {
		// The watchdog did not wait for this process, which hung; what was done after that is still there.
		return r.revoke(ctx, *s, ErrTakenOver)
	}
	return nil
}

func (r *Run) check(p fault.Plan) error {
	switch {
	case !goodName.MatchString(p.ID):
		return errors.New("its id is not of at most 80 letters, digits, '.', '_' and '-'")
	case p.For <= 0:
		return errors.New("it has no greatest duration")
	case r.options.MaxFor > 0 && p.For > r.options.MaxFor:
		return fmt.Errorf("it would last up to %s; the configuration allows %s", p.For, r.options.MaxFor)
	}
	for _, steps := range [][]target.Step{p.Apply, p.Undo} {
		for _, s := range steps {
			if err := s.Check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep remembers a fault, and ends it when its time is over.
func (r *Run) keep(s *state) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("the run has ended")
	}
	r.faults = append(r.faults, s)
	id := s.plan.ID
	r.ending.Add(1)
	r.timers[id] = time.AfterFunc(s.plan.For, func() {
		defer r.ending.Done()
		if err := r.Undo(context.Background(), id); err != nil {
			r.log.Error("a fault whose time is over", "error", err)
		}
	})
	if r.watchdog != nil {
		r.watchdog.poke()
	}
	return nil
}

func (r *Run) apply(ctx context.Context, p fault.Plan) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.For, errors.New("the fault's time is over"))
	defer cancel()
	if err := r.arm(ctx, p); err != nil {
		return err
	}
	for _, step := range p.Apply {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := r.do.Do(ctx, step); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// revoke undoes a fault that could not be injected, with its lock held.
func (r *Run) revoke(ctx context.Context, s state, why error) error {
	ctx, cancel := r.own(ctx)
	defer cancel()
	s.err = why.Error()
	if err := r.append(entry{Failed: s.plan.ID, Error: s.err}); err != nil {
		why = errors.Join(why, err)
	}
	for attempts := 0; ; attempts++ {
		err := r.locked(ctx, &s)
		if err == nil {
			r.settled(s.plan.ID)
			return why
		}
		wait := backoff(attempts)
		if errors.Is(err, errSettling) {
			wait = r.settle
		}
		select {
		case <-ctx.Done():
			return errors.Join(why, err)
		case <-time.After(wait):
		}
	}
}

// own is a context for an undo, which is done also, and just then, when ctx has ended.
func (r *Run) own(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), r.options.UndoTime, fmt.Errorf("it was tried for %s", r.options.UndoTime))
}

// settled forgets the timer of a fault that has ended.
func (r *Run) settled(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop(id)
}

// stop is called with the lock held.
func (r *Run) stop(id string) {
	if t := r.timers[id]; t != nil && t.Stop() {
		r.ending.Done()
	}
	delete(r.timers, id)
}

// Undo ends a fault, and tries again until it has, or UndoTime is over. One that has ended is fine.
func (r *Run) Undo(ctx context.Context, id string) error {
	s := r.remembered().find(id)
	if s == nil {
		return fmt.Errorf("undoing the fault %s: this run has injected none of this id", id)
	}
	return r.end(ctx, []*state{s})
}

// UndoAll ends all faults, the latest first, those after one that fails as well, and tries again until they have ended or UndoTime is
// over.
func (r *Run) UndoAll(ctx context.Context) error {
	told, err := r.read()
	if err != nil { // then what this process remembers
		told = r.remembered()
	}
	return r.end(ctx, told.left())
}

// remembered is what this process knows without the journal: not what others have ended.
func (r *Run) remembered() *story {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := &story{}
	for _, s := range r.faults {
		told.faults = append(told.faults, new(*s))
	}
	return told
}

func (r *Run) end(ctx context.Context, left []*state) error {
	ctx, cancel := r.own(ctx)
	defer cancel()
	err := r.all(ctx, left)
	if err == nil {
		for _, s := range left {
			r.settled(s.plan.ID)
		}
	}
	return err
}

// Records are the run's faults, in the order in which they were injected.
func (r *Run) Records() []record.Fault {
	told, err := r.read()
	if err != nil {
		told = r.remembered()
	}
	return told.records()
}

// Active says whether something of a fault may be left.
func (r *Run) Active(id string) bool {
	told, err := r.read()
	if err != nil {
		told = r.remembered()
	}
	s := told.find(id)
	return s != nil && s.undone.IsZero()
}

// WatchdogDeaths is how often the run's watchdog died, and was started again.
func (r *Run) WatchdogDeaths() int {
	if r.watchdog == nil {
		return 0
	}
	r.watchdog.mu.Lock()
	defer r.watchdog.mu.Unlock()
	return r.watchdog.deaths
}

// Close ends all faults, and then the watchdog. What could not be ended is an error, and the watchdog's from then on.
func (r *Run) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	err := r.UndoAll(context.Background())
	r.mu.Lock()
	for id := range r.timers {
		r.stop(id)
	}
	r.mu.Unlock()
	r.ending.Wait()
	if r.watchdog != nil {
		r.watchdog.close(err == nil)
	}
	return errors.Join(err, r.owner.Close())
}
