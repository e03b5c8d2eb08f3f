package dhcp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Ports of RFC 2131, section 4.1.
const (
	portOfServers = 67
	portOfClients = 68
)

// maxMessage is the largest message asked for and read, in bytes.
const maxMessage = 1500

func serverPort(server netip.Addr) net.Addr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, portOfServers))
}

// line is where answers come, and where messages for any server go.
type line struct {
	conn, via net.PacketConn // to read, to write
	to        []net.Addr
	mac       net.HardwareAddr
}

// call is a message to send until it is answered.
type call struct {
	via    net.PacketConn
	to     []net.Addr
	packet *dhcpv4.DHCPv4
	begun  time.Time // of the first transmission
}

func (c *call) send() error {
	if c.begun.IsZero() {
		c.begun = time.Now()
	}
	for _, to := range c.to {
		if _, err := c.via.WriteTo(c.packet.ToBytes(), to); err != nil {
			return err
		}
	}
	return nil
}

// answer is a server's message to the client.
type answer struct {
	packet  *dhcpv4.DHCPv4
	server  netip.Addr
	latency time.Duration
}

// ask sends all calls, each again until it is answered or the time is over. The intervals double, as RFC 2131 section 4.1 has
// it. The error is the context's, or this side's.
func (l *line) ask(ctx context.Context, wait time.Duration, attempts int, calls []*call, answered func(*call, answer) bool) error {
	open := map[dhcpv4.TransactionID]*call{}
	for _, c := range calls {
		open[c.packet.TransactionID] = c
	}
	interval := wait / (1<<attempts - 1)
	until := time.Now()
	for range attempts {
		for _, c := range calls {
			if open[c.packet.TransactionID] == nil {
				continue
			}
			if err := c.send(); err != nil && c == calls[0] {
				return err // the others may come from ports that a firewall here does not want
			}
		}
		until = until.Add(interval)
		interval *= 2
		err := l.listen(ctx, until, func(a answer) bool {
			if c := open[a.packet.TransactionID]; c != nil {
				a.latency = time.Since(c.begun)
				if answered(c, a) {
					delete(open, a.packet.TransactionID)
				}
			}
			return len(open) == 0
		})
		if err != nil || len(open) == 0 {
			return err
		}
	}
	return nil
}

// listen reads answers to the client until each says that it is enough, or the time has come.
func (l *line) listen(ctx context.Context, until time.Time, each func(answer) bool) error {
	if err := l.conn.SetReadDeadline(until); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, maxMessage)
	for {
		n, from, err := l.conn.ReadFrom(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ctx.Err()
		case err != nil:
			return err
		}
		packet, err := dhcpv4.FromBytes(bytes.Clone(buf[:n]))
		if err != nil || packet.OpCode != dhcpv4.OpcodeBootReply || !bytes.Equal(packet.ClientHWAddr, l.mac) {
			continue
		}
		a := answer{packet: packet, server: address(packet.ServerIdentifier())}
		if udp, ok := from.(*net.UDPAddr); ok && !a.server.IsValid() {
			a.server = address(udp.IP)
		}
		if each(a) {
			return nil
		}
	}
}
