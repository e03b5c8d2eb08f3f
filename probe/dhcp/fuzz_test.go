package dhcp

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/require"
)

// packets is a line on which some packets come, and then none.
type packets struct {
	net.PacketConn
	left [][]byte
}

func (p *packets) SetReadDeadline(time.Time) error { return nil }

func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(p.left) == 0 {
		return 0, nil, os.ErrDeadlineExceeded
	}
	n := copy(b, p.left[0])
	p.left = p.left[1:]
	return n, &net.UDPAddr{}, nil
}

// FuzzAnswer: whatever a server sends, no lease comes of it that would be no client's.
func FuzzAnswer(f *testing.F) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak, dhcpv4.MessageTypeOffer} {
		m, err := dhcpv4.New(dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 9)),
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(60), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))),
			dhcpv4.WithOption(dhcpv4.OptRouter(net.IPv4(10, 0, 0, 1))), dhcpv4.WithOption(dhcpv4.OptMessage("no")))
		require.NoError(f, err)
		m.OpCode = dhcpv4.OpcodeBootReply
		f.Add(m.ToBytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &probe{}
		l := &line{conn: &packets{left: [][]byte{data}}, mac: mac}
		require.NoError(t, l.listen(t.Context(), time.Time{}, func(a answer) bool {
			if e, ok := p.judge(a, a.server); ok && e.Outcome == Acknowledged {
				granted := leaseOf(a.packet, a.server)
				require.True(t, granted.Address.IsValid())
				require.True(t, granted.Address.Addr().IsGlobalUnicast())
				for _, r := range granted.routes() {
					require.NotNil(t, r.Dst)
				}
			}
			return false
		}))
	})
}
