package cloud

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
)

// placementMicroversion is one that each Placement has since it left Nova (Stein, 2019); what is read here has not changed.
const placementMicroversion = "1.30"

// Provider is a resource provider of Placement's: a hypervisor, or a part of one.
type Provider struct {
	ID         string `json:"uuid"`
	Name       string `json:"name"`
	Generation int    `json:"generation"` // grows with each change of its inventories
}

// ResourceInventory is how much there is of one resource class, in the class's own unit: MEMORY_MB in MiB.
type ResourceInventory struct {
	Total    int     `json:"total"`
	Reserved int     `json:"reserved"`
	Ratio    float64 `json:"allocation_ratio"`
}

// Capacity is how much may be allocated: Placement rounds down.
func (i ResourceInventory) Capacity() int { return int(float64(i.Total-i.Reserved) * i.Ratio) }

// Providers lists the resource providers.
func (c *Cloud) Providers(ctx context.Context) ([]Provider, error) {
	var answer struct {
		Providers []Provider `json:"resource_providers"`
	}
	err := c.ask(ctx, "listing resource providers", "", &answer, "resource_providers")
	return answer.Providers, err
}

// Inventories are a provider's, by resource class.
func (c *Cloud) Inventories(ctx context.Context, providerID string) (map[string]ResourceInventory, error) {
	var answer struct {
		Inventories map[string]ResourceInventory `json:"inventories"`
	}
	err := c.ask(ctx, "reading the inventories of resource provider", providerID, &answer, "resource_providers", providerID, "inventories")
	return answer.Inventories, err
}

// Usages are what is allocated of a provider, by resource class.
func (c *Cloud) Usages(ctx context.Context, providerID string) (map[string]int, error) {
	var answer struct {
		Usages map[string]int `json:"usages"`
	}
	err := c.ask(ctx, "reading the usages of resource provider", providerID, &answer, "resource_providers", providerID, "usages")
	return answer.Usages, err
}

// ask reads something of Placement's.
func (c *Cloud) ask(ctx context.Context, op, resource string, answer any, path ...string) error {
	return c.call(ctx, op, resource, func(ctx context.Context) error {
		if c.placement == nil {
			return fmt.Errorf("%w: the catalog has no placement service", ErrNotOffered)
		}
		for i, part := range path {
			var err error
			if path[i], err = segment("a part of the path", part); err != nil {
				return err
			}
		}
		_, err := c.placement.Get(ctx, c.placement.ServiceURL(path...), answer, &gophercloud.RequestOpts{})
		return err
	})
}
