package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/internal/logflags"
	"github.com/deskstorm/deskstorm/lab/debian"
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
	w := &whichLab{}
	cmd.PersistentFlags().StringVar(&w.dir, "dir", "", "folder of the lab's files (default: "+defaultLabDir()+"; of --debian: "+debian.DefaultDir+")")
	cmd.PersistentFlags().BoolVar(&w.sim, "sim", false, "the simulated lab, in one process")
	cmd.PersistentFlags().BoolVar(&w.debian, "debian", false, "the lab of real services, from Debian's packages")
	cmd.MarkFlagsMutuallyExclusive("sim", "debian")
	cmd.AddCommand(newLabUpCommand(w), newLabStatusCommand(w), newLabDownCommand(w), newLabScreensCommand())
	return cmd
}

// whichLab is the lab that the command line means.
type whichLab struct {
	dir         string
	sim, debian bool
}

// simDir is the simulated lab's folder.
func (w *whichLab) simDir() string {
	if w.dir != "" {
		return w.dir
	}
	return defaultLabDir()
}

// debianDir is the folder of the lab of real services.
func (w *whichLab) debianDir() string {
	if w.dir != "" {
		return w.dir
	}
	return debian.DefaultDir
}

// real tells which lab a command without --sim and --debian is about: that of real services if it runs and no simulated one does.
func (w *whichLab) real() bool {
	if w.sim || w.debian {
		return w.debian
	}
	if _, err := up.Find(w.simDir()); err == nil {
		return false
	}
	l, err := debian.Open(w.debianDir())
	return err == nil && l.Running()
}

// defaultLabDir is a folder that only this user can read: the lab's passwords are in it.
func defaultLabDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "deskstorm-lab"
	}
	return filepath.Join(cache, "deskstorm", "lab")
}

func newLabUpCommand(which *whichLab) *cobra.Command {
	var (
		o     up.Options
		real  realLabFlags
		ready int
		log   logflags.Flags

		physics bool
		speed   float64

		notifications string
	)
	cmd := &cobra.Command{
		Use:   "up --sim | --debian",
		Short: "Start a desktop cloud: a simulated one, or one of real services",
		Long: "--sim: start a directory, an OpenStack and a broker in this process, on the loopback interface, with simulated desktops\n" +
			"or with real ones under QEMU, and keep them until SIGINT, SIGTERM or `deskstorm lab down`.\n\n" +
			"--debian: install what is missing of OpenStack, slapd, libvirt and Prometheus from Debian's packages, start it on a\n" +
			"loopback address of its own with desktops under QEMU, and leave it running until `deskstorm lab down --debian`. Debian 12, as\n" +
			"root; the machine's own services stay as they are. Called again, it starts what does not run.\n\n" +
			"The broker's configuration, clouds.yaml and a list of users are in the lab's folder; its file `environment` points\n" +
			"scripts and the openstack command at them.",
		Example: "  deskstorm lab up --sim\n  deskstorm lab up --sim --kvm --desktops 4\n  deskstorm lab up --debian\n\n" +
			"  . ~/.cache/deskstorm/lab/environment\n  deskstorm k6 run scenarios/login-storm.js",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !which.sim && !which.debian {
				return errors.New("add --sim for a simulated cloud, or --debian for one of real services")
			}
			if which.debian && !cmd.Flags().Changed("desktops") {
				o.Desktops = debianDesktops
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
			switch {
			case physics && which.debian:
				return errors.New("--physics is of the simulated cloud: leave out --debian")
			case physics && !(speed > 0):
				return fmt.Errorf("--speed %g is not above 0", speed)
			case physics:
				o.Speed = speed
			case cmd.Flags().Changed("speed"):
				return errors.New("--speed is of the hardware: add --physics")
			}
			if notifications != "" {
				if which.debian {
					return errors.New("--notifications is of the simulated cloud, the real one has a RabbitMQ of its own: leave out --debian")
				}
				var err error
				if o.NotificationURL, err = secretAt("notifications", notifications); err != nil {
					return err
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if which.debian {
				return realLabUp(ctx, cmd, debian.Options{
					Dir: which.debianDir(), Address: real.address, Computes: real.computes, Users: o.Users, Desktops: o.Desktops, Ready: o.Ready,
				}, o.Accelerator)
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding the own program: %w", err)
			}
			o.ScreenCommand = []string{self, "lab", "screens"}
			if o.Log, err = log.Logger(cmd.ErrOrStderr()); err != nil {
				return err
			}
			o.Dir = which.simDir()
			return labUp(ctx, cmd, o)
		},
	}
	cmd.Flags().IntVar(&o.Desktops, "desktops", 20, fmt.Sprintf("desktops of the broker's pools, and as many again for clients without a broker (with --debian: %d)", debianDesktops))
	cmd.Flags().IntVar(&ready, "ready", 0, "desktops that the pool keeps ready (default: all)")
	cmd.Flags().IntVar(&o.Users, "users", 0, "people in the directory (default: as many as desktops)")
	cmd.Flags().BoolVar(&o.QEMU, "kvm", false, "with --sim: real desktops under QEMU instead of simulated ones")
	cmd.Flags().StringVar(&o.Accelerator, "accel", "", "of desktops under QEMU: kvm or tcg (default: with --sim kvm where there is one, with --debian tcg)")
	cmd.Flags().BoolVar(&physics, "physics", false, "with --sim: hosts run short of memory, CPU and disk, as docs/lab-physics.md says")
	cmd.Flags().Float64Var(&speed, "speed", 1, "with --physics: hours of the hardware in an hour")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "with --sim: of the times that desktops take to boot")
	cmd.Flags().StringVar(&notifications, "notifications", "",
		"with --sim: send OpenStack's notifications to the RabbitMQ whose URL, amqp://user:password@host:port/vhost, is in file:PATH or env:NAME")
	real.register(cmd.Flags())
	log.Register(cmd.Flags(), "warn")
	return cmd
}

// secretAt reads where a secret is: file:PATH or env:NAME. The secret itself, which all users of the machine would see in the list of
// processes, is refused and not repeated.
func secretAt(flag, value string) (configfile.Secret, error) {
	switch kind, where, _ := strings.Cut(value, ":"); {
	case kind == "file" && where != "":
		return configfile.Secret{File: where}, nil
	case kind == "env" && where != "":
		return configfile.Secret{Env: where}, nil
	}
	return configfile.Secret{}, fmt.Errorf("--%s is not of the form file:PATH or env:NAME", flag)
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
		err = c.Await(ctx, tellReady(out))
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

// tellReady says how far the pools are, once a second.
func tellReady(out io.Writer) func(ready, wanted int) {
	begun, told := time.Now(), time.Time{}
	return func(ready, wanted int) {
		if ready < wanted && time.Since(told) < time.Second {
			return
		}
		told = time.Now()
		fmt.Fprintf(out, "%d of %d desktops ready, %.1f s\n", ready, wanted, told.Sub(begun).Seconds())
	}
}

// downCommand ends the lab of a folder.
func downCommand(dir string) string {
	if dir == defaultLabDir() {
		return "deskstorm lab down"
	}
	return "deskstorm lab down --dir " + dir
}

func newLabStatusCommand(which *whichLab) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the lab runs, and how its desktops stand; exits with 1 if it does not run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if which.real() {
				return realLabStatus(cmd, which.debianDir(), asJSON)
			}
			r, err := up.Find(which.simDir())
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
				return printJSON(cmd, struct {
					up.Running
					Pools []up.PoolStatus `json:"pools"`
				}{r, pools})
			}
			fmt.Fprintf(out, "process    %d, for %v\nbroker     %s\nkeystone   %s\ndirectory  %s, %d users\ncontrol    %s\nfiles      %s\n", r.PID,
				time.Since(r.Began).Round(time.Second), r.Broker, r.AuthURL, r.LDAP, r.Users, r.Control, r.Dir)
			printPools(cmd, pools)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printPools(cmd *cobra.Command, pools []up.PoolStatus) {
	for _, p := range pools {
		fmt.Fprintf(cmd.OutOrStdout(), "pool       %s: %d ready (%d wanted), %d assigned, %d building, %d deleting, at most %d in all\n", p.Name,
			p.Desktops["ready"], p.Ready, p.Desktops["assigned"], p.Desktops["building"], p.Desktops["deleting"], p.Max)
	}
}

func newLabDownCommand(which *whichLab) *cobra.Command {
	var wipe bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the simulated lab, or with --debian that of real services",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if which.debian {
				return realLabDown(cmd, which.debianDir(), wipe)
			}
			if which.real() {
				// Who means a simulated lab that has ended already, or is in another folder, must not end this one.
				return errors.New("no simulated lab runs, and the lab of real services does; to end that one: " + realDownCommand(which.debianDir()))
			}
			r, err := up.Find(which.simDir())
			if errors.Is(err, up.ErrNotRunning) {
				fmt.Fprintln(cmd.OutOrStdout(), "no lab runs in", which.simDir())
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
	cmd.Flags().BoolVar(&wipe, "wipe", false, "with --debian: remove its folder too, with all data")
	return cmd
}
