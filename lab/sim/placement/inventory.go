package placement

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
)

func (i Inventory) withDefaults() Inventory {
	if i.MinUnit == 0 {
		i.MinUnit = 1
	}
	if i.MaxUnit == 0 {
		i.MaxUnit = math.MaxInt32
	}
	if i.StepSize == 0 {
		i.StepSize = 1
	}
	if i.AllocationRatio == 0 {
		i.AllocationRatio = 1
	}
	return i
}

// check tells whether the values make an inventory; reserved may be all that there is.
func (i Inventory) check() error {
	if r := i.checkRanges(); r != nil {
		return r
	}
	if i.Reserved > i.Total {
		return fmt.Errorf("reserved is %d, not from 0 to the total, %d", i.Reserved, i.Total)
	}
	if !(i.AllocationRatio > 0) {
		return fmt.Errorf("allocation_ratio is %g, not more than 0", i.AllocationRatio)
	}
	return nil
}

// checkRanges follows placement/schemas/inventory.py.
func (i Inventory) checkRanges() *refusal {
	for _, field := range []struct{ value, least int }{{i.Total, 1}, {i.Reserved, 0}, {i.MinUnit, 1}, {i.MaxUnit, 1}, {i.StepSize, 1}} {
		if field.value < field.least {
			return badRequest("JSON does not validate: %d is less than the minimum of %d", field.value, field.least)
		}
		if field.value > math.MaxInt32 {
			return badRequest("JSON does not validate: %d is greater than the maximum of %d", field.value, math.MaxInt32)
		}
	}
	if i.AllocationRatio > 3.40282e+38 {
		return badRequest("JSON does not validate: %g is greater than the maximum of 3.40282e+38", i.AllocationRatio)
	}
	return nil
}

// inventoryBody is an inventory of a request, whose fields have Placement's usual values where they are missing.
type inventoryBody struct {
	Inventory
	Generation int    `json:"resource_provider_generation"` // may be with each of several, without a meaning
	Class      string `json:"resource_class"`               // of a POST
}

func readInventory(raw json.RawMessage, required ...string) (inventoryBody, *refusal) {
	body := inventoryBody{Inventory: Inventory{MinUnit: 1, MaxUnit: math.MaxInt32, StepSize: 1, AllocationRatio: 1}}
	r := validate(raw, &body, append(required, "total")...)
	if r == nil {
		r = body.checkRanges()
	}
	if r == nil && body.Class != "" && !slices.Contains(required, "resource_class") {
		r = badRequest("JSON does not validate: Additional properties are not allowed ('resource_class' was unexpected)")
	}
	return body, r
}

// checkCapacity refuses what leaves less than nothing, and before microversion 1.26 also what leaves nothing.
func (c *call) checkCapacity(p *provider, doing, class string, i Inventory) *refusal {
	capacity := float64(i.Total-i.Reserved) * i.AllocationRatio
	switch {
	case capacity < 0:
		return badRequest("Unable to %s inventory for resource provider %s: Invalid inventory for '%s' on resource provider '%s'. "+
			"The reserved value is greater than%s total.", doing, p.id, class, p.id, c.orEqual())
	case capacity == 0 && !c.atLeast(26):
		return badRequest("Unable to %s inventory for resource provider %s: Invalid inventory for '%s' on resource provider '%s'. "+
			"The reserved value is greater than or equal to total.", doing, p.id, class, p.id)
	}
	return nil
}

func (c *call) orEqual() string {
	if c.atLeast(26) {
		return ""
	}
	return " or equal to"
}

func (p *provider) inventoriesView() map[string]any {
	return map[string]any{"resource_provider_generation": p.generation, "inventories": p.inventories}
}

func (p *provider) inventoryView(class string) any {
	return struct {
		Inventory
		Generation int `json:"resource_provider_generation"`
	}{p.inventories[class], p.generation}
}

func (p *Placement) showInventories(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.provider(c); found != nil {
		c.answer(http.StatusOK, found.inventoriesView())
	}
}

func (p *Placement) showInventory(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	class := c.PathValue("class")
	if _, ok := found.inventories[class]; !ok {
		c.fail(notFound("No inventory of class %s for %s", class, found.id))
		return
	}
	c.answer(http.StatusOK, found.inventoryView(class))
}

// createInventory adds the inventory of a class that the provider has not yet.
func (p *Placement) createInventory(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	var raw json.RawMessage
	r := c.decode(&raw)
	var body inventoryBody
	if r == nil {
		body, r = readInventory(raw, "resource_class")
	}
	if r == nil {
		r = c.checkCapacity(found, "create", body.Class, body.Inventory)
	}
	if r == nil && !p.classes[body.Class] {
		r = badRequest("Unable to create inventory for resource provider %s: No such resource class %s.", found.id, body.Class)
	}
	if _, exists := found.inventories[body.Class]; r == nil && exists {
		r = conflict(concurrentUpdate, "Update conflict: there is an inventory of class %s already", body.Class)
	}
	if r != nil {
		c.fail(r)
		return
	}
	found.inventories[body.Class] = body.Inventory
	found.generation++
	c.location(providerURL(found.id) + "/inventories/" + body.Class)
	c.answer(http.StatusCreated, found.inventoryView(body.Class))
}

// putInventory replaces the inventory of a class that the provider has. A capacity below what is used is accepted, as
// Placement does: what is there stays.
func (p *Placement) putInventory(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	var raw json.RawMessage
	r := c.decode(&raw)
	var body inventoryBody
	if r == nil {
		body, r = readInventory(raw, "resource_provider_generation")
	}
	if r != nil {
		c.fail(r)
		return
	}
	if !found.current(c, body.Generation, generationConflict) {
		return
	}
	class := c.PathValue("class")
	if _, ok := found.inventories[class]; !ok {
		c.fail(badRequest("No inventory record with resource class for resource provider %s: No inventory of class %s found.", found.id, class))
		return
	}
	if r := c.checkCapacity(found, "update", class, body.Inventory); r != nil {
		c.fail(r)
		return
	}
	found.inventories[class] = body.Inventory
	found.generation++
	c.answer(http.StatusOK, found.inventoryView(class))
}

// putInventories replaces all inventories of a provider.
func (p *Placement) putInventories(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	var body struct {
		Inventories map[string]json.RawMessage `json:"inventories"`
		Generation  int                        `json:"resource_provider_generation"`
	}
	if r := c.decode(&body, "resource_provider_generation", "inventories"); r != nil {
		c.fail(r)
		return
	}
	inventories := map[string]Inventory{}
	for class, raw := range body.Inventories {
		one, r := readInventory(raw)
		if r != nil {
			c.fail(r)
			return
		}
		inventories[class] = one.Inventory
	}
	if !found.current(c, body.Generation, generationConflict) {
		return
	}
	for _, class := range slices.Sorted(maps.Keys(inventories)) {
		r := c.checkCapacity(found, "update", class, inventories[class])
		if r == nil && !p.classes[class] {
			r = badRequest("Unknown resource class in inventory for resource provider %s: No such resource class %s.", found.id, class)
		}
		if r != nil {
			c.fail(r)
			return
		}
	}
	if missing := found.usedWithout(inventories); len(missing) > 0 {
		c.fail(conflict(inventoryInUse, "update conflict: %s", found.inUse(missing)))
		return
	}
	found.inventories = inventories
	found.generation++
	c.answer(http.StatusOK, found.inventoriesView())
}

func (p *Placement) deleteInventory(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	class := c.PathValue("class")
	_, ok := found.inventories[class]
	switch {
	case !ok:
		c.fail(notFound("No inventory of class %s found for delete: No inventory of class %s found for delete", class, class))
	case found.used[class] > 0: // with this code, though nothing was updated
		c.fail(conflict(concurrentUpdate, "Unable to delete inventory of class %s: %s", class, found.inUse([]string{class})))
	default:
		delete(found.inventories, class)
		found.generation++
		c.empty(http.StatusNoContent)
	}
}

func (p *Placement) deleteInventories(c *call) {
	if !c.atLeast(5) {
		p.Fail(c.w, c.Request, http.StatusMethodNotAllowed, "The method specified is not allowed for this resource.")
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil {
		return
	}
	if used := found.usedWithout(nil); len(used) > 0 {
		c.fail(conflict(inventoryInUse, "%s", found.inUse(used)))
		return
	}
	found.inventories = map[string]Inventory{}
	found.generation++
	c.empty(http.StatusNoContent)
}

// usedWithout are the classes that are in use and would be missing.
func (p *provider) usedWithout(inventories map[string]Inventory) []string {
	var missing []string
	for class, used := range p.used {
		if _, stays := inventories[class]; used > 0 && !stays {
			missing = append(missing, class)
		}
	}
	slices.Sort(missing)
	return missing
}

func (p *provider) inUse(classes []string) string {
	return fmt.Sprintf("Inventory for '%s' on resource provider '%s' in use.", strings.Join(classes, ", "), p.id)
}
