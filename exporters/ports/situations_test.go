package ports

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/ovs"
	"github.com/deskstorm/deskstorm/lab/ovs/ovstest"
)

// host is a compute node with an Open vSwitch, two desktops of network A and one of network B. The desktops of A are
// namespaces, at the other end of their devices; B's has a tap that nobody reads.
type host struct {
	t       *testing.T
	ctx     context.Context
	space   *netns.Namespace
	guests  [2]*netns.Namespace
	ovs     *ovs.Switch
	network map[string]string // as Neutron has it
}

const (
	networkA, networkB = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	portA1, portA2     = "a1a1a1a1-0000-4000-8000-000000000001", "a2a2a2a2-0000-4000-8000-000000000002"
	portB              = "b1b1b1b1-0000-4000-8000-000000000003"
	tagA, tagB         = 10, 30
)

func newHost(t *testing.T) *host {
	ovstest.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	h := &host{t: t, ctx: ctx, space: netnstest.New(t, "ports"),
		network: map[string]string{portA1: networkA, portA2: networkA, portB: networkB}}
	for i := range h.guests {
		h.guests[i] = netnstest.New(t, "guest")
	}
	h.ovs = ovstest.StartT(t, ovs.Config{Namespace: h.space.Path()})
	require.NoError(t, h.ovs.AddBridge(ctx, "br-int"))
	return h
}

// start makes the devices of the desktops, and their ports as libvirt does. It names the devices of A's first desktop and of
// B's as the caller likes: libvirt takes the lowest name that is free.
func (h *host) start(a1, b string) {
	for i, device := range []string{a1, "vnet2"} {
		require.NoError(h.t, h.space.AddVeth(device, h.guests[i], "eth0"))
		require.NoError(h.t, h.guests[i].AddAddress("eth0", fmt.Sprintf("192.0.2.%d/24", i+1)))
	}
	h.tap(h.space, b)
}

func (h *host) plug(a1, b string) {
	for device, id := range map[string]string{a1: portA1, "vnet2": portA2, b: portB} {
		require.NoError(h.t, h.ovs.Plug(h.ctx, "br-int", device, id))
	}
}

func (h *host) tap(in *netns.Namespace, name string) {
	require.NoError(h.t, in.Do(func() error {
		return netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP})
	}))
	require.NoError(h.t, in.SetUp(name))
}

// stop removes the devices, as desktops do when they end.
func (h *host) stop(devices ...string) {
	for _, device := range devices {
		require.NoError(h.t, h.space.Remove(device))
	}
}

func (h *host) vsctl(args ...string) {
	_, err := h.ovs.Vsctl(h.ctx, args...)
	require.NoError(h.t, err)
}

// bind writes what Neutron's agent does of a port that it has bound.
func (h *host) bind(device, network string, tag int) {
	h.vsctl("--no-wait", "set", "Port", device, fmt.Sprintf("tag=%d", tag),
		fmt.Sprintf("other_config:tag=\"%d\"", tag), "other_config:net_uuid="+network, "other_config:network_type=vxlan")
}

// settle waits until the switch has done what the database says.
func (h *host) settle() {
	h.vsctl("set", "Open_vSwitch", ".", fmt.Sprintf("external_ids:settled=%d", time.Now().UnixNano()))
}

// pings tells whether the desktops of A reach each other: whether the second one's kernel answers an echo request (RFC 792)
// of the first.
func (h *host) pings() bool {
	request := []byte{8, 0, 0, 0, 'd', 's', 0, 1}
	sum := uint32(8<<8) + uint32('d')<<8 + 's' + 1
	binary.BigEndian.PutUint16(request[2:], ^uint16(sum))
	answered := false
	require.NoError(h.t, h.guests[0].Do(func() error {
		conn, err := net.DialIP("ip4:icmp", nil, &net.IPAddr{IP: net.IPv4(192, 0, 2, 2)})
		if errors.Is(err, unix.ENETUNREACH) {
			return nil // its device is gone
		}
		if err != nil {
			return err
		}
		defer conn.Close()
		for range 5 {
			if _, err := conn.Write(request); err != nil {
				continue // no neighbour
			}
			reply := make([]byte, 100)
			_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if n, _, err := conn.ReadFromIP(reply); err == nil && n >= 8 && reply[0] == 0 {
				answered = true
				return nil
			}
		}
		return nil
	}))
	return answered
}

func TestSituations(t *testing.T) {
	h := newHost(t)
	elsewhere := netnstest.New(t, "else")
	config := Config{Database: "unix:" + h.ovs.Socket, Namespace: h.space.Path(), Bridges: []string{"br-old"}}
	neutron := func(context.Context) (map[string]string, error) { return h.network, nil }
	alone := newExporter(t, config, Sources{})                     // knows the database and the devices only
	informed := newExporter(t, config, Sources{Networks: neutron}) // asks Neutron

	expected := filepath.Join(t.TempDir(), "tags")
	require.NoError(t, os.WriteFile(expected, []byte(fmt.Sprintf("%s %d\n%s %d\n%s %d # B\n", portA1, tagA, portA2, tagA, portB, tagB)), 0o600))
	config.Expected = expected
	told := newExporter(t, config, Sources{}) // has a file of tags

	table := []string{"| situation | ping | the exporter alone | with Neutron's networks | with a file of tags |", "|---|---|---|---|---|"}
	// shows waits for what the three should say: vswitchd takes a moment.
	shows := func(situation string, ping bool, want, withNeutron, withFile map[string]float64) {
		t.Helper()
		var said []string
		for _, each := range []struct {
			exporter string
			want     map[string]float64
		}{{"alone", want}, {"neutron", withNeutron}, {"file", withFile}} {
			e := map[string]int{"alone": 0, "neutron": 1, "file": 2}[each.exporter]
			var got map[string]float64
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				values, err := ask(t, []collector.Exporter{alone, informed, told}[e], "ovsdb")
				require.NoError(c, err)
				got = positive(values[faulty])
				require.Equal(c, each.want, got)
			}, patience, 20*time.Millisecond, "%s, %s", situation, each.exporter)
			said = append(said, tell(got))
		}
		if ping {
			require.Eventually(t, h.pings, patience, time.Millisecond, situation)
		} else {
			require.False(t, h.pings(), situation)
		}
		table = append(table, fmt.Sprintf("| %s | %s | %s |", situation, map[bool]string{true: "yes", false: "no"}[ping], strings.Join(said, " | ")))
	}
	all := func(situation string, ping bool, want map[string]float64) {
		t.Helper()
		shows(situation, ping, want, want, want)
	}
	healthy := map[string]float64{}

	h.start("vnet1", "vnet3")
	h.plug("vnet1", "vnet3")
	h.bind("vnet1", networkA, tagA)
	h.bind("vnet2", networkA, tagA)
	h.bind("vnet3", networkB, tagB)
	h.settle()
	all("healthy", true, healthy)

	h.ovs.KillDaemon()
	h.stop("vnet1", "vnet2", "vnet3")
	require.NoError(t, h.ovs.StartDaemon(h.ctx))
	all("the host reboots, and Open vSwitch starts before the desktops", false,
		map[string]float64{"br-int,no-ofport": 3, "br-int,error": 3, "br-int,no-device": 3})
	faults, _ := served(t, alone)
	require.Contains(t, faults, Fault{Source: "ovsdb", Bridge: "br-int", Interface: "vnet1", IfaceID: portA1, Fault: "error",
		Detail: "could not open network device vnet1 (No such device)"})

	require.NoError(t, h.ovs.Pause())
	h.start("vnet1", "vnet3")
	h.plug("vnet1", "vnet3")
	all("the desktops have started, and Open vSwitch does not notice", false,
		map[string]float64{"br-int,no-ofport": 3, "br-int,error": 3})

	require.NoError(t, h.ovs.Resume())
	h.settle()
	all("it has noticed", true, healthy)

	h.ovs.KillDaemon()
	h.stop("vnet1", "vnet2", "vnet3")
	require.NoError(t, h.ovs.StartDaemon(h.ctx))
	h.start("vnet3", "vnet1")
	h.plug("vnet3", "vnet1") // the names are the other way round, and the records' tags and networks stay
	h.settle()
	two := map[string]float64{"br-int,wrong-tag": 2}
	shows("devices' names shuffled at boot, tags left from before", false, healthy, two, two)
	faults, _ = served(t, informed)
	require.Equal(t, "vnet1", faults[0].Interface)
	require.Equal(t, portB, faults[0].IfaceID)

	for device, tag := range map[string]int{"vnet3": tagA, "vnet1": tagB} {
		h.vsctl("--no-wait", "set", "Port", device, fmt.Sprintf("other_config:tag=\"%d\"", tag),
			"other_config:net_uuid="+map[int]string{tagA: networkA, tagB: networkB}[tag])
	}
	h.settle()
	all("the same, and Neutron's agent has noted the new owners without setting the tags", false, two)

	h.bind("vnet3", networkA, tagA)
	h.bind("vnet1", networkB, tagB)
	h.settle()
	all("the agent has set the tags", true, healthy)

	h.vsctl("del-port", "vnet3")
	require.NoError(t, h.ovs.AddBridge(h.ctx, "br-old"))
	h.vsctl("add-port", "br-old", "vnet3")
	require.ErrorContains(t, h.ovs.Plug(h.ctx, "br-int", "vnet3", portA1), "is actually attached to bridge br-old")
	all("a record from before on another bridge", false, map[string]float64{"br-old,wrong-bridge": 1})

	h.vsctl("del-port", "vnet3", "--", "del-br", "br-old")
	require.NoError(t, h.ovs.Plug(h.ctx, "br-int", "vnet3", portA1))
	h.bind("vnet3", networkA, tagA)
	h.tap(elsewhere, "vnet9")
	require.NoError(t, h.ovs.Plug(h.ctx, "br-int", "vnet9", "99999999-0000-4000-8000-000000000009"))
	h.settle()
	all("a desktop's device in another network namespace", true,
		map[string]float64{"br-int,no-ofport": 1, "br-int,error": 1, "br-int,other-namespace": 1})
	faults, _ = served(t, alone)
	require.Contains(t, faults[2].Detail, elsewhere.Name())

	h.vsctl("del-port", "vnet9", "--", "set", "Port", "vnet2", "tag=4095")
	all("a port on the agent's dead VLAN", false, map[string]float64{"br-int,dead-vlan": 1})

	h.vsctl("set", "Port", "vnet2", "tag=10", "--", "set", "Interface", "vnet1", "external_ids:iface-id="+portA1,
		"--", "clear", "Port", "vnet1", "other_config", "--", "set", "Port", "vnet1", "tag=10")
	all("two records of one port", true, map[string]float64{"br-int,duplicate-id": 2})

	want := strings.Join(table, "\n")
	t.Log("\n" + want)
	page, err := os.ReadFile("../../docs/ports.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "<!-- situations -->\n"+want+"\n<!-- end -->", "the page has another table")
}

func tell(faults map[string]float64) string {
	if len(faults) == 0 {
		return "none"
	}
	var words []string
	for _, key := range slices.Sorted(maps.Keys(faults)) {
		bridge, fault, _ := strings.Cut(key, ",")
		if bridge != "br-int" {
			fault += " (" + bridge + ")"
		}
		words = append(words, fmt.Sprintf("%g %s", faults[key], fault))
	}
	return strings.Join(words, ", ")
}
