package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// open opens the line. It runs in the target's namespace.
func (p *probe) open() error {
	if err := missing(p.Needs()); err != nil {
		return err
	}
	if p.Relay != nil {
		return p.openRelay()
	}
	link, err := net.InterfaceByName(p.Interface)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Interface, err)
	}
	if p.link = link; len(p.MAC) == 0 {
		p.MAC = link.HardwareAddr
	}
	if len(p.MAC) == 0 {
		return fmt.Errorf("%s has no hardware address: give the probe a MAC", p.Interface)
	}
	filter, err := bpf.Assemble(dhcpAnswers)
	if err != nil {
		return err
	}
	raw, err := packet.Listen(link, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return fmt.Errorf("opening a packet socket on %s: %w", p.Interface, err)
	}
	p.line = &line{
		conn: nclient4.NewBroadcastUDPConn(raw, nil),
		via:  nclient4.NewBroadcastUDPConn(raw, &net.UDPAddr{Port: portOfClients}),
		to:   []net.Addr{serverPort(netip.AddrFrom4([4]byte{255, 255, 255, 255}))},
		mac:  p.MAC,
	}
	return nil
}

func (p *probe) openRelay() error {
	if err := p.alone(); err != nil {
		return err
	}
	conn, err := listenUDP(context.Background(), p.Interface, p.Relay.Address, portOfServers)
	if err != nil {
		return err
	}
	p.line = &line{conn: conn, via: conn, mac: p.MAC}
	for _, s := range p.Relay.Servers {
		p.line.to = append(p.line.to, serverPort(s))
	}
	return nil
}

func (p *probe) close() { p.line.conn.Close() }

// alone refuses to relay where another does, or a server is: what comes to the address would come to the probe's socket, which is the
// more specific one or the newer, and clients' renewals would get lost for the probe's time.
func (p *probe) alone() error {
	sockets, err := serverSockets()
	if err != nil {
		return err
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing this host's addresses: %w", err)
	}
	for _, s := range sockets {
		here := s.Device == 0 || slices.ContainsFunc(addresses, func(a netlink.Addr) bool {
			return a.LinkIndex == s.Device && address(a.IP) == p.Relay.Address
		})
		if here && (s.Local.IsUnspecified() || s.Local == p.Relay.Address) {
			return fmt.Errorf("a DHCP server or relay has port 67 open for %v already, and the probe would take its messages: give the probe "+
				"an address in a network namespace of its own", p.Relay.Address)
		}
	}
	return nil
}

// dhcpAnswers keeps the kernel from queuing all else that an interface receives. It passes UDP from servers or to clients, in
// packets that begin with their IPv4 header. To other ports than the client's come answers to renewals from other ports: some
// servers answer to the port that asked, others to the client's.
var dhcpAnswers = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 9, Size: 1}, // protocol
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 5},
	bpf.LoadMemShift{Off: 0},          // the header's length
	bpf.LoadIndirect{Off: 0, Size: 2}, // source port
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: portOfServers, SkipTrue: 3},
	bpf.LoadIndirect{Off: 2, Size: 2}, // destination port
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: portOfClients, SkipTrue: 1},
	bpf.RetConstant{Val: 0},
	bpf.RetConstant{Val: 1 << 16},
}

// client is a client that has its lease's address.
type client struct {
	probe              *probe
	unicast, broadcast net.PacketConn
	address            *netlink.Addr // nil: it was there before
	routes             []netlink.Route
}

// settle gives the interface the leased address.
func (p *probe) settle() (*client, error) {
	l := p.result.Lease
	if err := p.notOurs(l.Server); err != nil {
		return nil, err
	}
	c := &client{probe: p}
	if err := c.addAddress(l); err != nil {
		return nil, fmt.Errorf("giving %s the leased address %v: %w", p.Interface, l.Address.Addr(), err)
	}
	unicast, err := c.listen(context.Background(), portOfClients)
	if err != nil {
		c.close()
		return nil, err
	}
	c.unicast = unicast
	// Answers come through the line, NAKs by broadcast even to a unicast (RFC 2131, section 4.3.2); messages go out with the
	// address.
	c.broadcast = nclient4.NewBroadcastUDPConn(p.line.conn.(*nclient4.BroadcastRawUDPConn).PacketConn,
		&net.UDPAddr{IP: l.Address.Addr().AsSlice(), Port: portOfClients})
	return c, nil
}

// notOurs refuses to unicast to this very host, which would not need the network.
func (p *probe) notOurs(server netip.Addr) error {
	addresses, err := localAddresses()
	if err != nil {
		return err
	}
	if addresses[server] {
		return fmt.Errorf("the server %v is in the probe's own network namespace, where renewals do not cross the network: "+
			"move %s to a namespace of its own", server, p.Interface)
	}
	return nil
}

// addAddress adds the address for the probe's time. The kernel removes it after that time even if this process is killed. It is
// alone in its subnet, /32, because with a subnet's first address the kernel removes the others (promote_secondaries in
// ip-sysctl.rst). Its routes go with it, and their metric is such that other traffic prefers any other.
func (c *client) addAddress(l Lease) error {
	there, err := netlink.AddrList(c.link(), netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(there, func(a netlink.Addr) bool { return address(a.IP) == l.Address.Addr() }) {
		return nil // the administrator's, with routes
	}
	valid := int((c.probe.Longest() + 5*time.Second) / time.Second)
	a := &netlink.Addr{IPNet: network(netip.PrefixFrom(l.Address.Addr(), 32)), ValidLft: valid, PreferedLft: valid}
	if err := netlink.AddrAdd(c.link(), a); err != nil {
		return err
	}
	c.address = a
	for _, route := range l.routes() {
		route.LinkIndex, route.Src, route.Priority = c.probe.link.Index, l.Address.Addr().AsSlice(), 1<<20+c.probe.link.Index
		if err := netlink.RouteAdd(&route); err != nil {
			c.close()
			return fmt.Errorf("with the route %v: %w", route, err)
		}
		c.routes = append(c.routes, route)
	}
	return nil
}

func (c *client) link() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: c.probe.link.Index, Name: c.probe.link.Name}}
}

// routes are those to the lease's network and, if it is elsewhere, to the server.
func (l Lease) routes() []netlink.Route {
	var routes []netlink.Route
	if !l.Address.IsSingleIP() {
		routes = append(routes, netlink.Route{Dst: network(l.Address.Masked()), Scope: netlink.SCOPE_LINK})
	}
	switch to := network(netip.PrefixFrom(l.Server, 32)); {
	case l.Address.Contains(l.Server):
	case l.Router.IsValid():
		routes = append(routes, netlink.Route{Dst: to, Gw: l.Router.AsSlice(), Flags: int(netlink.FLAG_ONLINK)})
	default:
		routes = append(routes, netlink.Route{Dst: to, Scope: netlink.SCOPE_LINK})
	}
	return routes
}

// close removes what settle added.
func (c *client) close() {
	if c.unicast != nil {
		c.unicast.Close()
	}
	// If the interface has gone, so have its routes and the address.
	for _, r := range c.routes {
		_ = netlink.RouteDel(&r)
	}
	if c.address != nil {
		_ = netlink.AddrDel(c.link(), c.address)
	}
}

// listen opens a socket of the client; port 0 is any.
func (c *client) listen(ctx context.Context, port int) (net.PacketConn, error) {
	return listenUDP(ctx, c.probe.Interface, c.probe.result.Lease.Address.Addr(), port)
}

// listenUDP opens a socket on an interface beside others on the same port: a host's own DHCP client, or its relay.
func listenUDP(ctx context.Context, link string, local netip.Addr, port int) (net.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			if set == nil && link != "" {
				set = unix.BindToDevice(int(fd), link)
			}
		})
		return errors.Join(err, set)
	}}
	conn, err := config.ListenPacket(ctx, "udp4", netip.AddrPortFrom(local, uint16(port)).String())
	if err != nil {
		return nil, fmt.Errorf("opening the DHCP client's socket: %w", err)
	}
	return conn, nil
}

// localAddresses are those of the thread's namespace.
func localAddresses() (map[netip.Addr]bool, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing this host's addresses: %w", err)
	}
	addresses := map[netip.Addr]bool{}
	for _, a := range list {
		addresses[address(a.IP)] = true
	}
	return addresses, nil
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
