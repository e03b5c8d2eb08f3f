package contract

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/allocationcandidates"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/allocations"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/traits"
	"github.com/stretchr/testify/require"
)

// provider is a resource provider that a test made: nothing is scheduled there, because it belongs to no compute node.
type provider struct {
	s    *suite
	id   string
	name string
}

func (s *suite) provider(t *testing.T, name string, inventories map[string]resourceproviders.Inventory) *provider {
	t.Helper()
	p := &provider{s: s, id: uuid.NewString(), name: s.prefix + name}
	made, err := resourceproviders.Create(t.Context(), s.admin.placement, resourceproviders.CreateOpts{Name: p.name, UUID: p.id}).Extract()
	require.NoError(t, err)
	require.Zero(t, made.Generation)
	cleanup(t, "resource provider "+p.name, func(ctx context.Context) error {
		return resourceproviders.Delete(ctx, s.admin.placement, p.id).ExtractErr()
	})
	if inventories != nil {
		set, err := resourceproviders.UpdateInventories(t.Context(), s.admin.placement, p.id, resourceproviders.UpdateInventoriesOpts{
			ResourceProviderGeneration: 0, Inventories: inventories,
		}).Extract()
		require.NoError(t, err)
		require.Equal(t, 1, set.ResourceProviderGeneration)
	}
	return p
}

func (p *provider) generation(t *testing.T) int {
	t.Helper()
	now, err := resourceproviders.Get(t.Context(), p.s.admin.placement, p.id).Extract()
	require.NoError(t, err)
	return now.Generation
}

// consumer makes an id that allocations can be of; they are removed when the test ends.
func (s *suite) consumer(t *testing.T) string {
	t.Helper()
	id := uuid.NewString()
	cleanup(t, "allocations of "+id, func(ctx context.Context) error {
		return allocations.Delete(ctx, s.admin.placement, id).ExtractErr()
	})
	return id
}

// allocate sets all that a consumer has; generation is nil for a new one.
func (p *provider) allocate(t *testing.T, consumer string, generation *int, resources map[string]int) error {
	t.Helper()
	return allocations.Update(t.Context(), p.s.admin.placement, consumer, allocations.UpdateOpts{
		Allocations: map[string]allocations.ProviderAllocationsOpts{p.id: {Resources: resources}},
		ProjectID:   p.s.admin.projectID, UserID: p.s.admin.userID, ConsumerGeneration: generation, ConsumerType: "INSTANCE",
	}).ExtractErr()
}

// conflict checks an answer of 409.
func conflict(t *testing.T, err error, code, says string) {
	t.Helper()
	a := refused(t, err, http.StatusConflict)
	require.Equal(t, code, a.text(t, "errors", 0, "code"))
	require.Contains(t, a.text(t, "errors", 0, "detail"), says)
}

const concurrentUpdate = "placement.concurrent_update"

func testPlacement(t *testing.T, s *suite) {
	api := s.admin.placement
	inventory := func(total, reserved int, ratio float32) resourceproviders.Inventory {
		return resourceproviders.Inventory{Total: total, Reserved: reserved, AllocationRatio: ratio, MinUnit: 1, MaxUnit: total, StepSize: 1}
	}
	t.Run("capacity", func(t *testing.T) {
		for name, test := range map[string]struct {
			total, reserved int
			ratio           float32
			capacity        int // int((total - reserved) * ratio)
		}{
			"whole":     {8, 0, 1, 8},
			"rounded":   {5, 1, 1.6, 6},
			"reserved":  {10, 4, 1.5, 9},
			"below one": {10, 0, 0.5, 5},
			"almost":    {3, 0, 1.3333, 3},
		} {
			t.Run(name, func(t *testing.T) {
				p := s.provider(t, "capacity-"+strings.ReplaceAll(name, " ", "-"), map[string]resourceproviders.Inventory{
					"VCPU": inventory(test.total, test.reserved, test.ratio),
				})
				unit := min(test.total, test.capacity)
				first := s.consumer(t)
				require.NoError(t, p.allocate(t, first, nil, map[string]int{"VCPU": unit}))
				if rest := test.capacity - unit; rest > 0 {
					require.NoError(t, p.allocate(t, s.consumer(t), nil, map[string]int{"VCPU": rest}), "to exactly the capacity")
				}
				usages, err := resourceproviders.GetUsages(t.Context(), api, p.id).Extract()
				require.NoError(t, err)
				require.Equal(t, test.capacity, usages.Usages["VCPU"])
				conflict(t, p.allocate(t, s.consumer(t), nil, map[string]int{"VCPU": 1}), "placement.undefined_code",
					"Unable to allocate inventory: Unable to create allocation for 'VCPU' on resource provider '"+p.id+
						"'. The requested amount would exceed the capacity.")
			})
		}
	})
	t.Run("units", func(t *testing.T) {
		i := inventory(8, 0, 1)
		i.MinUnit, i.MaxUnit, i.StepSize = 2, 6, 2
		p := s.provider(t, "units", map[string]resourceproviders.Inventory{"VCPU": i})
		for _, amount := range []int{1, 3, 8} {
			conflict(t, p.allocate(t, s.consumer(t), nil, map[string]int{"VCPU": amount}), "placement.undefined_code",
				"The requested amount would violate inventory constraints.")
		}
		require.NoError(t, p.allocate(t, s.consumer(t), nil, map[string]int{"VCPU": 6}))
	})
	t.Run("generations", func(t *testing.T) {
		p := s.provider(t, "generations", map[string]resourceproviders.Inventory{"VCPU": inventory(8, 0, 1)})
		const stale = "resource provider generation conflict"
		conflict(t, resourceproviders.UpdateInventories(t.Context(), api, p.id, resourceproviders.UpdateInventoriesOpts{
			ResourceProviderGeneration: 0, Inventories: map[string]resourceproviders.Inventory{},
		}).Err, concurrentUpdate, stale)
		one := resourceproviders.UpdateInventoryOpts{ResourceProviderGeneration: 0}
		one.Total, one.MaxUnit, one.MinUnit, one.StepSize, one.AllocationRatio = 9, 9, 1, 1, 2
		conflict(t, resourceproviders.UpdateInventory(t.Context(), api, p.id, "VCPU", one).Err, concurrentUpdate, stale)
		one.ResourceProviderGeneration = 1
		set, err := resourceproviders.UpdateInventory(t.Context(), api, p.id, "VCPU", one).Extract()
		require.NoError(t, err)
		require.Equal(t, 2, set.ResourceProviderGeneration)
		require.Equal(t, 9, set.Total)
		consumer := s.consumer(t)
		require.NoError(t, p.allocate(t, consumer, nil, map[string]int{"VCPU": 1}))
		require.Equal(t, 3, p.generation(t), "an allocation is a change too")
		conflict(t, p.allocate(t, consumer, nil, map[string]int{"VCPU": 2}), concurrentUpdate,
			"consumer generation conflict - expected 1 but got None")
		wrong, right := 2, 1
		conflict(t, p.allocate(t, consumer, &wrong, map[string]int{"VCPU": 2}), concurrentUpdate,
			"consumer generation conflict - expected 1 but got 2")
		require.NoError(t, p.allocate(t, consumer, &right, map[string]int{"VCPU": 2}))
		got, err := allocations.Get(t.Context(), api, consumer).Extract()
		require.NoError(t, err)
		require.Equal(t, map[string]int{"VCPU": 2}, got.Allocations[p.id].Resources)
		require.Equal(t, 2, *got.ConsumerGeneration)
		require.Equal(t, s.admin.projectID, *got.ProjectID)
	})
	t.Run("lowered below use", func(t *testing.T) {
		p := s.provider(t, "lowered", map[string]resourceproviders.Inventory{"VCPU": inventory(8, 0, 1), "MEMORY_MB": inventory(100, 0, 1)})
		consumer := s.consumer(t)
		require.NoError(t, p.allocate(t, consumer, nil, map[string]int{"VCPU": 8}))
		low := resourceproviders.UpdateInventoryOpts{ResourceProviderGeneration: p.generation(t)}
		low.Total, low.MaxUnit, low.MinUnit, low.StepSize, low.AllocationRatio = 8, 8, 1, 1, 0.5
		require.NoError(t, resourceproviders.UpdateInventory(t.Context(), api, p.id, "VCPU", low).Err)
		const exceeds = "The requested amount would exceed the capacity."
		conflict(t, p.allocate(t, s.consumer(t), nil, map[string]int{"VCPU": 1}), "placement.undefined_code", exceeds)
		one := 1
		conflict(t, p.allocate(t, consumer, &one, map[string]int{"VCPU": 5}), "placement.undefined_code", exceeds)
		require.NoError(t, p.allocate(t, s.consumer(t), nil, map[string]int{"MEMORY_MB": 100}), "another class has room")
		require.NoError(t, p.allocate(t, consumer, &one, map[string]int{"VCPU": 4}), "down to the capacity")
	})
	t.Run("in use", func(t *testing.T) {
		p := s.provider(t, "in-use", map[string]resourceproviders.Inventory{"VCPU": inventory(8, 0, 1)})
		require.NoError(t, p.allocate(t, s.consumer(t), nil, map[string]int{"VCPU": 1}))
		says := "Inventory for 'VCPU' on resource provider '" + p.id + "' in use."
		conflict(t, resourceproviders.DeleteInventory(t.Context(), api, p.id, "VCPU").ExtractErr(), concurrentUpdate,
			"Unable to delete inventory of class VCPU: "+says)
		conflict(t, resourceproviders.DeleteInventories(t.Context(), api, p.id).ExtractErr(), "placement.inventory.inuse", says)
		conflict(t, resourceproviders.UpdateInventories(t.Context(), api, p.id, resourceproviders.UpdateInventoriesOpts{
			ResourceProviderGeneration: p.generation(t), Inventories: map[string]resourceproviders.Inventory{},
		}).Err, "placement.inventory.inuse", "update conflict: "+says)
		conflict(t, resourceproviders.Delete(t.Context(), api, p.id).ExtractErr(), "placement.resource_provider.inuse",
			"Unable to delete resource provider "+p.id+": Resource provider has allocations.")
	})
	t.Run("bad inventories", func(t *testing.T) {
		p := s.provider(t, "bad", map[string]resourceproviders.Inventory{"VCPU": inventory(8, 0, 1)})
		for _, test := range []struct {
			class  string
			body   object
			status int
			says   string
		}{
			{"DISK_GB", object{"resource_provider_generation": 1, "total": 5}, 400,
				"No inventory record with resource class for resource provider " + p.id + ": No inventory of class DISK_GB found."},
			{"NOSUCH", object{"resource_provider_generation": 1, "total": 5}, 404, "No such resource class NOSUCH."},
			{"VCPU", object{"resource_provider_generation": 1, "total": 5, "reserved": 6}, 400, "The reserved value is greater than total."},
			{"VCPU", object{"resource_provider_generation": 1, "total": 0}, 400, "JSON does not validate: 0 is less than the minimum of 1"},
			{"VCPU", object{"total": 5}, 400, "JSON does not validate: 'resource_provider_generation' is a required property"},
		} {
			a := s.admin.ask(t, api, "PUT", "resource_providers/"+p.id+"/inventories/"+test.class, test.body)
			require.Equal(t, test.status, a.status, a.body)
			require.Contains(t, a.text(t, "errors", 0, "detail"), test.says)
		}
		a := s.admin.ask(t, api, "GET", "resource_providers/"+p.id+"/inventories/DISK_GB", nil)
		require.Equal(t, http.StatusNotFound, a.status)
		require.Contains(t, a.text(t, "errors", 0, "detail"), "No inventory of class DISK_GB for "+p.id)
	})
	t.Run("names", func(t *testing.T) {
		p := s.provider(t, "names", nil)
		conflict(t, resourceproviders.Create(t.Context(), api, resourceproviders.CreateOpts{Name: p.name, UUID: uuid.NewString()}).Err,
			"placement.duplicate_name", "Conflicting resource provider name: "+p.name+" already exists.")
		pages, err := resourceproviders.List(api, resourceproviders.ListOpts{Name: p.name}).AllPages(t.Context())
		require.NoError(t, err)
		found, err := resourceproviders.ExtractResourceProviders(pages)
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, p.id, found[0].UUID)
		require.Equal(t, p.id, found[0].RootProviderUUID)
	})
	t.Run("candidates", func(t *testing.T) {
		p := s.provider(t, "candidates", map[string]resourceproviders.Inventory{"MEMORY_MB": inventory(100, 0, 1)})
		pages, err := allocationcandidates.List(api, allocationcandidates.ListOpts{Resources: "MEMORY_MB:100", InTree: p.id}).AllPages(t.Context())
		require.NoError(t, err)
		body, err := json.Marshal(pages.GetBody())
		require.NoError(t, err)
		require.JSONEq(t, strings.ReplaceAll(`{
			"allocation_requests": [{"allocations": {"P": {"resources": {"MEMORY_MB": 100}}}, "mappings": {"": ["P"]}}],
			"provider_summaries": {"P": {
				"resources": {"MEMORY_MB": {"capacity": 100, "used": 0}}, "traits": [], "parent_provider_uuid": null, "root_provider_uuid": "P"
			}}
		}`, `"P"`, `"`+p.id+`"`), string(body))
		for query, says := range map[string]string{
			"resources=MEMORY_MB:101&in_tree=" + p.id:      "",
			"resources=MEMORY_MB:1,VCPU:1&in_tree=" + p.id: "",
			"":                   "There must be at least one resources or resources[$S] parameter.",
			"resources=VCPU:x":   "Requested resource VCPU expected positive integer amount. Got: x.",
			"resources=NOSUCH:1": "Invalid resource class in resources parameter: No such resource class NOSUCH.",
			"resources=MEMORY_MB:1&required=CUSTOM_CONTRACT_NONE": "No such trait(s): CUSTOM_CONTRACT_NONE.",
		} {
			a := s.admin.ask(t, api, "GET", "allocation_candidates?"+query, nil)
			if says != "" {
				require.Equal(t, http.StatusBadRequest, a.status, a.body)
				require.Contains(t, a.text(t, "errors", 0, "detail"), says)
				continue
			}
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.JSONEq(t, `{"allocation_requests":[],"provider_summaries":{}}`, a.body)
		}
	})
	t.Run("traits", func(t *testing.T) {
		name := "CUSTOM_" + strings.ToUpper(strings.ReplaceAll(s.prefix, "-", "_")) + "X"
		p := s.provider(t, "traits", map[string]resourceproviders.Inventory{"MEMORY_MB": inventory(100, 0, 1)})
		a := s.admin.ask(t, api, "PUT", "traits/"+name, nil)
		require.Equal(t, http.StatusCreated, a.status, a.body)
		// Cleanups run last to first: the provider loses its trait before the trait goes, and goes last.
		cleanup(t, "trait "+name, func(ctx context.Context) error { return traits.Delete(ctx, api, name).ExtractErr() })
		require.Equal(t, http.StatusNoContent, s.admin.ask(t, api, "PUT", "traits/"+name, nil).status, "it is there")
		refused(t, traits.Get(t.Context(), api, "CUSTOM_CONTRACT_NONE").ExtractErr(), http.StatusNotFound)
		bad := refused(t, traits.Create(t.Context(), api, "CONTRACT").ExtractErr(), http.StatusBadRequest)
		require.Contains(t, bad.text(t, "errors", 0, "detail"),
			`The trait is invalid. A valid trait must be no longer than 255 characters, start with the prefix "CUSTOM_"`)
		cleanup(t, "traits of "+p.name, func(ctx context.Context) error { return resourceproviders.DeleteTraits(ctx, api, p.id).ExtractErr() })
		update := func(generation int, traits ...string) resourceproviders.GetTraitsResult {
			return resourceproviders.UpdateTraits(t.Context(), api, p.id,
				resourceproviders.UpdateTraitsOpts{ResourceProviderGeneration: generation, Traits: append([]string{}, traits...)})
		}
		set, err := update(1, name).Extract()
		require.NoError(t, err)
		require.Equal(t, []string{name}, set.Traits)
		require.Equal(t, 2, set.ResourceProviderGeneration)
		conflict(t, update(1).Err, concurrentUpdate,
			"Resource provider's generation already changed. Please update the generation and try again.")
		unknown := refused(t, update(2, "CUSTOM_CONTRACT_NONE").Err, http.StatusBadRequest)
		require.Contains(t, unknown.text(t, "errors", 0, "detail"), "No such trait CUSTOM_CONTRACT_NONE")
		conflict(t, traits.Delete(t.Context(), api, name).ExtractErr(), "placement.undefined_code",
			"The trait "+name+" is in use by a resource provider.")
		for required, found := range map[string]int{name: 1, "!" + name: 0} {
			a := s.admin.ask(t, api, "GET", "allocation_candidates?resources=MEMORY_MB:1&in_tree="+p.id+"&required="+required, nil)
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.Len(t, a.at(t, "allocation_requests"), found, required)
		}
	})
	t.Run("microversions", func(t *testing.T) {
		list := "resource_providers?name=" + s.prefix + "none"
		for asked, answered := range map[string]string{"placement 1.0": "1.0", "placement 1.39": "1.39", "placement latest": "1.39", "": "1.0"} {
			header := "OpenStack-API-Version"
			if asked != "" {
				header += ": " + asked
			}
			a := s.admin.ask(t, api, "GET", list, nil, header)
			require.Equal(t, "placement "+answered, a.header.Get("OpenStack-API-Version"))
			require.Equal(t, "openstack-api-version", strings.ToLower(a.header.Get("Vary")))
		}
		a := s.admin.ask(t, api, "GET", list, nil, "OpenStack-API-Version: placement 1.40")
		require.Equal(t, http.StatusNotAcceptable, a.status)
		require.Contains(t, a.text(t, "errors", 0, "detail"), "Invalid microversion: Unacceptable version header: 1.40")
		require.Equal(t, "1.39", a.text(t, "errors", 0, "max_version"))
		require.Equal(t, "1.0", a.text(t, "errors", 0, "min_version"))
		a = s.admin.ask(t, api, "GET", list, nil, "OpenStack-API-Version: placement x")
		require.Equal(t, http.StatusBadRequest, a.status)
		require.Contains(t, a.text(t, "errors", 0, "detail"), "Invalid microversion: invalid version string: x")
	})
}
