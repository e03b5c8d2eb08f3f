package placement

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

var limitForm = regexp.MustCompile(`^[1-9][0-9]*$`)

// listCandidates are the providers that have room for what is asked, with the request that would take it.
func (p *Placement) listCandidates(c *call) {
	q := c.URL.Query()
	p.mu.RLock()
	defer p.mu.RUnlock()
	wanted, r := p.filter(c, candidateQuery)
	limit := len(p.providers)
	switch {
	case r != nil:
	case !q.Has("resources"):
		r = &refusal{http.StatusBadRequest, missingValue, "There must be at least one resources or resources[$S] parameter."}
	case q.Has("limit") && !limitForm.MatchString(q.Get("limit")):
		r = badRequest("Invalid query string parameters: '%s' does not match '^[1-9][0-9]*$'", q.Get("limit"))
	case q.Has("limit"):
		if n, err := strconv.Atoi(q.Get("limit")); err == nil { // a larger number than an int holds is no limit
			limit = min(limit, n)
		}
	}
	if r != nil {
		c.fail(r)
		return
	}
	requests, summaries := []any{}, map[string]any{}
	for _, o := range p.providers {
		if len(requests) < limit && wanted.matches(o) {
			requests = append(requests, o.allocationRequest(c, wanted.resources))
			summaries[o.id] = o.summary(c, wanted.resources)
		}
	}
	c.answer(http.StatusOK, map[string]any{"allocation_requests": requests, "provider_summaries": summaries})
}

func (p *provider) allocationRequest(c *call, resources map[string]int) map[string]any {
	if !c.atLeast(12) {
		return map[string]any{"allocations": []any{
			map[string]any{"resource_provider": map[string]any{"uuid": p.id}, "resources": resources},
		}}
	}
	v := map[string]any{"allocations": map[string]any{p.id: map[string]any{"resources": resources}}}
	if c.atLeast(34) {
		v["mappings"] = map[string]any{"": []string{p.id}}
	}
	return v
}

func (p *provider) summary(c *call, wanted map[string]int) map[string]any {
	resources := map[string]any{}
	for _, class := range slices.Sorted(maps.Keys(p.inventories)) {
		if _, asked := wanted[class]; asked || c.atLeast(27) {
			resources[class] = map[string]any{"capacity": p.inventories[class].Capacity(), "used": p.used[class]}
		}
	}
	v := map[string]any{"resources": resources}
	if c.atLeast(17) {
		v["traits"] = p.traitNames()
	}
	if c.atLeast(29) {
		v["parent_provider_uuid"], v["root_provider_uuid"] = nil, p.id
	}
	return v
}
