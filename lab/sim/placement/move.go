package placement

import (
	"cmp"
	"slices"
)

// Candidates are the ids of the providers that have room for resources, the one with most memory left first, as Nova's scheduler
// weighs them by default.
func (p *Placement) Candidates(resources map[string]int) []string {
	type candidate struct {
		id   string
		free int
	}
	var found []candidate
	p.mu.RLock()
	for _, o := range p.providers {
		if o.fits(resources) {
			found = append(found, candidate{o.id, o.inventories[MemoryMB].Capacity() - o.used[MemoryMB]})
		}
	}
	p.mu.RUnlock()
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.free, a.free) })
	ids := make([]string, len(found))
	for i, c := range found {
		ids[i] = c.id
	}
	return ids
}

// Hand gives what a consumer holds to another that holds nothing, as Nova gives a server's allocation to the migration while the
// server claims room at its destination. It tells whether it did.
func (p *Placement) Hand(from, to string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.consumers[from]
	if o == nil || p.consumers[to] != nil {
		return false
	}
	shares := o.shares
	p.replace(o, nil)
	p.replace(&consumer{id: to, project: o.project, user: o.user, kind: o.kind}, shares)
	return true
}
