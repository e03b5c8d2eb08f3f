package placement

// Claim allocates resources to a consumer on the provider that has most memory left, as Nova's scheduler chooses by default;
// only, if not empty, is the one provider that will do. It answers false if none has room. A consumer that has an
// allocation already keeps it.
func (p *Placement) Claim(consumer, project, user string, resources map[string]int, only string) (providerID string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.consumers[consumer]; a != nil {
		return a.provider.id, true
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
	a := &allocation{consumer: consumer, project: project, user: user, provider: best, resources: resources}
	for class, amount := range resources {
		best.used[class] += amount
	}
	best.generation++
	best.consumers[consumer], p.consumers[consumer] = a, a
	return best.id, true
}

// Release gives back what a consumer has, and tells whether it had anything.
func (p *Placement) Release(consumer string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.consumers[consumer]
	if a == nil {
		return false
	}
	for class, amount := range a.resources {
		a.provider.used[class] -= amount
	}
	a.provider.generation++
	delete(a.provider.consumers, consumer)
	delete(p.consumers, consumer)
	return true
}

func (p *provider) fits(resources map[string]int) bool {
	for class, amount := range resources {
		i, ok := p.inventories[class]
		if !ok || amount < i.MinUnit || amount > i.MaxUnit || amount%i.StepSize != 0 || p.used[class]+amount > i.Capacity() {
			return false
		}
	}
	return true
}
