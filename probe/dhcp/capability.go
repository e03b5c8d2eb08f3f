package dhcp

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Capability is a right of capabilities(7), by the name that setcap(8) knows.
type Capability string

// The capabilities that probes and audits need.
const (
	NetRaw         Capability = "cap_net_raw"          // packets before the client has an address
	NetAdmin       Capability = "cap_net_admin"        // the leased address, for the probe's time
	NetBindService Capability = "cap_net_bind_service" // port 68, or the relay's port 67
	SysAdmin       Capability = "cap_sys_admin"        // another network namespace
)

// Capabilities are all of them.
func Capabilities() []Capability { return []Capability{NetRaw, NetAdmin, NetBindService, SysAdmin} }

var bits = map[Capability]int{
	NetRaw: unix.CAP_NET_RAW, NetAdmin: unix.CAP_NET_ADMIN, NetBindService: unix.CAP_NET_BIND_SERVICE, SysAdmin: unix.CAP_SYS_ADMIN,
}

// Needs are the capabilities that a probe of the target needs.
func (t Target) Needs() []Capability {
	var needs []Capability
	if t.Relay == nil {
		needs = append(needs, NetRaw, NetAdmin)
	}
	needs = append(needs, NetBindService)
	if t.Namespace != "" {
		needs = append(needs, SysAdmin)
	}
	return needs
}

// MissingCapabilityError names what this process may not do.
type MissingCapabilityError struct {
	Missing []Capability
}

func (e *MissingCapabilityError) Error() string {
	var small, large []string
	for _, c := range e.Missing {
		small, large = append(small, string(c)), append(large, strings.ToUpper(string(c)))
	}
	return fmt.Sprintf("missing %s: setcap %s+ep PROGRAM, or AmbientCapabilities=%s in the systemd unit",
		strings.Join(large, ", "), strings.Join(small, ","), strings.Join(large, " "))
}

// missing returns a *MissingCapabilityError if the thread lacks one of them.
func missing(needs []Capability) error {
	var data [2]unix.CapUserData // the kernel's version 3 has 64 capabilities
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return fmt.Errorf("reading this process's capabilities: %w", err)
	}
	var e MissingCapabilityError
	for _, c := range needs {
		if data[bits[c]/32].Effective&(1<<(bits[c]%32)) == 0 {
			e.Missing = append(e.Missing, c)
		}
	}
	if len(e.Missing) > 0 {
		return &e
	}
	return nil
}
