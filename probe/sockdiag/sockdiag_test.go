package sockdiag

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pairs opens n connections to a listener of its own and returns its address and the client's ends.
func pairs(t testing.TB, network, address string, n int, keepAlive net.KeepAliveConfig) (netip.AddrPort, []*net.TCPConn) {
	t.Helper()
	config := net.ListenConfig{KeepAliveConfig: keepAlive, KeepAlive: -1}
	listener, err := config.Listen(t.Context(), network, address)
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	dialer := net.Dialer{KeepAlive: -1}
	var clients []*net.TCPConn
	for range n {
		client, err := dialer.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { client.Close() })
		server, err := listener.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { server.Close() })
		clients = append(clients, client.(*net.TCPConn))
	}
	return listener.Addr().(*net.TCPAddr).AddrPort(), clients
}

func TestEstablished(t *testing.T) {
	on := net.KeepAliveConfig{Enable: true, Idle: 700 * time.Second, Interval: time.Second, Count: 3}
	for _, test := range []struct {
		name, network, address string
		keepAlive              net.KeepAliveConfig
		timer                  Timer
		expires                time.Duration
	}{
		{name: "no keepalive", network: "tcp4", address: "127.0.0.1:0", timer: None},
		{name: "keepalive", network: "tcp4", address: "127.0.0.1:0", keepAlive: on, timer: Keepalive, expires: on.Idle},
		{name: "both families", network: "tcp", address: "[::ffff:127.0.0.1]:0", keepAlive: on, timer: Keepalive, expires: on.Idle},
		{name: "IPv6", network: "tcp6", address: "[::1]:0", timer: None},
	} {
		t.Run(test.name, func(t *testing.T) {
			local, clients := pairs(t, test.network, test.address, 2, test.keepAlive)
			_, err := clients[0].Write([]byte("0123456789"))
			require.NoError(t, err)
			sockets, err := Established(t.Context(), local.Port(), "")
			require.NoError(t, err)
			require.Len(t, sockets, 2)
			for _, s := range sockets {
				require.Equal(t, netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), s.Local)
				require.Equal(t, test.timer, s.Timer)
				require.InDelta(t, test.expires.Seconds(), s.Expires.Seconds(), 10)
				require.False(t, s.HalfOpen())
				require.Less(t, s.Idle(), time.Minute)
				if s.Remote.Port() == uint16(clients[0].LocalAddr().(*net.TCPAddr).Port) {
					require.EqualValues(t, 10, s.ReceiveQueue)
					require.EqualValues(t, 10, s.BytesReceived)
					require.EqualValues(t, 1, s.DataSegmentsIn)
				}
			}
		})
	}
}

func TestEstablishedFails(t *testing.T) {
	_, err := Established(t.Context(), 5672, "/run/netns/there-is-none")
	require.ErrorContains(t, err, "opening the network namespace")
	_, err = Established(t.Context(), 5672, "/dev/null")
	require.Error(t, err, "no namespace")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Established(ctx, 5672, "")
	require.ErrorIs(t, err, context.Canceled)
}

func TestHalfOpen(t *testing.T) {
	lost := Socket{Timer: Retransmit, Backoff: 3, SendQueue: 83, SinceSent: 5 * time.Second, SinceAck: 45 * time.Second}
	for _, test := range []struct {
		name   string
		change func(*Socket)
		want   bool
	}{
		{"lost", func(*Socket) {}, true},
		{"a lost segment is sent again", func(s *Socket) { s.Backoff = 2 }, false},
		{"all arrived", func(s *Socket) { s.SendQueue = 0 }, false},
		{"acknowledged since", func(s *Socket) { s.SinceAck = time.Second }, false},
		{"the peer does not read", func(s *Socket) { s.Timer = ZeroWindow }, false},
		{"a probe is on its way", func(s *Socket) { s.Timer, s.Probes = Keepalive, 1 }, false},
		{"probes are not answered", func(s *Socket) { s.Timer, s.Probes = Keepalive, 2 }, true},
		{"idle", func(s *Socket) { s.Timer = None }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := lost
			test.change(&s)
			require.Equal(t, test.want, s.HalfOpen())
		})
	}
}

func TestIdle(t *testing.T) {
	s := Socket{SinceSent: 2 * time.Second, SinceReceived: 50 * time.Second, SinceAck: 45 * time.Second}
	require.Equal(t, 2*time.Second, s.Idle())
	s.Timer, s.Backoff = Retransmit, 1
	require.Equal(t, 45*time.Second, s.Idle())
}

func TestParseRefuses(t *testing.T) {
	whole := make([]byte, responseSize+8)
	whole[0] = unix.AF_INET
	binary.NativeEndian.PutUint16(whole[responseSize:], 8)
	_, err := parse(whole)
	require.NoError(t, err)
	for n := range responseSize {
		_, err := parse(whole[:n])
		require.Error(t, err)
	}
	for _, length := range []uint16{0, 3, 9, 65535} {
		binary.NativeEndian.PutUint16(whole[responseSize:], length)
		_, err = parse(whole)
		require.Error(t, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(make([]byte, responseSize+260))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parse(b) })
}

// BenchmarkEstablished asks for 10,000 connections. Nobody accepts them, so that half as many open files do; they are in the
// queues of four listeners of one port, because the kernel lets one queue have 4096 (net.core.somaxconn).
func BenchmarkEstablished(b *testing.B) {
	const n = 10_000
	config := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return err
	}}
	address := "127.0.0.1:0"
	for range 4 {
		listener, err := config.Listen(b.Context(), "tcp4", address)
		require.NoError(b, err)
		defer listener.Close()
		address = listener.Addr().String()
	}
	dialer := net.Dialer{KeepAlive: -1}
	for range n {
		client, err := dialer.Dial("tcp4", address)
		require.NoError(b, err)
		defer client.Close()
	}
	for b.Loop() {
		sockets, err := Established(b.Context(), netip.MustParseAddrPort(address).Port(), "")
		require.NoError(b, err)
		require.Len(b, sockets, n)
	}
}
