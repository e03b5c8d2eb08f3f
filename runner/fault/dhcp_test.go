package fault_test

import (
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
	})
	require.Equal(t, 16, askDHCP(t, lab, 0).RenewalsAnswered)
	clean(t, lab.Host)
}
