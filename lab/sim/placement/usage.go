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

// showProjectUsages sums what a project's consumers have; from microversion 1.38 on by the consumers' types.
func (p *Placement) showProjectUsages(c *call) {
	q := c.URL.Query()
	if q.Get("project_id") == "" {
		c.fail(badRequest("Invalid query string parameters: 'project_id' is a required property"))
		return
	}
	if r := (since{"project_id": 9, "user_id": 9, "consumer_type": 38}).check(c, q); r != nil {
		c.fail(r)
		return
	}
	kind := q.Get("consumer_type")
	p.mu.RLock()
	defer p.mu.RUnlock()
	sums, byKind := map[string]int{}, map[string]map[string]int{}
	for _, o := range p.consumers {
		if o.project != q.Get("project_id") || q.Has("user_id") && o.user != q.Get("user_id") {
			continue
		}
		key := o.kind
		switch kind {
		case "", o.kind:
		case "all":
			key = "all"
		default:
			continue
		}
		if byKind[key] == nil {
			byKind[key] = map[string]int{}
		}
		byKind[key]["consumer_count"]++
		for _, s := range o.shares {
			for class, amount := range s.resources {
				sums[class] += amount
				byKind[key][class] += amount
			}
		}
	}
	if c.atLeast(38) {
		c.answer(http.StatusOK, map[string]any{"usages": byKind})
		return
	}
	c.answer(http.StatusOK, map[string]any{"usages": sums})
}
