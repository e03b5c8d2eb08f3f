package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/deskstorm/deskstorm/cmd/deskstorm/doctor"
	"github.com/deskstorm/deskstorm/spice"
)

func newDoctorCommand() *cobra.Command {
	var (
		desktop desktopFlags
		clients int
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can hold the thin clients asked for, and what to change",
		Long: "Check whether this machine can hold the thin clients asked for (descriptors, ports, memory, connection\n" +
			"tracking), and whether a desktop's SPICE server answers and takes the ticket, and say what to change. Nobody who\n" +
			"uses the desktop is disturbed. The ticket is read from the environment variable " + ticketVariable + ".\n" +
			"Exits with 1 if a check fails, 0 otherwise.",
		Example: "  deskstorm doctor --clients 5000\n  deskstorm doctor --host compute-17 --port 5901\n  deskstorm doctor --file desktop.vv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if clients < 1 || clients > 10_000_000 {
				return fmt.Errorf("--clients %d is not between 1 and 10000000", clients)
			}
			target, err := desktop.config()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()

			proc, sys := os.DirFS("/proc"), os.DirFS("/sys")
			checks := []doctor.Check{
				doctor.Descriptors(doctor.Limit, clients),
				doctor.Ports(proc, clients),
				doctor.Memory(proc, sys, clients),
				doctor.Conntrack(proc, clients),
			}
			if target != nil {
				checks = append(checks, doctor.Reach(net.JoinHostPort(target.Host, strconv.Itoa(cmp.Or(target.Port, target.TLSPort))),
					func(ctx context.Context) error { return spice.Reach(ctx, *target) }))
			}
			found := doctor.Run(ctx, checks)
			out := cmd.OutOrStdout()
			show := func() error { return doctor.Print(out, found, out == os.Stdout && colourWanted()) }
			if asJSON {
				show = func() error { return doctor.PrintJSON(out, found) }
			}
			if err := show(); err != nil {
				return fmt.Errorf("printing the results: %w", err)
			}
			if doctor.Worst(found) == doctor.Fail {
				return exitError(1)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&clients, "clients", 200, "thin clients to be simulated on this machine")
	desktop.register(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// colourWanted is false for pipes and where NO_COLOR is set (no-color.org).
func colourWanted() bool {
	return os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(os.Stdout.Fd()))
}
