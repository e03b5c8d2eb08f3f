package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/lease"
)

// leasing are desktops whose DHCP clients get leases while they run.
type leasing struct {
	Desktops
	table *lease.Table
}

func (l leasing) Boot(ctx context.Context, serverID string) (Console, error) {
	console, err := l.Desktops.Boot(ctx, serverID)
	if err == nil {
		l.table.Started(serverID)
	}
	return console, err
}

func (l leasing) Shutdown(serverID string) {
	l.Desktops.Shutdown(serverID)
	l.table.Stopped(serverID)
}

// Kill ends the whole guest: its SPICE server is in the process of its virtual machine.
func (l leasing) Kill(serverID string) bool {
	killed := l.Desktops.Kill(serverID)
	if killed {
		l.table.Stopped(serverID)
	}
	return killed
}

// leaseEarlier gives the servers that run from the start leases of the past: they were not all booted in one moment.
func (l *Lab) leaseEarlier() {
	random := rand.New(rand.NewPCG(l.config.Seed, 2))
	for _, s := range l.Servers() {
		if s.Status == "ACTIVE" {
			before := random.Int64N(int64(l.DHCP.Times().T1))
			l.DHCP.StartedAt(s.ID, s.Launched.Add(-time.Duration(before)))
		}
	}
}

// Leases are the DHCP leases of servers' ports that are good now, and the running servers that have none.
func (l *Lab) Leases() (leases []lease.Lease, missing []string) {
	var ports []lease.Port
	for _, b := range l.Neutron.Bindings() {
		ports = append(ports, lease.Port{Server: b.Server, Network: b.Network, MAC: b.MAC, Address: b.Address})
	}
	return l.DHCP.Leases(ports)
}
