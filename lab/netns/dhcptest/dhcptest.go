// Package dhcptest gives tests networks with dnsmasq as their DHCP server, in network namespaces: a host that serves them
// all, as a network node does, and a client on each.
package dhcptest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

// Link is the clients' only link.
const Link = "eth0"

// Lab is a host with bridges, and clients on them. Networks are counted from 0.
type Lab struct {
	Host     *netns.Namespace
	Clients  []*netns.Namespace
	stations int
}

// New makes a lab that is closed when the test ends. Without dnsmasq or root it skips the test, as qemutest.RequireProgram
// does.
func New(t testing.TB, networks int) *Lab {
	t.Helper()
	qemutest.RequireProgram(t, "dnsmasq", "dnsmasq-base")
	l := &Lab{Host: netnstest.New(t, "dhcp")}
	for k := range networks {
		require.NoError(t, l.Host.AddBridge(Bridge(k)))
		require.NoError(t, l.Host.AddAddress(Bridge(k), Server(k).String()+"/24"))
		l.Clients = append(l.Clients, l.AddStation(t, k))
	}
	return l
}

// Bridge is what a network's bridge on the host is called.
func Bridge(network int) string { return fmt.Sprintf("br%d", network) }

// Server is the host's address on a network. The network's prefix has 24 bits.
func Server(network int) netip.Addr { return Address(network, 1) }

// Address is one on a network.
func Address(network, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 71, byte(network), byte(host)})
}

// AddStation connects another namespace to a network, by its link eth0.
func (l *Lab) AddStation(t testing.TB, network int) *netns.Namespace {
	t.Helper()
	n := netnstest.New(t, "station")
	l.stations++
	port := fmt.Sprintf("port%d", l.stations)
	require.NoError(t, l.Host.AddVeth(port, n, Link))
	require.NoError(t, l.Host.SetMaster(port, Bridge(network)))
	return n
}

// Dnsmasq is a server to start.
type Dnsmasq struct {
	In    *netns.Namespace // nil: the lab's host
	Range string           // dnsmasq's --dhcp-range; empty: from .10 to .250 of the network, for two minutes
	Args  []string         // more of its options
	Env   []string         // more of its environment
	UID   int              // of the user it runs as, with the capabilities that it needs; 0: root
}

// RunningServer is one that runs.
type RunningServer struct {
	*child.Process
	Leases string // its lease file
}

// Start starts dnsmasq for a network and waits until it serves, or has ended, which is an error. It ends with the test.
func (l *Lab) Start(t testing.TB, network int, d Dnsmasq) (*RunningServer, error) {
	t.Helper()
	if d.In == nil {
		d.In = l.Host
	}
	if d.Range == "" {
		d.Range = fmt.Sprintf("%v,%v,255.255.255.0,120s", Address(network, 10), Address(network, 250))
	}
	dir := t.TempDir()
	s := &RunningServer{Leases: filepath.Join(dir, "leases")}
	// Another user must be able to write it.
	require.NoError(t, os.WriteFile(s.Leases, nil, 0o666))
	require.NoError(t, os.Chmod(s.Leases, 0o666))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))

	command := []string{"dnsmasq"}
	if d.UID != 0 {
		const needs = "+net_admin,+net_raw,+net_bind_service"
		command = []string{"setpriv", fmt.Sprintf("--reuid=%d", d.UID), "--clear-groups", "--inh-caps=" + needs,
			"--ambient-caps=" + needs, "--pdeathsig=KILL", "dnsmasq"}
	}
	command = append(command, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping", "--user=root", "--pid-file=",
		"--log-facility=-", "--dhcp-leasefile="+s.Leases, "--dhcp-range="+d.Range)
	command = append(command, d.Args...)
	cmd := d.In.Command(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), d.Env...)
	var err error
	if s.Process, err = child.Start(cmd); err != nil {
		return nil, err
	}
	t.Cleanup(s.Kill)
	deadline := time.After(10 * time.Second)
	for !strings.Contains(s.Said.String(), "started, version") {
		select {
		case <-s.Done:
			return nil, fmt.Errorf("dnsmasq ended: %w: %s", s.Err, s.Said)
		case <-deadline:
			return nil, fmt.Errorf("dnsmasq does not serve after 10 s: %s", s.Said)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return s, nil
}

// MustStart is Start, which must succeed.
func (l *Lab) MustStart(t testing.TB, network int, d Dnsmasq) *RunningServer {
	t.Helper()
	s, err := l.Start(t, network, d)
	require.NoError(t, err)
	return s
}
