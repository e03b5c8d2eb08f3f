package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner"
	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/report"
)

func newRunCommand() *cobra.Command {
	var (
		flags     runnerFlags
		variables []string
		dry       string
		journal   string
		out       string
		asJSON    bool
	)
	cmd := &cobra.Command{
		Use:   "run EXPERIMENT",
		Short: "Run an experiment, and say whether the cloud passed it",
		Long: "Run an experiment: a file in the Chaos Toolkit's format, or a shipped one by its name:\n" + shippedColumns() + "\n" +
			"Its faults are undone whatever becomes of it. Its journal and reports are in a folder below the state folder.\n" +
			"A dry run of actions injects nothing and makes no load: it shows what would be touched. Of activities it asks nothing\n" +
			"either. Dry runs of probes and of pauses do all else, faults included. None has a verdict.\n" +
			"Exits with 0 if it passed, 1 if it deviated, 2 if it could not be run, 3 if there is no verdict.",
		Example: "  deskstorm run smoke\n" +
			"  deskstorm run --var users=200 --var window=5m morning-shift\n" +
			"  deskstorm run --dry-run actions my-experiment.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 1:
				return nil
			case dry != "" && engine.Dry(dry).Check() != nil:
				return fmt.Errorf("--dry-run %q: say what is left out, as in --dry-run actions EXPERIMENT", dry)
			}
			return errors.New("name one experiment")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q := runner.Request{Experiment: args[0], Dry: engine.Dry(dry)}
			err := q.Dry.Check()
			if err != nil {
				return complain(cmd, err)
			}
			if q.Variables, err = parseVariables(variables); err != nil {
				return complain(cmd, err)
			}
			r, log, err := flags.open(cmd)
			if err != nil {
				return complain(cmd, err)
			}
			defer func() {
				if err := r.Close(); err != nil {
					log.Error("the history could not be closed", "error", err)
				}
			}()
			// The second signal ends the program at once; the watchdog undoes what is injected then.
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			context.AfterFunc(ctx, stop)
			defer stop()
			run, err := r.Prepare(q)
			if err != nil {
				return complain(cmd, err)
			}
			if err := canCopy(journal, out); err != nil {
				return complain(cmd, err)
			}
			done := make(chan struct{})
			shown := make(chan struct{})
			go func() { defer close(shown); showProgress(cmd.ErrOrStderr(), run, done) }()
			result, err := run.Do(ctx)
			close(done)
			<-shown
			if err != nil {
				printError(cmd.ErrOrStderr(), err)
				if result.Dir == "" {
					return exitError(exitConfiguration)
				}
			}
			if result.Refused != nil { // the report has it in a line
				printError(cmd.ErrOrStderr(), result.Refused)
			}
			copied := copyTo(result, journal, out)
			if err := show(cmd, result, q.Dry, asJSON); err != nil {
				return complain(cmd, err)
			}
			if copied != nil {
				return complain(cmd, copied)
			}
			if code := result.Verdict.ExitCode(); code != 0 {
				return exitError(code)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&variables, "var", nil, "NAME=VALUE in place of what the experiment's configuration says; the value is YAML; can be repeated")
	cmd.Flags().StringVar(&dry, "dry-run", "", "leave out probes, actions, activities (both) or pause (pauses)")
	cmd.Flags().StringVar(&journal, "journal-path", "", "write the Chaos Toolkit's journal.json here too")
	cmd.Flags().StringVar(&out, "report-dir", "", "write the reports here too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print run and verdict as JSON")
	flags.register(cmd.Flags(), "warn")
	return cmd
}

// parseVariables reads NAME=VALUE.
func parseVariables(texts []string) (map[string]any, error) {
	variables := map[string]any{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--var %s: expected NAME=VALUE", name)
		}
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			return nil, fmt.Errorf("--var %s: the value is not YAML; quote it", name)
		}
		if v == nil {
			v = ""
		}
		variables[name] = v
	}
	return variables, nil
}

// show prints what the run came to.
func show(cmd *cobra.Command, result runner.Result, dry engine.Dry, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		if err := result.JSON(out); err != nil {
			return fmt.Errorf("printing the result: %w", err)
		}
		return nil
	}
	if dry == engine.DryActions || dry == engine.DryActivities {
		if err := showTouched(out, result.Run); err != nil {
			return fmt.Errorf("printing what would be touched: %w", err)
		}
	}
	shown := report.Report{Run: result.Run, Verdict: result.Verdict}
	if err := shown.Text(out, out == os.Stdout && colourWanted()); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	_, err := fmt.Fprintln(out, "reports:", result.Dir)
	return err
}

// canCopy refuses before a long run what copyTo would fail at after it. It makes the folder of the reports.
func canCopy(journal, dir string) error {
	try := func(dir string) error {
		f, err := os.CreateTemp(dir, ".deskstorm-*")
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if journal != "" {
		err := try(filepath.Dir(journal))
		if info, e := os.Stat(journal); err == nil && e == nil && info.IsDir() {
			err = fmt.Errorf("%s is a folder", journal)
		}
		if err != nil {
			return fmt.Errorf("--journal-path %s cannot be written: %w", journal, err)
		}
	}
	if dir != "" {
		err := os.MkdirAll(dir, 0o777)
		if err == nil {
			err = try(dir)
		}
		if err != nil {
			return fmt.Errorf("--report-dir %s cannot be written: %w", dir, err)
		}
	}
	return nil
}

// copyTo copies the run's journal and reports to where the command line wants them, in place of older ones.
func copyTo(result runner.Result, journal, dir string) error {
	var errs []error
	copied := func(name, to string) {
		text, err := os.ReadFile(filepath.Join(result.Dir, name))
		if err == nil {
			err = os.WriteFile(to, text, 0o666)
		}
		errs = append(errs, err)
	}
	if journal != "" {
		copied(runner.JournalFile, journal)
	}
	if dir != "" {
		for _, name := range []string{runner.JournalFile, runner.RunFile, runner.HTMLFile, runner.MarkdownFile, runner.JUnitFile} {
			copied(name, filepath.Join(dir, name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("copying the reports: %w", err)
	}
	return nil
}
