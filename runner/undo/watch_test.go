package undo

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// watching is a watchdog in this process, with the test as its runner.
type watching struct {
	pipe  *io.PipeWriter
	ended chan error
}

func watchIt(t *testing.T, dir string, s *stage, lease time.Duration) *watching {
	t.Helper()
	in, out := io.Pipe()
	said, ready := io.Pipe()
	w := &watching{pipe: out, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ended <- Watch(ctx, WatchOptions{Dir: dir, Run: "run", Executor: s, Runner: in, Ready: ready, Lease: lease, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), settle: 20 * time.Millisecond})
		_ = ready.Close()
	}()
	t.Cleanup(func() { cancel(); _ = out.Close(); <-done })
	_, err := io.ReadFull(said, make([]byte, 1))
	require.NoError(t, err)
	return w
}

func undoneBy(t *testing.T, dir, id, by string) {
	t.Helper()
	require.Eventually(t, func() bool {
		records, err := Records(dir, "run")
		require.NoError(t, err)
		for _, f := range records {
			if f.ID == id {
				return f.UndoneBy == by
			}
		}
		return false
	}, 20*time.Second, time.Millisecond)
}

func TestWatchdogOutlivesTheRunner(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	w := watchIt(t, dir, s, 0)
	require.NoError(t, r.Inject(t.Context(), plan("a")))
	require.NoError(t, r.Inject(t.Context(), plan("b")))
	c := plan("c")
	require.NoError(t, r.append(entry{Inject: &c})) // and then it dies
	r.die()
	began := time.Now()
	require.NoError(t, w.pipe.Close())
	require.NoError(t, <-w.ended)
	require.Less(t, time.Since(began), 10*time.Second)
	for _, id := range []string{"a", "b", "c"} {
		undoneBy(t, dir, id, byWatchdog)
	}
	did := s.said()[2:]
	require.Len(t, did, 4, "what was interrupted is undone twice")
	again := slices.Index(did[1:], "undo c") + 1 // on a busy machine before the others are done
	require.Equal(t, []string{"undo c", "undo b", "undo a"}, slices.Delete(did, again, again+1))
}

// TestFolderRemoved: by a cleaner of temporary files; what is injected is still there.
func TestFolderRemoved(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	w := watchIt(t, dir, s, 0)
	for _, id := range []string{"a", "b", "c"} {
		require.NoError(t, r.Inject(t.Context(), plan(id)))
	}
	_, err := w.pipe.Write([]byte{'.'})
	require.NoError(t, err)
	_, err = w.pipe.Write([]byte{'.'}) // by now it has read the first one, and soon after the journal
	require.NoError(t, err)
	time.Sleep(2 * watchTick)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, r.Undo(t.Context(), "c"))
	r.die()
	require.NoError(t, w.pipe.Close())
	require.NoError(t, <-w.ended)
	require.Equal(t, []string{"undo c", "undo c", "undo b", "undo a"}, s.said()[3:], "the watchdog cannot know of the first")
}

func TestWatchdogEndsWithTheRunner(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	w := watchIt(t, dir, s, 0)
	require.NoError(t, r.Inject(t.Context(), plan("a")))
	require.NoError(t, r.Close())
	require.NoError(t, w.pipe.Close())
	require.NoError(t, <-w.ended)
	require.Equal(t, []string{"apply a", "undo a"}, s.said())
}

// TestRunnerHangs: its faults are undone, and when it goes on it is told so.
func TestRunnerHangs(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	w := watchIt(t, dir, s, 2*time.Second)
	require.NoError(t, r.Inject(t.Context(), plan("a")))

	// It hangs in the middle of this one, with its lock.
	var err error
	hangs := make(chan struct{})
	s.mu.Lock()
	s.on = map[string]func(context.Context) error{"apply b": func(context.Context) error { <-hangs; return nil }}
	s.mu.Unlock()
	injected := make(chan struct{})
	go func() {
		defer close(injected)
		err = r.Inject(t.Context(), plan("b"))
	}()
	for range 3 { // beats put it off
		time.Sleep(time.Second)
		_, err := w.pipe.Write([]byte{'.'})
		require.NoError(t, err)
		require.True(t, r.Records()[0].Undone.IsZero())
	}
	undoneBy(t, dir, "a", byWatchdog)
	undoneBy(t, dir, "b", byWatchdog)
	close(hangs)
	<-injected
	require.ErrorIs(t, err, ErrTakenOver)
	undoneBy(t, dir, "b", byRunner)
	require.ErrorIs(t, r.Inject(t.Context(), plan("c")), ErrTakenOver)
	require.NotContains(t, s.said(), "apply c")
	require.NoError(t, r.Close())
}

func TestWatchdogKnowsTheTime(t *testing.T) {
	dir, s := t.TempDir(), &stage{}
	r := open(t, dir, s, Options{})
	watchIt(t, dir, s, 0)
	p := plan("a")
	p.For = 100 * time.Millisecond
	require.NoError(t, r.append(entry{Inject: &p})) // by a runner that has no timer
	require.NoError(t, r.append(entry{Applied: "a"}))
	undoneBy(t, dir, "a", byWatchdog)
	r.die()
}

// TestNoWatchdog: nothing is injected without one.
func TestNoWatchdog(t *testing.T) {
	for name, command := range map[string][]string{
		"is not there": {filepath.Join(t.TempDir(), "nothing")},
		"fails":        {"/bin/false"},
		"says nothing": {"/bin/sleep", "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stage{}
			r := open(t, t.TempDir(), s, Options{Watchdog: command})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			require.ErrorContains(t, r.Inject(ctx, plan("a")), "no fault is injected without a watchdog")
			require.NoError(t, r.Close())
			require.Empty(t, s.said())
			_, err := os.Stat(filepath.Join(r.dir, watchdogLog))
			require.NoError(t, err)
		})
	}
}

// A watchdog that reads another configuration than its runner did would watch an empty folder.
func TestNothingToWatch(t *testing.T) {
	dir := t.TempDir()
	err := Watch(t.Context(), WatchOptions{Dir: dir, Run: "run", Executor: &stage{}, Runner: new(io.PipeReader), Ready: io.Discard})
	require.ErrorContains(t, err, "there is no run run in "+dir)
	require.NoDirExists(t, filepath.Join(dir, "run"))
}
