package placement

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
)

// allocationBody is what a request wants a consumer to hold.
type allocationBody struct {
	Allocations json.RawMessage `json:"allocations"`
	Project     string          `json:"project_id"`          // from microversion 1.8 on
	User        string          `json:"user_id"`             // likewise
	Generation  *int            `json:"consumer_generation"` // 1.28
	Mappings    json.RawMessage `json:"mappings"`            // 1.34; nothing is done with it
	Type        string          `json:"consumer_type"`       // 1.38
}

// wanted is what a consumer shall hold, by provider.
type wanted map[string]map[string]int

var (
	classForm = regexp.MustCompile(`^[A-Z0-9_]+$`)
	typeForm  = classForm
)

// incompleteConsumer is the project and user of allocations from before microversion 1.8
// ([placement] incomplete_consumer_project_id).
const incompleteConsumer = "00000000-0000-0000-0000-000000000000"

// untyped is the type that Placement shows for consumers from before microversion 1.38.
const untyped = "unknown"

// putAllocations makes what one consumer holds be what the request says.
func (p *Placement) putAllocations(c *call) {
	id := c.PathValue("consumer")
	if !isUUID(id) {
		c.fail(badRequest("Malformed consumer_uuid: %s", id))
		return
	}
	var raw json.RawMessage
	r := c.decode(&raw)
	if r == nil {
		r = p.allocate(c, map[string]json.RawMessage{id: raw}, c.atLeast(28))
	}
	if r != nil {
		c.fail(r)
		return
	}
	c.w.WriteHeader(http.StatusNoContent)
}

// postAllocations does so for several consumers, all or none (from microversion 1.13 on).
func (p *Placement) postAllocations(c *call) {
	var bodies map[string]json.RawMessage
	r := c.decode(&bodies)
	if r == nil && len(bodies) == 0 {
		r = badRequest("JSON does not validate: {} does not have enough properties")
	}
	for id := range bodies {
		if r == nil && !isUUID(id) {
			r = badRequest("JSON does not validate: '%s' does not match any of the regexes: '^[0-9a-fA-F-]{36}$'", id)
		}
	}
	if r == nil {
		r = p.allocate(c, bodies, true)
	}
	if r != nil {
		c.fail(r)
		return
	}
	c.w.WriteHeader(http.StatusNoContent)
}

// change is a consumer with the shares that it shall have.
type change struct {
	*consumer
	next []share
}

// allocate makes all changes, or says why it makes none.
func (p *Placement) allocate(c *call, bodies map[string]json.RawMessage, mayBeEmpty bool) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	var changes []change
	for _, id := range slices.Sorted(maps.Keys(bodies)) {
		one, r := p.change(c, id, bodies[id], mayBeEmpty)
		if r != nil {
			return r
		}
		changes = append(changes, one)
	}
	if r := checkChanges(changes); r != nil {
		return r
	}
	for _, one := range changes {
		p.replace(one.consumer, one.next)
	}
	return nil
}

// change reads what a request wants of a consumer. The consumer is a copy, so that nothing is half done if another is refused.
func (p *Placement) change(c *call, id string, raw json.RawMessage, mayBeEmpty bool) (change, *refusal) {
	body, want, r := c.readAllocation(raw, mayBeEmpty)
	if r != nil {
		return change{}, r
	}
	o := &consumer{id: id, project: incompleteConsumer, user: incompleteConsumer, kind: untyped}
	known := p.consumers[id]
	if known != nil {
		*o = *known
	}
	if c.atLeast(28) {
		switch {
		case known == nil && body.Generation != nil:
			return change{}, conflict(concurrentUpdate, "consumer generation conflict - expected null but got %d", *body.Generation)
		case known != nil && body.Generation == nil:
			return change{}, conflict(concurrentUpdate, "consumer generation conflict - expected %d but got None", known.generation)
		case known != nil && *body.Generation != known.generation:
			return change{}, conflict(concurrentUpdate, "consumer generation conflict - expected %d but got %d", known.generation, *body.Generation)
		}
	}
	if body.Project != "" {
		o.project, o.user = body.Project, body.User
	}
	if body.Type != "" {
		o.kind = body.Type
	}
	var next []share
	for _, provider := range slices.Sorted(maps.Keys(want)) {
		found := p.byID[provider]
		if found == nil {
			return change{}, badRequest("Allocation for resource provider '%s' that does not exist.", provider)
		}
		for class := range want[provider] {
			if !p.classes[class] {
				return change{}, badRequest("Unable to allocate inventory for consumer %s: No such resource class %s.", id, class)
			}
		}
		next = append(next, share{found, want[provider]})
	}
	return change{o, next}, nil
}

// checkChanges tells whether there is room for all of them, once what their consumers had is given back.
func checkChanges(changes []change) *refusal {
	back := map[*provider]map[string]int{}
	add := func(p *provider, resources map[string]int, sign int) {
		if back[p] == nil {
			back[p] = map[string]int{}
		}
		for class, amount := range resources {
			back[p][class] += sign * amount
		}
	}
	for _, one := range changes {
		for _, s := range one.shares {
			add(s.provider, s.resources, 1)
		}
	}
	for _, one := range changes {
		for _, s := range one.next {
			if r := s.provider.checkRoom(s.resources, back[s.provider]); r != nil {
				return r
			}
			add(s.provider, s.resources, -1) // no longer there for the next one
		}
	}
	return nil
}

// readAllocation reads the form of the request's microversion.
func (c *call) readAllocation(raw json.RawMessage, mayBeEmpty bool) (body allocationBody, want wanted, r *refusal) {
	required := []string{"allocations"}
	if c.atLeast(8) {
		required = append(required, "project_id", "user_id")
	}
	if c.atLeast(28) {
		required = append(required, "consumer_generation")
	}
	if c.atLeast(38) {
		required = append(required, "consumer_type")
	}
	if r = validate(raw, &body, required...); r != nil {
		return body, nil, r
	}
	early := map[string]bool{
		"project_id": !c.atLeast(8) && body.Project != "", "consumer_generation": !c.atLeast(28) && body.Generation != nil,
		"mappings": !c.atLeast(34) && body.Mappings != nil, "consumer_type": !c.atLeast(38) && body.Type != "",
	}
	for _, field := range slices.Sorted(maps.Keys(early)) {
		if early[field] {
			return body, nil, badRequest("JSON does not validate: Additional properties are not allowed ('%s' was unexpected)", field)
		}
	}
	switch {
	case c.atLeast(8) && (body.Project == "" || body.User == ""):
		return body, nil, badRequest("JSON does not validate: '' is too short")
	case c.atLeast(38) && !typeForm.MatchString(body.Type):
		return body, nil, badRequest("JSON does not validate: '%s' does not match '^[A-Z0-9_]+$'", body.Type)
	}
	if want, r = c.readWanted(body.Allocations); r != nil {
		return body, nil, r
	}
	if len(want) == 0 && !mayBeEmpty {
		return body, nil, badRequest("JSON does not validate: %s does not have enough properties", body.Allocations)
	}
	return body, want, nil
}

// readWanted reads the allocations: a list before microversion 1.12, by provider since.
func (c *call) readWanted(raw json.RawMessage) (wanted, *refusal) {
	want := wanted{}
	if c.atLeast(12) {
		var byProvider map[string]struct {
			Generation int            `json:"generation"`
			Resources  map[string]int `json:"resources"`
		}
		if r := validate(raw, &byProvider); r != nil {
			return nil, r
		}
		for id, one := range byProvider {
			want[id] = one.Resources
		}
	} else {
		var list []struct {
			Provider struct {
				ID string `json:"uuid"`
			} `json:"resource_provider"`
			Resources map[string]int `json:"resources"`
		}
		if r := validate(raw, &list); r != nil {
			return nil, r
		}
		for _, one := range list {
			want[one.Provider.ID] = one.Resources
		}
	}
	for _, resources := range want {
		if len(resources) == 0 {
			return nil, badRequest("JSON does not validate: 'resources' is a required property")
		}
		for class, amount := range resources {
			if amount < 1 {
				return nil, badRequest("JSON does not validate: %d is less than the minimum of 1", amount)
			}
			if !classForm.MatchString(class) {
				return nil, badRequest("JSON does not validate: '%s' does not match any of the regexes: '^[A-Z0-9_]+$'", class)
			}
		}
	}
	return want, nil
}
