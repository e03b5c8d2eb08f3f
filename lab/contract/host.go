package contract

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/stretchr/testify/require"
)

// providerOf is the resource provider of a host.
func (s *suite) providerOf(t *testing.T, host string) string {
	t.Helper()
	a := s.admin.ask(t, s.admin.compute, "GET", "os-hypervisors?hypervisor_hostname_pattern="+host, nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	name := a.text(t, "hypervisors", 0, "hypervisor_hostname")
	id := a.text(t, "hypervisors", 0, "id")
	p, err := resourceproviders.Get(t.Context(), s.admin.placement, id).Extract()
	require.NoError(t, err)
	require.Equal(t, name, p.Name, "a hypervisor's id is its resource provider's")
	return id
}

// setRatio sets a host's allocation ratio. A compute node may change its provider meanwhile, so that the first try is late.
func (s *suite) setRatio(ctx context.Context, provider, class string, ratio func(resourceproviders.Inventory, int) float32) error {
	const tries = 5
	var err error
	for range tries {
		var now *resourceproviders.ResourceProviderInventories
		if now, err = resourceproviders.GetInventories(ctx, s.admin.placement, provider).Extract(); err != nil {
			return err
		}
		usages, failed := resourceproviders.GetUsages(ctx, s.admin.placement, provider).Extract()
		if failed != nil {
			return failed
		}
		change := resourceproviders.UpdateInventoryOpts{ResourceProviderGeneration: now.ResourceProviderGeneration, Inventory: now.Inventories[class]}
		change.AllocationRatio = ratio(change.Inventory, usages.Usages[class])
		if err = resourceproviders.UpdateInventory(ctx, s.admin.placement, provider, class, change).Err; err == nil {
			return nil
		}
	}
	return err
}

// testHostCapacity: a host is filled to exactly its capacity by servers, and takes no more.
func testHostCapacity(t *testing.T, s *suite) {
	const class = "VCPU"
	host := s.Hosts[0]
	provider := s.providerOf(t, host)
	before, err := resourceproviders.GetInventory(t.Context(), s.admin.placement, provider, class).Extract()
	require.NoError(t, err)
	cleanup(t, "the allocation ratio of "+host, func(ctx context.Context) error {
		return s.setRatio(ctx, provider, class, func(resourceproviders.Inventory, int) float32 { return before.AllocationRatio })
	})
	// Room for one server more than is used, and half a CPU that int() cuts off.
	require.NoError(t, s.setRatio(t.Context(), provider, class, func(i resourceproviders.Inventory, used int) float32 {
		return (float32(used+s.flavor.VCPUs) + 0.5) / float32(i.Total-i.Reserved)
	}))
	onHost := boot{"host": host}
	fits := s.server(t, s.admin, "fits", onHost)
	require.Equal(t, host, fits.Host)
	over := s.settle(t, s.admin, s.create(t, s.admin, "over", onHost), "ERROR")
	require.Equal(t, "No valid host was found. ", over.Fault.Message)
	used := s.admin.ask(t, s.admin.placement, "GET", "allocations/"+fits.ID, nil)
	require.EqualValues(t, s.flavor.VCPUs, used.at(t, "allocations", provider, "resources", class))
	require.Equal(t, s.admin.projectID, used.text(t, "project_id"))
	require.Equal(t, "unknown", used.text(t, "consumer_type"), "Nova names none before 1.38, which it does not use")
	none := s.admin.ask(t, s.admin.placement, "GET", "allocations/"+over.ID, nil)
	require.JSONEq(t, `{"allocations":{}}`, none.body)

	require.NoError(t, servers.Delete(t.Context(), s.admin.compute, fits.ID).ExtractErr())
	s.watch(t, s.admin, fits.ID, "ACTIVE", "ACTIVE deleting", "DELETED", "gone")
	require.JSONEq(t, `{"allocations":{}}`, s.admin.ask(t, s.admin.placement, "GET", "allocations/"+fits.ID, nil).body, "its room is free again")
	again := s.server(t, s.admin, "again", onHost)
	require.Equal(t, host, again.Host)
}
