package undo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/internal/disktest"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/target"
)

// stage is an executor that remembers what it was told.
type stage struct {
	mu    sync.Mutex
	done  []string
	on    map[string]func(context.Context) error // what a step does, by its word
	armed map[string]time.Duration
	fired bool
}

func (s *stage) Do(ctx context.Context, step target.Step) (string, error) {
	word := step.Command.Argv[0]
	s.mu.Lock()
	s.done = append(s.done, word)
	f := s.on[word]
	s.mu.Unlock()
	if f != nil {
		return "", f(ctx)
	}
	return "", nil
}

func (s *stage) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.done)
}

func (s *stage) Arms(target string) bool { return target == "far" }

func (s *stage) Arm(_ context.Context, target, id string, after time.Duration, _ []target.Step) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, "arm "+id)
	if s.armed == nil {
		s.armed = map[string]time.Duration{}
	}
	s.armed[target+" "+id] = after
	return nil
}

func (s *stage) Disarm(_ context.Context, target, id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, "disarm "+id)
	delete(s.armed, target+" "+id)
	return s.fired, nil
}

// plan is a fault whose steps are words: "apply a1", "undo a1".
func plan(id string, targets ...string) fault.Plan {
	p := fault.Plan{Fault: "test", ID: id, For: time.Hour}
	if len(targets) == 0 {
		targets = []string{"near"}
	}
	for _, name := range targets {
		p.Apply = append(p.Apply, target.Step{Target: name, Command: &target.Command{Argv: []string{"apply " + id}}})
		p.Undo = append(p.Undo, target.Step{Target: name, Command: &target.Command{Argv: []string{"undo " + id}}})
	}
	return p
}

func open(t *testing.T, dir string, do target.Executor, o Options) *Run {
	t.Helper()
	o.settle = 20 * time.Millisecond
	r, err := Open(dir, "run", do, o)
	require.NoError(t, err)
	return r
}

// die makes as if the runner's process had died.
func (r *Run) die() {
	for _, timer := range r.timers {
		timer.Stop()
	}
	_ = r.owner.Close()
}

func TestWrittenBeforeItIsApplied(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	s.on = map[string]func(context.Context) error{"apply a": func(context.Context) error {
		told, err := r.read()
		require.NoError(t, err)
		require.Equal(t, plan("a"), told.find("a").plan)
		require.False(t, told.find("a").applied)
		return nil
	}}
	require.NoError(t, r.Inject(t.Context(), plan("a")))
	require.ErrorContains(t, r.Inject(t.Context(), plan("a")), "there is, or was, a fault of this id")
	require.NoError(t, r.Inject(t.Context(), plan("b")))
	require.True(t, r.Active("a") && r.Active("b"))
	require.NoError(t, r.Undo(t.Context(), "a"))
	require.False(t, r.Active("a") || r.Active("c"))
	require.True(t, r.Active("b"))
	require.NoError(t, r.Undo(t.Context(), "a"), "it has ended")
	require.ErrorContains(t, r.Undo(t.Context(), "c"), "injected none of this id")
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.Equal(t, []string{"apply a", "apply b", "undo a", "undo b"}, s.said())
	records, err := Records(dir, "run")
	require.NoError(t, err)
	require.Equal(t, records, r.Records())
	for _, f := range records {
		require.Equal(t, byRunner, f.UndoneBy)
		require.False(t, f.Injected.IsZero() || f.Undone.IsZero())
	}
	require.ErrorContains(t, r.Inject(t.Context(), plan("d")), "the run has ended")
}

func TestRefused(t *testing.T) {
	s := &stage{}
	r := open(t, t.TempDir(), s, Options{MaxFor: 2 * time.Hour})
	defer r.Close()
	for name, test := range map[string]struct {
		change func(*fault.Plan)
		err    string
	}{
		"no time":   {func(p *fault.Plan) { p.For = 0 }, "it has no greatest duration"},
		"too long":  {func(p *fault.Plan) { p.For = 3 * time.Hour }, "it would last up to 3h0m0s; the configuration allows 2h0m0s"},
		"a path":    {func(p *fault.Plan) { p.ID = "../x" }, "its id is not of"},
		"no id":     {func(p *fault.Plan) { p.ID = "" }, "its id is not of"},
		"bad apply": {func(p *fault.Plan) { p.Apply = append(p.Apply, target.Step{Target: "x"}) }, "exactly one kind"},
		"bad undo":  {func(p *fault.Plan) { p.Undo = append(p.Undo, target.Step{}) }, "names no target"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan("a")
			test.change(&p)
			require.ErrorContains(t, r.Inject(t.Context(), p), test.err)
		})
	}
	require.Empty(t, s.said())
	require.Empty(t, r.Records())
	_, err := Open(filepath.Dir(r.dir), "run", s, Options{})
	require.ErrorContains(t, err, "the run run belongs to another process")
	_, err = Open(t.TempDir(), "../run", s, Options{})
	require.ErrorContains(t, err, "a run's id is of at most 80 letters")
}

// TestApplyFails: what was done is undone at once, also when that is why the run's context ended.
func TestApplyFails(t *testing.T) {
	refused := errors.New("refused")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &stage{on: map[string]func(context.Context) error{
		"apply a": func(context.Context) error { return refused },
		"apply b": func(context.Context) error { cancel(); return nil },
		"undo b":  func(ctx context.Context) error { return ctx.Err() },
	}}
	r := open(t, t.TempDir(), s, Options{})
	require.ErrorIs(t, r.Inject(ctx, plan("a", "one", "two")), refused)
	twice := []string{"apply a", "undo a", "undo a", "undo a", "undo a"}
	require.Equal(t, twice, s.said(), "the second time for what may still have been on its way")
	require.ErrorIs(t, r.Inject(ctx, plan("b", "one", "two")), context.Canceled)
	require.Equal(t, append(twice, "apply b", "undo b", "undo b", "undo b", "undo b"), s.said())
	for _, f := range r.Records() {
		require.NotEmpty(t, f.Error)
		require.False(t, f.Undone.IsZero())
	}
	require.NoError(t, r.Close())
	require.Len(t, s.said(), 10, "they have ended")
}

// TestUndoAll: the latest first, those after one that fails as well, and again until it does not; a server that is gone is no reason.
func TestUndoAll(t *testing.T) {
	down := 2
	s := &stage{}
	s.on = map[string]func(context.Context) error{
		"undo b": func(context.Context) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if down--; down >= 0 {
				return errors.New("the host is down")
			}
			return nil
		},
		"undo c": func(context.Context) error { return fmt.Errorf("starting it: %w", target.ErrGone) },
	}
	r := open(t, t.TempDir(), s, Options{})
	for _, id := range []string{"a", "b", "c"} {
		require.NoError(t, r.Inject(t.Context(), plan(id)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, r.UndoAll(ctx), "it has a context of its own")
	require.Equal(t, []string{"undo c", "undo b", "undo a", "undo b", "undo b"}, s.said()[3:])
	require.Equal(t, "undoing the fault b, test: the host is down", r.Records()[1].Error)
	require.NoError(t, r.Close())
}

func TestUndoIsBounded(t *testing.T) {
	s := &stage{on: map[string]func(context.Context) error{"undo a": func(context.Context) error { return errors.New("the host is down") }}}
	dir := t.TempDir()
	r := open(t, dir, s, Options{UndoTime: 50 * time.Millisecond})
	require.NoError(t, r.Inject(t.Context(), plan("a")))
	require.ErrorContains(t, r.Close(), "undoing the fault a, test: the host is down")
	require.True(t, r.Records()[0].Undone.IsZero())

	s.on = nil
	_, err := Open(dir, "run", s, Options{})
	require.ErrorContains(t, err, "has 1 faults that a dead process left behind")
	report, err := Recover(t.Context(), dir, s, nil)
	require.NoError(t, err)
	require.Len(t, report.Undone, 1)
	require.Equal(t, byRecover, report.Undone[0].UndoneBy)
}

// TestUnreachableHoldsUpNobody: faults at other targets do not wait for a host that does not answer.
func TestUnreachableHoldsUpNobody(t *testing.T) {
	undone := make(chan struct{})
	s := &stage{on: map[string]func(context.Context) error{
		"undo b": func(ctx context.Context) error {
			select {
			case <-undone:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		"undo a": func(context.Context) error { close(undone); return nil },
	}}
	r := open(t, t.TempDir(), s, Options{})
	require.NoError(t, r.Inject(t.Context(), plan("a", "near")))
	require.NoError(t, r.Inject(t.Context(), plan("b", "far away")))
	require.NoError(t, r.UndoAll(t.Context()))
	require.NoError(t, r.Close())
}

func TestGroups(t *testing.T) {
	var left []*state
	for _, targets := range [][]string{{"a"}, {"b"}, {"c"}, {"a", "c"}, {"d"}, {}} {
		p := plan(fmt.Sprint(len(left)), targets...)
		if len(targets) == 0 {
			p.Undo = nil
		}
		left = append(left, &state{plan: p})
	}
	var ids []string
	for _, g := range groups(left) {
		var of []string
		for _, s := range g {
			of = append(of, s.plan.ID)
		}
		ids = append(ids, strings.Join(of, " "))
	}
	require.ElementsMatch(t, []string{"1", "0 2 3", "4", "5"}, ids)
}

func TestTimeIsOver(t *testing.T) {
	s := &stage{}
	r := open(t, t.TempDir(), s, Options{})
	p := plan("a")
	p.For = 50 * time.Millisecond
	require.NoError(t, r.Inject(t.Context(), p))
	require.Eventually(t, func() bool { return !r.Records()[0].Undone.IsZero() }, 10*time.Second, time.Millisecond)
	p = plan("b")
	p.For = 50 * time.Millisecond
	s.on = map[string]func(context.Context) error{"apply b": func(ctx context.Context) error { <-ctx.Done(); return nil }}
	require.ErrorContains(t, r.Inject(t.Context(), p), "the fault's time is over")
	require.NoError(t, r.Close())
}

// TestArmed: before it is applied, and disarmed after it is undone; but not if its author died while injecting it.
func TestArmed(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	require.NoError(t, r.Inject(t.Context(), plan("a", "near", "far")))
	require.Equal(t, map[string]time.Duration{"far a": time.Hour + late}, s.armed)
	require.NoError(t, r.Undo(t.Context(), "a"))
	require.Equal(t, []string{"arm a", "apply a", "apply a", "undo a", "undo a", "disarm a"}, s.said())
	s.fired = true
	require.NoError(t, r.Inject(t.Context(), plan("b", "far")))
	require.NoError(t, r.Undo(t.Context(), "b"))
	require.Equal(t, byTarget, r.Records()[1].UndoneBy)

	c := plan("c", "far")
	require.NoError(t, r.append(entry{Inject: &c}))
	require.NoError(t, r.arm(t.Context(), c))
	r.die()
	_, err := Recover(t.Context(), dir, s, nil)
	require.NoError(t, err)
	require.Contains(t, s.armed, "far c")
	require.Equal(t, []string{"arm c", "undo c", "undo c"}, s.said()[len(s.said())-3:])
}

func TestRecover(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	require.NoError(t, r.Inject(t.Context(), plan("a")))
	require.True(t, Living(dir, "run"))
	report, err := Recover(t.Context(), dir, s, nil)
	require.NoError(t, err)
	require.Equal(t, Report{Living: []string{"run"}}, report)
	r.die()
	require.False(t, Living(dir, "run"))
	require.False(t, Living(dir, "../run"))

	// Torn in the middle of a line, and damaged.
	path := filepath.Join(dir, "run", journalFile)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, "\x00\x00\n{\"at\":\"2026-"...), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "no run"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a file"), nil, 0o600))

	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			_, err := Recover(t.Context(), dir, s, nil)
			require.NoError(t, err)
		})
	}
	both.Wait()
	require.Equal(t, []string{"apply a", "undo a"}, s.said(), "once")
	report, err = Recover(t.Context(), dir, s, nil)
	require.NoError(t, err)
	require.Equal(t, Report{Unread: []string{path}}, report)
	report, err = Recover(t.Context(), filepath.Join(dir, "nowhere"), s, nil)
	require.NoError(t, err)
	require.Equal(t, Report{}, report)
}

func TestRecoverFails(t *testing.T) {
	dir := t.TempDir()
	s := &stage{on: map[string]func(context.Context) error{"undo a": func(context.Context) error { return errors.New("the host is down") }}}
	r := open(t, dir, s, Options{})
	require.NoError(t, r.Inject(t.Context(), plan("a")))
	require.NoError(t, r.Inject(t.Context(), plan("b")))
	r.die()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	report, err := Recover(ctx, dir, s, nil)
	require.ErrorContains(t, err, "recovering the run run: undoing the fault a, test: the host is down")
	require.Len(t, report.Undone, 1)
	require.Len(t, report.Left, 1)
	require.Contains(t, report.Left[0].Error, "the host is down")
}

// A run whose target cannot be reached does not keep the others', and whoever waits for Recover, for its whole time.
func TestRecoverSideBySide(t *testing.T) {
	dir := t.TempDir()
	ended := make(chan struct{})
	s := &stage{on: map[string]func(context.Context) error{
		"undo a": func(ctx context.Context) error { // cannot be reached, until the other is done
			select {
			case <-ended:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		"undo b": func(context.Context) error { close(ended); return nil },
	}}
	for _, id := range []string{"a", "b"} {
		r, err := Open(dir, "run-"+id, s, Options{})
		require.NoError(t, err)
		require.NoError(t, r.Inject(t.Context(), plan(id)))
		r.die()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	report, err := Recover(ctx, dir, s, nil)
	require.NoError(t, err)
	require.Len(t, report.Undone, 2)
	require.Equal(t, "a", report.Undone[0].ID)
}

// TestDiskFull: nothing is injected then, and what is injected is undone all the same.
func TestDiskFull(t *testing.T) {
	dir := disktest.New(t, "64k")
	s := &stage{}
	r := open(t, dir, s, Options{UndoTime: time.Second})
	require.NoError(t, r.Inject(t.Context(), plan("a")))
	filler := filepath.Join(dir, "filler")
	require.ErrorIs(t, os.WriteFile(filler, make([]byte, 1<<20), 0o600), unix.ENOSPC)
	var err error
	for i := 0; err == nil; i++ { // until the journal's last page is full
		err = r.Inject(t.Context(), plan(fmt.Sprintf("x%d", i)))
		s.mu.Lock()
		s.done = nil
		s.mu.Unlock()
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	journal, err := os.OpenFile(r.path(journalFile), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer journal.Close()
	size, err := journal.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	for err == nil {
		_, err = journal.WriteString("x")
	}
	err = r.Undo(t.Context(), "a")
	require.ErrorIs(t, err, unix.ENOSPC)
	require.Contains(t, s.said(), "undo a")
	require.ErrorContains(t, err, "writing to the journal of faults")
	require.NoError(t, os.Remove(filler))
	require.NoError(t, journal.Truncate(size))
	require.NoError(t, journal.Close())
	require.NoError(t, r.Close())
	told, err := r.read()
	require.NoError(t, err)
	require.Empty(t, told.left())
	require.Zero(t, told.unread)
}
