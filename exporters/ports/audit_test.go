package ports

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// on is a healthy record that the cases change.
func on(device, id string, tag int, change ...func(*record)) record {
	r := record{Bridge: "br-int", Port: device, Device: device, OFPort: 1, IfaceID: id, Tag: tag, AgentTag: tag, Network: networkA}
	for _, f := range change {
		f(&r)
	}
	return r
}

func TestAudit(t *testing.T) {
	bare := func(r *record) { r.AgentTag, r.Network = unset, "" }
	in := func(bridge string) func(*record) { return func(r *record) { r.Bridge = bridge } }
	for name, test := range map[string]struct {
		records []record
		facts   facts
		want    []string // interface and fault
	}{
		"nothing":                                {},
		"a record not tried yet":                 {records: []record{on("vnet0", "a", 10, func(r *record) { r.OFPort = 0 })}},
		"a new port that the agent has not seen": {records: []record{on("vnet0", "a", unset, bare)}},
		"OVN's ports, which have no tags":        {records: []record{on("tap0", "a", unset, bare), on("tap1", "b", unset, bare)}},
		"the agent set no tag": {records: []record{on("vnet0", "a", unset, func(r *record) { r.AgentTag = 10 })},
			want: []string{"vnet0 wrong-tag"}},
		"one of three differs": {records: []record{on("vnet0", "a", 10), on("vnet1", "b", 10), on("vnet2", "c", 11)},
			want: []string{"vnet2 wrong-tag"}},
		"one of two differs, and nobody knows which": {records: []record{on("vnet0", "a", 10), on("vnet1", "b", 11)},
			want: []string{"vnet0 wrong-tag", "vnet1 wrong-tag"}},
		"two bridges number networks apart": {records: []record{on("vnet0", "a", 10), on("tpt1", "b", 11, in("tbr-1"))}},
		"Neutron names the networks of ports without notes": {
			records: []record{on("vnet0", "a", 10, bare), on("vnet1", "b", 10, bare), on("vnet2", "c", 11, bare)},
			facts:   facts{networks: map[string]string{"a": networkA, "b": networkA, "c": networkA}},
			want:    []string{"vnet2 wrong-tag"},
		},
		"the file knows better than the agent": {records: []record{on("vnet0", "a", 10)}, facts: facts{tags: map[string]int{"a": unset}},
			want: []string{"vnet0 wrong-tag"}},
		"a device that OVS makes itself": {records: []record{on("tap0", "a", 10, func(r *record) { r.Type = "internal" })},
			facts: facts{devices: map[string]bool{}}},
		"a trunk's bridge":            {records: []record{on("tap0", "a", unset, bare, in("tbr-2"))}},
		"an uplink on another bridge": {records: []record{on("eth1", "", unset, bare, in("br-ex"))}},
		"a router's port on another bridge": {records: []record{on("qg-1", "r", unset, bare, in("br-ex"), func(r *record) { r.Type = "internal" })},
			want: []string{"qg-1 wrong-bridge"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := test.facts
			f.integration, f.prefixes = "br-int", []string{"vnet", "tap"}
			f.elsewhere = func(string) string { return "" }
			var got []string
			for _, fault := range audit(test.records, f) {
				got = append(got, fault.Interface+" "+fault.Fault)
			}
			require.Equal(t, test.want, got)
		})
	}
}

func TestJoinOddRows(t *testing.T) {
	set := func(v ...any) ovsdb.OvsSet { return ovsdb.OvsSet{GoSet: v} }
	id := func(s string) ovsdb.UUID { return ovsdb.UUID{GoUUID: s} }
	got := join(
		[]ovsdb.Row{{"_uuid": id("b"), "name": "br-int", "ports": set(id("p"), id("gone"))}, {"name": 7.0}},
		[]ovsdb.Row{{"_uuid": id("p"), "name": "vnet0", "interfaces": id("i"), "tag": set(), "other_config": set()}},
		[]ovsdb.Row{{"_uuid": id("i"), "name": "vnet0", "ofport": set(-1.0), "error": set("odd"), "external_ids": nil}},
	)
	require.Equal(t, []record{{Bridge: "br-int", Port: "vnet0", Device: "vnet0", OFPort: -1, Error: "odd", Tag: unset, AgentTag: unset}}, got)
	require.Equal(t, 5, number(1e300, 5))
}

func TestCompare(t *testing.T) {
	plug := func(device, bridge, id string) DomainInterface {
		return DomainInterface{Domain: "n2-117", Device: device, Bridge: bridge, InterfaceID: id, VirtualPort: "openvswitch"}
	}
	plugged, faults := compare([]DomainInterface{
		plug("vnet0", "br-int", "a"), plug("vnet1", "br-int", "b"), plug("vnet2", "br-int", "c"), plug("vnet3", "br-int", "d"),
		{Domain: "n2-118", Device: "tap4", Bridge: "qbr4"},
	}, []record{on("vnet0", "a", 10), on("vnet1", "x", 10), on("vnet2", "c", 10, func(r *record) { r.Bridge = "br-old" })})
	require.Equal(t, 4, plugged)
	var got []string
	for _, f := range faults {
		require.Equal(t, "n2-117", f.Domain)
		got = append(got, f.Interface+" "+f.Fault+": "+f.Detail)
	}
	require.Equal(t, []string{`vnet1 wrong-id: its record has the iface-id "x"`, "vnet2 wrong-bridge: its record is on br-old",
		"vnet3 no-port: Open vSwitch has no record of it"}, got)
}

func TestFaultList(t *testing.T) {
	var lines int
	log := slog.New(counting{lines: &lines})
	l := &exporter{faultList: faultList{found: map[string][]Fault{}}}
	var many []Fault
	for i := range maxServed + 5 {
		many = append(many, Fault{Source: "ovsdb", Interface: fmt.Sprint(i), Fault: hasError})
	}
	l.keep("ovsdb", many, log)
	require.Equal(t, maxLogged+1, lines, "the rest in one line")
	l.keep("ovsdb", many, log)
	require.Equal(t, maxLogged+1, lines, "nothing new")
	faults, leftOut := answered(t, http.HandlerFunc(l.serveFaults))
	require.Len(t, faults, maxServed)
	require.Equal(t, 5, leftOut)
	l.keep("ovsdb", many[1:], log)
	require.Equal(t, maxLogged+2, lines, "one is gone")
}

func TestReadExpected(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tags")
	for content, want := range map[string]string{
		"a 10\n\n# all\nb - # none\n": "",
		"a\n":                         ":1: expected a port's ID and its tag, found 1 words",
		"a 1\nb 4095":                 `:2: expected a tag from 0 to 4094 or -, found "4095"`,
		"a x":                         `found "x"`,
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		tags, err := readExpected(path)
		if want != "" {
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, want)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, map[string]int{"a": 10, "b": unset}, tags)
	}
}

func TestConfig(t *testing.T) {
	r, n := configfile.Parse([]byte("database: tcp:127.0.0.1:6640\nbridges: [br-ex]\nexpected: tags\ngrace: 10m\ninterval: 30s\n"), "/etc/x.yaml", "it")
	c := Read(r, n)
	require.NoError(t, r.Err())
	require.Equal(t, Config{Database: "tcp:127.0.0.1:6640", Bridges: []string{"br-ex"}, Expected: "/etc/tags", Grace: 10 * time.Minute,
		Interval: 30 * time.Second}, c)
	r, n = configfile.Parse([]byte("database: db.sock\ninterval: 1ms\nport: 1\nlibvirt: http://me:hunter2@host\n"), "x.yaml", "it")
	Read(r, n)
	require.ErrorContains(t, r.Err(), "x.yaml:1:11: database: expected unix:PATH, tcp:HOST:PORT or none")
	require.ErrorContains(t, r.Err(), "x.yaml:2:11: interval")
	require.ErrorContains(t, r.Err(), "x.yaml:3:1: port: unknown key")
	require.ErrorContains(t, r.Err(), "x.yaml:4:10: libvirt: expected a libvirt URI")
	require.NotContains(t, r.Err().Error(), "hunter2")
	_, err := New(Config{Database: "none"}, Sources{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "nobody to ask")
	_, err = New(Config{Database: "x"}, Sources{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, `"x"`)
}
