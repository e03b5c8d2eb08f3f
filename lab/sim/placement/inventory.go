package placement

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/service"
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

// check follows placement/schemas/inventory.py.
func (i Inventory) check() error {
	switch {
	case i.Total < 1 || i.Total > math.MaxInt32:
		return fmt.Errorf("total is %d, not from 1 to %d", i.Total, math.MaxInt32)
	case i.Reserved < 0 || i.Reserved > i.Total:
		return fmt.Errorf("reserved is %d, not from 0 to the total, %d", i.Reserved, i.Total)
	case i.MinUnit < 1 || i.MaxUnit < 1 || i.StepSize < 1:
		return fmt.Errorf("min_unit %d, max_unit %d and step_size %d must be at least 1", i.MinUnit, i.MaxUnit, i.StepSize)
	case !(i.AllocationRatio > 0) || i.AllocationRatio > 3.40282e+38:
		return fmt.Errorf("allocation_ratio is %g, not more than 0", i.AllocationRatio)
	}
	return nil
}

// decode reads a body whose fields are all known.
func decode(c *call, v any) error {
	var raw json.RawMessage
	if err := service.ReadJSON(c.Request, &raw); err != nil {
		//lint:ignore ST1005 Placement's words
		return fmt.Errorf("Malformed JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("JSON does not validate: %w", err)
	}
	return nil
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
		c.fail(http.StatusNotFound, undefinedCode, "No inventory of class "+class+" for "+found.id)
		return
	}
	c.answer(http.StatusOK, found.inventoryView(class))
}

// putInventory replaces the inventory of a class that the provider has. A capacity below what is used is accepted, as
// Placement does: what is there stays.
func (p *Placement) putInventory(c *call) {
	var body struct {
		Inventory
		Generation *int `json:"resource_provider_generation"`
	}
	if err := decode(c, &body); err != nil {
		c.fail(http.StatusBadRequest, undefinedCode, err.Error())
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil || !found.current(c, body.Generation) {
		return
	}
	class := c.PathValue("class")
	if _, ok := found.inventories[class]; !ok {
		c.fail(http.StatusBadRequest, undefinedCode, "No inventory record with resource class for resource provider "+found.id+": "+class)
		return
	}
	inventory := body.Inventory.withDefaults()
	if err := inventory.check(); err != nil {
		c.fail(http.StatusBadRequest, undefinedCode, "Unable to update inventory for resource provider "+found.id+": "+err.Error())
		return
	}
	found.inventories[class] = inventory
	found.generation++
	c.answer(http.StatusOK, found.inventoryView(class))
}

// putInventories replaces all inventories of a provider.
func (p *Placement) putInventories(c *call) {
	var body struct {
		Inventories map[string]Inventory `json:"inventories"`
		Generation  *int                 `json:"resource_provider_generation"`
	}
	if err := decode(c, &body); err != nil {
		c.fail(http.StatusBadRequest, undefinedCode, err.Error())
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.provider(c)
	if found == nil || !found.current(c, body.Generation) {
		return
	}
	inventories := map[string]Inventory{}
	for class, inventory := range body.Inventories {
		inventory = inventory.withDefaults()
		if err := inventory.check(); err != nil {
			c.fail(http.StatusBadRequest, undefinedCode, "Unable to update inventory for resource provider "+found.id+": "+err.Error())
			return
		}
		inventories[class] = inventory
	}
	for class, used := range found.used {
		if _, stays := inventories[class]; used > 0 && !stays {
			c.fail(http.StatusConflict, inventoryInUse,
				"update conflict: Inventory for '"+class+"' on resource provider '"+found.id+"' in use.")
			return
		}
	}
	found.inventories = inventories
	found.generation++
	c.answer(http.StatusOK, found.inventoriesView())
}

// current tells whether a change was made knowing the provider's latest state; else it answers.
func (p *provider) current(c *call, generation *int) bool {
	switch {
	case generation == nil:
		c.fail(http.StatusBadRequest, undefinedCode, "JSON does not validate: 'resource_provider_generation' is a required property")
	case *generation != p.generation:
		c.fail(http.StatusConflict, concurrentUpdate, "resource provider generation conflict")
	default:
		return true
	}
	return false
}
