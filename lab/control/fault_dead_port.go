package control

// deadPort leaves the SPICE server alone, which is on the host's own network.
type deadPort struct{ desktops }

func (f *deadPort) inject(a *attempt) error {
	servers, err := a.choose(f.desktops, itsPort, "is ACTIVE", isActive)
	if err != nil {
		return err
	}
	return a.cut(servers)
}
