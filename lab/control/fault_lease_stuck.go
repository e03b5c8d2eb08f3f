package control

import "github.com/deskstorm/deskstorm/lab/sim/lease"

// leaseStuck is what several dnsmasq on one host do to each other's clients.
type leaseStuck struct {
	desktops
	// Rebinds says that the client's broadcasts at T2 are answered, as they were in production: the lease is renewed late. Otherwise
	// it runs out.
	Rebinds bool `json:"rebinds,omitempty"`
}

func (f *leaseStuck) inject(a *attempt) error {
	if f.Rebinds {
		return a.breakLeases(f.desktops, lease.Late)
	}
	return a.breakLeases(f.desktops, lease.Stuck)
}
