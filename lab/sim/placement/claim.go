package placement

// Claim allocates resources to a consumer on the provider that has most memory left, as Nova's scheduler chooses by default;
// only, if not empty, is the one provider that will do. It answers false if none has room. A consumer that has an
// allocation already keeps it. Its type is unknown: Zed's Nova allocates in microversion 1.28, which has no types.
func (p *Placement) Claim(consumerID, project, user string, resources map[string]int, only string) (providerID string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.consumers[consumerID]; o != nil {
		return o.shares[0].provider.id, true
	}
	var best *provider
	most := 0
	for _, candidate := range p.providers {
		if only != "" && only != candidate.id || !candidate.fits(resources) {
			continue
		}
		free := candidate.inventories[MemoryMB].Capacity() - candidate.used[MemoryMB]
		if best == nil || free > most {
			best, most = candidate, free
		}
	}
	if best == nil {
		return "", false
	}
	p.replace(&consumer{id: consumerID, project: project, user: user, kind: untyped}, []share{{best, resources}})
	return best.id, true
}

// Release gives back what a consumer has, and tells whether it had anything.
func (p *Placement) Release(consumerID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.consumers[consumerID]
	if o == nil {
		return false
	}
	p.replace(o, nil)
	return true
}
