package undo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/runner/target"
)

// WatchOptions are what a watchdog needs.
type WatchOptions struct {
	Dir, Run string // as of Open
	Executor target.Executor
	// Runner is what the runner writes to, and what ends when it dies: the watchdog's standard input.
	Runner io.Reader
	// Ready is told by a byte that the watchdog is at work: its standard output.
	Ready  io.Writer
	Lease  time.Duration // how long the runner may be silent: 30 s if 0
	GiveUp time.Duration // how long after the runner's death undoing is tried: 24 h if 0; Recover is what is left then
	Log    *slog.Logger  // nil: none

	settle time.Duration
}

const (
	defaultLease  = 30 * time.Second
	defaultGiveUp = 24 * time.Hour
	watchTick     = time.Second
	// runnerFirst is how long after a fault's time the runner may take to undo it before the watchdog does: both notice at once, and a
	// report that has the watchdog in it says that the runner did not do its part.
	runnerFirst = 2 * time.Second
)

// Watch is a run's watchdog: it ends a fault when its time is over, and all faults when the runner has died or is silent for longer than
// its lease. It returns when the runner has ended and nothing is left, and takes no notice of SIGTERM, SIGINT and SIGHUP: who wants
// it to end ends the runner.
func Watch(ctx context.Context, o WatchOptions) error {
	o.Lease = cmp.Or(o.Lease, defaultLease)
	o.GiveUp = cmp.Or(o.GiveUp, defaultGiveUp)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	// Not signal.Ignore: the programs that it starts would inherit that.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Stop(signals)

	j := journal{filepath.Join(o.Dir, o.Run)}
	if !j.exists() { // a watchdog that was told of another folder would watch nothing, and the runner would rely on it
		return fmt.Errorf("there is no run %s in %s; the configuration may have changed since the runner read it", o.Run, o.Dir)
	}
	// The one before it has died, or is about to.
	waiting, cancel := context.WithTimeout(ctx, readyTime)
	held, err := lock(waiting, j.path(watchdogFile))
	cancel()
	if err != nil {
		return fmt.Errorf("the run %s has a watchdog: %w", o.Run, err)
	}
	defer held.Close()
	sign(held)
	w := &watch{
		keeper:  &keeper{journal: j, do: o.Executor, by: byWatchdog, log: o.Log, settle: cmp.Or(o.settle, defaultSettle)},
		options: o, busy: map[string]bool{}, tries: map[string]int{}, next: map[string]time.Time{}, seen: map[string]time.Time{},
		done: make(chan result),
	}
	if _, err := o.Ready.Write([]byte{'.'}); err != nil {
		return fmt.Errorf("telling the runner that the watchdog is at work: %w", err)
	}
	return w.loop(ctx, signals)
}

type watch struct {
	*keeper
	options WatchOptions

	gone, hung bool
	wentAt     time.Time
	silence    time.Duration
	busy       map[string]bool      // faults that are being undone
	tries      map[string]int       // how often that failed
	next       map[string]time.Time // when it is tried again
	seen       map[string]time.Time // when a fault's time is over
	done       chan result
	known      *story // as of when it was last read
}

type result struct {
	id  string
	err error
}

func (w *watch) loop(ctx context.Context, signals <-chan os.Signal) error {
	beats := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		for {
			_, err := w.options.Runner.Read(buf)
			if err != nil {
				close(ended)
				return
			}
			select {
			case beats <- struct{}{}:
			default:
			}
		}
	}()
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	wake := time.NewTimer(watchTick) // when a fault may have settled
	defer wake.Stop()
	last := time.Now()
	for {
		left, err := w.step(ctx)
		if w.gone && err == nil && left == 0 {
			w.log.Info("the runner has ended, and no fault is left")
			return nil
		}
		if w.gone && time.Since(w.wentAt) > w.options.GiveUp {
			return fmt.Errorf("%d faults could not be undone within %s after the runner's end", left, w.options.GiveUp)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-beats:
			w.silence, w.hung = 0, false
		case <-ended:
			w.log.Info("the runner has ended")
			w.gone, w.wentAt, ended = true, time.Now(), nil
		case r := <-w.done:
			delete(w.busy, r.id)
			switch {
			case r.err == nil:
				if s := w.known.find(r.id); s != nil {
					s.undone = time.Now() // for when the journal is gone
				}
			case errors.Is(r.err, errSettling):
				w.next[r.id] = time.Now().Add(w.settle)
				wake.Reset(w.settle)
			case r.err != nil:
				w.log.Error("a fault stays for now", "error", r.err)
				w.next[r.id] = time.Now().Add(backoff(w.tries[r.id]))
				w.tries[r.id]++
			}
		case s := <-signals:
			w.log.Info("a signal is not for the watchdog, which ends when the runner has ended and no fault is left", "signal", s)
		case <-wake.C:
		case now := <-tick.C:
			// When the whole machine was stopped, the runner was too.
			w.silence += min(now.Sub(last), 2*watchTick)
			last = now
			if w.silence > w.options.Lease && !w.hung && !w.gone {
				w.hung = true
				why := fmt.Sprintf("the runner was silent for %s", w.options.Lease)
				w.log.Warn("the faults of a runner that hangs are undone", "why", why)
				if err := w.append(entry{TakeOver: why}); err != nil {
					w.log.Error("taking over", "error", err)
				}
			}
		}
	}
}

// step begins to undo what has to be undone now, and says how many faults there are.
func (w *watch) step(ctx context.Context) (int, error) {
	told, err := w.read()
	switch {
	case err == nil:
		w.known = told
	case errors.Is(err, fs.ErrNotExist) && w.known != nil:
		// Somebody removed the run's folder. What is injected is still there.
		told, err = w.known, nil
	default:
		w.log.Error("the watchdog cannot read what it watches", "error", err)
		return 0, err
	}
	now := time.Now()
	var due []*state
	left := told.left()
	for _, s := range left {
		id := s.plan.ID
		if w.seen[id].IsZero() {
			// By the wall clock, which may have been set since, only if that is sooner.
			w.seen[id] = now.Add(min(max(s.plan.For-now.Sub(s.injected), 0), s.plan.For))
		}
		if (w.gone || w.hung || !now.Before(w.seen[id].Add(runnerFirst))) && !w.busy[id] && !now.Before(w.next[id]) {
			due = append(due, s)
		}
	}
	for _, group := range groups(due) {
		for _, s := range group {
			w.busy[s.plan.ID] = true
		}
		hung := w.hung
		go func() {
			for _, s := range group {
				w.done <- result{s.plan.ID, w.attempt(ctx, s, hung)}
			}
		}()
	}
	return len(left), nil
}
