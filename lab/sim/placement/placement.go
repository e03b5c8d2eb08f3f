// Package placement is an embedded OpenStack Placement API for tests, in the microversions of release Zed: resource providers
// with their inventories, generations, allocation ratios, traits and aggregates, usages, allocations and candidates for them.
// What it counts is what limits Nova: a server is placed by Claim, which is refused where a host's capacity, int((total -
// reserved) * allocation_ratio), would be exceeded.
//
// It is simpler than Placement in this: providers are not nested, so that a tree is one provider; candidates are of one group
// of resources, without suffixes, group_policy's effect and sharing providers, and always in the same order; there is no
// reshaper; a request that does not validate is answered with Placement's first words, without the schema that Placement adds.
package placement

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The resource classes of a host.
const (
	VCPU     = "VCPU"
	MemoryMB = "MEMORY_MB"
	DiskGB   = "DISK_GB"
)

// The microversions of release Zed.
var (
	minVersion = service.Version{Major: 1, Minor: 0}
	maxVersion = service.Version{Major: 1, Minor: 39}
)

// Inventory is what a provider has of a resource class.
type Inventory struct {
	Total           int     `json:"total"`
	Reserved        int     `json:"reserved"`
	MinUnit         int     `json:"min_unit"`
	MaxUnit         int     `json:"max_unit"`
	StepSize        int     `json:"step_size"`
	AllocationRatio float64 `json:"allocation_ratio"`
}

// Capacity is how much of it can be allocated.
func (i Inventory) Capacity() int {
	return int(float64(i.Total-i.Reserved) * i.AllocationRatio)
}

// Provider is a host as it begins. In its inventories 0 means Placement's usual value for min_unit, max_unit, step_size
// and allocation_ratio.
type Provider struct {
	ID, Name    string
	Inventories map[string]Inventory // by resource class
}

// Config is how a Placement begins.
type Config struct {
	Tokens    service.Tokens
	Identity  string // Keystone's URL without its version, for answers of 401
	Providers []Provider
}

// Placement is a Placement API. Its methods may be called by many goroutines at once.
type Placement struct {
	config Config
	router *service.Router

	mu        sync.RWMutex
	providers []*provider // in the order of their making
	byID      map[string]*provider
	consumers map[string]*consumer // that hold something
	classes   map[string]bool      // resource classes that there are
	traits    map[string]bool      // likewise
}

type provider struct {
	id, name    string
	generation  int
	inventories map[string]Inventory
	used        map[string]int
	consumers   map[string]*consumer
	traits      map[string]bool
	aggregates  []string // sorted
}

// New makes a Placement.
func New(c Config) (*Placement, error) {
	p := &Placement{
		config: c, byID: map[string]*provider{}, consumers: map[string]*consumer{}, classes: map[string]bool{}, traits: map[string]bool{},
	}
	for _, class := range standardClasses {
		p.classes[class] = true
	}
	for trait := range strings.FieldsSeq(standardTraits) {
		p.traits[trait] = true
	}
	for _, given := range c.Providers {
		if p.byID[given.ID] != nil {
			return nil, fmt.Errorf("resource provider %s: there are two with id %s", given.Name, given.ID)
		}
		added := p.add(given.ID, given.Name)
		added.generation = 1 // as after its inventory's PUT
		for class, inventory := range given.Inventories {
			inventory = inventory.withDefaults()
			if err := inventory.check(); err != nil {
				return nil, fmt.Errorf("resource provider %s, %s: %w", given.Name, class, err)
			}
			added.inventories[class] = inventory
		}
	}
	p.router = p.routes()
	return p, nil
}

func (p *Placement) add(id, name string) *provider {
	added := &provider{
		id: id, name: name, inventories: map[string]Inventory{}, used: map[string]int{}, consumers: map[string]*consumer{},
		traits: map[string]bool{},
	}
	p.providers, p.byID[id] = append(p.providers, added), added
	return added
}

// Route is the template that a request's path matches, such as "GET /v2.1/servers/{id}".
func (p *Placement) Route(req *http.Request) string { return p.router.Route(req) }

func (p *Placement) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Openstack-Request-Id", "req-"+uuid.NewString())
	p.router.ServeHTTP(w, r)
}

func (p *Placement) routes() *service.Router {
	r := service.NewRouter(p.Fail)
	r.Handle("GET", "/{$}", p.root)
	handle := func(since int, rule, method, path string, h func(*call)) {
		r.Handle(method, path, p.authorized(since, rule, h))
	}
	const one = "/resource_providers/{id}"
	handle(0, "resource_providers:list", "GET", "/resource_providers", p.listProviders)
	handle(0, "resource_providers:create", "POST", "/resource_providers", p.createProvider)
	handle(0, "resource_providers:show", "GET", one, p.showProvider)
	handle(0, "resource_providers:update", "PUT", one, p.updateProvider)
	handle(0, "resource_providers:delete", "DELETE", one, p.deleteProvider)
	handle(0, "resource_providers:inventories:list", "GET", one+"/inventories", p.showInventories)
	handle(0, "resource_providers:inventories:create", "POST", one+"/inventories", p.createInventory)
	handle(0, "resource_providers:inventories:update", "PUT", one+"/inventories", p.putInventories)
	handle(0, "resource_providers:inventories:delete", "DELETE", one+"/inventories", p.deleteInventories)
	handle(0, "resource_providers:inventories:show", "GET", one+"/inventories/{class}", p.showInventory)
	handle(0, "resource_providers:inventories:update", "PUT", one+"/inventories/{class}", p.putInventory)
	handle(0, "resource_providers:inventories:delete", "DELETE", one+"/inventories/{class}", p.deleteInventory)
	handle(0, "resource_providers:usages", "GET", one+"/usages", p.showUsages)
	handle(0, "resource_providers:allocations:list", "GET", one+"/allocations", p.showProviderAllocations)
	handle(1, "resource_providers:aggregates:list", "GET", one+"/aggregates", p.showAggregates)
	handle(1, "resource_providers:aggregates:update", "PUT", one+"/aggregates", p.putAggregates)
	handle(6, "resource_providers:traits:list", "GET", one+"/traits", p.showProviderTraits)
	handle(6, "resource_providers:traits:update", "PUT", one+"/traits", p.putProviderTraits)
	handle(6, "resource_providers:traits:delete", "DELETE", one+"/traits", p.deleteProviderTraits)
	handle(2, "resource_classes:list", "GET", "/resource_classes", p.listClasses)
	handle(2, "resource_classes:create", "POST", "/resource_classes", p.createClass)
	handle(2, "resource_classes:show", "GET", "/resource_classes/{name}", p.showClass)
	handle(7, "resource_classes:update", "PUT", "/resource_classes/{name}", p.putClass)
	handle(2, "resource_classes:delete", "DELETE", "/resource_classes/{name}", p.deleteClass)
	handle(6, "traits:list", "GET", "/traits", p.listTraits)
	handle(6, "traits:show", "GET", "/traits/{name}", p.showTrait)
	handle(6, "traits:update", "PUT", "/traits/{name}", p.putTrait)
	handle(6, "traits:delete", "DELETE", "/traits/{name}", p.deleteTrait)
	handle(13, "allocations:manage", "POST", "/allocations", p.postAllocations)
	handle(0, "allocations:list", "GET", "/allocations/{consumer}", p.showAllocations)
	handle(0, "allocations:update", "PUT", "/allocations/{consumer}", p.putAllocations)
	handle(0, "allocations:delete", "DELETE", "/allocations/{consumer}", p.deleteAllocations)
	handle(10, "allocation_candidates:list", "GET", "/allocation_candidates", p.listCandidates)
	handle(9, usagesRule, "GET", "/usages", p.showProjectUsages)
	return r
}

// Usage is how much of a provider's resource classes is allocated. It is nil for a provider that there is not.
func (p *Placement) Usage(id string) map[string]int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.byID[id]; found != nil {
		return maps.Clone(found.used)
	}
	return nil
}

// Inventories is what a provider has now.
func (p *Placement) Inventories(id string) map[string]Inventory {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found := p.byID[id]; found != nil {
		return maps.Clone(found.inventories)
	}
	return nil
}

// Consumers are who holds allocations, sorted.
func (p *Placement) Consumers() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Sorted(maps.Keys(p.consumers))
}
