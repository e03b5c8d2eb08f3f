package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// packages are Debian's, without what they depend on.
var packages = []string{
	"mariadb-server", "rabbitmq-server", "memcached", "slapd",
	"keystone", "python3-ldap", "python3-ldappool", "glance-api", "placement-api", "uwsgi-plugin-python3", "python3-pymysql",
	"nova-api", "nova-conductor", "nova-scheduler", "nova-compute", "nova-compute-kvm", "python3-libvirt",
	"libvirt-daemon", "libvirt-daemon-driver-qemu", "qemu-system-x86", "qemu-utils", "busybox-static",
	"neutron-server", "neutron-common", "neutron-linuxbridge-agent", "neutron-dhcp-agent", "dnsmasq-base",
	"iproute2", "iptables", "ebtables", "ipset", "conntrack",
	"prometheus", "prometheus-node-exporter", "prometheus-libvirt-exporter",
}

// policyFile keeps packages' scripts from starting the services that they install (invoke-rc.d(8)).
const policyFile = "/usr/sbin/policy-rc.d"

// install installs the packages that are missing. The services in them are not started.
func (l *Lab) install(ctx context.Context) error {
	missing, err := missingPackages(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	l.say("installing %d packages and what they need; apt's words are in %s", len(missing), l.logs("apt.log"))
	allow, err := forbidStarts()
	if err != nil {
		return fmt.Errorf("keeping services from being started: %w", err)
	}
	defer allow()
	if err := l.apt(ctx, "update"); err != nil {
		return err
	}
	if err := l.apt(ctx, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...); err != nil {
		return err
	}
	l.say("packages are installed")
	return nil
}

func missingPackages(ctx context.Context) ([]string, error) {
	args := append([]string{"--show", "--showformat", "${Package} ${Status}\n"}, packages...)
	out, err := exec.CommandContext(ctx, "dpkg-query", args...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // it exits with 1 where it does not know one of them
		return nil, fmt.Errorf("asking which packages are installed: %w", err)
	}
	var missing []string
	for _, p := range packages {
		if !bytes.Contains(out, []byte(p+" install ok installed\n")) {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

func forbidStarts() (allow func(), err error) {
	if _, err := os.Stat(policyFile); !errors.Is(err, fs.ErrNotExist) {
		return func() {}, err // somebody else's
	}
	if err := os.WriteFile(policyFile, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(policyFile) }, nil
}

func (l *Lab) apt(ctx context.Context, args ...string) error {
	options := []string{"-q", "-o", "DPkg::Lock::Timeout=600", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"}
	cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	if err := l.logged(cmd, "apt"); err != nil {
		return fmt.Errorf("apt-get %s: %w", strings.Join(args[:1], " "), err)
	}
	return nil
}

// versions are the installed versions of packages, as "name version" lines in the order asked.
func versions(ctx context.Context, names ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", append([]string{"--show", "--showformat", "${Package} ${Version}\n"}, names...)...).Output()
	if err != nil {
		return "", fmt.Errorf("asking for the versions of %s: %w", strings.Join(names, ", "), err)
	}
	return string(out), nil
}
