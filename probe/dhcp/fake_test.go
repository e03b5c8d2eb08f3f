package dhcp_test

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
)

// fake is a server that does what dnsmasq does not. It grants a lease, and treats its extension as told.
type fake struct {
	at     netip.Addr
	first  dhcpv4.MessageType // the answer to the first REQUEST
	mask   net.IPMask
	renew  dhcpv4.MessageType // the answer to a unicast; none if 0
	rebind netip.Addr         // in whose name it acknowledges a broadcast; nobody if invalid
	// elsewhere is its identifier if that is on another network, which it routes to.
	elsewhere netip.Addr
}

// reuse has a socket stand beside others on the same port.
func reuse(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
}

// start runs the server until the test ends.
func (f fake) start(t *testing.T, n *netns.Namespace) {
	t.Helper()
	require.NoError(t, n.AddAddress(dhcptest.Link, f.at.String()+"/24"))
	if f.elsewhere.IsValid() {
		require.NoError(t, n.AddAddress("lo", f.elsewhere.String()+"/32"))
	}
	var conn *ipv4.PacketConn
	require.NoError(t, n.Do(func() error {
		config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { _ = unix.BindToDevice(int(fd), dhcptest.Link) })
		}}
		c, err := config.ListenPacket(context.Background(), "udp4", ":67")
		if err == nil {
			conn = ipv4.NewPacketConn(c)
			err = conn.SetControlMessage(ipv4.FlagDst, true)
		}
		return err
	}))
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, control, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			m, err := dhcpv4.FromBytes(buf[:n])
			if err != nil {
				continue
			}
			for _, r := range f.answers(m, !control.Dst.Equal(net.IPv4bcast)) {
				_, _ = conn.WriteTo(r.ToBytes(), nil, &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
			}
		}
	}()
}

func (f fake) answers(m *dhcpv4.DHCPv4, unicast bool) []*dhcpv4.DHCPv4 {
	answer := func(kind dhcpv4.MessageType, from netip.Addr) []*dhcpv4.DHCPv4 {
		if kind == 0 || !from.IsValid() {
			return nil
		}
		more := func(*dhcpv4.DHCPv4) {}
		if from == f.elsewhere {
			more = dhcpv4.WithOption(dhcpv4.OptRouter(f.at.AsSlice()))
		}
		r, err := dhcpv4.NewReplyFromRequest(m, more, dhcpv4.WithMessageType(kind), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(from.AsSlice())),
			dhcpv4.WithYourIP(dhcptest.Address(0, 100).AsSlice()), dhcpv4.WithNetmask(f.mask), dhcpv4.WithOption(dhcpv4.OptMessage("no such lease")))
		if err != nil {
			return nil
		}
		return []*dhcpv4.DHCPv4{r}
	}
	own := f.at
	if f.elsewhere.IsValid() {
		own = f.elsewhere
	}
	switch {
	case m.MessageType() == dhcpv4.MessageTypeDiscover:
		return answer(dhcpv4.MessageTypeOffer, own)
	case m.MessageType() != dhcpv4.MessageTypeRequest:
		return nil
	case m.ServerIdentifier() != nil:
		return answer(f.first, own)
	case unicast:
		return answer(f.renew, own)
	}
	return answer(dhcpv4.MessageTypeAck, f.rebind)
}
