package fault_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/probe/dhcp"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

func askDHCP(t testing.TB, lab *dhcptest.Lab, network int) dhcp.Result {
	t.Helper()
	got, err := dhcp.Probe(t.Context(), dhcp.Target{
		Interface: dhcptest.Link, Namespace: lab.Clients[network].Path(), Timeout: 1500 * time.Millisecond, Attempts: 2,
		Window: 300 * time.Millisecond, Renewals: 16,
	})
	require.NoError(t, err)
	require.Equal(t, dhcp.Acknowledged, got.DORA.Outcome)
	require.Equal(t, dhcp.Acknowledged, got.Rebind.Outcome)
	return got
}

func TestDHCPDropRenewals(t *testing.T) {
	qemutest.RequireProgram(t, "nft", "nftables")
	lab := dhcptest.New(t, 2)
	for k := range 2 {
		lab.MustStart(t, k, dhcptest.Dnsmasq{Args: []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(k)}})
	}
	w := newWorld(t, target.Config{"node": local(t, lab.Host)})
	require.Equal(t, 16, askDHCP(t, lab, 0).RenewalsAnswered)
	w.breaks("dhcp.drop_renewals", native.Arguments{"target": "node", "for": "1m", "device": dhcptest.Bridge(0)}, func(fault.Plan) {
		got := askDHCP(t, lab, 0)
		require.Equal(t, dhcp.NoAnswer, got.Renew.Outcome)
		require.Zero(t, got.RenewalsAnswered)
		require.Equal(t, 16, askDHCP(t, lab, 1).RenewalsAnswered)
		// A relay agent's unicasts pass: they are first requests of another network.
		agent := lab.AddStation(t, 0)
		require.NoError(t, agent.SetUp(dhcptest.Link))
		require.NoError(t, agent.AddAddress(dhcptest.Link, dhcptest.Address(0, 5).String()+"/24"))
		relayed, err := dhcp.Probe(t.Context(), dhcp.Target{
			Namespace: agent.Path(), MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Timeout: 3 * time.Second, Window: 100 * time.Millisecond,
			Relay: &dhcp.Relay{Address: dhcptest.Address(0, 5), Servers: []netip.Addr{dhcptest.Server(0)}},
		})
		require.NoError(t, err)
		require.Equal(t, dhcp.Acknowledged, relayed.DORA.Outcome)
	})
	require.Equal(t, 16, askDHCP(t, lab, 0).RenewalsAnswered)
	clean(t, lab.Host)
}

// TestDHCPSharedSocket: a second server takes the renewals of a first whose socket is nobody's in particular, as in production; one that
// is bound to its interface is not at risk, and the fault says so.
func TestDHCPSharedSocket(t *testing.T) {
	lab := dhcptest.New(t, 1)
	w := newWorld(t, target.Config{"node": local(t, lab.Host)})
	arguments := func(steals string) native.Arguments {
		return native.Arguments{"target": "node", "for": "1m", "steals": steals}
	}
	_, err := call(t, fault.Table(w.env()), "fault.dhcp.shared_socket", arguments("all"))
	require.ErrorContains(t, err, "no DHCP server is on the host")

	bound := lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(0)}})
	_, err = call(t, fault.Table(w.env()), "fault.dhcp.shared_socket", arguments("all"))
	require.ErrorContains(t, err, "not at risk of this fault")
	bound.Kill()

	lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: []string{"--bind-interfaces", "--listen-address=" + dhcptest.Server(0).String()}})
	require.Equal(t, 16, askDHCP(t, lab, 0).RenewalsAnswered)
	w.breaks("dhcp.shared_socket", arguments("all"), func(fault.Plan) {
		got := askDHCP(t, lab, 0)
		t.Logf("all stolen: %d of %d renewals answered", got.RenewalsAnswered, got.RenewalsSent)
		require.Zero(t, got.RenewalsAnswered)
	})
	require.Equal(t, 16, askDHCP(t, lab, 0).RenewalsAnswered)
	w.breaks("dhcp.shared_socket", arguments("some"), func(fault.Plan) {
		got := askDHCP(t, lab, 0)
		t.Logf("some stolen: %d of %d renewals answered", got.RenewalsAnswered, got.RenewalsSent)
		require.Less(t, got.RenewalsAnswered, 16) // all of them by chance: 1 of 65536
	})
	require.Equal(t, 16, askDHCP(t, lab, 0).RenewalsAnswered)
	noProcess(t, "--dhcp-range=198.51.100.10,198.51.100.20,1h")
}
