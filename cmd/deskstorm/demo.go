package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/deskstorm/deskstorm/cmd/deskstorm/doctor"
	"github.com/deskstorm/deskstorm/lab/demo"
)

// How many thin clients there are unless said otherwise.
const (
	simulatedClients = 200
	kvmClients       = 4
)

// maxDemoClients bounds what one machine is asked for: each person takes a dozen connections within it.
const maxDemoClients = 5000

// Exit codes of the demo beside 0.
const (
	exitCouldNotRun = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells say it
)

func newDemoCommand() *cobra.Command {
	var (
		o    demo.Options
		file string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it: a morning in a call centre, faults, and where each second went",
		Long: "Start a desktop cloud on this machine, with a directory, an OpenStack and a broker, let people come, log in and\n" +
			"work, break some things meanwhile, and show live and in a summary what was measured. Needs no root, no network and\n" +
			"no other program; --kvm takes real desktops under QEMU instead of simulated ones.",
		Example: "  deskstorm demo\n  deskstorm demo --path cloud\n  deskstorm demo --clients 50 --duration 30s\n  deskstorm demo --kvm --clients 4",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("clients") && o.QEMU {
				o.Clients = kvmClients
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			err := runDemo(ctx, cmd, o, file)
			switch {
			case err == nil:
				return nil
			case errors.Is(err, context.Canceled):
				return exitError(exitInterrupted)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "deskstorm:", err)
			return exitError(exitCouldNotRun)
		},
	}
	cmd.Flags().IntVar(&o.Clients, "clients", simulatedClients, fmt.Sprintf("people, each with a thin client (with --kvm: %d)", kvmClients))
	cmd.Flags().DurationVar(&o.Duration, "duration", 75*time.Second, "length of the shift; people keep coming for two fifths of it")
	cmd.Flags().StringVar(&o.Path, "path", demo.PathBroker, "the way to the desktops: broker, or cloud for Keystone and Nova without one")
	cmd.Flags().BoolVar(&o.QEMU, "kvm", false, "real desktops under QEMU instead of simulated ones")
	cmd.Flags().StringVar(&o.Accelerator, "accel", "", "with --kvm: kvm or tcg (default: kvm where there is one)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "of the simulated desktops' latencies and of the choice of those that break")
	cmd.Flags().StringVar(&file, "json", "", "also write the summary as JSON to this file")
	return cmd
}

func runDemo(ctx context.Context, cmd *cobra.Command, o demo.Options, file string) error {
	if o.Clients < 1 || o.Clients > maxDemoClients {
		return fmt.Errorf("--clients %d is not between 1 and %d", o.Clients, maxDemoClients)
	}
	if o.Accelerator != "" && (!o.QEMU || o.Accelerator != "kvm" && o.Accelerator != "tcg") {
		return errors.New("--accel is kvm or tcg, and goes with --kvm")
	}
	if err := checkDescriptors(o.Clients); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(file)); file != "" && err != nil {
		return fmt.Errorf("--json: %w", err) // now, and not after the shift
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the own program: %w", err)
	}
	o.K6 = []string{self, "k6"}
	o.Out = cmd.OutOrStdout()
	if o.Out == os.Stdout && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb" {
		o.Size, o.Colour = terminalSize, colourWanted()
	}
	summary, err := demo.Run(ctx, o)
	if summary != nil && file != "" {
		err = errors.Join(err, writeJSON(file, summary))
	}
	return err
}

// checkDescriptors compares the limit of open files with what the process of the cloud needs, which is more than k6's: for
// each person a desktop's listener and the thin client's channels, and the broker's connection with the one behind it.
func checkDescriptors(clients int) error {
	const reserved = 200
	limit, err := doctor.Limit()
	if err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	each := uint64(doctor.SocketsPerClient + 4)
	if need := uint64(clients)*each + reserved; limit.Cur < need {
		return fmt.Errorf("%d people and their desktops need %d open files a process, the limit is %d:\n"+
			"take --clients %d, or see deskstorm doctor --clients %d for how to raise it",
			clients, need, limit.Cur, (max(limit.Cur, reserved)-reserved)/each, uint64(clients)*each/doctor.SocketsPerClient)
	}
	return nil
}

// terminalSize is that of standard output, 80x24 if it cannot tell.
func terminalSize() (width, height int) {
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || width < 1 || height < 2 {
		return 80, 24
	}
	return width, height
}

func writeJSON(file string, summary *demo.Summary) error {
	text, err := json.MarshalIndent(summary, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
