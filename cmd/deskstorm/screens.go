package main

import (
	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/lab/farm"
)

// newLabScreensCommand is what a lab starts where one process may not hold all its desktops.
func newLabScreensCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "screens",
		Short:  "Serve desktops for the lab that started this program",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return farm.Serve() },
	}
}
