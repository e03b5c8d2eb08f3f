package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner"
	"github.com/deskstorm/deskstorm/runner/compare"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

func newCompareCommand() *cobra.Command {
	var (
		flags      runnerFlags
		by         string
		experiment string
		format     string
		perSite    bool
		limit      int
	)
	cmd := &cobra.Command{
		Use:   "compare [A B]",
		Short: "Compare two runs, or all runs by a version of what was under test",
		Long: "Set two kept runs side by side, or, with --by, all runs of an experiment by a version of what was under test: kernel, qemu,\n" +
			"libvirt, ovs, openstack, rabbitmq, dnsmasq, deskstorm, k6, go. What is no more than chance is called noise, and what else\n" +
			"differs is named.\n" +
			"Exits with 2 if there is nothing to compare.",
		Example: "  deskstorm compare 20261125T021500-7f3a9c 20261126T021500-c01d55\n" +
			"  deskstorm compare --by qemu --experiment version-matrix\n" +
			"  deskstorm compare --by kernel --format html > kernels.html",
		Args: func(_ *cobra.Command, args []string) error {
			if by == "" && len(args) != 2 || by != "" && len(args) != 0 {
				return errors.New("name two runs (deskstorm report lists them), or one of what was under test: --by qemu")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, _, err := flags.open(cmd)
			if err != nil {
				return complain(cmd, err)
			}
			defer r.Close()
			var shown comparison
			if by != "" {
				shown, err = compareBy(cmd, r, by, history.Filter{Experiment: experiment, Limit: limit})
			} else {
				shown, err = compareRuns(cmd, r, args[0], args[1], perSite)
			}
			if err != nil {
				return complain(cmd, err)
			}
			switch format {
			case "text":
				return shown.Text(cmd.OutOrStdout())
			case "html":
				return shown.HTML(cmd.OutOrStdout())
			case "json":
				return printJSON(cmd, shown)
			}
			return complain(cmd, fmt.Errorf("--format %q is none of text, html and json", format))
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "what the runs are grouped by: a version's name, such as qemu")
	cmd.Flags().StringVar(&experiment, "experiment", "", "with --by: only runs of this experiment")
	cmd.Flags().IntVar(&limit, "limit", 500, "with --by: how many runs, the latest ones")
	cmd.Flags().BoolVar(&perSite, "per-site", false, "of two runs: a row for each site")
	cmd.Flags().StringVar(&format, "format", "text", "text, json or html")
	flags.register(cmd.Flags(), "warn")
	return cmd
}

// comparison is what package compare makes.
type comparison interface {
	Text(io.Writer) error
	HTML(io.Writer) error
}

func compareRuns(cmd *cobra.Command, r *runner.Runner, a, b string, perSite bool) (comparison, error) {
	ctx := cmd.Context()
	first, err := r.History.Run(ctx, a)
	if err != nil {
		return nil, err
	}
	second, err := r.History.Run(ctx, b)
	if err != nil {
		return nil, err
	}
	before := first.Began
	if second.Began.Before(before) {
		before = second.Began
	}
	nights, err := r.History.Nights(ctx, history.Like{
		Experiment: second.Experiment, Before: before, Outcomes: []string{string(verdict.Passed), string(verdict.Deviated)},
	})
	if err != nil {
		return nil, err
	}
	return compare.Runs(first, second, compare.Options{PerSite: perSite, Nights: nights})
}

func compareBy(cmd *cobra.Command, r *runner.Runner, by string, f history.Filter) (comparison, error) {
	runs, err := r.History.List(cmd.Context(), f)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(runs))
	for i, k := range runs {
		ids[i] = k.ID
	}
	totals, err := r.History.Totals(cmd.Context(), ids...)
	if err != nil {
		return nil, err
	}
	for i := range runs {
		runs[i].Totals = totals[runs[i].ID]
	}
	return compare.GroupBy(runs, by)
}
