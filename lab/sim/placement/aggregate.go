package placement

import (
	"encoding/json"
	"net/http"
	"slices"
)

func (p *provider) aggregatesView(c *call) map[string]any {
	v := map[string]any{"aggregates": append([]string{}, p.aggregates...)}
	if c.atLeast(19) {
		v["resource_provider_generation"] = p.generation
	}
	return v
}

func (p *Placement) showAggregates(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.provider(c); found != nil {
		c.answer(http.StatusOK, found.aggregatesView(c))
	}
}

// putAggregates replaces them: a list up to microversion 1.18, from 1.19 on with the provider's generation.
func (p *Placement) putAggregates(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	var body struct {
		Aggregates []string `json:"aggregates"`
		Generation int      `json:"resource_provider_generation"`
	}
	var r *refusal
	if c.atLeast(19) {
		r = c.decode(&body, "aggregates", "resource_provider_generation")
	} else {
		var raw json.RawMessage
		if r = c.decode(&raw); r == nil {
			r = validate(raw, &body.Aggregates)
		}
		body.Generation = found.generation
	}
	if r == nil {
		if i := slices.IndexFunc(body.Aggregates, func(id string) bool { return !isUUID(id) }); i >= 0 {
			r = badRequest("JSON does not validate: '%s' is not a 'uuid'", body.Aggregates[i])
		}
	}
	if r != nil {
		c.fail(r)
		return
	}
	if !found.current(c, body.Generation, generationChanged) {
		return
	}
	slices.Sort(body.Aggregates)
	found.aggregates = slices.Compact(body.Aggregates)
	if c.atLeast(19) {
		found.generation++
	}
	c.answer(http.StatusOK, found.aggregatesView(c))
}
