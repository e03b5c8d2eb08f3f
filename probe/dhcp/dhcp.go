// Package dhcp asks networks' DHCP servers what a desktop's client asks them (RFC 2131): a first lease (DISCOVER, OFFER,
// REQUEST, ACK; by broadcast), its renewal (RENEW, by unicast to the server, which a client does at half of the lease) and
// its rebinding (REBIND, by broadcast, at 7/8 of the lease), all at once and not after hours. Servers that answer broadcasts
// and not unicasts are otherwise noticed when the leases of a whole network run out.
//
// It also reads what dnsmasq writes about its leases, and audits the sockets of the servers on this host.
package dhcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Target is a network, and how to ask its servers.
type Target struct {
	// Interface is on the network. With Relay it is not needed.
	Interface string
	// Namespace is the file of the network namespace where the interface is, /run/netns/NAME; empty: that of this process. The
	// interface must not be in the server's own namespace, where a packet to the server never crosses the network.
	Namespace string
	// MAC is the client's hardware address in the messages; nil: the interface's, which is required with Relay. Where a server
	// knows its clients, as Neutron's does, it is that of a port made for the probe, and the interface's too.
	MAC net.HardwareAddr
	// ClientID is option 61, type and identifier (RFC 2132, section 9.14); empty: none.
	ClientID []byte
	// Servers are the server identifiers that may answer; empty: any, but only one.
	Servers []netip.Addr
	// Relay has the probe ask as the relay agent of another network; nil: the interface is on the network.
	Relay *Relay

	Timeout  time.Duration // how long an exchange waits for its answer, retransmissions included; 5 s if 0
	Attempts int           // how often a message is sent in that time, at intervals that double; 3 if 0
	Window   time.Duration // how long after the first offer others are collected; 1 s if 0
	// Renewals is how many renewals are sent; 8 if 0. The first is a client's own, from port 68. The others come from other
	// ports, because a kernel that distributes packets among several servers' sockets does so by the packets' addresses and
	// ports: one alone may be lucky.
	Renewals int
}

// Relay is a relay agent's place (RFC 1542, section 4; RFC 2131, section 4.1).
type Relay struct {
	Address netip.Addr   // giaddr: an address of this host, which tells the server the network, and to which it answers
	Servers []netip.Addr // to which messages are sent by unicast
}

// Outcome is how an exchange ended.
type Outcome string

// The outcomes.
const (
	Acknowledged Outcome = "acknowledged"
	NoAnswer     Outcome = "no_answer"    // in the whole of Timeout
	Refused      Outcome = "nak"          // DHCPNAK
	WrongServer  Outcome = "wrong_server" // only servers answered that must not, or another one than was asked
	CutShort     Outcome = "cut_short"    // the context ended while it waited, which says nothing about the server
	Failed       Outcome = "failed"       // on this side: Err says why
	Skipped      Outcome = "skipped"      // an exchange before it brought no lease, or it does not exist through a relay
)

// Outcomes are all that an exchange may have.
func Outcomes() []Outcome {
	return []Outcome{Acknowledged, NoAnswer, Refused, WrongServer, CutShort, Failed, Skipped}
}

// Exchange is what came of asking.
type Exchange struct {
	Outcome Outcome
	Latency time.Duration // from the first transmission to the answer; 0 without one
	Server  netip.Addr    // who answered
	Message string        // a NAK's reason, the server's words
	Err     error         // if it failed
}

// Offer is an answer to DISCOVER.
type Offer struct {
	Server  netip.Addr
	Address netip.Addr
	Latency time.Duration
}

// Lease is what the server granted.
type Lease struct {
	Address  netip.Prefix  // with the network's prefix
	Server   netip.Addr    // its identifier
	Router   netip.Addr    // invalid: none
	Duration time.Duration // 0: for ever
	T1, T2   time.Duration // when to renew and to rebind, as the server said; 0: it did not
}

// Result is what a probe found.
type Result struct {
	Offers []Offer
	DORA   Exchange
	Renew  Exchange
	Rebind Exchange
	// RenewalsSent and RenewalsAnswered count the renewals from all ports.
	RenewalsSent, RenewalsAnswered int
	MAC                            net.HardwareAddr // the client's
	Lease                          Lease            // if DORA was acknowledged
	Servers                        []netip.Addr     // all that answered anything, in order
	Foreign                        []netip.Addr     // those of them that are not among the Target's; empty if that names none
}

// Probe asks a network's servers and releases the lease that it was given. It returns an error when it could not ask at all:
// a *MissingCapabilityError, an interface that is not there. What a server does wrong, or leaves undone, is in the Result.
// Probes of several networks may run at once.
func Probe(ctx context.Context, t Target) (Result, error) {
	if err := t.check(); err != nil {
		return Result{}, err
	}
	p := &probe{Target: t.withDefaults()}
	err := inNamespace(t.Namespace, func() error {
		if err := p.open(); err != nil {
			return err
		}
		defer p.close()
		p.run(ctx)
		return nil
	})
	if err != nil {
		return Result{}, fmt.Errorf("probing DHCP %s: %w", t.place(), err)
	}
	return p.result, nil
}

func (t Target) place() string {
	if t.Relay != nil {
		return "as the relay " + t.Relay.Address.String()
	}
	return "on " + t.Interface
}

func (t Target) check() error {
	switch {
	case t.Relay == nil && t.Interface == "":
		return errors.New("a DHCP probe needs an interface, or a relay's address")
	case t.Relay != nil && (!t.Relay.Address.Is4() || len(t.Relay.Servers) == 0 || len(t.MAC) == 0):
		return errors.New("a DHCP probe through a relay needs the relay's IPv4 address, servers to ask and a MAC")
	case t.Attempts < 0 || t.Attempts > 10 || t.Renewals < 0 || t.Renewals > 64 || t.Timeout < 0 || t.Window < 0:
		return errors.New("a DHCP probe has at most 10 attempts and 64 renewals, and no negative times")
	case len(t.MAC) > 16: // chaddr's size, RFC 2131 section 2
		return fmt.Errorf("a DHCP client's hardware address has at most 16 bytes, not %d", len(t.MAC))
	}
	return nil
}

func (t Target) withDefaults() Target {
	t.Timeout = cmp.Or(t.Timeout, 5*time.Second)
	t.Attempts = cmp.Or(t.Attempts, 3)
	t.Window = cmp.Or(t.Window, time.Second)
	t.Renewals = cmp.Or(t.Renewals, 8)
	return t
}

// Longest is more than a probe of the target takes.
func (t Target) Longest() time.Duration {
	t = t.withDefaults()
	return t.Window + 4*t.Timeout
}

// probe is one run.
type probe struct {
	Target
	link   *net.Interface
	line   *line
	result Result
}

// run has all exchanges in turn. Each decides with its outcome whether the next one makes sense.
func (p *probe) run(ctx context.Context) {
	r := &p.result
	r.MAC = p.MAC
	r.DORA, r.Renew.Outcome, r.Rebind.Outcome = p.dora(ctx), Skipped, Skipped
	defer func() {
		slices.SortFunc(r.Servers, netip.Addr.Compare)
		for _, s := range r.Servers {
			if len(p.Target.Servers) > 0 && !slices.Contains(p.Target.Servers, s) {
				r.Foreign = append(r.Foreign, s)
			}
		}
	}()
	if r.DORA.Outcome != Acknowledged {
		return
	}
	if p.Relay != nil {
		r.Rebind = p.rebind(ctx, p.line.via)
		p.release(p.line.via, p.line.to...)
		return
	}
	p.withAddress(ctx)
}

// withAddress does what a client does that has its lease's address.
func (p *probe) withAddress(ctx context.Context) {
	r := &p.result
	client, err := p.settle()
	if err != nil {
		r.Renew = Exchange{Outcome: Failed, Err: err}
		r.Rebind = r.Renew
		p.release(p.line.via, p.line.to...)
		return
	}
	defer client.close()
	r.Renew = p.renew(ctx, client)
	r.Rebind = p.rebind(ctx, client.broadcast)
	// A RELEASE has no answer (RFC 2131, section 4.4.6). Where unicasts get lost it would, too.
	p.release(client.unicast, serverPort(r.Lease.Server))
	if r.Renew.Outcome != Acknowledged {
		p.release(client.broadcast, p.line.to...)
	}
}

// dora gets a lease.
func (p *probe) dora(ctx context.Context) Exchange {
	discover, err := dhcpv4.NewDiscovery(p.MAC, p.modify()...)
	if err != nil {
		return Exchange{Outcome: Failed, Err: err}
	}
	var offers []*dhcpv4.DHCPv4
	ask := &call{via: p.line.via, to: p.line.to, packet: discover}
	keep := func(a answer) bool {
		if a.packet.MessageType() != dhcpv4.MessageTypeOffer {
			return false
		}
		p.answeredBy(a.server)
		if !slices.ContainsFunc(p.result.Offers, func(o Offer) bool { return o.Server == a.server }) {
			offers = append(offers, a.packet)
			p.result.Offers = append(p.result.Offers, Offer{a.server, address(a.packet.YourIPAddr), a.latency})
		}
		return true
	}
	if e, ok := p.ask(ctx, ask, keep); !ok {
		return e
	}
	if err := p.line.listen(ctx, time.Now().Add(p.Window), func(a answer) bool {
		if a.packet.TransactionID == discover.TransactionID {
			a.latency = time.Since(ask.begun)
			keep(a)
		}
		return false
	}); err != nil {
		return failure(ctx, err)
	}
	return p.request(ctx, offers)
}

// request accepts an offer: that of a server that may answer, if there is one.
func (p *probe) request(ctx context.Context, offers []*dhcpv4.DHCPv4) Exchange {
	chosen := 0
	if len(p.Target.Servers) > 0 {
		chosen = slices.IndexFunc(p.result.Offers, func(o Offer) bool { return slices.Contains(p.Target.Servers, o.Server) })
		if chosen < 0 {
			first := p.result.Offers[0]
			return Exchange{Outcome: WrongServer, Server: first.Server, Latency: first.Latency}
		}
	}
	offer := p.result.Offers[chosen]
	request, err := dhcpv4.NewRequestFromOffer(offers[chosen], p.modify()...)
	if err != nil {
		return Exchange{Outcome: Failed, Err: err}
	}
	e := p.acknowledge(ctx, &call{via: p.line.via, to: p.line.to, packet: request}, offer.Server, func(ack *dhcpv4.DHCPv4) {
		p.result.Lease = leaseOf(ack, offer.Server)
	})
	if e.Latency > 0 {
		e.Latency += offer.Latency
	}
	return e
}

// renew renews by unicast, from the client's port and from others.
func (p *probe) renew(ctx context.Context, c *client) Exchange {
	e := Exchange{Outcome: NoAnswer}
	calls := make([]*call, 0, p.Renewals)
	for i := range p.Renewals {
		via := c.unicast
		if i > 0 {
			other, err := c.listen(ctx, 0)
			if err != nil {
				return Exchange{Outcome: Failed, Err: err}
			}
			defer other.Close()
			via = other
		}
		request, err := p.extend(p.result.Lease)
		if err != nil {
			return Exchange{Outcome: Failed, Err: err}
		}
		calls = append(calls, &call{via: via, to: []net.Addr{serverPort(p.result.Lease.Server)}, packet: request})
	}
	p.result.RenewalsSent = len(calls)
	err := p.line.ask(ctx, p.Timeout, p.Attempts, calls, func(c *call, a answer) bool {
		got, ok := p.judge(a, p.result.Lease.Server)
		if ok {
			p.result.RenewalsAnswered++
			if c == calls[0] {
				e = got
			}
		}
		return ok
	})
	if err != nil && e.Outcome == NoAnswer {
		return failure(ctx, err)
	}
	return e
}

// rebind renews by broadcast. Any server may answer.
func (p *probe) rebind(ctx context.Context, via net.PacketConn) Exchange {
	request, err := p.extend(p.result.Lease)
	if err != nil {
		return Exchange{Outcome: Failed, Err: err}
	}
	return p.acknowledge(ctx, &call{via: via, to: p.line.to, packet: request}, p.result.Lease.Server, func(*dhcpv4.DHCPv4) {})
}

// extend is the message of RENEW and REBIND, which are told apart by where they are sent (RFC 2131, section 4.3.2).
func (p *probe) extend(l Lease) (*dhcpv4.DHCPv4, error) {
	return dhcpv4.New(append(p.modify(), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithHwAddr(p.MAC),
		dhcpv4.WithClientIP(l.Address.Addr().AsSlice()), dhcpv4.WithBroadcast(false))...)
}

// release gives the lease back.
func (p *probe) release(via net.PacketConn, to ...net.Addr) {
	l := p.result.Lease
	message, err := dhcpv4.New(append(p.modify(), dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease), dhcpv4.WithHwAddr(p.MAC),
		dhcpv4.WithClientIP(l.Address.Addr().AsSlice()), dhcpv4.WithBroadcast(false),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(l.Server.AsSlice())))...)
	if err != nil {
		return // only if there is no randomness
	}
	for _, a := range to {
		_, _ = via.WriteTo(message.ToBytes(), a) // nobody confirms it, and the lease ends some time
	}
}

// acknowledge waits for the ACK or NAK to a message for a server.
func (p *probe) acknowledge(ctx context.Context, c *call, server netip.Addr, acknowledged func(*dhcpv4.DHCPv4)) Exchange {
	var e Exchange
	failed, ok := p.ask(ctx, c, func(a answer) bool {
		got, ok := p.judge(a, server)
		if ok {
			e = got
			if e.Outcome == Acknowledged {
				acknowledged(a.packet)
			}
		}
		return ok
	})
	if !ok {
		return failed
	}
	return e
}

// judge says what an answer to a REQUEST means, and whether it is one.
func (p *probe) judge(a answer, server netip.Addr) (Exchange, bool) {
	e := Exchange{Latency: a.latency, Server: a.server}
	switch a.packet.MessageType() {
	case dhcpv4.MessageTypeNak:
		e.Outcome, e.Message = Refused, a.packet.Message()
	case dhcpv4.MessageTypeAck:
		e.Outcome = Acknowledged
		if granted := leaseOf(a.packet, a.server).Address; !granted.Addr().IsGlobalUnicast() || granted.Bits() < 8 {
			return e, false // no server of a network grants that, and it would become an address and a route of this host
		}
		if a.server != server && !slices.Contains(p.Target.Servers, a.server) {
			e.Outcome = WrongServer
		}
	default:
		return e, false
	}
	p.answeredBy(a.server)
	return e, true
}

// ask sends one message until it is answered. If it is not, the Exchange says why.
func (p *probe) ask(ctx context.Context, c *call, answered func(answer) bool) (Exchange, bool) {
	done := false
	err := p.line.ask(ctx, p.Timeout, p.Attempts, []*call{c}, func(_ *call, a answer) bool {
		done = answered(a)
		return done
	})
	switch {
	case done:
		return Exchange{}, true
	case err != nil:
		return failure(ctx, err), false
	}
	return Exchange{Outcome: NoAnswer}, false
}

func failure(ctx context.Context, err error) Exchange {
	if ctx.Err() != nil {
		return Exchange{Outcome: CutShort, Err: err}
	}
	return Exchange{Outcome: Failed, Err: err}
}

func (p *probe) answeredBy(server netip.Addr) {
	if !slices.Contains(p.result.Servers, server) {
		p.result.Servers = append(p.result.Servers, server)
	}
}

// modify is what all messages have in common. dhcpv4's constructors for replies would reuse the transaction id.
func (p *probe) modify() []dhcpv4.Modifier {
	m := []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(maxMessage)),
		func(d *dhcpv4.DHCPv4) {
			if id, err := dhcpv4.GenerateTransactionID(); err == nil {
				d.TransactionID = id
			}
		},
	}
	if len(p.ClientID) > 0 {
		m = append(m, dhcpv4.WithOption(dhcpv4.OptClientIdentifier(p.ClientID)))
	}
	switch {
	case p.Relay != nil:
		m = append(m, dhcpv4.WithRelay(p.Relay.Address.AsSlice()))
	case p.link.HardwareAddr.String() != p.MAC.String():
		// A frame to the client's address would not reach this interface.
		m = append(m, dhcpv4.WithBroadcast(true))
	}
	return m
}

func leaseOf(ack *dhcpv4.DHCPv4, server netip.Addr) Lease {
	const forever = time.Duration(1<<32-1) * time.Second // RFC 2131, section 3.3
	bits := 32
	if ones, size := ack.SubnetMask().Size(); size == 32 {
		bits = ones
	}
	l := Lease{
		Address: netip.PrefixFrom(address(ack.YourIPAddr), bits), Server: server,
		Duration: ack.IPAddressLeaseTime(0), T1: ack.IPAddressRenewalTime(0), T2: ack.IPAddressRebindingTime(0),
	}
	if l.Duration == forever {
		l.Duration = 0
	}
	if r := ack.Router(); len(r) > 0 {
		l.Router = address(r[0])
	}
	return l
}

// address is invalid if ip is none.
func address(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
