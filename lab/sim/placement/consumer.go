package placement

import (
	"maps"
	"slices"
)

// consumer holds allocations: a server, or a migration.
type consumer struct {
	id, project, user, kind string
	generation              int
	shares                  []share
}

// share is what a consumer has of one provider. It does not change.
type share struct {
	provider  *provider
	resources map[string]int
}

// replace gives a consumer other shares than it had; without any it is forgotten. The providers that lose or get something
// have a new generation then. It is called with the lock held.
func (p *Placement) replace(o *consumer, shares []share) {
	changed := map[*provider]bool{}
	for _, s := range o.shares {
		for class, amount := range s.resources {
			s.provider.used[class] -= amount
		}
		delete(s.provider.consumers, o.id)
		changed[s.provider] = true
	}
	delete(p.consumers, o.id)
	for _, s := range shares {
		for class, amount := range s.resources {
			s.provider.used[class] += amount
		}
		s.provider.consumers[o.id], p.consumers[o.id] = o, o
		changed[s.provider] = true
	}
	o.shares = shares
	o.generation++
	for provider := range changed {
		provider.generation++
	}
}

// fits tells whether a provider has room for resources.
func (p *provider) fits(resources map[string]int) bool { return p.checkRoom(resources, nil) == nil }

// checkRoom says why a provider has no room for resources beside what is used, less what is about to be given back.
func (p *provider) checkRoom(resources, givenBack map[string]int) *refusal {
	for _, class := range slices.Sorted(maps.Keys(resources)) {
		amount := resources[class]
		i, ok := p.inventories[class]
		switch {
		case !ok:
			return conflict(undefinedCode, "Unable to allocate inventory: Inventory for '%s' on resource provider '%s' invalid.", class, p.id)
		case amount < i.MinUnit || amount > i.MaxUnit || amount%i.StepSize != 0:
			return conflict(undefinedCode, "Unable to allocate inventory: Unable to create allocation for '%s' on resource provider '%s'. "+
				"The requested amount would violate inventory constraints.", class, p.id)
		case p.used[class]-givenBack[class]+amount > i.Capacity():
			return conflict(undefinedCode, "Unable to allocate inventory: Unable to create allocation for '%s' on resource provider '%s'. "+
				"The requested amount would exceed the capacity.", class, p.id)
		}
	}
	return nil
}
