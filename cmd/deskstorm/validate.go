package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner"
	"github.com/deskstorm/deskstorm/runner/config"
	"github.com/deskstorm/deskstorm/scenarios"
)

func shippedNames() string { return strings.Join(scenarios.ExperimentNames(), ", ") }

// shippedColumns are the names in lines that a terminal has room for.
func shippedColumns() string {
	const each = 6 // in a line
	var b strings.Builder
	for names := range slices.Chunk(scenarios.ExperimentNames(), each) {
		fmt.Fprintf(&b, "  %s\n", strings.Join(names, "  "))
	}
	return strings.TrimRight(b.String(), "\n")
}

func newValidateCommand() *cobra.Command {
	var schema bool
	var file string
	cmd := &cobra.Command{
		Use:   "validate [EXPERIMENT]...",
		Short: "Say what is wrong with experiments and with the configuration",
		Long: "Read experiments, files or shipped ones by their names, and say all that is wrong with them, with line and column each.\n" +
			"Nothing is run, and nobody is asked. With --config.file the runner's configuration is read too; with --schema the JSON\n" +
			"schema of experiments is printed, for editors.\n" +
			"Exits with 2 if something is wrong.",
		Example: "  deskstorm validate my-experiment.yaml\n" +
			"  deskstorm validate --config.file /etc/deskstorm/deskstorm.yaml\n" +
			"  deskstorm validate --schema > experiment.schema.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			if schema {
				_, err := out.Write(runner.Schema())
				return err
			}
			if len(args) == 0 && file == "" {
				return complain(cmd, fmt.Errorf("name an experiment, or --config.file; shipped experiments are %s", shippedNames()))
			}
			wrong := false
			check := func(what string, err error) {
				if err != nil {
					wrong = true
					printError(cmd.ErrOrStderr(), err)
					return
				}
				fmt.Fprintln(out, what, "has no mistakes")
			}
			if file != "" {
				c, err := config.Load(file)
				if err == nil {
					err = runner.CheckSchedule(c)
				}
				check(file, err)
			}
			for _, path := range args {
				_, err := runner.Load(path)
				check(path, err)
			}
			if wrong {
				return exitError(exitConfiguration)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of experiments")
	cmd.Flags().StringVar(&file, "config.file", "", "read this configuration of the runner too")
	return cmd
}
