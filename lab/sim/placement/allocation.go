package placement

import "net/http"

func (p *Placement) showProviderAllocations(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	all := map[string]any{}
	for id, o := range found.consumers {
		for _, s := range o.shares {
			if s.provider != found {
				continue
			}
			v := map[string]any{"resources": s.resources}
			if c.atLeast(28) {
				v["consumer_generation"] = o.generation
			}
			all[id] = v
		}
	}
	c.answer(http.StatusOK, map[string]any{"resource_provider_generation": found.generation, "allocations": all})
}

// showAllocations answers with none for a consumer that nobody knows.
func (p *Placement) showAllocations(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	all := map[string]any{}
	v := map[string]any{"allocations": all}
	if o := p.consumers[c.PathValue("consumer")]; o != nil {
		for _, s := range o.shares {
			all[s.provider.id] = map[string]any{"generation": s.provider.generation, "resources": s.resources}
		}
		if c.atLeast(12) {
			v["project_id"], v["user_id"] = o.project, o.user
		}
		if c.atLeast(28) {
			v["consumer_generation"] = o.generation
		}
		if c.atLeast(38) {
			v["consumer_type"] = o.kind
		}
	}
	c.answer(http.StatusOK, v)
}

func (p *Placement) deleteAllocations(c *call) {
	id := c.PathValue("consumer")
	if !p.Release(id) {
		c.fail(notFound("No allocations for consumer '%s'", id))
		return
	}
	c.empty(http.StatusNoContent)
}
