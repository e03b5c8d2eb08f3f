package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/runner/config"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/influx"
	"github.com/deskstorm/deskstorm/runner/notify"
	"github.com/deskstorm/deskstorm/runner/target"
	"github.com/deskstorm/deskstorm/runner/undo"
)

// Options are what a Runner needs besides its configuration.
type Options struct {
	// Self is the command, as an argument vector, that is this program: k6, the watchdog and relays are its commands.
	Self []string
	Log  *slog.Logger
}

// Runner carries out experiments with a configuration. Its methods may be called by many goroutines at once.
type Runner struct {
	Config  config.Config
	History *history.Store

	options  Options
	claimTTL time.Duration
	targets  *target.Targets
	influx   *influx.Writer // nil: there is none
	counts   counts
	notifier *notify.Notifier
	clocks   clocks
}

// Open makes the state folder, opens the history and saves what waits for it. It undoes nothing: Recover does.
func Open(ctx context.Context, c config.Config, o Options) (*Runner, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Runner{Config: c, options: o, claimTTL: claimTTL, targets: target.New(c.Targets), clocks: machineClocks()}
	for _, dir := range []string{c.State, r.runs(), r.spool()} {
		// What runs leave behind names hosts and people's desktops.
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the state folder: %w; the key state of the configuration names another one", err)
		}
	}
	var err error
	if r.History, err = history.Open(ctx, c.History); err != nil {
		return nil, err
	}
	r.drain(ctx)
	r.notifier = notify.New(c.Notify, r.History)
	if c.Influx != nil {
		if r.influx, err = influx.Open(*c.Influx, filepath.Join(c.State, "influxdb"), nil, o.Log); err != nil {
			return nil, errors.Join(err, r.History.Close())
		}
	}
	return r, nil
}

// Close stops sending points, which wait on disk then, and closes the history.
func (r *Runner) Close() error {
	if r.influx != nil {
		r.influx.Close()
	}
	return r.History.Close()
}

// runs is the folder with one for each run: its undo journal, its journal.json and its reports.
func (r *Runner) runs() string { return runsDir(r.Config) }

func runsDir(c config.Config) string { return filepath.Join(c.State, "runs") }

// spool is where runs wait that could not be saved in the history.
func (r *Runner) spool() string { return filepath.Join(r.Config.State, "spool") }

// Dir is the folder of a run.
func (r *Runner) Dir(id string) string { return filepath.Join(r.runs(), id) }

// drain saves the runs that wait for the history. Those that cannot be saved go on waiting.
func (r *Runner) drain(ctx context.Context) {
	saved, err := r.History.Drain(ctx, r.spool())
	if len(saved) > 0 {
		r.options.Log.Info("saved runs that waited for the history", "runs", saved)
	}
	if err != nil {
		r.options.Log.Warn("runs that wait for the history could not be saved", "error", err)
	}
}

// Recover ends what dead runs have left, and marks these runs as dead. It needs no history to end faults: its errors come last.
func (r *Runner) Recover(ctx context.Context) (undo.Report, error) {
	report, err := Recover(ctx, r.Config, r.options.Log)
	return report, errors.Join(err, r.markDead(ctx))
}

// markDead marks the runs whose runner has died.
func (r *Runner) markDead(ctx context.Context) error {
	dead, err := r.History.MarkDead(ctx)
	if len(dead) > 0 {
		r.options.Log.Warn("runs whose runner died are marked so", "runs", dead)
	}
	for _, id := range dead {
		err = errors.Join(err, r.recordFaults(ctx, id))
	}
	return err
}

// recordFaults tells the history which faults a dead run had, and who ended them.
func (r *Runner) recordFaults(ctx context.Context, id string) error {
	faults, err := undo.Records(r.runs(), id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was another machine's
	}
	if err != nil {
		return err
	}
	kept, err := r.History.Run(ctx, id)
	if err != nil {
		return err
	}
	kept.Faults = faults
	return r.History.Save(ctx, kept.Run, kept.Outcome, kept.Verdict)
}

// Recover ends the faults that dead runs of this machine have left, and removes what they have made in the cloud.
func Recover(ctx context.Context, c config.Config, log *slog.Logger) (undo.Report, error) {
	if _, err := os.Stat(runsDir(c)); errors.Is(err, fs.ErrNotExist) {
		return undo.Report{}, nil
	}
	report, err := undo.Recover(ctx, runsDir(c), target.New(c.Targets), log)
	return report, errors.Join(err, removeDead(ctx, c, log))
}

// Watch is the watchdog of a run, in a process of its own.
func Watch(ctx context.Context, c config.Config, run string, log *slog.Logger) error {
	return undo.Watch(ctx, undo.WatchOptions{
		Dir: runsDir(c), Run: run, Executor: target.New(c.Targets), Runner: os.Stdin, Ready: os.Stdout, Log: log,
	})
}

// watchdog is the command of a run's watchdog. It reads the configuration itself, so that no secret is among its arguments.
func (r *Runner) watchdog(run string) []string {
	command := slices.Concat(r.options.Self, []string{"watchdog", "--run", run})
	if r.Config.File != "" {
		command = append(command, "--config.file", r.Config.File)
	}
	return command
}
