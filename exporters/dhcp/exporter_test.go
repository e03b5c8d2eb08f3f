package dhcp_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/dhcp"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	probe "github.com/deskstorm/deskstorm/probe/dhcp"
)

// TestOtherSituations: a network for each thing else that may be the matter, in one exporter, with one that is healthy.
func TestOtherSituations(t *testing.T) {
	lab := dhcptest.New(t, 8)
	bound := func(k int) []string { return []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(k)} }
	network := func(name string, k int, change func(*dhcp.Network)) dhcp.Network {
		n := dhcp.Network{Name: name, Target: &probe.Target{Interface: dhcptest.Link, Namespace: lab.Clients[k].Path(), Attempts: 2}}
		if change != nil {
			change(&n)
		}
		return n
	}
	own := func(k int) []netip.Addr { return []netip.Addr{dhcptest.Server(k)} }
	second := func(k int) { // another server on the network
		station := lab.AddStation(t, k)
		require.NoError(t, station.AddAddress(dhcptest.Link, dhcptest.Address(k, 2).String()+"/24"))
		lab.MustStart(t, k, dhcptest.Dnsmasq{In: station, Range: fmt.Sprintf("%v,%v,255.255.255.0,120s", dhcptest.Address(k, 251), dhcptest.Address(k, 254))})
	}

	healthy := lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: bound(0)})
	lab.MustStart(t, 2, dhcptest.Dnsmasq{Args: bound(2)})
	second(2)
	lab.MustStart(t, 3, dhcptest.Dnsmasq{Args: bound(3)})
	second(3)
	one := fmt.Sprintf("%v,%v,255.255.255.0,120s", dhcptest.Address(4, 10), dhcptest.Address(4, 10))
	full := lab.MustStart(t, 4, dhcptest.Dnsmasq{Args: bound(4), Range: one})
	take(t, lab.AddStation(t, 4))
	lab.MustStart(t, 5, dhcptest.Dnsmasq{Args: bound(5)})
	lab.MustStart(t, 6, dhcptest.Dnsmasq{Args: bound(6)})
	overdue := filepath.Join(t.TempDir(), "leases")
	require.NoError(t, os.WriteFile(overdue, fmt.Appendf(nil,
		"%d 02:00:00:00:00:01 10.71.6.20 * *\n%d 02:00:00:00:00:02 10.71.6.21 * *\n0 02:00:00:00:00:03 10.71.6.22 * *\n%d 02:00:00:00:00:04 10.71.6.23 * *\nx\n",
		time.Now().Add(30*time.Second).Unix(), time.Now().Add(100*time.Second).Unix(), time.Now().Add(-time.Second).Unix()), 0o600))

	c := quick
	c.Networks = []dhcp.Network{
		network("fine", 0, func(n *dhcp.Network) { n.LeaseFile = healthy.Leases }),
		network("silent", 1, nil),
		network("foreign", 2, func(n *dhcp.Network) { n.Target.Servers = own(2) }),
		network("two", 3, nil),
		network("full", 4, func(n *dhcp.Network) {
			n.LeaseFile, n.Ranges = full.Leases, []dhcp.Range{{First: dhcptest.Address(4, 10), Last: dhcptest.Address(4, 10)}}
		}),
		network("wrong", 5, func(n *dhcp.Network) { n.Target.Servers = []netip.Addr{dhcptest.Address(5, 9)} }),
		network("overdue", 6, func(n *dhcp.Network) { n.LeaseFile = overdue }),
		network("gone", 7, func(n *dhcp.Network) { n.Target.Namespace = "/nowhere" }),
		{Name: "file", LeaseFile: overdue, LeaseTime: 40 * time.Second},
		{Name: "nofile", LeaseFile: "/nowhere"},
	}
	s := ask(t, c)
	for name, want := range map[string]string{
		"fine": "healthy", "silent": "no_server", "foreign": "foreign_server", "two": "several_servers", "full": "exhausted",
		"wrong": "foreign_server", "overdue": "renewals_overdue", "gone": "unknown", "file": "healthy", "nofile": "unknown",
	} {
		require.Equal(t, want, s.situations(name), name)
	}
	for name, want := range map[string]float64{
		"leases fine": 0, "granted_lease_seconds fine": 120, "probes_total dora fine acknowledged": 1, "probes_total renew fine nak": 0,
		"probe_duration_seconds dora fine": 1, "probe_success dora silent": 0, "servers silent": 0, "servers foreign": 2,
		"foreign_servers foreign": 1, "servers two": 2, "range_addresses full": 1, "range_leases full": 1, "probe_success dora wrong": 0,
		"probes_total dora wrong wrong_server": 1, "leases overdue": 3, "leases_overdue overdue": 1, "lease_file_malformed_lines overdue": 1,
		"missing_capability cap_net_raw fine": 0, "probes_total renew silent skipped": 1, "leases file": 3, "leases_overdue file": 0,
	} {
		got, ok := s[name]
		require.True(t, ok, name)
		require.Equal(t, want, got, name)
	}
	require.InDelta(t, 0.25, s["lease_remaining_ratio overdue"], 0.1)
	for _, name := range []string{"probe_success renew silent", "leases nofile", "probe_success dora gone"} {
		require.NotContains(t, s, name)
	}
}

// take has a client take a lease, and keep it.
func take(t *testing.T, n *netns.Namespace) {
	t.Helper()
	require.NoError(t, n.Do(func() error {
		c, err := nclient4.New(dhcptest.Link)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Request(t.Context())
		return err
	}))
}

// TestNotRenewed: leases of two minutes, as dnsmasq writes them down, that nobody renews.
func TestNotRenewed(t *testing.T) {
	lab := dhcptest.New(t, 1)
	server := lab.MustStart(t, 0, dhcptest.Dnsmasq{Args: []string{"--interface=" + dhcptest.Bridge(0)}})
	take(t, lab.Clients[0])
	take(t, lab.AddStation(t, 0))
	begin := time.Now()
	n := dhcp.Network{
		Name: "a", LeaseFile: server.Leases, LeaseTime: 2 * time.Minute,
		Ranges: []dhcp.Range{{First: dhcptest.Address(0, 10), Last: dhcptest.Address(0, 250)}},
	}
	for after, want := range map[time.Duration]string{
		0: "healthy", 60 * time.Second: "healthy", 68 * time.Second: "renewals_overdue", 110 * time.Second: "renewals_overdue",
		122 * time.Second: "healthy", // there are none left
	} {
		got, err := dhcp.SituationsAt(n, begin.Add(after))
		require.NoError(t, err)
		require.Equal(t, want, got, after)
	}
}

// TestSituations: what cannot be staged with dnsmasq alone.
func TestSituations(t *testing.T) {
	acknowledged, silent := probe.Exchange{Outcome: probe.Acknowledged}, probe.Exchange{Outcome: probe.NoAnswer}
	one := []netip.Addr{dhcptest.Server(0)}
	base := probe.Result{DORA: acknowledged, Renew: acknowledged, Rebind: acknowledged, RenewalsSent: 8, RenewalsAnswered: 8, Servers: one}
	for want, test := range map[string]struct {
		change func(*probe.Result)
		shared bool
	}{
		"healthy":                              {func(*probe.Result) {}, false},
		"nak":                                  {func(r *probe.Result) { r.Renew.Outcome = probe.Refused }, false},
		"unknown":                              {func(r *probe.Result) { r.Renew.Outcome, r.RenewalsAnswered = probe.Failed, 0 }, false},
		"renewals_partly_lost":                 {func(r *probe.Result) { r.RenewalsAnswered = 7 }, false},
		"renewals_partly_lost + shared_socket": {func(r *probe.Result) { r.RenewalsAnswered = 1 }, true},
		"renewals_lost + rebinds_lost":         {func(r *probe.Result) { r.Renew, r.Rebind, r.RenewalsAnswered = silent, silent, 0 }, false},
		"no_server":                            {func(r *probe.Result) { *r = probe.Result{DORA: silent, Servers: one} }, false},
	} {
		r := base
		test.change(&r)
		require.Equal(t, want, dhcp.SituationsOf(r, test.shared))
	}
	r := base
	r.RenewalsAnswered = 1
	require.Equal(t, "healthy", dhcp.SituationsOf(r, false), "a filter may want the client's port")
	r.Renew, r.RenewalsSent, r.RenewalsAnswered = probe.Exchange{Outcome: probe.Skipped}, 0, 0
	require.Equal(t, "healthy", dhcp.SituationsOf(r, false), "through a relay")
}

const example = `
interval: 5m
timeout: 2s
window: 500ms
renewals: 16
networks:
  - name: office
    interface: probe0
    namespace: /run/netns/qprobe
    mac: fa:16:3e:00:00:01
    client_id: 01fa163e000001
    servers: [10.0.0.2, 10.0.0.3]
    lease_file: leases
    lease_time: 24h
    ranges: [10.0.0.10-10.0.0.250, 10.0.1.1 - 10.0.1.1]
  - name: branch
    mac: fa:16:3e:00:00:02
    relay: {address: 10.9.0.1, servers: [10.0.0.2]}
hosts:
  - name: here
  - name: router
    namespace: /run/netns/qdhcp
`

func read(text string) (dhcp.Config, error) {
	r, root := configfile.Parse([]byte(text), "/etc/x.yaml", "a configuration")
	c := dhcp.Read(r, root)
	return c, r.Err()
}

func TestRead(t *testing.T) {
	c, err := read(example)
	require.NoError(t, err)
	mac, _ := net.ParseMAC("fa:16:3e:00:00:01")
	mac2, _ := net.ParseMAC("fa:16:3e:00:00:02")
	require.Equal(t, dhcp.Config{
		Interval: 5 * time.Minute, Timeout: 2 * time.Second, Window: 500 * time.Millisecond, Renewals: 16,
		Networks: []dhcp.Network{
			{
				Name: "office", Target: &probe.Target{
					Interface: "probe0", Namespace: "/run/netns/qprobe", MAC: mac, ClientID: []byte{1, 0xfa, 0x16, 0x3e, 0, 0, 1},
					Servers: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")},
				},
				LeaseFile: "/etc/leases", LeaseTime: 24 * time.Hour, Ranges: []dhcp.Range{
					{First: netip.MustParseAddr("10.0.0.10"), Last: netip.MustParseAddr("10.0.0.250")},
					{First: netip.MustParseAddr("10.0.1.1"), Last: netip.MustParseAddr("10.0.1.1")},
				},
			},
			{Name: "branch", Target: &probe.Target{MAC: mac2, Relay: &probe.Relay{
				Address: netip.MustParseAddr("10.9.0.1"), Servers: []netip.Addr{netip.MustParseAddr("10.0.0.2")},
			}}},
		},
		Hosts: []dhcp.Host{{Name: "here"}, {Name: "router", Namespace: "/run/netns/qdhcp"}},
	}, c)
	require.Equal(t, 241, c.Networks[0].Ranges[0].Size())
	e, err := dhcp.New(c, nil)
	require.NoError(t, err)
	require.Len(t, e.Sources, 4)
	c, err = read("networks: [{name: a, interface: eth0}]")
	require.NoError(t, err)
	require.Equal(t, [2]time.Duration{time.Minute, 5 * time.Second}, [2]time.Duration{c.Interval, c.Timeout})
}

// TestDocumentedConfiguration: what people copy.
func TestDocumentedConfiguration(t *testing.T) {
	page, err := os.ReadFile("../../docs/dhcp.md")
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(page), "```yaml\n")
	require.True(t, ok)
	text, _, _ = strings.Cut(text, "```")
	r, root := configfile.Parse([]byte(text), "dhcp.md", "a configuration")
	var c dhcp.Config
	r.Mapping(root, configfile.Keys{"dhcp": func(n ast.Node) { c = dhcp.Read(r, n) }}, "dhcp")
	require.NoError(t, r.Err())
	require.Len(t, c.Networks, 2)
	for _, s := range dhcp.Situations() {
		require.Contains(t, string(page), "`"+string(s)+"`")
	}
}

func TestReadMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"interval: 1s\nhosts: [{name: a}]":                                          "/etc/x.yaml:1:11: interval: expected a duration from 10s",
		"interval: 1m":                                                              "expected networks, hosts or both",
		"networks: [{name: a}]":                                                     "/etc/x.yaml:1:12: networks[0]: expected an interface or a relay",
		"networks: [{interface: eth0}]":                                             "name is missing",
		"networks: [{name: a, interface: a/b}]":                                     "expected an interface's name",
		"networks: [{name: a, interface: a, mac: 1}]":                               "expected a MAC such as",
		"networks: [{name: a, interface: a, servers: [\"::1\"]}]":                   "expected an IPv4 address",
		"networks: [{name: a, interface: a, ranges: [10.0.0.2-10.0.0.1]}]":          "expected a range such as",
		"networks: [{name: a, relay: {address: 10.0.0.1, servers: [10.0.0.2]}}]":    "mac is missing",
		"networks: [{name: a, relay: {address: 10.0.0.1}, mac: fa:16:3e:00:00:01}]": "servers is missing",
		"networks: [{name: a, interface: a}, {name: a, interface: b}]":              "there is a network a already",
		"hosts: [{name: a}, {name: a}]":                                             "there is a host a already",
		"hosts: [{name: a, colour: red}]":                                           "unknown key",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, want, text)
	}
	for want, c := range map[string]dhcp.Config{
		"neither networks": {},
		"be its own":       {Hosts: []dhcp.Host{{Name: "a"}, {Name: "a"}}},
		"no lease file":    {Networks: []dhcp.Network{{Name: "a"}}},
		`the network ""`:   {Networks: []dhcp.Network{{}}},
	} {
		_, err := dhcp.New(c, nil)
		require.ErrorContains(t, err, want)
	}
}

// lackingVariable has the test's own program play a process that lacks a capability.
const lackingVariable = "DESKSTORM_DHCP_TEST_LACKING"

// TestMissingCapability: the exporter serves which capability it lacks, and what it can all the same.
func TestMissingCapability(t *testing.T) {
	if os.Getenv(lackingVariable) == "" {
		netnstest.Require(t)
		cmd := exec.CommandContext(t.Context(), "setpriv", "--bounding-set=-net_raw", os.Args[0], "-test.run=^TestMissingCapability$")
		cmd.Env = append(os.Environ(), lackingVariable+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	c := quick
	c.Networks = []dhcp.Network{{Name: "a", Target: &probe.Target{Interface: "lo"}}}
	c.Hosts = []dhcp.Host{{Name: "here"}}
	s := ask(t, c)
	require.Equal(t, 1.0, s["missing_capability cap_net_raw a"])
	require.Equal(t, 0.0, s["missing_capability cap_net_admin a"])
	require.Equal(t, "unknown", s.situations("a"))
	require.Contains(t, s, "unbound_processes here")
}
