// Command deskstorm-exporter is `deskstorm exporter` without k6 in the binary, for network nodes, brokers' hosts and computes.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/deskstorm/deskstorm/exporters/command"
)

// The exit codes, which are those of `deskstorm exporter`.
const (
	exitFailed     = 1
	exitNotStarted = 2
)

func main() {
	err := command.New("deskstorm-exporter").Execute()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "deskstorm-exporter:", err)
	if errors.As(err, new(command.NotStarted)) {
		os.Exit(exitNotStarted)
	}
	os.Exit(exitFailed)
}
