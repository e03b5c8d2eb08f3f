package netns_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
)

// TestTwoHostsAndARouter: two hosts on bridges of a router reach each other.
func TestTwoHostsAndARouter(t *testing.T) {
	router, a, b := netnstest.New(t, "router"), netnstest.New(t, "a"), netnstest.New(t, "b")
	for i, host := range []*netns.Namespace{a, b} {
		port, bridge := fmt.Sprintf("port%d", i), fmt.Sprintf("br%d", i)
		require.NoError(t, router.AddVeth(port, host, "eth0"))
		require.NoError(t, router.AddBridge(bridge, port))
		require.NoError(t, router.AddAddress(bridge, fmt.Sprintf("10.1.%d.1/24", i)))
		require.NoError(t, host.AddAddress("eth0", fmt.Sprintf("10.1.%d.2/24", i)))
		require.NoError(t, host.AddRoute("0.0.0.0/0", fmt.Sprintf("10.1.%d.1", i)))
	}
	require.NoError(t, router.SetSysctl("net.ipv4.ip_forward", "1"))

	var listener net.Listener
	require.NoError(t, b.Do(func() (err error) {
		listener, err = net.Listen("tcp4", "10.1.1.2:0")
		return err
	}))
	defer listener.Close()
	require.NoError(t, a.Do(func() error {
		conn, err := net.DialTimeout("tcp4", listener.Addr().String(), 5*time.Second)
		if err == nil {
			conn.Close()
		}
		return err
	}))

	require.NoError(t, a.SetDown("eth0"))
	require.Error(t, a.Do(func() error {
		_, err := net.DialTimeout("tcp4", listener.Addr().String(), 5*time.Second)
		return err
	}))
	require.NoError(t, a.Remove("eth0"))
	require.ErrorContains(t, router.SetUp("port0"), "setting up port0 in the network namespace "+router.Name())
}

func TestCommand(t *testing.T) {
	n := netnstest.New(t, "command")
	p, err := child.Start(n.Command(t.Context(), "sleep", "60"))
	require.NoError(t, err)
	defer p.Kill()
	inside, err := os.Stat(n.Path())
	require.NoError(t, err)
	require.Eventually(t, func() bool { // nsenter goes there, and becomes the program
		now, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", p.Process.Pid))
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.Process.Pid))
		return err == nil && os.SameFile(inside, now) && string(name) == "sleep\n"
	}, 5*time.Second, time.Millisecond)
}

// TestNobodyElseIsMoved: other goroutines never see the namespace, whatever f does.
func TestNobodyElseIsMoved(t *testing.T) {
	n := netnstest.New(t, "moved")
	outside, err := netlink.LinkList()
	require.NoError(t, err)
	require.NoError(t, n.AddBridge("br0"))
	var g sync.WaitGroup
	for range 50 {
		g.Go(func() {
			err := n.Do(func() error {
				_, err := netlink.LinkByName("br0")
				return err
			})
			if err != nil {
				t.Error(err)
			}
			links, err := netlink.LinkList()
			if err != nil || len(links) != len(outside) {
				t.Errorf("%d links outside, not %d: %v", len(links), len(outside), err)
			}
		})
	}
	g.Wait()
	require.ErrorContains(t, n.Do(func() error { runtime.Goexit(); return nil }), "ended its goroutine")
}

func TestClose(t *testing.T) {
	n := netnstest.New(t, "close")
	other := netnstest.New(t, "close")
	require.NotEqual(t, n.Name(), other.Name())
	require.NoError(t, n.Close())
	require.NoError(t, n.Close())
	_, err := os.Stat(n.Path())
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, n.Do(func() error { return nil }), fs.ErrNotExist)
	require.ErrorIs(t, other.AddVeth("eth0", n, "eth0"), fs.ErrNotExist)
}
