package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
	k6cmd "go.k6.io/k6/v2/cmd"
)

func newK6Command() *cobra.Command {
	return &cobra.Command{
		Use:   "k6 ...",
		Short: "Run k6 with thin clients (k6/x/vdi) built in",
		Long:  "Run k6 with thin clients (k6/x/vdi) and the output vdi built in. All arguments are k6's.",
		Example: "  deskstorm k6 run script.js\n" +
			"  deskstorm k6 run --out vdi=results.jsonl script.js\n" +
			"  deskstorm k6 --help",
		DisableFlagParsing: true,
		RunE:               func(_ *cobra.Command, args []string) error { return runK6(args) },
	}
}

// plainVariable is set for the child process that printRenamed starts.
const plainVariable = "DESKSTORM_K6_PLAIN"

// runK6 becomes k6: it reads the arguments from os.Args, handles signals and ends the process with its own exit code.
func runK6(args []string) error {
	if printsText(args) && os.Getenv(plainVariable) == "" {
		return printRenamed(args)
	}
	// By default k6 reports its use to its maker and has a missing extension built by a service of theirs.
	for variable, value := range map[string]string{
		"K6_NO_USAGE_REPORT":           "true",
		"K6_AUTO_EXTENSION_RESOLUTION": "false",
	} {
		if _, ok := os.LookupEnv(variable); ok {
			continue
		}
		if err := os.Setenv(variable, value); err != nil {
			return fmt.Errorf("setting %s: %w", variable, err)
		}
	}
	os.Args = append([]string{"k6"}, args...)
	k6cmd.Execute()
	return nil
}

// printsText tells the calls that only print help or the version.
func printsText(args []string) bool {
	if len(args) == 0 || args[0] == "help" || args[0] == "version" {
		return true
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		return arg == "-h" || arg == "--help" || arg == "--version"
	})
}

// printRenamed prints k6's text with "deskstorm k6 run" in place of "deskstorm run". k6 calls itself by the name of the
// executable file, which nothing but another process's output can change.
func printRenamed(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the own program: %w", err)
	}
	child := exec.Command(self, append([]string{"k6"}, args...)...)
	child.Env = append(os.Environ(), plainVariable+"=1")
	child.Stderr = os.Stderr
	text, err := child.Output()
	if _, err := os.Stdout.Write(rename(text, filepath.Base(self))); err != nil {
		return fmt.Errorf("printing k6's text: %w", err)
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return exitError(failed.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("running k6 for its text: %w", err)
	}
	return nil
}

// rename adds "k6" to the program's name where it is a command: at a line's start, after blanks, a prompt or a quote.
func rename(text []byte, program string) []byte {
	if bytes.HasPrefix(text, []byte(program+" v")) {
		return append([]byte("k6"), text[len(program):]...) // the version: k6's, not deskstorm's
	}
	command := regexp.MustCompile(`(?m)(^|[ "])` + regexp.QuoteMeta(program) + `( |$)`)
	return command.ReplaceAll(text, []byte("${1}deskstorm k6${2}"))
}
