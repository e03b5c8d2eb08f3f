package placement

import (
	_ "embed"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// standardTraits are those of Zed's os-traits 2.9, a line each.
//
//go:embed traits.txt
var standardTraits string

var customName = regexp.MustCompile(`^CUSTOM_[A-Z0-9_]+$`)

const customPrefix = "CUSTOM_"

func (p *Placement) listTraits(c *call) {
	q := c.URL.Query()
	keep := func(string) bool { return true }
	if q.Has("name") {
		op, value, ok := strings.Cut(q.Get("name"), ":")
		switch {
		case ok && op == "in":
			names := strings.Split(value, ",")
			keep = func(name string) bool { return slices.Contains(names, name) }
		case ok && op == "startswith":
			keep = func(name string) bool { return strings.HasPrefix(name, value) }
		case !ok:
			c.fail(badRequest("Badly formatted name parameter. Expected name query string parameter in form: "+
				`?name=[in|startswith]:[name1,name2|prefix]. Got: "%s"`, q.Get("name")))
			return
		}
	}
	wanted := strings.ToLower(q.Get("associated"))
	if q.Has("associated") && wanted != "true" && wanted != "false" {
		c.fail(badRequest(`The query parameter "associated" only accepts "true" or "false"`))
		return
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := []string{}
	for _, name := range slices.Sorted(maps.Keys(p.traits)) {
		if keep(name) && (wanted == "" || (wanted == "true") == p.hasTrait(name)) {
			list = append(list, name)
		}
	}
	c.answer(http.StatusOK, map[string]any{"traits": list})
}

// hasTrait tells whether any provider has it.
func (p *Placement) hasTrait(name string) bool {
	return slices.ContainsFunc(p.providers, func(o *provider) bool { return o.traits[name] })
}

func (p *Placement) showTrait(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if name := c.PathValue("name"); !p.traits[name] {
		c.fail(notFound("No such trait(s): %s.", name))
		return
	}
	c.empty(http.StatusNoContent)
}

func (p *Placement) putTrait(c *call) {
	name := c.PathValue("name")
	if !customName.MatchString(name) || len(name) > 255 {
		c.fail(badRequest(`The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix "CUSTOM_" ` +
			`and use following characters: "A"-"Z", "0"-"9" and "_"`))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	status := http.StatusNoContent
	if !p.traits[name] {
		status, p.traits[name] = http.StatusCreated, true
	}
	c.location("/placement/traits/" + name)
	c.empty(status)
}

func (p *Placement) deleteTrait(c *call) {
	name := c.PathValue("name")
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.traits[name]:
		c.fail(notFound("No such trait(s): %s.", name))
	case !strings.HasPrefix(name, customPrefix):
		c.fail(badRequest("Cannot delete standard trait %s.", name))
	case p.hasTrait(name):
		c.fail(conflict(undefinedCode, "The trait %s is in use by a resource provider.", name))
	default:
		delete(p.traits, name)
		c.empty(http.StatusNoContent)
	}
}

func (p *provider) traitsView() map[string]any {
	return map[string]any{"traits": p.traitNames(), "resource_provider_generation": p.generation}
}

func (p *provider) traitNames() []string {
	return append([]string{}, slices.Sorted(maps.Keys(p.traits))...)
}

func (p *Placement) showProviderTraits(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.provider(c); found != nil {
		c.answer(http.StatusOK, found.traitsView())
	}
}

func (p *Placement) putProviderTraits(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var body struct {
		Traits     []string `json:"traits"`
		Generation int      `json:"resource_provider_generation"`
	}
	found := p.provider(c)
	if found == nil {
		return
	}
	if r := c.decode(&body, "traits", "resource_provider_generation"); r != nil {
		c.fail(r)
		return
	}
	if !found.current(c, body.Generation, generationChanged) {
		return
	}
	traits := map[string]bool{}
	for _, name := range body.Traits {
		if !p.traits[name] {
			c.fail(badRequest("No such trait %s", name))
			return
		}
		traits[name] = true
	}
	found.setTraits(traits)
	c.answer(http.StatusOK, found.traitsView())
}

func (p *Placement) deleteProviderTraits(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if found := p.provider(c); found != nil {
		found.setTraits(map[string]bool{})
		c.empty(http.StatusNoContent)
	}
}

// setTraits leaves the generation where nothing changes, as Placement does.
func (p *provider) setTraits(traits map[string]bool) {
	if !maps.Equal(p.traits, traits) {
		p.traits = traits
		p.generation++
	}
}
