package ports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// What may be wrong with a record of Open vSwitch's.
const (
	noOFPort       = "no-ofport"       // Open vSwitch could not add the interface: ofport is -1
	hasError       = "error"           // and says why
	noDevice       = "no-device"       // the interface's device does not exist
	otherNamespace = "other-namespace" // it exists in another network namespace only
	wrongTag       = "wrong-tag"       // the VLAN is not that of the port's owner
	deadVLAN       = "dead-vlan"       // Neutron's agent has put the port where nobody is
	wrongBridge    = "wrong-bridge"    // a desktop's port that is not on the integration bridge
	duplicateID    = "duplicate-id"    // two interfaces claim to be one port
)

var recordFaults = []string{noOFPort, hasError, noDevice, otherNamespace, wrongTag, deadVLAN, wrongBridge, duplicateID}

// deadTag is DEAD_VLAN_TAG of Neutron's agent: for ports that it does not know or that are down, and, with os-vif's
// isolate_vif, for new ones until it has seen them.
const deadTag = 4095

// trunkPrefix is how Neutron's agent names the bridges of trunks, a bridge each; ports belong there.
const trunkPrefix = "tbr-"

// Fault is what is wrong with one interface.
type Fault struct {
	Source    string `json:"source"` // who told: ovsdb or libvirt
	Bridge    string `json:"bridge,omitempty"`
	Interface string `json:"interface"`
	IfaceID   string `json:"iface_id,omitempty"` // Neutron's ID of the port
	Domain    string `json:"domain,omitempty"`   // libvirt's name of the desktop
	Fault     string `json:"fault"`
	Detail    string `json:"detail"`
}

// facts are what the records are held against.
type facts struct {
	integration string
	prefixes    []string
	devices     map[string]bool     // that exist; nil: nobody knows
	elsewhere   func(string) string // the namespace that has the device; empty: none
	tags        map[string]int      // that ports should have, by iface-id
	networks    map[string]string   // that ports are in, by iface-id
}

// audit tells what is wrong with which records, sorted.
func audit(all []record, f facts) []Fault {
	var faults []Fault
	say := func(r record, fault, format string, args ...any) {
		faults = append(faults, Fault{
			Source: "ovsdb", Bridge: r.Bridge, Interface: r.Device, IfaceID: r.IfaceID, Fault: fault, Detail: fmt.Sprintf(format, args...),
		})
	}
	owners := map[string][]string{}
	for _, r := range all {
		if r.IfaceID != "" {
			owners[r.IfaceID] = append(owners[r.IfaceID], r.Device)
		}
	}
	usual := f.usualTags(all)
	for _, r := range all {
		if r.OFPort < 0 {
			say(r, noOFPort, "Open vSwitch could not add it")
		}
		if r.Error != "" {
			say(r, hasError, "%s", r.Error)
		}
		if f.devices != nil && (r.Type == "" || r.Type == "system") && !f.devices[r.Device] {
			if where := f.elsewhere(r.Device); where != "" {
				say(r, otherNamespace, "its device is in the network namespace %s", where)
			} else {
				say(r, noDevice, "its device does not exist")
			}
		}
		if r.Tag == deadTag {
			say(r, deadVLAN, "its tag is %d, which leads nowhere", deadTag)
		} else if why := f.wrongTag(r, usual); why != "" {
			say(r, wrongTag, "%s", why)
		}
		if r.Bridge != f.integration && !strings.HasPrefix(r.Bridge, trunkPrefix) && (r.IfaceID != "" || f.isDesktops(r)) {
			say(r, wrongBridge, "it belongs on %s", f.integration)
		}
		if others := owners[r.IfaceID]; len(others) > 1 {
			say(r, duplicateID, "%d interfaces have its iface-id: %s", len(others), strings.Join(others, ", "))
		}
	}
	slices.SortFunc(faults, compareFaults)
	return faults
}

func compareFaults(a, b Fault) int {
	return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.IfaceID, b.IfaceID),
		cmp.Compare(a.Fault, b.Fault))
}

func (f facts) isDesktops(r record) bool {
	return (r.Type == "" || r.Type == "system") &&
		slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(r.Device, p) })
}

// wrongTag asks who may know a port's tag, the best informed first. The agent's own note alone is not enough: a record that
// outlived its desktop keeps tag and note, and both are old.
func (f facts) wrongTag(r record, usual map[segment]int) string {
	if why, known := f.contradiction(r); why != "" || known {
		return why
	}
	s := f.segment(r)
	if tag, ok := usual[s]; ok && tag != r.Tag {
		return fmt.Sprintf("its tag is %s, unlike other ports' of network %s", tagText(r.Tag), s.network)
	}
	return ""
}

// contradiction is between a port's tag and what is known of the port alone; known says that its tag is.
func (f facts) contradiction(r record) (why string, known bool) {
	if r.IfaceID == "" {
		return "", true // nobody's
	}
	if tag, ok := f.tags[r.IfaceID]; ok {
		if tag != r.Tag {
			why = fmt.Sprintf("its tag is %s and should be %s", tagText(r.Tag), tagText(tag))
		}
		return why, true
	}
	network := f.networks[r.IfaceID]
	switch {
	case network != "" && r.Network != "" && network != r.Network:
		return fmt.Sprintf("its tag %s is network %s's, and the port is in network %s", tagText(r.Tag), r.Network, network), false
	case r.AgentTag != unset && r.AgentTag != r.Tag:
		return fmt.Sprintf("its tag is %s, and Neutron's agent noted %s", tagText(r.Tag), tagText(r.AgentTag)), false
	}
	return "", false
}

func tagText(tag int) string {
	if tag == unset {
		return "none"
	}
	return fmt.Sprint(tag)
}

// segment is a network on a bridge: its ports there have one tag.
type segment struct{ bridge, network string }

func (f facts) segment(r record) segment {
	if network := f.networks[r.IfaceID]; network != "" {
		return segment{r.Bridge, network}
	}
	return segment{r.Bridge, r.Network}
}

// usualTags are the tags that most ports of a segment have, but those that are wrong by themselves. Where two are as frequent
// nobody knows which is wrong, and the segment gets a tag that no port has, so that all are told.
func (f facts) usualTags(all []record) map[segment]int {
	votes := map[segment]map[int]int{}
	for _, r := range all {
		s := f.segment(r)
		if why, _ := f.contradiction(r); why != "" || r.IfaceID == "" || s.network == "" || r.Tag == deadTag {
			continue
		}
		if votes[s] == nil {
			votes[s] = map[int]int{}
		}
		votes[s][r.Tag]++
	}
	usual := map[segment]int{}
	for s, tags := range votes {
		best, most, tied := unset, 0, false
		for tag, n := range tags {
			switch {
			case n > most:
				best, most, tied = tag, n, false
			case n == most:
				tied = true
			}
		}
		if tied {
			best = deadTag
		}
		usual[s] = best
	}
	return usual
}
