package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner/ledger"
)

func newCleanupCommand() *cobra.Command {
	var (
		flags  runnerFlags
		o      ledger.Options
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove from the cloud what dead runs made there",
		Long: "Remove servers and ports that runs made in the cloud of the configuration's section cloud. They are found by their marks\n" +
			"in the cloud alone, so that any machine can do it. Runs that go on on this machine are left alone; those of other\n" +
			"machines cannot be told from dead ones: --min-age spares what is younger.\n" +
			"Exits with 1 if something could not be removed, 2 if it could not begin.",
		Example: "  deskstorm cleanup --dry-run\n  deskstorm cleanup --run 20261126T021500-7f3a9c",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			r, _, err := flags.open(cmd)
			if err != nil {
				return complain(cmd, err)
			}
			defer r.Close()
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if o.Run != "" && !cmd.Flags().Changed("min-age") {
				o.MinAge = 0
			}
			report, err := r.Cleanup(ctx, o)
			out := cmd.OutOrStdout()
			if asJSON {
				report.Removed, report.Left = append([]ledger.Found{}, report.Removed...), append([]ledger.Found{}, report.Left...)
				report.Living = append([]string{}, report.Living...) // null is no list
				if err := printJSON(cmd, report); err != nil {
					return fmt.Errorf("printing what was removed: %w", err)
				}
			} else {
				verb := "removed"
				if o.DryRun {
					verb = "would remove"
				}
				for _, f := range report.Removed {
					fmt.Fprintf(out, "%s %s %s (%s) of run %s\n", verb, f.Kind, f.Name, f.ID, f.Run)
				}
				for _, f := range report.Left {
					fmt.Fprintf(out, "could not remove %s %s (%s) of run %s\n", f.Kind, f.Name, f.ID, f.Run)
				}
				if err == nil && len(report.Removed)+len(report.Left) == 0 {
					fmt.Fprintln(out, "nothing is there that a dead run made")
				}
			}
			if err != nil {
				printError(cmd.ErrOrStderr(), err)
				if len(report.Removed)+len(report.Left) == 0 {
					return exitError(exitConfiguration)
				}
				return exitError(1)
			}
			if len(report.Left) > 0 {
				return exitError(1)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Run, "run", "", "only what this run made, also if it goes on")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&o.AllProjects, "all-projects", false, "in all projects; for administrators")
	cmd.Flags().DurationVar(&o.MinAge, "min-age", 10*time.Minute, "leave alone what is younger, unless --run names its run")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	flags.register(cmd.Flags(), "warn")
	return cmd
}
