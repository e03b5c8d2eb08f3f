package control

import "github.com/deskstorm/deskstorm/lab/sim/lease"

// noLease ends with a lease for each.
type noLease struct{ desktops }

func (f *noLease) inject(a *attempt) error { return a.breakLeases(f.desktops, lease.None) }

func (a *attempt) breakLeases(d desktops, fault lease.Fault) error {
	servers, err := a.choose(d, itsLease, "is ACTIVE", isActive)
	if err != nil {
		return err
	}
	for _, s := range servers {
		a.Sim.DHCP.SetFault(s.ID, fault)
		a.undoes(func() { a.Sim.DHCP.SetFault(s.ID, lease.Healthy) })
	}
	return nil
}
