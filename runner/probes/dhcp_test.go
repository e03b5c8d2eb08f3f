package probes

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/runner/native"
)

func TestDHCP(t *testing.T) {
	lab := dhcptest.New(t, 2)
	bound := func(k int) dhcptest.Dnsmasq {
		return dhcptest.Dnsmasq{Args: []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(k)}}
	}
	server := lab.MustStart(t, 0, bound(0))
	e := Env{Config: mustRead(t, fmt.Sprintf(`
dhcp:
  timeout: 1500ms
  window: 300ms
  networks:
    - {name: office, interface: %s, namespace: %s, lease_file: %s, lease_time: 2m}
    - {name: silent, interface: %[1]s, namespace: %[4]s}
  hosts: [{name: node1, namespace: %[5]s}]
`, dhcptest.Link, lab.Clients[0].Path(), server.Leases, lab.Clients[1].Path(), lab.Host.Path()))}
	require.NoError(t, lab.Clients[0].SetSysctl("net.ipv4.conf.all.rp_filter", "1"))

	v := answerOf(t, e, "dhcp.renew", native.Arguments{"network": "office"})
	require.Equal(t, true, v["ok"], "%v", v)
	require.Equal(t, "acknowledged", v["renew"].(map[string]any)["outcome"])
	require.Equal(t, v["renewals_sent"], v["renewals_answered"])
	require.Equal(t, 120., v["lease_seconds"])
	outcome, err := call(t, e, "dhcp.renew", native.Arguments{"network": "silent", "field": "dora.outcome"})
	require.NoError(t, err)
	require.Equal(t, "no_answer", outcome)

	require.Equal(t, false, answerOf(t, e, "dhcp.audit", nil)["shared"])
	for k := range 2 { // the fault: sockets that are bound to nothing
		lab.MustStart(t, k, dhcptest.Dnsmasq{In: lab.Clients[0], Args: []string{"--bind-interfaces", "--listen-address=127.0.0.1"}})
	}
	e.Config.DHCP.Hosts[0].Namespace = lab.Clients[0].Path()
	v = answerOf(t, e, "dhcp.audit", nil)
	require.Equal(t, true, v["shared"], "%v", v)
	require.Len(t, v["processes"], 2)

	require.Eventually(t, func() bool {
		v := answerOf(t, e, "leases", native.Arguments{"network": "office"})
		return v["leases"] == 0. && v["lowest"] == 1.
	}, 20*time.Second, 50*time.Millisecond, "the probe's lease was released")
}
