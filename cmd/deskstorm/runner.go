package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/deskstorm/deskstorm/internal/logflags"
	"github.com/deskstorm/deskstorm/runner"
	"github.com/deskstorm/deskstorm/runner/config"
)

// runnerFlags are those of all commands of the runner.
type runnerFlags struct {
	file string
	log  logflags.Flags
}

func (f *runnerFlags) register(flags *pflag.FlagSet, level string) {
	flags.StringVar(&f.file, "config.file", "", "the configuration (default: deskstorm.yaml here, then /etc/deskstorm/deskstorm.yaml; "+
		"without either no fault can be injected)")
	f.log.Register(flags, level)
}

// load reads the configuration; without a file it is the default one.
func (f *runnerFlags) load() (config.Config, error) {
	path := f.file
	if path == "" {
		var err error
		if path, err = config.Find(); err != nil {
			return config.Config{}, err
		}
	}
	if path == "" {
		return config.Default()
	}
	return config.Load(path)
}

// open reads the configuration and opens the runner.
func (f *runnerFlags) open(cmd *cobra.Command) (*runner.Runner, *slog.Logger, error) {
	log, err := f.log.Logger(cmd.ErrOrStderr())
	if err != nil {
		return nil, nil, err
	}
	c, err := f.load()
	if err != nil {
		return nil, nil, err
	}
	self, err := self()
	if err != nil {
		return nil, nil, err
	}
	r, err := runner.Open(cmd.Context(), c, runner.Options{Self: self, Log: log})
	return r, log, err
}

// self is the command of this program's own processes: k6, watchdogs, relays.
func self() ([]string, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the own program: %w", err)
	}
	return []string{path}, nil
}

// ofRunner makes a mistake on a command line end with what could not be run: 1 would be an experiment that deviated.
func ofRunner(cmd *cobra.Command) *cobra.Command {
	refuse := func(cmd *cobra.Command, err error) error {
		return complain(cmd, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	}
	cmd.SetFlagErrorFunc(refuse)
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return refuse(cmd, err)
			}
			return nil
		}
	}
	return cmd
}

// complain prints an error, each mistake of a file on a line of its own, and returns the exit status for what could not be run.
func complain(cmd *cobra.Command, err error) error {
	printError(cmd.ErrOrStderr(), err)
	return exitError(exitConfiguration)
}

func printError(out io.Writer, err error) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && err.Error() == errors.Join(joined.Unwrap()...).Error() {
		for _, e := range joined.Unwrap() {
			fmt.Fprintln(out, e)
		}
		return
	}
	fmt.Fprintln(out, "deskstorm:", err)
}
