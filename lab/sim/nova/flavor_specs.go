package nova

import (
	"maps"
	"net/http"
)

var specValue = func(raw rawJSON) *flaw {
	switch kindOf(raw) {
	case "integer", "number":
		return nil
	case "string":
		return text(0, 255)(raw)
	}
	return ofType(raw, "string", "number")
}

func (n *Nova) listFlavorSpecs(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if f := n.flavor(c); f != nil {
		c.answer(http.StatusOK, map[string]any{"extra_specs": f.specs()})
	}
}

func (n *Nova) createFlavorSpecs(c *call) {
	var body struct {
		Specs map[string]rawJSON `json:"extra_specs"`
	}
	if !c.valid(object([]string{"extra_specs"}, property{"extra_specs", mapping(specValue)}), &body) ||
		!c.adminOnly("os-flavor-extra-specs:create") {
		return
	}
	if n.addSpecs(c, body.Specs) {
		c.answer(http.StatusOK, body)
	}
}

func (n *Nova) addSpecs(c *call, given map[string]rawJSON) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.flavor(c)
	if f == nil {
		return false
	}
	changed := *f
	changed.Specs = maps.Clone(f.specs())
	for key, value := range given {
		changed.Specs[key] = stringOf(value)
	}
	n.flavors[f.ID] = &changed
	return true
}

func (n *Nova) updateFlavorSpec(c *call) {
	var body map[string]rawJSON
	if !c.valid(mapping(specValue, oneItem), &body) || !c.adminOnly("os-flavor-extra-specs:update") {
		return
	}
	if _, ok := body[c.PathValue("key")]; !ok {
		c.fail(http.StatusBadRequest, "Request body and URI mismatch")
		return
	}
	if n.addSpecs(c, body) {
		c.answer(http.StatusOK, body)
	}
}

func noSpec(c *call, f *Flavor) {
	c.fail(http.StatusNotFound, "Flavor "+f.ID+" has no extra specs with key "+c.PathValue("key")+".")
}

func (n *Nova) showFlavorSpec(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	f := n.flavor(c)
	if f == nil {
		return
	}
	key := c.PathValue("key")
	if value, ok := f.Specs[key]; ok {
		c.answer(http.StatusOK, map[string]string{key: value})
	} else {
		noSpec(c, f)
	}
}

func (n *Nova) deleteFlavorSpec(c *call) {
	if !c.adminOnly("os-flavor-extra-specs:delete") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.flavor(c)
	if f == nil {
		return
	}
	if _, ok := f.Specs[c.PathValue("key")]; !ok {
		noSpec(c, f)
		return
	}
	changed := *f
	changed.Specs = maps.Clone(f.Specs)
	delete(changed.Specs, c.PathValue("key"))
	n.flavors[f.ID] = &changed
	c.w.WriteHeader(http.StatusOK)
}
