package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/report"
)

func newReportCommand() *cobra.Command {
	var (
		flags      runnerFlags
		format     string
		experiment string
		limit      int
	)
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Show a kept run, or list the last ones",
		Long: "Without a run, list the last ones that the history keeps. With one, or with \"last\", show it: as text, or as JSON,\n" +
			"Markdown, JUnit XML or an HTML file that needs no other.\n" +
			"Exits with 2 if there is no such run.",
		Example: "  deskstorm report --experiment boot-storm\n" +
			"  deskstorm report last\n" +
			"  deskstorm report --format html 20261126T021500-7f3a9c > report.html",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, _, err := flags.open(cmd)
			if err != nil {
				return complain(cmd, err)
			}
			defer r.Close()
			out := cmd.OutOrStdout()
			if len(args) == 0 {
				runs, err := r.History.List(cmd.Context(), history.Filter{Experiment: experiment, Limit: limit})
				if err != nil {
					return complain(cmd, err)
				}
				if format == "json" {
					return printJSON(cmd, runs)
				}
				return listRuns(out, runs)
			}
			id := args[0]
			if id == "last" {
				runs, err := r.History.List(cmd.Context(), history.Filter{Experiment: experiment, Limit: 1})
				if err != nil {
					return complain(cmd, err)
				}
				if len(runs) == 0 {
					return complain(cmd, fmt.Errorf("the history keeps no run"))
				}
				id = runs[0].ID
			}
			kept, err := r.History.Run(cmd.Context(), id)
			if err != nil {
				return complain(cmd, err)
			}
			if format == "json" {
				return printJSON(cmd, kept)
			}
			shown, err := r.Report(cmd.Context(), kept)
			if err != nil {
				return complain(cmd, err)
			}
			return writeReport(out, shown, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json, markdown, junit or html")
	cmd.Flags().StringVar(&experiment, "experiment", "", "only runs of this experiment")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many runs are listed")
	flags.register(cmd.Flags(), "warn")
	return cmd
}

func writeReport(out io.Writer, shown report.Report, format string) error {
	switch format {
	case "text":
		return shown.Text(out, out == os.Stdout && colourWanted())
	case "markdown":
		return shown.Markdown(out)
	case "junit":
		return shown.JUnit(out)
	case "html":
		return shown.HTML(out)
	}
	return fmt.Errorf("--format %q is none of text, json, markdown, junit and html", format)
}

// listRuns prints a line a run.
func listRuns(out io.Writer, runs []history.Kept) error {
	if len(runs) == 0 {
		_, err := fmt.Fprintln(out, "the history keeps no run")
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s %-18s %-20s %9s  %s\n", "run", "experiment", "began", "took", "outcome")
	for _, k := range runs {
		outcome, took := k.Outcome, ""
		if k.Running {
			outcome = "goes on"
		} else {
			took = k.Ended.Sub(k.Began).Round(time.Second).String()
		}
		fmt.Fprintf(&b, "%-24s %-18s %-20s %9s  %s\n", k.ID, k.Experiment, k.Began.Local().Format(time.DateTime), took, outcome)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
