package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner"
	"github.com/deskstorm/deskstorm/runner/fault/relay"
)

func newRecoverCommand() *cobra.Command {
	var flags runnerFlags
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "End the faults that dead runs left behind",
		Long: "End all faults of runs whose runner has died, also before the last boot of this machine. Runs that go on are left alone.\n" +
			"It is what deskstorm serve does at its start, and is fine to do again.\n" +
			"Exits with 1 if a fault could not be ended, 2 if it could not begin.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := flags.log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return complain(cmd, err)
			}
			c, err := flags.load()
			if err != nil {
				return complain(cmd, err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			report, err := runner.Recover(ctx, c, log)
			out := cmd.OutOrStdout()
			for _, f := range report.Undone {
				fmt.Fprintf(out, "ended %s %s: %s\n", f.Fault, f.ID, f.What)
			}
			for _, f := range report.Left {
				fmt.Fprintf(out, "could not end %s %s: %s\n", f.Fault, f.ID, f.Error)
			}
			for _, run := range report.Living {
				fmt.Fprintf(out, "run %s goes on\n", run)
			}
			nothing := len(report.Undone)+len(report.Left) == 0
			switch {
			case err != nil && nothing && len(report.Living) == 0:
				return complain(cmd, err)
			case err != nil:
				printError(cmd.ErrOrStderr(), err)
				return exitError(1)
			case nothing:
				fmt.Fprintln(out, "nothing was left behind")
			}
			return nil
		},
	}
	flags.register(cmd.Flags(), "warn")
	return cmd
}

// newWatchdogCommand is for the runner alone, which starts it beside each run.
func newWatchdogCommand() *cobra.Command {
	var flags runnerFlags
	var run string
	cmd := &cobra.Command{
		Use:    "watchdog --run ID",
		Short:  "End a run's faults when its runner no longer does (started by deskstorm itself)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := flags.log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c, err := flags.load()
			if err != nil {
				return err
			}
			return runner.Watch(cmd.Context(), c, run, log)
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "the run's id")
	flags.register(cmd.Flags(), "info")
	return cmd
}

// newRelayCommand is for the fault net.delay alone.
func newRelayCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "relay ...",
		Short:              "Delay TCP connections (started by faults)",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return relay.Run(ctx, args)
		},
	}
}
