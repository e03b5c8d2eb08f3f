package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// removeNetworks removes what Neutron's agents leave behind when they end, of each network that they served: dnsmasq, its
// namespace, the bridge and the taps in it.
func (l *Lab) removeNetworks(ctx context.Context) error {
	dirs, err := filepath.Glob(l.data("neutron", "dhcp", "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		id := filepath.Base(dir)
		errs = append(errs, endDnsmasq(dir), l.removeBridge(ctx, id), l.removeNamespace(ctx, "qdhcp-"+id))
	}
	return errors.Join(errs...)
}

// endDnsmasq ends the dnsmasq of a network's folder, if the process of its pid file is one.
func endDnsmasq(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("the process number of dnsmasq in %s: %w", dir, err)
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(command, []byte(dir)) {
		return nil // it has ended
	}
	return syscall.Kill(pid, syscall.SIGTERM)
}

// removeBridge removes a network's bridge, brq and the first letters of its id, with the taps of Neutron in it.
func (l *Lab) removeBridge(ctx context.Context, id string) error {
	bridge := "brq" + id[:min(11, len(id))]
	ports, err := os.ReadDir("/sys/class/net/" + bridge + "/brif")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range ports {
		errs = append(errs, l.logged(l.tool(ctx, "ip", "link", "delete", p.Name()), "network"))
	}
	return errors.Join(append(errs, l.logged(l.tool(ctx, "ip", "link", "delete", bridge), "network"))...)
}

func (l *Lab) removeNamespace(ctx context.Context, name string) error {
	if _, err := os.Stat("/run/netns/" + name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.logged(l.tool(ctx, "ip", "netns", "delete", name), "network")
}
