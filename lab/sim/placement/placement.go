// Package placement is an embedded OpenStack Placement API for tests: resource providers with their inventories,
// generations and allocation ratios, usages and allocations. What it counts is what limits Nova: a server is placed by
// Claim, which is refused where a host's capacity, int((total - reserved) * allocation_ratio), would be exceeded.
//
// It is simpler than Placement in this: providers are the hosts given at the start, without nesting, aggregates and traits,
// and allocations are made by Claim, not through the API.
package placement

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
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
	Identity  string // Keystone's URL, for answers of 401
	Providers []Provider
}

// Placement is a Placement API. Its methods may be called by many goroutines at once.
type Placement struct {
	config Config
	router *service.Router

	mu        sync.RWMutex
	providers []*provider // in the order of their making
	byID      map[string]*provider
	consumers map[string]*allocation
}

type provider struct {
	id, name    string
	generation  int
	inventories map[string]Inventory
	used        map[string]int
	consumers   map[string]*allocation
}

// allocation does not change.
type allocation struct {
	consumer, project, user string
	provider                *provider
	resources               map[string]int
}

// New makes a Placement.
func New(c Config) (*Placement, error) {
	p := &Placement{config: c, byID: map[string]*provider{}, consumers: map[string]*allocation{}}
	for _, given := range c.Providers {
		if p.byID[given.ID] != nil {
			return nil, fmt.Errorf("resource provider %s: there are two with id %s", given.Name, given.ID)
		}
		added := &provider{
			id: given.ID, name: given.Name, generation: 1,
			inventories: map[string]Inventory{}, used: map[string]int{}, consumers: map[string]*allocation{},
		}
		for class, inventory := range given.Inventories {
			inventory = inventory.withDefaults()
			if err := inventory.check(); err != nil {
				return nil, fmt.Errorf("resource provider %s, %s: %w", given.Name, class, err)
			}
			added.inventories[class] = inventory
		}
		p.providers, p.byID[given.ID] = append(p.providers, added), added
	}
	p.router = p.routes()
	return p, nil
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
	handle := func(method, path string, h func(*call)) { r.Handle(method, path, p.authorized(h)) }
	handle("GET", "/resource_providers", p.listProviders)
	handle("GET", "/resource_providers/{id}", p.showProvider)
	handle("GET", "/resource_providers/{id}/inventories", p.showInventories)
	handle("PUT", "/resource_providers/{id}/inventories", p.putInventories)
	handle("GET", "/resource_providers/{id}/inventories/{class}", p.showInventory)
	handle("PUT", "/resource_providers/{id}/inventories/{class}", p.putInventory)
	handle("GET", "/resource_providers/{id}/usages", p.showUsages)
	handle("GET", "/resource_providers/{id}/allocations", p.showProviderAllocations)
	handle("GET", "/resource_providers/{id}/aggregates", p.showAggregates)
	handle("GET", "/resource_providers/{id}/traits", p.showTraits)
	handle("GET", "/allocations/{consumer}", p.showAllocations)
	handle("DELETE", "/allocations/{consumer}", p.deleteAllocations)
	handle("GET", "/usages", p.showProjectUsages)
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
