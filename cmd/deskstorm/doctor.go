package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/deskstorm/deskstorm/cmd/deskstorm/doctor"
)

func newDoctorCommand() *cobra.Command {
	var (
		host          string
		port, tlsPort uint16
		clients       int
		asJSON        bool
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can hold the thin clients asked for, and what to change",
		Long: "Check whether this machine can hold the thin clients asked for (descriptors, ports, memory, connection\n" +
			"tracking) and reach a desktop, and say what to change. Exits with 1 if a check fails, 0 otherwise.",
		Example: "  deskstorm doctor --clients 5000\n  deskstorm doctor --host compute-17 --port 5901 --tls-port 5902",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if clients < 1 || clients > 10_000_000 {
				return fmt.Errorf("--clients %d is not between 1 and 10000000", clients)
			}
			if (port != 0 || tlsPort != 0) != (host != "") {
				return fmt.Errorf("give --host together with --port or --tls-port")
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
			for _, p := range []uint16{port, tlsPort} {
				if p != 0 {
					address := net.JoinHostPort(host, strconv.Itoa(int(p)))
					checks = append(checks, doctor.Reach(address, doctor.Dial(address)))
				}
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
	cmd.Flags().StringVar(&host, "host", "", "host of a desktop's SPICE server")
	cmd.Flags().Uint16Var(&port, "port", 0, "its port without TLS")
	cmd.Flags().Uint16Var(&tlsPort, "tls-port", 0, "its port with TLS")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// colourWanted is false for pipes and where NO_COLOR is set (no-color.org).
func colourWanted() bool {
	return os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(os.Stdout.Fd()))
}
