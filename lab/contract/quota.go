package contract

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"
)

// testQuotas works in a project of its own.
func testQuotas(t *testing.T, s *suite) {
	project := s.project(t, "quotas")
	who := login(t, s.Cloud, in(s.Admin, project))
	set := func(t *testing.T, instances, cores, ram int) {
		t.Helper()
		q, err := quotasets.Update(t.Context(), s.home.compute, project, quotasets.UpdateOpts{
			Instances: &instances, Cores: &cores, RAM: &ram,
		}).Extract()
		require.NoError(t, err)
		require.Equal(t, []int{instances, cores, ram}, []int{q.Instances, q.Cores, q.RAM})
	}
	before, err := quotasets.Get(t.Context(), s.home.compute, project).Extract()
	require.NoError(t, err)
	require.Equal(t, project, before.ID)
	cores, ram := s.flavor.VCPUs, s.flavor.RAM
	set(t, 2, 3*cores, 3*ram)
	s.server(t, who, "first-of-quota", nil)

	used := func(t *testing.T) limits.Absolute {
		t.Helper()
		l, err := limits.Get(t.Context(), who.compute, nil).Extract()
		require.NoError(t, err)
		return l.Absolute
	}
	t.Run("limits", func(t *testing.T) {
		l := used(t)
		require.Equal(t, []int{2, 3 * cores, 3 * ram}, []int{l.MaxTotalInstances, l.MaxTotalCores, l.MaxTotalRAMSize})
		require.Equal(t, []int{1, cores, ram}, []int{l.TotalInstancesUsed, l.TotalCoresUsed, l.TotalRAMUsed})
		d, err := quotasets.GetDetail(t.Context(), s.home.compute, project).Extract()
		require.NoError(t, err)
		require.Equal(t, quotasets.QuotaDetail{InUse: 1, Limit: 2}, d.Instances)
		require.Equal(t, quotasets.QuotaDetail{InUse: cores, Limit: 3 * cores}, d.Cores)
		require.Equal(t, quotasets.QuotaDetail{InUse: ram, Limit: 3 * ram}, d.RAM)
	})
	n := strconv.Itoa
	for _, test := range []struct {
		name                  string
		instances, cores, ram int
		count                 int
		says                  string
	}{
		{"instances", 1, -1, -1, 1, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"},
		{"several at once", 2, -1, -1, 2, "Quota exceeded for instances: Requested 2, but already used 1 of 2 instances"},
		{"cores", -1, 2*cores - 1, -1, 1,
			"Quota exceeded for cores: Requested " + n(cores) + ", but already used " + n(cores) + " of " + n(2*cores-1) + " cores"},
		{"ram", -1, -1, 2*ram - 1, 1, "Quota exceeded for ram: Requested " + n(ram) + ", but already used " + n(ram) + " of " + n(2*ram-1) + " ram"},
		{"all", 1, cores, ram, 1, "Quota exceeded for cores, instances, ram: Requested " + n(cores) + ", 1, " + n(ram) + ", but already used " +
			n(cores) + ", 1, " + n(ram) + " of " + n(cores) + ", 1, " + n(ram) + " cores, instances, ram"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set(t, test.instances, test.cores, test.ram)
			err := servers.Create(t.Context(), who.compute, s.order("over-quota", boot{"min_count": test.count}), nil).Err
			a := refused(t, err, http.StatusForbidden)
			require.Equal(t, test.says, a.text(t, "forbidden", "message"))
			require.EqualValues(t, http.StatusForbidden, a.at(t, "forbidden", "code"))
			require.Equal(t, 1, used(t).TotalInstancesUsed, "nothing was counted")
		})
	}
	t.Run("exactly full", func(t *testing.T) {
		set(t, 2, 2*cores, 2*ram)
		s.server(t, who, "last-of-quota", nil)
		l := used(t)
		require.Equal(t, []int{2, 2 * cores, 2 * ram}, []int{l.TotalInstancesUsed, l.TotalCoresUsed, l.TotalRAMUsed})
		refused(t, servers.Create(t.Context(), who.compute, s.order("over-quota", nil), nil).Err, http.StatusForbidden)
	})
	t.Run("below use", func(t *testing.T) {
		one := 0
		a := refused(t, quotasets.Update(t.Context(), s.home.compute, project, quotasets.UpdateOpts{Instances: &one}).Err, http.StatusBadRequest)
		require.Contains(t, a.text(t, "badRequest", "message"),
			"Quota limit 0 for instances must be greater than or equal to already used and reserved")
		require.NoError(t, quotasets.Update(t.Context(), s.home.compute, project, quotasets.UpdateOpts{Instances: &one, Force: true}).Err)
	})
	t.Run("of an ordinary user", func(t *testing.T) {
		many := 1000
		err := quotasets.Update(t.Context(), s.user.compute, s.user.projectID, quotasets.UpdateOpts{Instances: &many}).Err
		a := refused(t, err, http.StatusForbidden)
		require.Equal(t, "Policy doesn't allow os_compute_api:os-quota-sets:update to be performed.", a.text(t, "forbidden", "message"))
		require.NoError(t, quotasets.Get(t.Context(), s.user.compute, s.user.projectID).Err)
	})
}
