package fault_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
)

// listen has a server of TCP connections at the wire's end.
func (w wire) listen(t testing.TB, port int, serve func(net.Conn)) {
	t.Helper()
	var listener net.Listener
	require.NoError(t, w.server.Do(func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(serverAddress, strconv.Itoa(port)))
		return err
	}))
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
}

func (w wire) dial(t testing.TB, from *netns.Namespace, port int) net.Conn {
	t.Helper()
	var conn net.Conn
	require.NoError(t, from.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp4", net.JoinHostPort(serverAddress, strconv.Itoa(port)), 5*time.Second)
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	return conn
}

func echoAll(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// trip is the least time of some round trips.
func trip(t testing.TB, conn net.Conn) time.Duration {
	t.Helper()
	least := time.Hour
	buffer := make([]byte, 5)
	for range 5 {
		began := time.Now()
		_, err := conn.Write([]byte("hello"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, buffer)
		require.NoError(t, err)
		least = min(least, time.Since(began))
	}
	return least
}

// TestNetDelayByRelay: at the client, between, and at the server.
func TestNetDelayByRelay(t *testing.T) {
	w, world := newWire(t)
	w.listen(t, 7, echoAll)
	w.listen(t, 8, echoAll)
	exe, err := os.Executable()
	require.NoError(t, err)
	world.relay = []string{exe, asRelay}
	for _, at := range []*netns.Namespace{w.client, w.router, w.server} {
		name := map[*netns.Namespace]string{w.client: "client", w.router: "router", w.server: "server"}[at]
		before := w.dial(t, w.client, 7)
		arguments := native.Arguments{"target": name, "for": "1m", "address": serverAddress, "port": 7, "delay": "50ms"}
		world.breaks("net.delay", arguments, func(p fault.Plan) {
			through := w.dial(t, w.client, 7)
			got := trip(t, through)
			t.Logf("delayed by a relay at the %s: %s there and back, was %s", name, got, trip(t, before))
			require.GreaterOrEqual(t, got, 100*time.Millisecond)
			require.Less(t, got, 300*time.Millisecond)
			require.Less(t, trip(t, before), 80*time.Millisecond, "a connection that existed")
			require.Less(t, trip(t, w.dial(t, w.client, 8)), 80*time.Millisecond, "another service")
			require.ErrorContains(t, w.client.Do(func() error { // nobody comes in who was not sent there
				port := p.Apply[0].Start.Argv[3]
				_, err := net.DialTimeout("tcp4", fmt.Sprintf("10.74.1.1:%s", port[strings.LastIndex(port, ":")+1:]), 100*time.Millisecond)
				return err
			}), "10.74.1.1")
		})
		require.Less(t, trip(t, w.dial(t, w.client, 7)), 80*time.Millisecond)
		clean(t, at)
		out, err := exec.CommandContext(t.Context(), "ip", "netns", "pids", at.Name()).Output()
		require.NoError(t, err)
		require.Empty(t, string(out), "processes are left at the %s", name)
	}
}

// TestNetDelayByKernel: where the kernel can, which is looked for as the fault does.
func TestNetDelayByKernel(t *testing.T) {
	w, world := newWire(t)
	w.listen(t, 7, echoAll)
	arguments := native.Arguments{"target": "router", "for": "1m", "device": "eth0", "delay": "50ms"}
	if w.router.Command(t.Context(), "unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms").Run() != nil {
		_, err := call(t, fault.Table(world.env()), "fault.net.delay", arguments)
		require.ErrorContains(t, err, "no sch_netem; say address and port")
		t.Log("this kernel has no sch_netem: the fault is refused")
		return
	}
	world.breaks("net.delay", arguments, func(fault.Plan) {
		got := trip(t, w.dial(t, w.client, 7))
		require.GreaterOrEqual(t, got, 50*time.Millisecond)
		require.Less(t, got, 200*time.Millisecond)
	})
	require.Less(t, trip(t, w.dial(t, w.client, 7)), 80*time.Millisecond)
}

// rate is how fast a client gets what a server has, in kbit/s.
func (w wire) rate(t testing.TB, port int) float64 {
	t.Helper()
	conn := w.dial(t, w.client, port)
	// What fits into the burst and into buffers comes at once.
	_, err := io.ReadFull(conn, make([]byte, 150_000))
	require.NoError(t, err)
	began := time.Now()
	n := 0
	buffer := make([]byte, 16<<10)
	for time.Since(began) < 2*time.Second {
		m, err := conn.Read(buffer)
		require.NoError(t, err)
		n += m
	}
	return float64(n) * 8 / 1000 / time.Since(began).Seconds()
}

func TestNetRate(t *testing.T) {
	w, world := newWire(t)
	zeros := func(conn net.Conn) {
		for {
			if _, err := conn.Write(make([]byte, 16<<10)); err != nil {
				return
			}
		}
	}
	w.listen(t, 7, zeros)
	w.listen(t, 8, zeros)
	const kbit = 2000
	t.Logf("without: %.0f kbit/s", w.rate(t, 7))
	world.breaks("net.rate", native.Arguments{"target": "router", "for": "1m", "device": "eth0", "kbit": kbit}, func(fault.Plan) {
		got := w.rate(t, 7)
		t.Logf("%d kbit/s across a device: %.0f kbit/s of payload", kbit, got)
		require.Less(t, got, 1.1*kbit)
		require.Greater(t, got, 0.1*kbit) // of a machine that has other things to do
		// A second one is refused, which could not bring back the first.
		again := native.Arguments{"target": "router", "for": "1m", "device": "eth0", "kbit": 10}
		_, err := call(t, fault.Table(world.env()), "fault.net.rate", again)
		require.ErrorContains(t, err, "queues that somebody made, tbf")
	})
	require.Greater(t, w.rate(t, 7), 10.*kbit)
	service := native.Arguments{"target": "server", "for": "1m", "port": 7, "kbit": kbit, "direction": "from"}
	world.breaks("net.rate", service, func(fault.Plan) {
		got := w.rate(t, 7)
		t.Logf("%d kbit/s of a service: %.0f kbit/s of payload", kbit, got)
		require.Less(t, got, 1.1*kbit)
		require.Greater(t, got, 0.1*kbit) // what is dropped is sent again, and TCP is careful
		require.Greater(t, w.rate(t, 8), 10.*kbit)
	})
	require.Greater(t, w.rate(t, 7), 10.*kbit)
	clean(t, w.server)
	out, err := w.router.Command(t.Context(), "tc", "qdisc", "show").Output()
	require.NoError(t, err)
	require.NotContains(t, string(out), "tbf")
}
