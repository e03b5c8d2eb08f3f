package placement

import "net/http"

// usages has every class of the provider, also those of which nothing is used.
func (p *provider) usages() map[string]int {
	all := map[string]int{}
	for class := range p.inventories {
		all[class] = p.used[class]
	}
	return all
}

func (p *Placement) showUsages(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.provider(c); found != nil {
		c.answer(http.StatusOK, map[string]any{"resource_provider_generation": found.generation, "usages": found.usages()})
	}
}

func (p *Placement) showProviderAllocations(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	all := map[string]any{}
	for _, a := range found.consumers {
		v := map[string]any{"resources": a.resources}
		if c.atLeast(28) {
			v["consumer_generation"] = 1
		}
		all[a.consumer] = v
	}
	c.answer(http.StatusOK, map[string]any{"resource_provider_generation": found.generation, "allocations": all})
}

func (p *Placement) showAllocations(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	a := p.consumers[c.PathValue("consumer")]
	if a == nil {
		c.answer(http.StatusOK, map[string]any{"allocations": map[string]any{}})
		return
	}
	v := map[string]any{"allocations": map[string]any{
		a.provider.id: map[string]any{"generation": a.provider.generation, "resources": a.resources},
	}}
	if c.atLeast(12) {
		v["project_id"], v["user_id"] = a.project, a.user
	}
	if c.atLeast(28) {
		v["consumer_generation"] = 1
	}
	if c.atLeast(38) {
		v["consumer_type"] = "INSTANCE"
	}
	c.answer(http.StatusOK, v)
}

func (p *Placement) deleteAllocations(c *call) {
	consumer := c.PathValue("consumer")
	if !p.Release(consumer) {
		c.fail(http.StatusNotFound, undefinedCode, "No allocations for consumer '"+consumer+"'")
		return
	}
	c.w.WriteHeader(http.StatusNoContent)
}

func (p *Placement) showProjectUsages(c *call) {
	q := c.URL.Query()
	if q.Get("project_id") == "" {
		c.fail(http.StatusBadRequest, undefinedCode, "Invalid query string parameters: 'project_id' is a required property")
		return
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	sums := map[string]int{}
	for _, a := range p.consumers {
		if a.project == q.Get("project_id") && (!q.Has("user_id") || a.user == q.Get("user_id")) {
			for class, amount := range a.resources {
				sums[class] += amount
			}
		}
	}
	if c.atLeast(38) {
		c.answer(http.StatusOK, map[string]any{"usages": map[string]any{"INSTANCE": sums}})
		return
	}
	c.answer(http.StatusOK, map[string]any{"usages": sums})
}
