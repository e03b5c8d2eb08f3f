package ports

import (
	"fmt"
	"slices"

	"github.com/deskstorm/deskstorm/hypervisor"
)

// DomainInterface is a network interface of a running domain.
type DomainInterface = hypervisor.Interface

// What may be wrong between a domain's interface and Open vSwitch's records.
const (
	noPort  = "no-port"  // there is no record of its device
	wrongID = "wrong-id" // the record says that it is another port's
)

var domainFaults = []string{noPort, wrongBridge, wrongID}

// compare finds the interfaces that belong on an Open vSwitch in its records. It returns how many there are, and what is wrong.
func compare(domains []DomainInterface, all []record) (plugged int, faults []Fault) {
	byDevice := make(map[string]record, len(all))
	for _, r := range all {
		byDevice[r.Device] = r
	}
	for _, i := range domains {
		if i.VirtualPort != "openvswitch" {
			continue // a plain bridge's, such as those of Neutron's hybrid plugging
		}
		plugged++
		say := func(fault, format string, args ...any) {
			faults = append(faults, Fault{
				Source: "libvirt", Bridge: i.Bridge, Interface: i.Device, IfaceID: i.InterfaceID, Domain: i.Domain, Fault: fault,
				Detail: fmt.Sprintf(format, args...),
			})
		}
		r, ok := byDevice[i.Device]
		switch {
		case !ok:
			say(noPort, "Open vSwitch has no record of it")
		case i.Bridge != "" && r.Bridge != i.Bridge:
			say(wrongBridge, "its record is on %s", r.Bridge)
		case i.InterfaceID != "" && r.IfaceID != i.InterfaceID:
			say(wrongID, "its record has the iface-id %q", r.IfaceID)
		}
	}
	slices.SortFunc(faults, compareFaults)
	return plugged, faults
}
