package dhcp_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// quick is for servers that answer within milliseconds.
func quick(n *netns.Namespace) dhcp.Target {
	return dhcp.Target{
		Interface: dhcptest.Link, Namespace: n.Path(), Timeout: 1500 * time.Millisecond, Attempts: 2, Window: 400 * time.Millisecond,
	}
}

var bound = []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(0)}

func leases(t *testing.T, s *dhcptest.RunningServer) []dhcp.FileLease {
	t.Helper()
	f, err := dhcp.ReadLeases(s.Leases)
	require.NoError(t, err)
	require.Zero(t, f.Malformed)
	return f.Leases
}

// addresses are the client's, with their routes.
func addresses(t *testing.T, n *netns.Namespace) (all []string) {
	t.Helper()
	require.NoError(t, n.Do(func() error {
		list, err := netlink.AddrList(nil, netlink.FAMILY_V4)
		for _, a := range list {
			all = append(all, a.IPNet.String())
		}
		if err != nil {
			return err
		}
		routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
		for _, r := range routes {
			all = append(all, r.Dst.String())
		}
		return err
	}))
	return all
}

func TestHealthy(t *testing.T) {
	lab := dhcptest.New(t, 1)
	server := lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: bound})
	client := lab.Clients[0]
	require.NoError(t, client.AddAddress(dhcptest.Link, "10.71.0.7/24"))
	before := addresses(t, client)
	require.NoError(t, client.SetSysctl("net.ipv4.conf.all.rp_filter", "1"))

	target := quick(client)
	target.ClientID = []byte{0, 'x'}
	r, err := dhcp.Probe(t.Context(), target)
	require.NoError(t, err)
	for name, e := range map[string]dhcp.Exchange{"DORA": r.DORA, "RENEW": r.Renew, "REBIND": r.Rebind} {
		require.Equal(t, dhcp.Acknowledged, e.Outcome, "%s: %+v", name, e)
		require.Equal(t, dhcptest.Server(0), e.Server)
		require.NotZero(t, e.Latency)
	}
	require.Equal(t, [2]int{8, 8}, [2]int{r.RenewalsSent, r.RenewalsAnswered})
	require.Equal(t, []netip.Addr{dhcptest.Server(0)}, r.Servers)
	require.Len(t, r.Offers, 1)
	require.Empty(t, r.Foreign)
	require.Equal(t, dhcp.Lease{
		Address: netip.PrefixFrom(r.Offers[0].Address, 24), Server: dhcptest.Server(0), Router: dhcptest.Server(0),
		Duration: 2 * time.Minute, T1: time.Minute, T2: 105 * time.Second,
	}, r.Lease)
	require.Equal(t, before, addresses(t, client), "the leased address has gone, and it alone")
	require.Eventually(t, func() bool { return len(leases(t, server)) == 0 }, 20*time.Second, 10*time.Millisecond, "the lease was released")
}

// TestPortOfItsOwn: a server that knows some MACs and ignores others, as Neutron's does, and a probe with another MAC than
// its interface.
func TestPortOfItsOwn(t *testing.T) {
	lab := dhcptest.New(t, 1)
	lab.MustStart(t, 0, dhcptest.Dnsmasq{
		Range: "10.71.0.0,static,255.255.255.0,86400s", Args: append([]string{"--dhcp-host=fa:16:3e:00:00:01,10.71.0.50"}, bound...),
	})
	client := lab.Clients[0]
	require.NoError(t, client.SetSysctl("net.ipv4.conf.all.rp_filter", "1"))
	target := quick(client)
	r, err := dhcp.Probe(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, dhcp.NoAnswer, r.DORA.Outcome)

	target.MAC = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 1}
	r, err = dhcp.Probe(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, "10.71.0.50/24", r.Lease.Address.String())
	require.Equal(t, 24*time.Hour, r.Lease.Duration)
	require.Equal(t, [2]dhcp.Outcome{dhcp.Acknowledged, dhcp.Acknowledged}, [2]dhcp.Outcome{r.Renew.Outcome, r.Rebind.Outcome}, "%+v", r)
	require.Equal(t, 8, r.RenewalsAnswered)

	// The administrator gave the interface the port's address for good: it stays.
	require.NoError(t, client.AddAddress(dhcptest.Link, "10.71.0.50/24"))
	before := addresses(t, client)
	r, err = dhcp.Probe(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, dhcp.Acknowledged, r.Renew.Outcome)
	require.Equal(t, before, addresses(t, client))
}

// TestAtOnce: networks of one namespace, by different interfaces.
func TestAtOnce(t *testing.T) {
	const networks = 4
	lab := dhcptest.New(t, networks)
	all := netnstest.New(t, "all")
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(files)
	}
	link := func(k int) string { return fmt.Sprintf("eth%d", k) }
	for k := range networks {
		lab.MustStart(t, k, dhcptest.Dnsmasq{Args: []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(k)}})
		port := fmt.Sprintf("all%d", k)
		require.NoError(t, lab.Host.AddVeth(port, all, link(k)))
		require.NoError(t, lab.Host.SetMaster(port, dhcptest.Bridge(k)))
	}
	files, goroutines := open(), runtime.NumGoroutine()
	var g errgroup.Group
	for k := range networks {
		g.Go(func() error {
			target := quick(all)
			target.Interface = link(k)
			for range 3 {
				r, err := dhcp.Probe(t.Context(), target)
				if err != nil {
					return err
				}
				if r.Lease.Server != dhcptest.Server(k) || r.RenewalsAnswered != 8 || r.Rebind.Outcome != dhcp.Acknowledged {
					return fmt.Errorf("network %d: %+v", k, r)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, []string{"127.0.0.1/8"}, addresses(t, all))
	require.Equal(t, files, open())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+1 }, 20*time.Second, time.Millisecond) // 1: Eventually's
}

// TestWhatIsWrong: each is told apart.
func TestWhatIsWrong(t *testing.T) {
	lab := dhcptest.New(t, 1)
	client := lab.Clients[0]
	probe := func(change func(*dhcp.Target)) dhcp.Result {
		target := quick(client)
		change(&target)
		r, err := dhcp.Probe(t.Context(), target)
		require.NoError(t, err)
		return r
	}
	same := func(*dhcp.Target) {}

	r := probe(same)
	require.Equal(t, dhcp.Exchange{Outcome: dhcp.NoAnswer}, r.DORA)
	require.Equal(t, dhcp.Skipped, r.Renew.Outcome)
	require.Empty(t, r.Servers)

	server := lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: bound})
	r = probe(func(t *dhcp.Target) { t.Servers = []netip.Addr{dhcptest.Address(0, 9)} })
	require.Equal(t, dhcp.WrongServer, r.DORA.Outcome)
	require.Equal(t, []netip.Addr{dhcptest.Server(0)}, r.Foreign)
	require.Empty(t, leases(t, server), "nobody accepts a foreign offer")

	// A second server: whose lease it is depends on who was faster, unless one of them is expected.
	rogue := lab.AddStation(t, 0)
	require.NoError(t, rogue.AddAddress(dhcptest.Link, "10.71.0.2/24"))
	lab.MustStart(t, 0, dhcptest.Dnsmasq{In: rogue, Range: "10.71.0.251,10.71.0.254,255.255.255.0,1h"})
	r = probe(same)
	require.Len(t, r.Offers, 2)
	require.Equal(t, []netip.Addr{dhcptest.Server(0), dhcptest.Address(0, 2)}, r.Servers)
	require.Equal(t, dhcp.Acknowledged, r.DORA.Outcome)
	r = probe(func(t *dhcp.Target) { t.Servers = []netip.Addr{dhcptest.Server(0)} })
	require.Equal(t, dhcptest.Server(0), r.Lease.Server)
	require.Equal(t, []netip.Addr{dhcptest.Address(0, 2)}, r.Foreign)
	require.Equal(t, dhcp.Acknowledged, r.Renew.Outcome, "%+v", r)
}

// TestFake: what only other servers than dnsmasq answer.
func TestFake(t *testing.T) {
	const ack, nak = dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak
	mask := net.CIDRMask(24, 32)
	other := dhcptest.Address(0, 9)
	for name, test := range map[string]struct {
		fake                fake
		dora, renew, rebind dhcp.Outcome
		renewals            int
	}{
		"refuses the first":   {fake{first: nak, mask: mask}, dhcp.Refused, dhcp.Skipped, dhcp.Skipped, 0},
		"refuses renewals":    {fake{first: ack, mask: mask, renew: nak, rebind: other}, dhcp.Acknowledged, dhcp.Refused, dhcp.WrongServer, 8},
		"is silent afterward": {fake{first: ack, mask: mask}, dhcp.Acknowledged, dhcp.NoAnswer, dhcp.NoAnswer, 0},
		"grants everything":   {fake{first: ack, mask: net.CIDRMask(0, 32)}, dhcp.NoAnswer, dhcp.Skipped, dhcp.Skipped, 0},
		"grants one address":  {fake{first: ack, mask: net.CIDRMask(32, 32), renew: ack}, dhcp.Acknowledged, dhcp.Acknowledged, dhcp.NoAnswer, 8},
		"is behind a router":  {fake{first: ack, mask: mask, renew: ack, elsewhere: netip.MustParseAddr("10.99.0.1")}, dhcp.Acknowledged, dhcp.Acknowledged, dhcp.NoAnswer, 8},
	} {
		t.Run(name, func(t *testing.T) {
			lab := dhcptest.New(t, 1)
			test.fake.at = dhcptest.Address(0, 3)
			test.fake.start(t, lab.AddStation(t, 0))
			before := addresses(t, lab.Clients[0])
			r, err := dhcp.Probe(t.Context(), quick(lab.Clients[0]))
			require.NoError(t, err)
			require.Equal(t, [3]dhcp.Outcome{test.dora, test.renew, test.rebind}, [3]dhcp.Outcome{r.DORA.Outcome, r.Renew.Outcome, r.Rebind.Outcome})
			require.Equal(t, test.renewals, r.RenewalsAnswered, "%+v", r)
			for _, e := range []dhcp.Exchange{r.DORA, r.Renew, r.Rebind} {
				require.Equal(t, e.Outcome == dhcp.Refused, e.Message == "no such lease")
			}
			require.Equal(t, before, addresses(t, lab.Clients[0]))
		})
	}
}

func TestCancel(t *testing.T) {
	lab := dhcptest.New(t, 1)
	target := quick(lab.Clients[0])
	target.Timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := dhcp.Probe(ctx, target)
	require.NoError(t, err)
	require.Equal(t, dhcp.CutShort, r.DORA.Outcome)
	require.ErrorIs(t, r.DORA.Err, context.DeadlineExceeded)

	// While it renews: the address and the lease go all the same.
	fake{at: dhcptest.Address(0, 3), first: dhcpv4.MessageTypeAck, mask: net.CIDRMask(24, 32)}.start(t, lab.AddStation(t, 0))
	target.Timeout, target.Attempts = 30*time.Second, 1
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		var leased []netlink.Addr
		for len(leased) < 2 && ctx.Err() == nil { // there is lo's
			_ = lab.Clients[0].Do(func() (err error) {
				leased, err = netlink.AddrList(nil, netlink.FAMILY_V4)
				return err
			})
		}
		// Should this process be killed now, the kernel removes the address.
		if len(leased) != 2 || leased[1].ValidLft == 0 || leased[1].ValidLft > 200 {
			t.Errorf("the leased address among %v", leased)
		}
	}()
	r, err = dhcp.Probe(ctx, target)
	require.NoError(t, err)
	require.Equal(t, dhcp.Acknowledged, r.DORA.Outcome)
	require.Equal(t, dhcp.CutShort, r.Renew.Outcome)
	require.Equal(t, dhcp.CutShort, r.Rebind.Outcome)
	require.Equal(t, []string{"127.0.0.1/8"}, addresses(t, lab.Clients[0]))
}

// TestKilled: the kernel takes the address, and its routes, from a probe that is not there to do it.
func TestKilled(t *testing.T) {
	lab := dhcptest.New(t, 1)
	client := lab.Clients[0]
	fake{at: dhcptest.Address(0, 3), first: dhcpv4.MessageTypeAck, mask: net.CIDRMask(24, 32)}.start(t, lab.AddStation(t, 0))
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), namespaceVariable+"="+client.Path(), timeoutVariable+"=500ms")
	victim, err := child.Start(cmd)
	require.NoError(t, err)
	defer victim.Kill()
	require.Eventually(t, func() bool { return len(addresses(t, client)) == 3 }, 10*time.Second, time.Millisecond)
	victim.Kill()
	require.ErrorContains(t, victim.Err, "killed")
	require.Equal(t, []string{"127.0.0.1/8", "10.71.0.100/32", "10.71.0.0/24"}, addresses(t, client))
	require.Eventually(t, func() bool { return len(addresses(t, client)) == 1 }, 20*time.Second, 100*time.Millisecond)
}

// TestRelay: the host serves a network of another place, through the probe.
func TestRelay(t *testing.T) {
	lab := dhcptest.New(t, 1)
	server := lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: bound, Range: "10.99.0.10,10.99.0.20,255.255.255.0,1h"})
	relay := lab.Clients[0]
	require.NoError(t, relay.AddAddress(dhcptest.Link, "10.71.0.2/24"))
	require.NoError(t, relay.AddAddress("lo", "10.99.0.1/24"))
	require.NoError(t, lab.Host.AddRoute("10.99.0.0/24", "10.71.0.2"))
	target := quick(relay)
	target.Interface, target.MAC = "", net.HardwareAddr{2, 0, 0, 0, 0, 1}
	target.Relay = &dhcp.Relay{Address: netip.MustParseAddr("10.99.0.1"), Servers: []netip.Addr{dhcptest.Server(0)}}
	r, err := dhcp.Probe(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, dhcp.Acknowledged, r.DORA.Outcome, "%+v", r)
	require.Equal(t, dhcp.Skipped, r.Renew.Outcome)
	require.Equal(t, dhcp.Acknowledged, r.Rebind.Outcome, "%+v", r)
	require.Equal(t, "10.99.0.0/24", r.Lease.Address.Masked().String())
	require.Equal(t, time.Hour, r.Lease.Duration)
	require.Eventually(t, func() bool { return len(leases(t, server)) == 0 }, 20*time.Second, 10*time.Millisecond, "the lease was released")
}

// TestRelayIsNotAlone: the probe must not take the messages of a real relay or server on its host.
func TestRelayIsNotAlone(t *testing.T) {
	lab := dhcptest.New(t, 1)
	relay := lab.Clients[0]
	require.NoError(t, relay.AddAddress("lo", "10.99.0.1/24"))
	target := quick(relay)
	target.Interface, target.MAC = "", net.HardwareAddr{2, 0, 0, 0, 0, 1}
	target.Relay = &dhcp.Relay{Address: netip.MustParseAddr("10.99.0.1"), Servers: []netip.Addr{dhcptest.Server(0)}}
	for local, refused := range map[string]bool{"0.0.0.0:67": true, "10.99.0.1:67": true, "127.0.0.1:67": false} {
		var conn net.PacketConn
		require.NoError(t, relay.Do(func() (err error) {
			conn, err = (&net.ListenConfig{Control: reuse}).ListenPacket(t.Context(), "udp4", local)
			return err
		}))
		_, err := dhcp.Probe(t.Context(), target)
		require.NoError(t, conn.Close())
		if refused {
			require.ErrorContains(t, err, "has port 67 open for 10.99.0.1 already", local)
		} else {
			require.NoError(t, err, local)
		}
	}
}

func TestBadTargets(t *testing.T) {
	for want, target := range map[string]dhcp.Target{
		"needs an interface":                {},
		"at most 16 bytes":                  {Interface: "eth0", MAC: make(net.HardwareAddr, 17)},
		"through a relay needs":             {Relay: &dhcp.Relay{Address: netip.MustParseAddr("::1")}},
		"opening the network namespace /no": {Interface: "eth0", Namespace: "/nowhere"},
		"no such network interface":         {Interface: "nowhere0"},
	} {
		if os.Getuid() != 0 && target.Namespace+target.Interface != "" {
			continue
		}
		_, err := dhcp.Probe(t.Context(), target)
		require.ErrorContains(t, err, want)
	}
}

// TestOwnServer: a renewal that would not cross the network proves nothing.
func TestOwnServer(t *testing.T) {
	lab := dhcptest.New(t, 1)
	lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: bound})
	require.NoError(t, lab.Host.AddVeth("probe0", lab.Host, "probe0port"))
	require.NoError(t, lab.Host.SetMaster("probe0port", dhcptest.Bridge(0)))
	target := quick(lab.Host)
	target.Interface = "probe0"
	r, err := dhcp.Probe(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, dhcp.Acknowledged, r.DORA.Outcome)
	require.Equal(t, dhcp.Failed, r.Renew.Outcome)
	require.ErrorContains(t, r.Renew.Err, "move probe0 to a namespace of its own")
}
