package rabbitmq

import (
	"context"
	"net"
	"os"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
)

// network is a compute host with three addresses, a firewall that forgets what was silent for 10 s, and the broker's host.
type network struct{ compute, broker *netns.Namespace }

const (
	brokerAddress  = "10.72.2.2"
	computeAddress = "10.72.1.2"
	networkAddress = "10.72.1.3"
	controlAddress = "10.72.1.4"
)

func newNetwork(t *testing.T) network {
	t.Helper()
	compute, firewall, broker := netnstest.New(t, "compute"), netnstest.New(t, "firewall"), netnstest.New(t, "broker")
	require.NoError(t, firewall.AddVeth("clients", compute, "eth0"))
	require.NoError(t, firewall.AddVeth("servers", broker, "eth0"))
	require.NoError(t, firewall.AddAddress("clients", "10.72.1.1/24"))
	require.NoError(t, firewall.AddAddress("servers", "10.72.2.1/24"))
	for _, address := range []string{computeAddress, networkAddress, controlAddress} {
		require.NoError(t, compute.AddAddress("eth0", address+"/24"))
	}
	require.NoError(t, broker.AddAddress("eth0", brokerAddress+"/24"))
	require.NoError(t, compute.AddRoute("0.0.0.0/0", "10.72.1.1"))
	require.NoError(t, broker.AddRoute("0.0.0.0/0", "10.72.2.1"))
	forgetful(t, firewall)
	return network{compute: compute, broker: broker}
}

// forgetful passes on new connections and those that the kernel remembers, and drops the rest.
func forgetful(t *testing.T, firewall *netns.Namespace) {
	t.Helper()
	namespace, err := os.Open(firewall.Path())
	require.NoError(t, err)
	defer namespace.Close()
	conn, err := nftables.New(nftables.WithNetNSFd(int(namespace.Fd())))
	require.NoError(t, err)
	drop := nftables.ChainPolicyDrop
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "firewall"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward,
		Priority: nftables.ChainPriorityFilter, Policy: &drop,
	})
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	state := func(bits uint32) []expr.Any {
		return []expr.Any{
			&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4,
				Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: binaryutil.NativeEndian.PutUint32(0)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
		}
	}
	const synAmongSynAckRstFin, syn = 0x17, 0x02 // of the TCP header's flags, its byte 13
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(
		state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept)})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(state(expr.CtStateBitNEW),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{synAmongSynAckRstFin}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{syn}},
		accept)})
	require.NoError(t, conn.Flush())
	for key, value := range map[string]string{
		"net.ipv4.ip_forward":                                "1",
		"net.netfilter.nf_conntrack_tcp_loose":               "0",
		"net.netfilter.nf_conntrack_tcp_timeout_established": "10",
	} {
		require.NoError(t, firewall.SetSysctl(key, value))
	}
}

// dialFrom connects from an address of the compute host.
func (n network) dialFrom(address string) dialFunc {
	return func(ctx context.Context, _, to string) (conn net.Conn, err error) {
		// The dialer's own keepalive, which is on unless forbidden, would hide the fault.
		dialer := net.Dialer{KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		err = n.compute.Do(func() (err error) {
			conn, err = dialer.DialContext(ctx, "tcp4", to)
			return err
		})
		return conn, err
	}
}
