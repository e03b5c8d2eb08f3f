// Command deskstorm is a monitoring and load-test harness for desktop clouds, with k6 inside. A command is a thin file
// that calls one package.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/exporters/command"
	_ "github.com/deskstorm/deskstorm/xk6-vdi" // registers k6/x/vdi and the output vdi for `deskstorm k6`
)

func main() {
	err := newCommand().Execute()
	if err == nil {
		return
	}
	var exit exitError
	if errors.As(err, &exit) {
		os.Exit(int(exit))
	}
	fmt.Fprintln(os.Stderr, "deskstorm:", err)
	if errors.As(err, new(command.NotStarted)) {
		os.Exit(exitConfiguration)
	}
	os.Exit(1)
}

// exitError ends the process with a status, for a command that has already said what there is to say.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "deskstorm",
		Short:         "Monitoring and load tests for desktop clouds",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newDemoCommand(),
		newLabCommand(),
		newBrokerCommand(),
		command.New("exporter"),
		ofRunner(newRunCommand()),
		ofRunner(newValidateCommand()),
		ofRunner(newRecoverCommand()),
		ofRunner(newCleanupCommand()),
		ofRunner(newServeCommand()),
		ofRunner(newReportCommand()),
		ofRunner(newCompareCommand()),
		newK6Command(),
		newDoctorCommand(),
		newVersionCommand(),
		newWatchdogCommand(),
		newRelayCommand(),
	)
	return root
}
