package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/deskstorm/deskstorm/lab/debian"
	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/up"
)

// debianDesktops are fewer than the simulated lab's: each is a process of QEMU, and there are as many again without a broker.
const debianDesktops = 4

// realLabFlags are those of lab up that only the lab of real services has.
type realLabFlags struct {
	address  string
	computes int
}

func (f *realLabFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.address, "address", debian.DefaultAddress, "with --debian: the loopback address where everything listens")
	flags.IntVar(&f.computes, "computes", 3, "with --debian: compute nodes that only pretend, beside the one with QEMU")
}

func realLabUp(ctx context.Context, cmd *cobra.Command, o debian.Options, accelerator string) error {
	virtTypes := map[string]string{"": "qemu", "tcg": "qemu", "kvm": "kvm"}
	o.VirtType = virtTypes[accelerator]
	if o.VirtType == "" {
		return fmt.Errorf("--accel %q is neither kvm nor tcg", accelerator)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Program, o.Cache = []string{self}, debian.DefaultCache
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	l, err := debian.Up(ctx, o, func(step string) { fmt.Fprintln(out, step) })
	if err == nil {
		err = up.AwaitPools(ctx, l.Broker(), l.Dir, tellReady(out))
	}
	if ctx.Err() != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "deskstorm: interrupted; what runs goes on: deskstorm lab up --debian again, or deskstorm lab down --debian")
		return exitError(exitInterrupted)
	}
	if err != nil {
		return couldNotStart(cmd, err)
	}
	fmt.Fprintf(out, "\nbroker     %s\nkeystone   %s\ndirectory  %s\nprometheus %s\nfiles      %s\n\n"+
		"For scripts and the openstack command: . %s\nEnd it with: %s\n", l.Broker(), l.AuthURL(), l.LDAP(), l.Prometheus(), l.Dir,
		filepath.Join(l.Dir, folder.EnvironmentFile), realDownCommand(l.Dir))
	return nil
}

func realDownCommand(dir string) string {
	if dir == debian.DefaultDir {
		return "deskstorm lab down --debian"
	}
	return "deskstorm lab down --debian --dir " + dir
}

func realLabStatus(cmd *cobra.Command, dir string, asJSON bool) error {
	l, err := debian.Open(dir)
	if errors.Is(err, debian.ErrNone) {
		fmt.Fprintln(cmd.ErrOrStderr(), "deskstorm:", err)
		return exitError(1)
	}
	if err != nil {
		return err
	}
	services := l.Status(cmd.Context())
	pools, poolsErr := up.Pools(cmd.Context(), l.Broker(), l.Dir)
	if asJSON {
		err = printJSON(cmd, struct {
			Dir      string                 `json:"dir"`
			Address  string                 `json:"address"`
			Broker   string                 `json:"broker"`
			AuthURL  string                 `json:"auth_url"`
			LDAP     string                 `json:"ldap"`
			Services []debian.ServiceStatus `json:"services"`
			Pools    []up.PoolStatus        `json:"pools,omitempty"`
		}{l.Dir, l.Address, l.Broker(), l.AuthURL(), l.LDAP(), services, pools})
	} else {
		err = printServices(cmd, l, services)
		if err == nil && poolsErr == nil {
			printPools(cmd, pools)
		}
	}
	if err != nil {
		return err
	}
	for _, s := range services {
		if s.Health != debian.Healthy {
			return exitError(1)
		}
	}
	return nil
}

func printServices(cmd *cobra.Command, l *debian.Lab, services []debian.ServiceStatus) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "service\tpid\tfor\tat\tmemory\thealth")
	total := int64(0)
	for _, s := range services {
		pid, since := "-", "-"
		if s.PID != 0 {
			pid, since = strconv.Itoa(s.PID), time.Since(s.Began).Round(time.Second).String()
		}
		var at []string
		for _, port := range s.Ports {
			at = append(at, net.JoinHostPort(l.Address, strconv.Itoa(port)))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d MB\t%s\n", s.Name, pid, since, strings.Join(at, " "), s.Memory>>20, s.Health)
		total += s.Memory
	}
	fmt.Fprintf(w, "all\t\t\t\t%d MB\t\n", total>>20)
	return w.Flush()
}

func printJSON(cmd *cobra.Command, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
	return err
}

func realLabDown(cmd *cobra.Command, dir string, wipe bool) error {
	end := debian.Down
	if wipe {
		end = debian.Wipe
	}
	out := cmd.OutOrStdout()
	err := end(cmd.Context(), dir, func(step string) { fmt.Fprintln(out, step) })
	if errors.Is(err, debian.ErrNone) {
		fmt.Fprintln(out, err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "the lab in", dir, "has ended")
	return nil
}
