package undo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/target"
)

// Report is what Recover found.
type Report struct {
	Undone []record.Fault // what it ended
	Left   []record.Fault // what could not be ended, each with its error
	Living []string       // runs whose runner lives, which were left alone
	Unread []string       // journals some lines of which cannot be read
}

// recoverTime is how long Recover goes on trying for each run.
const recoverTime = 2 * time.Minute

// recoverAtOnce is how many runs are recovered at the same time.
const recoverAtOnce = 16

// Recover ends the faults of all runs below dir whose runner has died, also when that was before the machine's last boot. It is fine to
// do so again, and while watchdogs are at the same. The error joins what could not be ended or read.
func Recover(ctx context.Context, dir string, do target.Executor, log *slog.Logger) (Report, error) {
	var report Report
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return report, nil
	}
	if err != nil {
		return report, fmt.Errorf("looking for what dead runs left behind: %w", err)
	}
	// Side by side: a target that cannot be reached takes the whole time, and holds up nobody.
	reports, errs := make([]Report, len(entries)), make([]error, len(entries))
	var runs errgroup.Group
	runs.SetLimit(recoverAtOnce)
	for i, e := range entries {
		j := journal{filepath.Join(dir, e.Name())}
		if !e.IsDir() || !j.exists() {
			continue
		}
		k := &keeper{journal: j, do: do, by: byRecover, log: log.With("run", e.Name()), settle: defaultSettle}
		runs.Go(func() error {
			if err := k.recover(ctx, e.Name(), &reports[i]); err != nil {
				errs[i] = fmt.Errorf("recovering the run %s: %w", e.Name(), err)
			}
			return nil
		})
	}
	_ = runs.Wait()
	for _, one := range reports {
		report.Undone = append(report.Undone, one.Undone...)
		report.Left = append(report.Left, one.Left...)
		report.Living = append(report.Living, one.Living...)
		report.Unread = append(report.Unread, one.Unread...)
	}
	return report, errors.Join(errs...)
}

func (k *keeper) recover(ctx context.Context, run string, report *Report) error {
	told, err := k.read()
	if err != nil {
		return err
	}
	if told.unread > 0 {
		report.Unread = append(report.Unread, k.path(journalFile))
	}
	left := told.left()
	if len(left) == 0 {
		return nil
	}
	if held(k.path(ownerFile)) {
		report.Living = append(report.Living, run)
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, recoverTime, fmt.Errorf("it was tried for %s", recoverTime))
	defer cancel()
	failed := k.all(ctx, left)
	now, err := k.read()
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, s := range left {
		switch s = now.find(s.plan.ID); {
		case s == nil: // somebody replaced the journal
		case s.undone.IsZero():
			report.Left = append(report.Left, s.record())
		default:
			report.Undone = append(report.Undone, s.record())
		}
	}
	return failed
}

// Living says whether a run's runner lives, on this machine.
func Living(dir, run string) bool {
	if !goodName.MatchString(run) {
		return false
	}
	return held(filepath.Join(dir, run, ownerFile))
}

// Records are the faults of a run, which may go on, as its journal has them.
func Records(dir, run string) ([]record.Fault, error) {
	if !goodName.MatchString(run) {
		return nil, fmt.Errorf("%q is no run's id", run)
	}
	told, err := journal{filepath.Join(dir, run)}.read()
	if err != nil {
		return nil, err
	}
	return told.records(), nil
}

// Left is how many faults of a run may still be injected, as its journal says; lines of it that cannot be read count as one.
func Left(dir, run string) (int, error) {
	j := journal{filepath.Join(dir, run)}
	if !j.exists() {
		return 0, nil
	}
	told, err := j.read()
	if err != nil {
		return 0, fmt.Errorf("reading the journal of run %s: %w", run, err)
	}
	return len(told.left()) + min(told.unread, 1), nil
}

// Settled says whether nothing of a run is left to be undone, as far as its journal can be read.
func Settled(dir, run string) (bool, error) {
	left, err := Left(dir, run)
	return err == nil && left == 0, err
}
