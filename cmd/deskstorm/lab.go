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

	"github.com/deskstorm/deskstorm/lab/up"
)

// labStopTimeout bounds the end of a lab: a broker lets logins finish, guests under QEMU are killed.
const labStopTimeout = time.Minute

// maxLabDesktops is within the simulated network: as many desktops again are there for clients without a broker.
const maxLabDesktops = 20_000

func newLabCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "A desktop cloud to test against: directory, OpenStack, broker and desktops",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "dir", defaultLabDir(), "folder of the lab's files")
	cmd.AddCommand(newLabUpCommand(&dir), newLabStatusCommand(&dir), newLabDownCommand(&dir), newLabScreensCommand())
	return cmd
}

// defaultLabDir is a folder that only this user can read: the lab's passwords are in it.
func defaultLabDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "deskstorm-lab"
	}
	return filepath.Join(cache, "deskstorm", "lab")
}

func newLabUpCommand(dir *string) *cobra.Command {
	var (
		o     up.Options
		sim   bool
		ready int
		log   logFlags
	)
	cmd := &cobra.Command{
		Use:   "up --sim",
		Short: "Start a desktop cloud and keep it until interrupted",
		Long: "Start a directory, an OpenStack and a broker in this process, on the loopback interface, with simulated desktops or\n" +
			"with real ones under QEMU, and keep them until SIGINT, SIGTERM or `deskstorm lab down`. The broker's configuration,\n" +
			"clouds.yaml and a list of users are in the lab's folder; its file `environment` points scripts and the openstack\n" +
			"command at them.",
		Example: "  deskstorm lab up --sim\n  deskstorm lab up --sim --kvm --desktops 4\n\n" +
			"  . ~/.cache/deskstorm/lab/environment\n  deskstorm k6 run scenarios/login-storm.js",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !sim {
				return errors.New("add --sim: the simulated cloud is the only one there is")
			}
			if o.Desktops < 1 || o.Desktops > maxLabDesktops {
				return fmt.Errorf("--desktops %d is not between 1 and %d", o.Desktops, maxLabDesktops)
			}
			if o.Ready = ready; !cmd.Flags().Changed("ready") {
				o.Ready = o.Desktops
			}
			if o.Ready < 0 || o.Ready > o.Desktops {
				return fmt.Errorf("--ready %d is not between 0 and --desktops %d", o.Ready, o.Desktops)
			}
			if !cmd.Flags().Changed("users") {
				o.Users = o.Desktops
			}
			if o.Users < 1 {
				return fmt.Errorf("--users %d is less than 1", o.Users)
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding the own program: %w", err)
			}
			o.ScreenCommand = []string{self, "lab", "screens"}
			if o.Log, err = log.logger(cmd.ErrOrStderr()); err != nil {
				return err
			}
			o.Dir = *dir
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return labUp(ctx, cmd, o)
		},
	}
	cmd.Flags().BoolVar(&sim, "sim", false, "simulate OpenStack in this process")
	cmd.Flags().IntVar(&o.Desktops, "desktops", 20, "desktops of the broker's pool")
	cmd.Flags().IntVar(&ready, "ready", 0, "desktops that the pool keeps ready (default: all)")
	cmd.Flags().IntVar(&o.Users, "users", 0, "people in the directory (default: as many as desktops)")
	cmd.Flags().BoolVar(&o.QEMU, "kvm", false, "real desktops under QEMU instead of simulated ones")
	cmd.Flags().StringVar(&o.Accelerator, "accel", "", "with --kvm: kvm or tcg (default: kvm where there is one)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "of the times that desktops take to boot")
	log.register(cmd.Flags())
	log.level = "warn"
	cmd.Flags().Lookup("log.level").DefValue = log.level
	return cmd
}

// labUp starts the lab and keeps it until ctx ends.
func labUp(ctx context.Context, cmd *cobra.Command, o up.Options) error {
	out := cmd.OutOrStdout()
	release, err := up.Claim(o.Dir)
	if err != nil {
		return couldNotStart(cmd, err)
	}
	c, err := up.Sim(ctx, o)
	if err != nil {
		return errors.Join(couldNotStart(cmd, err), release())
	}
	err = c.Tell()
	if err == nil {
		begun, told := time.Now(), time.Time{}
		err = c.Await(ctx, func(ready, wanted int) {
			if ready < wanted && time.Since(told) < time.Second {
				return
			}
			told = time.Now()
			fmt.Fprintf(out, "%d of %d desktops ready, %.1f s\n", ready, wanted, told.Sub(begun).Seconds())
		})
	}
	if err == nil {
		fmt.Fprintf(out, "\nbroker     %s\nkeystone   %s\ndirectory  %s\ncontrol    %s\nfiles      %s\n\nFor scripts and the openstack command: . %s\nEnd it with Ctrl-C, or: %s\n",
			c.Broker, c.Sim.AuthURL, c.Directory.URL, c.Control, c.Dir, filepath.Join(c.Dir, "environment"), downCommand(o.Dir))
		<-ctx.Done()
		fmt.Fprintln(out, "ending the lab")
	} else if ctx.Err() != nil {
		err = exitError(exitInterrupted) // told to end before it was up
	}
	return errors.Join(err, c.Close(), release())
}

// downCommand ends the lab of a folder.
func downCommand(dir string) string {
	if dir == defaultLabDir() {
		return "deskstorm lab down"
	}
	return "deskstorm lab down --dir " + dir
}

func newLabStatusCommand(dir *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the lab runs, and how its desktops stand; exits with 1 if it does not run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := up.Find(*dir)
			if errors.Is(err, up.ErrNotRunning) {
				fmt.Fprintln(cmd.ErrOrStderr(), "deskstorm:", err)
				return exitError(1)
			}
			if err != nil {
				return err
			}
			pools, err := up.Pools(cmd.Context(), r.Broker, r.Dir)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				text, err := json.MarshalIndent(struct {
					up.Running
					Pools []up.PoolStatus `json:"pools"`
				}{r, pools}, "", "  ")
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(out, "%s\n", text)
				return err
			}
			fmt.Fprintf(out, "process    %d, for %v\nbroker     %s\nkeystone   %s\ndirectory  %s, %d users\ncontrol    %s\nfiles      %s\n", r.PID,
				time.Since(r.Began).Round(time.Second), r.Broker, r.AuthURL, r.LDAP, r.Users, r.Control, r.Dir)
			for _, p := range pools {
				fmt.Fprintf(out, "pool       %s: %d ready (%d wanted), %d assigned, %d building, %d deleting, at most %d in all\n", p.Name,
					p.Desktops["ready"], p.Ready, p.Desktops["assigned"], p.Desktops["building"], p.Desktops["deleting"], p.Max)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newLabDownCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the lab that runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := up.Find(*dir)
			if errors.Is(err, up.ErrNotRunning) {
				fmt.Fprintln(cmd.OutOrStdout(), "no lab runs in", *dir)
				return nil
			}
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), labStopTimeout)
			defer cancel()
			if err := r.Stop(ctx); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the lab in", r.Dir, "has ended")
			return nil
		},
	}
}
