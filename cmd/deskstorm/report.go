package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
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
		Long: "Without a run, list the last ones that the history keeps. With one, or with \"last\", the last that has ended, show it: as text,\n" +
			"JSON, Markdown, JUnit XML or an HTML file that needs no other.\n" +
			"Exits with 2 if there is no such run.",
		Example: "  deskstorm report --experiment boot-storm\n" +
			"  deskstorm report last\n" +
			"  deskstorm report --format html 20261126T021500-7f3a9c > report.html",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch known := slices.Contains(reportFormats, format); {
			case !known:
				return complain(cmd, fmt.Errorf("--format %q is none of %s", format, strings.Join(reportFormats, ", ")))
			case len(args) == 0 && format != "text" && format != "json":
				return complain(cmd, fmt.Errorf("--format %s is of one run: name it, or last; the list is text or json", format))
			}
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
					if runs == nil {
						runs = []history.Kept{} // null is no list
					}
					return printJSON(cmd, runs)
				}
				return listRuns(out, runs)
			}
			id := args[0]
			if id == "last" {
				runs, err := r.History.List(cmd.Context(), history.Filter{Experiment: experiment, Limit: lastOf})
				if err != nil {
					return complain(cmd, err)
				}
				ended := slices.IndexFunc(runs, func(k history.Kept) bool { return !k.Running })
				if ended < 0 {
					return complain(cmd, errors.New("the history keeps no run that has ended"))
				}
				id = runs[ended].ID
			}
			kept, err := r.History.Run(cmd.Context(), id)
			if errors.Is(err, history.ErrNotFound) {
				err = fmt.Errorf("the history keeps no run %.120s; without a run, deskstorm report lists those it does", id)
			}
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
			if err := writeReport(out, shown, format); err != nil {
				return complain(cmd, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json, markdown, junit or html")
	cmd.Flags().StringVar(&experiment, "experiment", "", "only runs of this experiment")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many runs are listed")
	flags.register(cmd.Flags(), "warn")
	return cmd
}

// lastOf is among how many runs the last one that has ended is looked for: more than can go on at once.
const lastOf = 100

var reportFormats = []string{"text", "json", "markdown", "junit", "html"}

func writeReport(out io.Writer, shown report.Report, format string) error {
	switch format {
	case "markdown":
		return shown.Markdown(out)
	case "junit":
		return shown.JUnit(out)
	case "html":
		return shown.HTML(out)
	}
	return shown.Text(out, out == os.Stdout && colourWanted())
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
		if !k.Running {
			took = k.Ended.Sub(k.Began).Round(time.Second).String()
		}
		switch {
		case k.Running:
			outcome = "goes on"
		case k.Status == record.Interrupted:
			outcome = string(k.Status)
		case k.DryRun:
			outcome += " (dry run)"
		}
		fmt.Fprintf(&b, "%-24s %-18s %-20s %9s  %s\n", k.ID, k.Experiment, k.Began.Local().Format(time.DateTime), took, outcome)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
