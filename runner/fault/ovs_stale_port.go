package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// The greatest VLAN tags; 4095 is OVS's own way to say that a port is dead, as Neutron's agent uses it.
const highestTag = 4094

// ovsStalePort leaves records in a switch's database that are of another time: the tag that the device's name had for another guest, which
// nobody reports, or a port whose device is not there (ofport -1).
func ovsStalePort() kind {
	return kind{
		name: "ovs.stale_port", doc: "a port's record in Open vSwitch is stale: its VLAN tag is another's, or it has no device",
		parameters: []native.Parameter{
			{Name: "port", Type: native.Text, Doc: "the port whose tag is stale, such as a guest's tap; or else bridge"},
			{Name: "tag", Type: native.Integer, Doc: "the stale tag, 1 to 4094; 4094 if absent"},
			{Name: "bridge", Type: native.Text, Doc: "the bridge that gets a port without a device"},
			{Name: "database", Type: native.Text,
				Doc: "Open vSwitch's database, such as unix:/run/openvswitch/db.sock; its usual place if absent"},
		},
		host: func(ctx context.Context, r *request) error {
			if err := r.needs(ctx, "ovs-vsctl", "openvswitch-switch"); err != nil {
				return err
			}
			port, bridge, tag := r.Text("port", ""), r.Text("bridge", ""), r.Integer("tag", highestTag)
			switch {
			case (port == "") == (bridge == ""):
				return native.Wrong("port", "say port or bridge")
			case !isDevice(port + bridge):
				return native.Wrong("port", "expected the name of a port or bridge, found %q", port+bridge)
			case tag < 1 || tag > highestTag:
				return native.Wrong("tag", "expected 1 to %d", highestTag)
			}
			if bridge != "" {
				return r.withoutDevice(ctx, bridge)
			}
			return r.staleTag(ctx, port, tag)
		},
	}
}

// vsctl does not wait for the switch: one that is down would have it wait for ever, and the database is all that counts.
func (r *request) vsctl(args ...string) target.Step {
	argv := []string{"ovs-vsctl", "--timeout=10", "--no-wait"}
	if database := r.Text("database", ""); database != "" {
		argv = append(argv, "--db="+database)
	}
	return command(append(argv, args...)...)
}

func (r *request) staleTag(ctx context.Context, port string, tag int) error {
	said, err := r.look(ctx, r.vsctl("--format=json", "--columns=tag", "list", "Port", port))
	if err != nil {
		return fmt.Errorf("looking for the port %s: %w", port, err)
	}
	before, has, err := readTag(said)
	if err != nil {
		return fmt.Errorf("reading the tag of the port %s: %w", port, err)
	}
	if has && before == tag {
		return native.Wrong("tag", "the port %s has the tag %d already", port, tag)
	}
	was := "none"
	back := r.vsctl("--if-exists", "clear", "Port", port, "tag")
	if has {
		was = strconv.Itoa(before)
		back = r.vsctl("--if-exists", "set", "Port", port, "tag="+was)
	}
	r.whats("the port %s of %s has the VLAN tag %d instead of %s: its desktop is in nobody's network", port, r.at, tag, was)
	r.applies(r.vsctl("set", "Port", port, fmt.Sprintf("tag=%d", tag)))
	r.undoes(back)
	return nil
}

// readTag reads ovs-vsctl's table: {"data":[[10]],"headings":["tag"]}, [["set",[]]] in place of 10 for none (RFC 7047, section 5.1).
func readTag(text string) (tag int, has bool, err error) {
	var table struct {
		Data [][]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(text), &table); err != nil {
		return 0, false, err
	}
	if len(table.Data) != 1 || len(table.Data[0]) != 1 {
		return 0, false, fmt.Errorf("%d records", len(table.Data))
	}
	if json.Unmarshal(table.Data[0][0], &tag) == nil {
		return tag, true, nil
	}
	var set []json.RawMessage
	if err := json.Unmarshal(table.Data[0][0], &set); err != nil || len(set) != 2 || string(set[1]) != "[]" {
		return 0, false, fmt.Errorf("unexpected: %s", table.Data[0][0])
	}
	return 0, false, nil
}

func (r *request) withoutDevice(ctx context.Context, bridge string) error {
	if _, err := r.look(ctx, r.vsctl("br-exists", bridge)); err != nil {
		return fmt.Errorf("looking for the bridge %s: %w", bridge, err)
	}
	port := fmt.Sprintf("ds%08x", r.number(1<<32-1)) // no device's: names have at most 15 bytes
	r.whats("the bridge %s of %s has a port %s, whose device is not there", bridge, r.at, port)
	r.applies(r.vsctl("--may-exist", "add-port", bridge, port))
	r.undoes(r.vsctl("--if-exists", "del-port", bridge, port))
	return nil
}
