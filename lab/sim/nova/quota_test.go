package nova_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
)

func TestQuotas(t *testing.T) {
	c := newCloud(t, nova.Config{Quota: nova.Quota{Instances: 10, Cores: 20, RAM: 51200}})
	admin, ctx := c.client("admin", "2.93"), t.Context()
	set, err := quotasets.Update(ctx, admin, "p", quotasets.UpdateOpts{Instances: new(3), RAM: new(2048)}).Extract()
	require.NoError(t, err)
	require.Equal(t, 3, set.Instances)
	require.Equal(t, 20, set.Cores)
	c.create(t, "")
	detail, err := quotasets.GetDetail(ctx, c.client("ann", "2.93"), "p").Extract()
	require.NoError(t, err)
	require.Equal(t, quotasets.QuotaDetail{InUse: 1, Limit: 3}, detail.Instances)
	require.Equal(t, quotasets.QuotaDetail{InUse: 1024, Limit: 2048}, detail.RAM)
	absolute, err := limits.Get(ctx, c.client("ann", "2.93"), nil).Extract()
	require.NoError(t, err)
	require.Equal(t, 3, absolute.Absolute.MaxTotalInstances)
	require.Equal(t, 1024, absolute.Absolute.TotalRAMUsed)

	body := func(more string) string {
		return `{"server":{"name":"x","flavorRef":"small","imageRef":"` + image + `","networks":"none"` + more + `}}`
	}
	for more, message := range map[string]string{
		`,"min_count":2`:                "Quota exceeded for ram: Requested 2048, but already used 1024 of 2048 ram",
		`,"min_count":3`:                "Quota exceeded for instances, ram: Requested 3, 3072, but already used 1, 1024 of 3, 2048 instances, ram",
		`,"min_count":2,"max_count":30`: "Quota exceeded for cores, instances, ram: Requested 30, 2-30, 30720, but already used 1, 1, 1024 of 20, 3, 2048 cores, instances, ram",
	} {
		require.Equal(t, message, c.do(t, 403, "POST /servers", body(more)).message(t))
	}
	c.do(t, 202, "POST /servers", body(`,"min_count":1,"max_count":3`)) // as many as there is room for
	require.Len(t, c.Servers(), 2)
	require.Equal(t, "Quota limit 1 for instances must be greater than or equal to already used and reserved 2.",
		c.do(t, 400, "PUT /os-quota-sets/p", `{"quota_set":{"instances":1}}`).message(t))
	c.do(t, 200, "PUT /os-quota-sets/p", `{"quota_set":{"instances":1,"force":true}}`)
	require.NoError(t, quotasets.Delete(ctx, admin, "p").Err)
	set, err = quotasets.Get(ctx, admin, "p").Extract()
	require.NoError(t, err)
	require.Equal(t, 10, set.Instances)
	require.Equal(t, c.do(t, 200, "GET /os-quota-sets/p/defaults", "").body, c.do(t, 200, "GET /os-quota-sets/p", "").body)

	require.Equal(t, 403, c.ask(t, "ann", "2.93", "GET /os-quota-sets/q", "").status)
	require.Equal(t, 403, c.ask(t, "ann", "2.93", "PUT /os-quota-sets/p", `{"quota_set":{}}`).status)
	require.Contains(t, c.do(t, 400, "PUT /os-quota-sets/p", `{"quota_set":{"floating_ips":1}}`).message(t), "('floating_ips' was unexpected)")
	require.Contains(t, c.do(t, 400, "PUT /os-quota-sets/p", `{"quota_set":{"cores":-2}}`).message(t), "-2 is less than the minimum of -1")
	require.Equal(t, "The networks quota has been removed", c.ask(t, "admin", "2.1", "PUT /os-quota-sets/p", `{"quota_set":{"networks":1}}`).message(t))
	require.Contains(t, c.ask(t, "admin", "2.1", "GET /os-quota-sets/p", "").body, `"injected_files":5`)
	require.Contains(t, c.ask(t, "admin", "2.35", "GET /limits", "").body, `"maxSecurityGroups":-1`)
	require.NotContains(t, c.ask(t, "admin", "2.57", "GET /limits", "").body, `maxPersonality`)
}
