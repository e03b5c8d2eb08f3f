package netspace_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/netspace"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
)

func TestDialer(t *testing.T) {
	inside := netnstest.New(t, "netspace")
	var listener net.Listener
	require.NoError(t, inside.Do(func() (err error) {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}))
	t.Cleanup(func() { listener.Close() })
	address := listener.Addr().String()
	for _, target := range []string{address, "localhost:" + port(t, address)} {
		conn, err := netspace.Dialer(inside.Path())(t.Context(), "tcp", target)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	_, err := netspace.Dialer("")(t.Context(), "tcp", address)
	require.Error(t, err, "from here it is not there")
	_, err = netspace.Dialer("/run/netns/no-such")(t.Context(), "tcp", address)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = netspace.Dialer(inside.Path())(t.Context(), "tcp", "no port")
	require.Error(t, err)
}

func port(t *testing.T, address string) string {
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return port
}

func TestPanicReachesTheCaller(t *testing.T) {
	inside := netnstest.New(t, "netspace")
	require.PanicsWithValue(t, "x", func() { _ = netspace.Do(inside.Path(), func() error { panic("x") }) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		require.NoError(t, netspace.Do("", func() error { return nil }))
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("hangs")
	}
}
