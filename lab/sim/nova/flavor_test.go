package nova_test

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
)

func TestFlavors(t *testing.T) {
	c := newCloud(t, nova.Config{})
	admin, ann, ctx := c.client("admin", "2.93"), c.client("ann", "2.93"), t.Context()
	private := false
	made, err := flavors.Create(ctx, admin, flavors.CreateOpts{
		ID: "l", Name: "large", RAM: 2048, VCPUs: 2, Disk: new(20), Swap: new(512), Ephemeral: new(5), IsPublic: &private, Description: "much",
		RxTxFactor: 2,
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, flavors.Flavor{
		ID: "l", Name: "large", RAM: 2048, VCPUs: 2, Disk: 20, Swap: 512, Ephemeral: 5, RxTxFactor: 2, Description: "much",
		ExtraSpecs: map[string]string{},
	}, *made)

	_, err = flavors.Get(ctx, ann, "l").Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusNotFound), err)
	access, err := flavors.AddAccess(ctx, admin, "l", flavors.AddAccessOpts{Tenant: "p"}).Extract()
	require.NoError(t, err)
	require.Equal(t, []flavors.FlavorAccess{{FlavorID: "l", TenantID: "p"}}, access)
	_, err = flavors.AddAccess(ctx, admin, "l", flavors.AddAccessOpts{Tenant: "p"}).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusConflict), err)
	seen, err := flavors.Get(ctx, ann, "l").Extract()
	require.NoError(t, err)
	require.Equal(t, made, seen)
	_, err = flavors.Get(ctx, c.client("bob", "2.93"), "l").Extract()
	require.Error(t, err)

	specs, err := flavors.CreateExtraSpecs(ctx, admin, "l", flavors.ExtraSpecsOpts{"hw:cpu_policy": "shared", "quota:x": "1"}).Extract()
	require.NoError(t, err)
	require.Len(t, specs, 2)
	_, err = flavors.UpdateExtraSpec(ctx, admin, "l", flavors.ExtraSpecsOpts{"quota:x": "2"}).Extract()
	require.NoError(t, err)
	spec, err := flavors.GetExtraSpec(ctx, ann, "l", "quota:x").Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"quota:x": "2"}, spec)
	require.NoError(t, flavors.DeleteExtraSpec(ctx, admin, "l", "quota:x").ExtractErr())
	specs, err = flavors.ListExtraSpecs(ctx, ann, "l").Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"hw:cpu_policy": "shared"}, specs)

	// A server keeps the flavor that it was made of.
	id := c.create(t, `,"min_count":1`)
	c.await(t, id, "ACTIVE")
	updated, err := flavors.Update(ctx, admin, "l", flavors.UpdateOpts{Description: "more"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "more", updated.Description)
	require.NoError(t, flavors.Delete(ctx, admin, flavor).ExtractErr())
	require.Contains(t, c.do(t, 200, "GET /servers/"+id, "").body, `"flavor":{"vcpus":1,"ram":1024,"disk":10,"ephemeral":0,"swap":0,"original_name":"small"`)
	require.Contains(t, c.ask(t, "admin", "2.46", "GET /servers/"+id, "").body, `"flavor":{"id":"small"`)
	_, err = flavors.RemoveAccess(ctx, admin, "l", flavors.RemoveAccessOpts{Tenant: "p"}).Extract()
	require.NoError(t, err)
	pages, err := flavors.ListDetail(ann, nil).AllPages(ctx)
	require.NoError(t, err)
	left, err := flavors.ExtractFlavors(pages)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestFlavorsRefuse(t *testing.T) {
	c := newCloud(t, nova.Config{})
	c.do(t, 200, "POST /flavors", `{"flavor":{"name":"p","id":"p","ram":1,"vcpus":1,"disk":0,"os-flavor-access:is_public":"no"}}`)
	for _, test := range []struct {
		who, version, request, body string
		status                      int
		message                     string
	}{
		{"ann", "2.93", "POST /flavors", `{"flavor":{"name":"x","ram":1,"vcpus":1,"disk":0}}`, 403, "Policy doesn't allow os_compute_api:os-flavor-manage:create to be performed."},
		{"admin", "2.93", "POST /flavors", `{"flavor":{"name":"x","ram":"0","vcpus":1,"disk":1}}`, 400, "Invalid input for field/attribute ram. Value: 0. 0 is less than the minimum of 1"},
		{"admin", "2.93", "POST /flavors", `{"flavor":{"name":"x","ram":1,"vcpus":1}}`, 400, "Invalid input for field/attribute flavor. Value: {'name': 'x', 'ram': 1, 'vcpus': 1}. 'disk' is a required property"},
		{"admin", "2.54", "POST /flavors", `{"flavor":{"name":"x","ram":1,"vcpus":1,"disk":0,"description":"d"}}`, 400, "Additional properties are not allowed ('description' was unexpected)"},
		{"admin", "2.93", "POST /flavors", `{"flavor":{"name":"x","ram":1,"vcpus":1,"disk":0,"rxtx_factor":0}}`, 400, "less than or equal to the minimum"},
		{"admin", "2.93", "POST /flavors", `{"flavor":{"name":"x","id":" x","ram":1,"vcpus":1,"disk":0}}`, 400, "does not match"},
		{"admin", "2.93", "POST /flavors", `{"flavor":{"name":"small","ram":1,"vcpus":1,"disk":0}}`, 409, "Flavor with name small already exists."},
		{"admin", "2.93", "POST /flavors", `{"flavor":{"name":"x","id":"small","ram":1,"vcpus":1,"disk":0}}`, 409, "Flavor with ID small already exists."},
		{"admin", "2.93", "DELETE /flavors/x", "", 404, "Flavor x could not be found."},
		{"admin", "2.93", "PUT /flavors/small", `{"flavor":{}}`, 400, "'description' is a required property"},
		{"admin", "2.54", "PUT /flavors/small", `{"flavor":{"description":null}}`, 404, "The resource could not be found."},
		{"admin", "2.93", "POST /flavors/small/action", `{"addTenantAccess":{"tenant":"p"}}`, 409, "Can not add access to a public flavor."},
		{"admin", "2.93", "POST /flavors/p/action", `{"removeTenantAccess":{"tenant":"q"}}`, 404, "Flavor access not found for p / q combination."},
		{"admin", "2.93", "POST /flavors/p/action", `{"odd":{}}`, 400, "There is no such action: odd"},
		{"admin", "2.93", "GET /flavors/small/os-flavor-access", "", 404, "Access list not available for public flavors."},
		{"admin", "2.93", "PUT /flavors/small/os-extra_specs/a", `{"b":"1"}`, 400, "Request body and URI mismatch"},
		{"admin", "2.93", "PUT /flavors/small/os-extra_specs/a", `{}`, 400, "{} does not have enough properties"},
		{"admin", "2.93", "PUT /flavors/small/os-extra_specs/a", `{"a":"1","b":"2"}`, 400, "has too many properties"},
		{"admin", "2.93", "POST /flavors/small/os-extra_specs", `{"extra_specs":{"a":null}}`, 400, "Invalid input for field/attribute a. Value: None. None is not of type 'string', 'number'"},
		{"admin", "2.93", "DELETE /flavors/small/os-extra_specs/a", "", 404, "Flavor small has no extra specs with key a."},
		{"admin", "2.93", "GET /flavors?is_public=odd", "", 400, "Invalid is_public filter [odd]"},
		{"admin", "2.93", "GET /flavors?minRam=much", "", 400, "Invalid minRam filter [much]"},
		{"admin", "2.93", "GET /flavors?marker=odd", "", 400, "marker [odd] not found"},
		{"admin", "2.93", "GET /flavors?odd=1", "", 400, "Additional properties are not allowed ('odd' was unexpected)"},
		{"admin", "2.93", "GET /flavors?sort_key=odd", "", 400, "'odd' is not one of ['created_at', "},
	} {
		a := c.ask(t, test.who, test.version, test.request, test.body)
		require.Equal(t, test.status, a.status, "%s %s: %s", test.request, test.body, a.body)
		require.Contains(t, a.message(t), test.message, test.request)
	}
	require.Contains(t, c.do(t, 200, "GET /flavors?is_public=none", "").body, `"id":"p"`)
	require.NotContains(t, c.do(t, 200, "GET /flavors?minRam=1000&is_public=none", "").body, `"id":"p"`)
	require.NotContains(t, c.do(t, 200, "GET /flavors", "").body, `"id":"p"`)
}
