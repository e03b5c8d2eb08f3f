package versions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"

	"github.com/deskstorm/deskstorm/runner/target"
)

// Run runs a program to its end and returns what it wrote to standard output.
type Run func(ctx context.Context, argv ...string) (string, error)

// Here runs programs on this machine.
func Here(ctx context.Context, argv ...string) (string, error) {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %.200s", argv[0], err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}

// At runs programs at a target: another machine, by whatever way its configuration names.
func At(e target.Executor, name string) Run {
	return func(ctx context.Context, argv ...string) (string, error) {
		return e.Do(ctx, target.Step{Target: name, Command: &target.Command{Argv: argv}})
	}
}

// command is a program that says its version.
type command struct {
	name    string // of the version
	argv    []string
	pattern string // its first group is the version
}

func commands() []command {
	return []command{
		{Kernel, []string{"uname", "-r"}, `(\S+)`},
		{QEMU, []string{"qemu-system-x86_64", "--version"}, `version ([0-9][0-9.]*)`},
		{Libvirt, []string{"libvirtd", "--version"}, `\(libvirt\) ([0-9][0-9.]*)`},
		{OVS, []string{"ovs-vsctl", "--version"}, `\(Open vSwitch\) ([0-9][0-9.]*)`},
		{Dnsmasq, []string{"dnsmasq", "--version"}, `version (\S+)`},
	}
}

// Host asks a machine's programs. A program that is not there, or does not run, is left out: not every host has them all. The error
// is that of the kernel, which every host has: then the host cannot be asked. No names: all that a program can be asked for.
func Host(where string, run Run, names ...string) Source {
	return Source{Where: where, Get: func(ctx context.Context) (Found, error) {
		found := Found{}
		for _, c := range commands() {
			if len(names) > 0 && !slices.Contains(names, c.name) {
				continue
			}
			said, err := run(ctx, c.argv...)
			if err != nil {
				if c.name == Kernel || ctx.Err() != nil {
					return found, err
				}
				continue
			}
			if m := regexp.MustCompile(c.pattern).FindStringSubmatch(said); m != nil {
				found[c.name] = []string{m[1]}
			}
		}
		if len(found) == 0 {
			return nil, errors.New("no program said its version")
		}
		return found, nil
	}}
}
