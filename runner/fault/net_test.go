package fault_test

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// wire is a client, a router and a server.
type wire struct{ client, router, server *netns.Namespace }

const serverAddress, clientAddress = "10.74.2.2", "10.74.1.2"

func newWire(t testing.TB) (wire, *world) {
	t.Helper()
	qemutest.RequireProgram(t, "nft", "nftables")
	w := wire{netnstest.New(t, "client"), netnstest.New(t, "router"), netnstest.New(t, "server")}
	for i, end := range []*netns.Namespace{w.client, w.server} {
		link := fmt.Sprintf("eth%d", i)
		require.NoError(t, w.router.AddVeth(link, end, "eth0"))
		require.NoError(t, w.router.AddAddress(link, fmt.Sprintf("10.74.%d.1/24", i+1)))
		require.NoError(t, end.AddAddress("eth0", fmt.Sprintf("10.74.%d.2/24", i+1)))
		require.NoError(t, end.AddRoute("0.0.0.0/0", fmt.Sprintf("10.74.%d.1", i+1)))
	}
	require.NoError(t, w.router.SetSysctl("net.ipv4.ip_forward", "1"))
	return w, newWorld(t, target.Config{"client": local(t, w.client), "router": local(t, w.router), "server": local(t, w.server)})
}

// echo answers datagrams at the server.
func (w wire) echo(t testing.TB, port int) {
	t.Helper()
	var conn net.PacketConn
	require.NoError(t, w.server.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", net.JoinHostPort(serverAddress, strconv.Itoa(port)))
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buffer[:n], from)
		}
	}()
}

// answered sends datagrams, and returns the part that came back.
func (w wire) answered(t testing.TB, port, n int) float64 {
	t.Helper()
	var conn net.Conn
	require.NoError(t, w.client.Do(func() (err error) {
		conn, err = net.Dial("udp4", net.JoinHostPort(serverAddress, strconv.Itoa(port)))
		return err
	}))
	defer conn.Close()
	send := func(kind byte, burst int) {
		// What is dropped where it is sent is told the sender (EPERM).
		if _, err := conn.Write([]byte{kind, byte(burst), byte(burst >> 8)}); err != nil {
			require.ErrorIs(t, err, syscall.EPERM)
		}
	}
	seen := 0
	// read counts the answers, until there is none for a time; it tells whether a last one of the burst was among them.
	read := func(burst int, wait time.Duration) (last bool) {
		buffer := make([]byte, 16)
		for {
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(wait)))
			if n, err := conn.Read(buffer); err != nil || n != 3 {
				return last
			}
			switch {
			case buffer[0] == 'm':
				seen++
			case int(buffer[1])|int(buffer[2])<<8 == burst:
				last, wait = true, 5*time.Millisecond
			}
		}
	}
	const size = 50 // fits into a socket's buffer
	for burst := range n / size {
		for range size {
			send('m', burst)
		}
		// Answers come in the order of their questions: when a last one has come, which may be lost too, the others have, or are lost.
		for try := 0; try < 40; try++ {
			send('l', burst)
			if read(burst, 25*time.Millisecond) {
				break
			}
		}
	}
	return float64(seen) / float64(n)
}

func TestNetLoss(t *testing.T) {
	w, world := newWire(t)
	w.echo(t, 7)
	w.echo(t, 8)
	require.InDelta(t, 1, w.answered(t, 7, 500), 0)
	for _, at := range []string{"client", "router", "server"} {
		arguments := native.Arguments{"target": at, "for": "1m", "address": serverAddress, "port": 7, "protocol": "udp", "percent": 20,
			"direction": "to"}
		world.breaks("net.loss", arguments, func(fault.Plan) {
			got := w.answered(t, 7, 4000)
			t.Logf("at the %s: 20 %% of packets to the server dropped: %.1f %% lost", at, 100*(1-got))
			require.InDelta(t, 0.8, got, 0.04) // 6 standard deviations
			require.InDelta(t, 1, w.answered(t, 8, 200), 0)
		})
		require.InDelta(t, 1, w.answered(t, 7, 500), 0)
	}
	arguments := native.Arguments{"target": "router", "for": "1m", "device": "eth0", "percent": 20}
	world.breaks("net.loss", arguments, func(fault.Plan) {
		require.InDelta(t, 0.64, w.answered(t, 7, 4000), 0.05) // there and back
	})
	for _, n := range []*netns.Namespace{w.client, w.router, w.server} {
		clean(t, n)
	}
}

func TestNetBlackhole(t *testing.T) {
	w, world := newWire(t)
	w.echo(t, 7)
	w.echo(t, 8)
	for _, name := range []string{"net.blackhole", "amqp.partition"} {
		arguments := native.Arguments{"target": "router", "for": "1m", "address": "10.74.2.0/24", "port": 7, "protocol": "udp"}
		world.breaks(name, arguments, func(fault.Plan) {
			require.Zero(t, w.answered(t, 7, 100))
			require.InDelta(t, 1, w.answered(t, 8, 200), 0)
		})
		require.InDelta(t, 1, w.answered(t, 7, 100), 0)
	}
	clean(t, w.router)
}
