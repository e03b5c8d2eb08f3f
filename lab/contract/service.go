package contract

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/stretchr/testify/require"
)

// computeService is the service of a compute node.
func (s *suite) computeService(ctx context.Context, host string) (services.Service, error) {
	pages, err := services.List(s.admin.compute, services.ListOpts{Binary: "nova-compute", Host: host}).AllPages(ctx)
	if err != nil {
		return services.Service{}, err
	}
	found, err := services.ExtractServices(pages)
	if err != nil {
		return services.Service{}, err
	}
	if len(found) != 1 {
		return services.Service{}, fmt.Errorf("%d services nova-compute on host %s", len(found), host)
	}
	return found[0], nil
}

// serviceChange is an update of a service; gophercloud's own cannot say that one is no longer forced down.
type serviceChange object

// ToServiceUpdateMap implements services.UpdateOptsBuilder.
func (c serviceChange) ToServiceUpdateMap() (map[string]any, error) { return c, nil }

func (s *suite) updateService(ctx context.Context, host string, change serviceChange) (services.Service, error) {
	now, err := s.computeService(ctx, host)
	if err != nil {
		return now, err
	}
	set, err := services.Update(ctx, s.admin.compute, now.ID, change).Extract()
	if err != nil {
		return now, err
	}
	return *set, nil
}

func testServices(t *testing.T, s *suite) {
	from, to := s.Hosts[0], s.Hosts[1]
	cleanup(t, "the state of the service of "+from, func(ctx context.Context) error {
		_, err := s.updateService(ctx, from, serviceChange{"status": "enabled", "forced_down": false})
		return err
	})
	migrate := func(host any) object {
		return object{"os-migrateLive": object{"host": host, "block_migration": "auto"}}
	}
	id := s.server(t, s.admin, "moves", boot{"host": from}).ID

	t.Run("disabled", func(t *testing.T) {
		set, err := s.updateService(t.Context(), from, serviceChange{"status": "disabled", "disabled_reason": s.prefix + "reason"})
		require.NoError(t, err)
		require.Equal(t, "disabled", set.Status)
		require.Equal(t, s.prefix+"reason", set.DisabledReason)
		require.Equal(t, "up", set.State)
		require.Equal(t, "ACTIVE", s.settle(t, s.admin, id, "ACTIVE").Status, "its servers stay")
		// Placement hears of it by a trait.
		await(t, s.BuildTimeout, "the host's trait COMPUTE_STATUS_DISABLED", func() bool {
			traits, err := resourceproviders.GetTraits(t.Context(), s.admin.placement, s.providerOf(t, from)).Extract()
			require.NoError(t, err)
			for _, name := range traits.Traits {
				if name == "COMPUTE_STATUS_DISABLED" {
					return true
				}
			}
			return false
		})
		refusedThere := s.settle(t, s.admin, s.create(t, s.admin, "not-there", boot{"host": from}), "ERROR")
		require.Equal(t, "No valid host was found. ", refusedThere.Fault.Message)
		set, err = s.updateService(t.Context(), from, serviceChange{"status": "enabled"})
		require.NoError(t, err)
		require.Equal(t, "enabled", set.Status)
		require.Empty(t, set.DisabledReason)
	})
	t.Run("live migration", func(t *testing.T) {
		request := s.admin.must(t, id, migrate(to))
		s.watch(t, s.admin, id, "MIGRATING migrating", "ACTIVE")
		require.Equal(t, to, s.settle(t, s.admin, id, "ACTIVE").Host)
		a := s.admin.ask(t, s.admin.compute, "GET", "servers/"+id+"/os-instance-actions/"+request, nil)
		require.Equal(t, "live-migration", a.text(t, "instanceAction", "action"))
		allocation := s.admin.ask(t, s.admin.placement, "GET", "allocations/"+id, nil)
		await(t, s.BuildTimeout, "the room on the host that it left is free", func() bool {
			allocation = s.admin.ask(t, s.admin.placement, "GET", "allocations/"+id, nil)
			return len(allocation.keys(t, "allocations")) == 1
		})
		require.Equal(t, []string{s.providerOf(t, to)}, allocation.keys(t, "allocations"))
	})
	t.Run("no live migration", func(t *testing.T) {
		a := s.admin.act(t, id, migrate(s.prefix+"none"))
		require.Equal(t, http.StatusBadRequest, a.status, a.body)
		require.Equal(t, "Compute host "+s.prefix+"none could not be found.", a.text(t, "badRequest", "message"))
		request := s.admin.must(t, id, migrate(to))
		s.watch(t, s.admin, id, "MIGRATING migrating", "ACTIVE")
		require.Equal(t, to, s.settle(t, s.admin, id, "ACTIVE").Host, "to where it is")
		a = s.admin.ask(t, s.admin.compute, "GET", "servers/"+id+"/os-instance-actions/"+request, nil)
		require.Equal(t, "Error", a.text(t, "instanceAction", "message"))
	})
	t.Run("forced down", func(t *testing.T) {
		a := s.admin.act(t, id, object{"evacuate": object{"host": from}})
		require.Equal(t, http.StatusBadRequest, a.status, a.body)
		require.Equal(t, "Compute service of "+to+" is still in use.", a.text(t, "badRequest", "message"))
		set, err := s.updateService(t.Context(), from, serviceChange{"forced_down": true})
		require.NoError(t, err)
		require.True(t, set.ForcedDown)
		require.Equal(t, "down", set.State)
		require.Equal(t, "enabled", set.Status)
		hypervisor := s.admin.ask(t, s.admin.compute, "GET", "os-hypervisors/"+s.providerOf(t, from), nil)
		require.Equal(t, "down", hypervisor.text(t, "hypervisor", "state"))
		elsewhere := s.settle(t, s.admin, s.create(t, s.admin, "not-to-it", boot{"host": from}), "ERROR")
		// Placement offers it, and the scheduler's ComputeFilter does not take it.
		require.Equal(t, "No valid host was found. There are not enough hosts available.", elsewhere.Fault.Message)
		set, err = s.updateService(t.Context(), from, serviceChange{"forced_down": false})
		require.NoError(t, err)
		require.False(t, set.ForcedDown)
		require.Equal(t, "up", set.State)
	})
	t.Run("of an ordinary user", func(t *testing.T) {
		now, err := s.computeService(t.Context(), from)
		require.NoError(t, err)
		a := refused(t, services.Update(t.Context(), s.user.compute, now.ID, serviceChange{"status": "disabled"}).Err, http.StatusForbidden)
		require.Equal(t, "Policy doesn't allow os_compute_api:os-services:update to be performed.", a.text(t, "forbidden", "message"))
	})
	t.Run("unknown", func(t *testing.T) {
		a := refused(t, services.Update(t.Context(), s.admin.compute, nobody, serviceChange{"status": "disabled"}).Err, http.StatusNotFound)
		require.Equal(t, "Service "+nobody+" could not be found.", a.text(t, "itemNotFound", "message"))
	})
}
