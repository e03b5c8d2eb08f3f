package dhcp_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/exporters/dhcp"
	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	probe "github.com/deskstorm/deskstorm/probe/dhcp"
)

const networks = 4

// quick is for servers that answer within milliseconds.
var quick = dhcp.Config{Interval: time.Hour, Timeout: 1500 * time.Millisecond, Window: 400 * time.Millisecond, Renewals: 16}

// said is what the exporter serves, once it has asked all its sources.
type said map[string]float64

// ask runs the exporter until each source was asked once.
func ask(t *testing.T, c dhcp.Config) said {
	t.Helper()
	exporter, err := dhcp.New(c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.NoError(t, err)
	set := collector.NewSet([]collector.Exporter{exporter}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx) }()
	defer func() { cancel(); <-done }()
	require.Eventually(t, set.Ready, 30*time.Second, 5*time.Millisecond)

	problems, err := testutil.CollectAndLint(set)
	require.NoError(t, err)
	require.Empty(t, problems)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(set))
	families, err := registry.Gather()
	require.NoError(t, err)
	all := said{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "deskstorm_dhcp_") + " " + strings.Join(labels, " ")
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// situations are those of a network, by their names.
func (s said) situations(network string) string {
	var words []string
	for _, word := range dhcp.Situations() {
		if s["situation "+network+" "+string(word)] == 1 {
			words = append(words, string(word))
		}
	}
	return strings.Join(words, " + ")
}

func name(network int) string { return fmt.Sprintf("net%d", network+1) }

// TestNineSituations: four networks on a host, a dnsmasq each, started in one of nine ways: the silent fault of production, its
// relatives, its cure. The exporter says which it is.
func TestNineSituations(t *testing.T) {
	lab := dhcptest.New(t, networks)
	shim := []string{"LD_PRELOAD=" + compile(t)}
	boundTo := func(k int) []string { return []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(k)} }
	listen := func(k int) []string {
		return []string{"--bind-interfaces", "--listen-address=" + dhcptest.Server(k).String()}
	}
	all := func(words ...string) [networks][]string { return [networks][]string{words, words, words, words} }
	hashed := all("renewals_partly_lost + shared_socket", "renewals_lost + shared_socket") // chance decides which
	lastWins := all("renewals_lost + shared_socket")
	lastWins[networks-1] = []string{"shared_socket"}
	onlyFirst := all("no_server")
	onlyFirst[0] = []string{"healthy"}

	var table strings.Builder
	for _, test := range []struct {
		name, how string
		args      func(k int) []string
		env       []string
		uid       int // of the first instance, the others' follow; 0: all root
		drop      bool
		want      [networks][]string // any of these for each network
		unbound   float64            // processes
	}{
		{"A", "`--bind-interfaces --interface=BRIDGE`", boundTo, nil, 0, false, all("healthy"), 0},
		{"B", "`--bind-dynamic --interface=BRIDGE`", func(k int) []string {
			return []string{"--bind-dynamic", "--interface=" + dhcptest.Bridge(k)}
		}, nil, 0, false, all("healthy"), 0},
		{"C", "`--interface=BRIDGE` alone: the second and later do not start", func(k int) []string {
			return []string{"--interface=" + dhcptest.Bridge(k)}
		}, nil, 0, false, onlyFirst, 1},
		{"D", "`--bind-interfaces --listen-address=ADDRESS`: the kernel picks a socket by a hash (SO_REUSEPORT)", listen, nil, 0, false, hashed, 4},
		{"E2", "`--bind-dynamic` with two `--interface`: likewise", func(k int) []string {
			return []string{"--bind-dynamic", "--interface=" + dhcptest.Bridge(k), "--interface=absent0"}
		}, nil, 0, false, hashed, 4},
		{"F", "D on an old kernel or with an old dnsmasq, without SO_REUSEPORT: the last one started gets all", listen, shim, 0, false, lastWins, 4},
		{"G", "D with each instance under a user of its own: likewise", listen, nil, 64000, false, lastWins, 4},
		{"H", "A, and a firewall that drops unicasts to port 67", boundTo, nil, 0, true, all("renewals_lost"), 0},
		{"I", "F, cured by `--interface=BRIDGE`", boundTo, shim, 0, false, all("healthy"), 0},
	} {
		ok := t.Run(test.name, func(t *testing.T) {
			c := quick
			c.Hosts = []dhcp.Host{{Name: "node", Namespace: lab.Host.Path()}}
			for k := range networks {
				d := dhcptest.Dnsmasq{Args: test.args(k), Env: test.env}
				if test.uid != 0 {
					d.UID = test.uid + k
				}
				n := dhcp.Network{
					Name: name(k), Target: &probe.Target{Interface: dhcptest.Link, Namespace: lab.Clients[k].Path(), Servers: []netip.Addr{dhcptest.Server(k)}, Attempts: 2},
					Ranges: []dhcp.Range{{First: dhcptest.Address(k, 10), Last: dhcptest.Address(k, 250)}},
				}
				server, err := lab.Start(t, k, d)
				if slices.Equal(test.want[k], onlyFirst[1]) {
					require.ErrorContains(t, err, "Address already in use")
				} else {
					require.NoError(t, err)
					n.LeaseFile = server.Leases
				}
				c.Networks = append(c.Networks, n)
			}
			if test.drop {
				dropUnicasts(t, lab)
			}

			s := ask(t, c)
			fmt.Fprintf(&table, "\n| %s | %s |", test.name, test.how)
			for k := range networks {
				got := s.situations(name(k))
				require.Contains(t, test.want[k], got, name(k))
				fmt.Fprintf(&table, " %s (%.0f/%.0f/%.0f, %.2f) |", got, s["probe_success dora "+name(k)], s["probe_success renew "+name(k)],
					s["probe_success rebind "+name(k)], s["renewals_answered_ratio "+name(k)])
			}
			require.Equal(t, test.unbound, s["unbound_processes node"])
			fmt.Fprintf(&table, " %.0f |", s["unbound_processes node"])
		})
		if !ok {
			break
		}
	}
	t.Log("what the exporter said (DORA/RENEW/REBIND of the client, part of all renewals answered):\n" +
		"| | how dnsmasq runs | net1 | net2 | net3 | net4 | unbound processes |" + table.String())
}

// compile makes the library that hides SO_REUSEPORT.
func compile(t *testing.T) string {
	t.Helper()
	qemutest.RequireProgram(t, "gcc", "gcc")
	library := filepath.Join(t.TempDir(), "noreuseport.so")
	out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-o", library, "testdata/noreuseport.c").CombinedOutput()
	require.NoError(t, err, string(out))
	return library
}

// dropUnicasts has the host's firewall drop what is sent to an address of its own, port 67 (nft: udp dport 67 fib daddr type
// local drop), until the test ends.
func dropUnicasts(t *testing.T, lab *dhcptest.Lab) {
	t.Helper()
	handle, err := netns.GetFromPath(lab.Host.Path())
	require.NoError(t, err)
	defer handle.Close()
	nft, err := nftables.New(nftables.WithNetNSFd(int(handle)))
	require.NoError(t, err)
	table := nft.AddTable(&nftables.Table{Name: "deskstorm", Family: nftables.TableFamilyIPv4})
	chain := nft.AddChain(&nftables.Chain{
		Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	nft.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 67}},
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.RTN_LOCAL, 0, 0, 0}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	require.NoError(t, nft.Flush())
	t.Cleanup(func() {
		handle, err := netns.GetFromPath(lab.Host.Path())
		require.NoError(t, err)
		defer handle.Close()
		nft, err := nftables.New(nftables.WithNetNSFd(int(handle)))
		require.NoError(t, err)
		nft.DelTable(table)
		require.NoError(t, nft.Flush())
	})
}
