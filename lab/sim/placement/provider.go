package placement

import (
	"net/http"
	"strconv"
	"strings"
)

// provider is the one of the path; without one it answers 404 and returns nil. It is called with the lock held.
func (p *Placement) provider(c *call) *provider {
	id := c.PathValue("id")
	found := p.byID[id]
	if found == nil {
		c.fail(http.StatusNotFound, undefinedCode, "No resource provider with uuid "+id+" found")
	}
	return found
}

func (p *provider) view(c *call) map[string]any {
	url := "/placement/resource_providers/" + p.id
	links := []any{map[string]any{"rel": "self", "href": url}}
	for _, rel := range []struct {
		since int
		name  string
	}{{0, "inventories"}, {0, "usages"}, {1, "aggregates"}, {6, "traits"}, {11, "allocations"}} {
		if c.atLeast(rel.since) {
			links = append(links, map[string]any{"rel": rel.name, "href": url + "/" + rel.name})
		}
	}
	v := map[string]any{"uuid": p.id, "name": p.name, "generation": p.generation, "links": links}
	if c.atLeast(14) {
		v["parent_provider_uuid"], v["root_provider_uuid"] = nil, p.id
	}
	return v
}

func (p *Placement) listProviders(c *call) {
	q := c.URL.Query()
	wanted := map[string]int{}
	if q.Has("resources") {
		for part := range strings.SplitSeq(q.Get("resources"), ",") {
			class, amount, _ := strings.Cut(part, ":")
			n, err := strconv.Atoi(amount)
			if err != nil || n < 1 {
				c.fail(http.StatusBadRequest, undefinedCode, "Badly formed resources parameter. Expected resources query string "+
					"parameter in form: ?resources=VCPU:2,MEMORY_MB:1024. Got: "+part)
				return
			}
			wanted[class] = n
		}
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := []any{}
	for _, found := range p.providers {
		if (!q.Has("name") || q.Get("name") == found.name) && (!q.Has("uuid") || q.Get("uuid") == found.id) &&
			(!q.Has("in_tree") || q.Get("in_tree") == found.id) && found.fits(wanted) {
			list = append(list, found.view(c))
		}
	}
	c.answer(http.StatusOK, map[string]any{"resource_providers": list})
}

func (p *Placement) showProvider(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.provider(c); found != nil {
		c.answer(http.StatusOK, found.view(c))
	}
}

func (p *Placement) showAggregates(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.provider(c); found != nil {
		v := map[string]any{"aggregates": []any{}}
		if c.atLeast(19) {
			v["resource_provider_generation"] = found.generation
		}
		c.answer(http.StatusOK, v)
	}
}

func (p *Placement) showTraits(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.provider(c); found != nil {
		c.answer(http.StatusOK, map[string]any{"traits": []any{}, "resource_provider_generation": found.generation})
	}
}
