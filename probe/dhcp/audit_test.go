package dhcp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

func TestAudit(t *testing.T) {
	lab := dhcptest.New(t, 3)
	audit := func() dhcp.Audit {
		a, err := dhcp.AuditSockets(lab.Host.Path())
		require.NoError(t, err)
		require.True(t, a.Addresses[dhcptest.Server(0)])
		require.False(t, a.Addresses[dhcptest.Address(0, 2)])
		return a
	}
	require.Empty(t, audit().Sockets)

	lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: bound})
	a := audit()
	require.Len(t, a.Sockets, 1)
	require.NotZero(t, a.Sockets[0].Device)
	require.Empty(t, a.Unbound())

	listen := []string{"--bind-interfaces", "--listen-address=" + dhcptest.Server(1).String()}
	one := lab.MustStart(t, 1, dhcptest.Dnsmasq{Args: listen})
	require.Len(t, audit().Processes(), 1)
	require.False(t, audit().Shared(), "one may have it alone")

	// A relay of this host is bound to its address.
	require.NoError(t, lab.Host.Do(func() error {
		conn, err := (&net.ListenConfig{Control: reuse}).ListenPacket(context.Background(), "udp4", dhcptest.Server(2).String()+":67")
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		return err
	}))
	require.False(t, audit().Shared())
	require.Len(t, audit().Sockets, 3)

	two := lab.MustStart(t, 2, dhcptest.Dnsmasq{Args: []string{"--bind-interfaces", "--listen-address=" + dhcptest.Server(2).String()}, UID: 64002})
	a = audit()
	require.True(t, a.Shared())
	require.Len(t, a.Unbound(), 2)
	require.ElementsMatch(t, []string{
		fmt.Sprintf("dnsmasq (%d)", one.Cmd.Process.Pid), fmt.Sprintf("dnsmasq (%d)", two.Cmd.Process.Pid),
	}, a.Processes())

	_, err := dhcp.AuditSockets("/nowhere")
	require.ErrorIs(t, err, os.ErrNotExist)
}
