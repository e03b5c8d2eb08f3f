package placement

import (
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// provider is the one of the path; without one it answers 404 and returns nil. It is called with the lock held.
func (p *Placement) provider(c *call) *provider {
	id := c.PathValue("id")
	found := p.byID[id]
	if found == nil {
		c.fail(notFound("No resource provider with uuid %s found", id))
	}
	return found
}

func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

func providerURL(id string) string { return "/placement/resource_providers/" + id }

func (p *provider) view(c *call) map[string]any {
	url := providerURL(p.id)
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
	p.mu.RLock()
	defer p.mu.RUnlock()
	wanted, r := p.filter(c, providerQuery)
	if r != nil {
		c.fail(r)
		return
	}
	list := []any{}
	for _, found := range p.providers {
		if wanted.matches(found) {
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

type providerBody struct {
	Name   string  `json:"name"`
	ID     string  `json:"uuid"`
	Parent *string `json:"parent_provider_uuid"`
}

func (c *call) readProvider() (body providerBody, r *refusal) {
	r = c.decode(&body, "name")
	switch {
	case r != nil:
	case body.Name == "" || len(body.Name) > 200:
		r = badRequest("JSON does not validate: '%s' is too short or too long", body.Name)
	case body.ID != "" && !isUUID(body.ID):
		r = badRequest("JSON does not validate: '%s' is not a 'uuid'", body.ID)
	case body.Parent != nil:
		r = badRequest("JSON does not validate: the resource providers of this lab are not nested, but parent_provider_uuid is %s", *body.Parent)
	}
	return body, r
}

func (p *Placement) createProvider(c *call) {
	body, r := c.readProvider()
	if r != nil {
		c.fail(r)
		return
	}
	if body.ID == "" {
		body.ID = uuid.NewString()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.providers {
		if o.name == body.Name {
			c.fail(conflict(duplicateName, "Conflicting resource provider name: %s already exists.", body.Name))
			return
		}
	}
	if p.byID[body.ID] != nil {
		c.fail(conflict(duplicateName, "Conflicting resource provider uuid: %s already exists.", body.ID))
		return
	}
	added := p.add(body.ID, body.Name)
	c.location(providerURL(added.id))
	if c.atLeast(20) {
		c.answer(http.StatusOK, added.view(c))
		return
	}
	c.empty(http.StatusCreated)
}

// updateProvider renames a provider; its generation stays, as in Placement.
func (p *Placement) updateProvider(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	body, r := c.readProvider()
	switch {
	case r != nil:
	case body.ID != "":
		r = badRequest("JSON does not validate: Additional properties are not allowed ('uuid' was unexpected)")
	case slices.ContainsFunc(p.providers, func(o *provider) bool { return o != found && o.name == body.Name }):
		r = conflict(duplicateName, "Conflicting resource provider %s already exists.", body.Name)
	}
	if r != nil {
		c.fail(r)
		return
	}
	found.name = body.Name
	c.answer(http.StatusOK, found.view(c))
}

func (p *Placement) deleteProvider(c *call) {
	id := c.PathValue("id")
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.byID[id]
	switch {
	case found == nil:
		c.fail(notFound("No resource provider with uuid %s found for delete", id))
	case len(found.consumers) > 0:
		c.fail(conflict(providerInUse, "Unable to delete resource provider %s: Resource provider has allocations.", id))
	default:
		delete(p.byID, id)
		p.providers = slices.DeleteFunc(p.providers, func(o *provider) bool { return o == found })
		c.empty(http.StatusNoContent)
	}
}

// current tells whether a change was made knowing the provider's latest state; else it answers.
func (p *provider) current(c *call, generation int, otherwise string) bool {
	if generation != p.generation {
		c.fail(conflict(concurrentUpdate, "%s", otherwise))
		return false
	}
	return true
}

// The two ways in which Placement says that a generation is not the latest.
const (
	generationConflict = "resource provider generation conflict"
	generationChanged  = "Resource provider's generation already changed. Please update the generation and try again."
)
