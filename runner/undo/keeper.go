package undo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/target"
)

// armer is an Executor some of whose targets can be left with a timer.
type armer interface {
	Arms(target string) bool
	Arm(ctx context.Context, target, id string, after time.Duration, steps []target.Step) error
	Disarm(ctx context.Context, target, id string) (fired bool, err error)
}

// Who ends faults, as record.Fault has it.
const (
	byRunner   = "runner"
	byWatchdog = "watchdog"
	byTarget   = "target"
	byRecover  = "recover"
)

// keeper ends faults.
type keeper struct {
	journal
	do     target.Executor
	by     string
	log    *slog.Logger
	settle time.Duration // see defaultSettle

	mu    sync.Mutex
	first map[string]time.Time // when a fault that may still be on its way was undone for the first time
}

// errSettling is of a fault that is undone, and has to be undone once more when its time to settle is over.
var errSettling = errors.New("what was being injected may still be on its way")

func (k *keeper) settling(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	first, ok := k.first[id]
	return ok && time.Since(first) < k.settle
}

// passed tells whether this was the first time that a fault was undone.
func (k *keeper) passed(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.first[id]; ok {
		return false
	}
	if k.first == nil {
		k.first = map[string]time.Time{}
	}
	k.first[id] = time.Now()
	return true
}

// defaultSettle is how long after its author's death something may still be on its way: a request that a server just reads, a program
// that the kernel just ends.
const defaultSettle = 2 * time.Second

// attemptTime bounds one attempt to undo one fault.
const attemptTime = 3 * time.Minute

// hungPatience is how long an undo waits for one who has stopped answering in the middle of something.
const hungPatience = 5 * time.Second

// attempt undoes a fault once, unless somebody has done it. It does not wait for its lock for long if hung says that its holder hangs.
func (k *keeper) attempt(ctx context.Context, s *state, hung bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTime, fmt.Errorf("it took longer than %s", attemptTime))
	defer cancel()
	waiting, stop := ctx, context.CancelFunc(func() {})
	if hung {
		waiting, stop = context.WithTimeout(ctx, hungPatience)
	}
	held, err := lock(waiting, k.lockPath(s.plan.ID))
	stop()
	switch {
	case err == nil:
		defer held.Close()
	case hung || !errors.Is(err, errHeld): // a full disk must not keep a fault
		k.log.Warn("undoing a fault without its lock", "fault", s.plan.ID, "error", err)
	default:
		return k.failed(s, err)
	}
	return k.locked(ctx, s)
}

func (k *keeper) lockPath(id string) string { return k.path("fault-" + id + ".lock") }

// locked is attempt with the lock held.
func (k *keeper) locked(ctx context.Context, s *state) error {
	applied := s.applied
	if told, err := k.read(); err != nil {
		k.log.Warn("undoing a fault without its journal", "fault", s.plan.ID, "error", err)
	} else if now := told.find(s.plan.ID); now != nil {
		if !now.undone.IsZero() {
			return nil
		}
		applied = now.applied
	}
	// What was injecting it died or gave up in the middle of it, and the last thing that it did may come after the undo: a request that
	// nobody waits for any more.
	interrupted := !applied
	if interrupted && k.settling(s.plan.ID) {
		return errSettling
	}
	err := k.pass(ctx, s.plan)
	if interrupted && err == nil && k.passed(s.plan.ID) {
		return errSettling
	}
	by := k.by
	if err == nil && (!interrupted || k.by == byRunner) { // after a death the targets' timers stay, for a third time
		var fired bool
		if fired, err = k.disarm(ctx, s.plan); fired {
			by = byTarget
		}
	}
	if err != nil {
		return k.failed(s, err)
	}
	k.log.Info("a fault is undone", "fault", s.plan.ID, "kind", s.plan.Fault, "by", by)
	err = k.append(entry{Undone: s.plan.ID, By: by})
	if errors.Is(err, fs.ErrNotExist) { // somebody removed the run's folder; there is nobody to tell
		k.log.Warn("a fault is undone whose journal is gone", "fault", s.plan.ID)
		return nil
	}
	return err
}

func (k *keeper) failed(s *state, err error) error {
	err = fmt.Errorf("undoing the fault %s, %s: %w", s.plan.ID, s.plan.Fault, err)
	if s.err != err.Error() { // once for all attempts that fail in the same way
		s.err = err.Error()
		if err := k.append(entry{Failed: s.plan.ID, Error: s.err}); err != nil {
			k.log.Warn("a fault's failed undo is not in its journal", "fault", s.plan.ID, "error", err)
		}
	}
	return err
}

// pass does all steps of an undo, also after one that failed.
func (k *keeper) pass(ctx context.Context, p fault.Plan) error {
	var errs []error
	for _, step := range p.Undo {
		_, err := k.do.Do(ctx, step)
		if errors.Is(err, target.ErrGone) {
			k.log.Info("nothing to undo", "fault", p.ID, "why", err)
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// armed are the targets of a fault that can be left with a timer.
func (k *keeper) armed(p fault.Plan) (targets []string) {
	a, ok := k.do.(armer)
	if !ok {
		return nil
	}
	for _, s := range p.Undo {
		if a.Arms(s.Target) && !slices.Contains(targets, s.Target) {
			targets = append(targets, s.Target)
		}
	}
	return targets
}

// late is how long after a fault's time its targets' own timers come, lest they come before who does it first.
const late = 10 * time.Second

func (k *keeper) arm(ctx context.Context, p fault.Plan) error {
	for _, name := range k.armed(p) {
		if err := k.do.(armer).Arm(ctx, name, p.ID, p.For+late, p.Undo); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) disarm(ctx context.Context, p fault.Plan) (fired bool, err error) {
	var errs []error
	for _, name := range k.armed(p) {
		did, err := k.do.(armer).Disarm(ctx, name, p.ID)
		fired = fired || did
		errs = append(errs, err)
	}
	return fired, errors.Join(errs...)
}

// Between attempts.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 15 * time.Second
)

func backoff(attempts int) time.Duration { return min(firstRetry<<min(attempts, 10), lastRetry) }

// all undoes faults, and again those that fail, until ctx ends. Faults without a common target are undone side by side, so that one that
// cannot be reached does not hold up the others; of the rest each waits for those before it.
func (k *keeper) all(ctx context.Context, left []*state) error {
	errs := make([][]error, len(left))
	var g sync.WaitGroup
	for i, group := range groups(left) {
		g.Go(func() { errs[i] = k.group(ctx, group) })
	}
	g.Wait()
	return errors.Join(slices.Concat(errs...)...)
}

func (k *keeper) group(ctx context.Context, left []*state) []error {
	for attempts := 0; ; attempts++ {
		var errs []error
		wait := k.settle
		left = slices.DeleteFunc(slices.Clone(left), func(s *state) bool {
			err := k.attempt(ctx, s, false)
			if err != nil {
				errs = append(errs, err)
			}
			if err != nil && !errors.Is(err, errSettling) {
				wait = min(wait, backoff(attempts))
			}
			return err == nil
		})
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errs
		case <-time.After(wait):
		}
	}
}

// groups parts faults, so that those that have a target in common are together, in their order.
func groups(left []*state) (all [][]*state) {
	for _, s := range left {
		mine := []*state{}
		var others [][]*state
		for _, g := range all {
			if slices.ContainsFunc(g, func(o *state) bool { return meet(o.plan, s.plan) }) {
				mine = append(mine, g...)
			} else {
				others = append(others, g)
			}
		}
		all = append(others, append(mine, s))
	}
	for _, g := range all { // merging has mixed them up
		slices.SortStableFunc(g, func(a, b *state) int { return cmp.Compare(slices.Index(left, a), slices.Index(left, b)) })
	}
	return all
}

func meet(a, b fault.Plan) bool {
	for _, s := range a.Undo {
		if slices.ContainsFunc(b.Undo, func(o target.Step) bool { return o.Target == s.Target }) {
			return true
		}
	}
	return false
}
