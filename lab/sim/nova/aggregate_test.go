package nova_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/aggregates"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/availabilityzones"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
)

func TestAggregatesAndZones(t *testing.T) {
	c := newCloud(t, nova.Config{})
	admin, ctx := c.client("admin", "2.93"), t.Context()
	made, err := aggregates.Create(ctx, admin, aggregates.CreateOpts{Name: "ssd", AvailabilityZone: "east"}).Extract()
	require.NoError(t, err)
	require.Equal(t, 1, made.ID)
	require.Equal(t, "east", made.AvailabilityZone)
	with, err := aggregates.AddHost(ctx, admin, 1, aggregates.AddHostOpts{Host: "c"}).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, with.Hosts)
	require.Equal(t, map[string]string{"availability_zone": "east"}, with.Metadata)

	in := c.create(t, `,"availability_zone":"east"`)
	s := c.await(t, in, "ACTIVE")
	require.Equal(t, "c", s.Host)
	require.Contains(t, c.do(t, 200, "GET /servers/"+in, "").body, `"OS-EXT-AZ:availability_zone":"east"`)
	require.Equal(t, "c", c.await(t, c.create(t, `,"availability_zone":"east:c"`), "ACTIVE").Host)
	require.Equal(t, "c", c.await(t, c.create(t, `,"availability_zone":"east::c"`), "ACTIVE").Host)
	require.Equal(t, "c", c.await(t, c.create(t, `,"availability_zone":"mars:c"`), "ACTIVE").Host, "the zone is the host's")
	require.Equal(t, "No valid host was found. No such host - host: x node: None ",
		c.await(t, c.create(t, `,"availability_zone":"nova:x"`), "ERROR").Fault)
	require.Contains(t, []string{"a", "b"}, c.await(t, c.create(t, `,"availability_zone":"nova"`), "ACTIVE").Host)
	require.Contains(t, c.ask(t, "ann", "2.93", "POST /servers", `{"server":{"name":"x","flavorRef":"small","imageRef":"`+image+
		`","networks":"none","availability_zone":"east:c"}}`).message(t), "servers:create:forced_host")
	require.Equal(t, "c", serviceOf(t, c, "c").Host)
	require.Equal(t, "east", serviceOf(t, c, "c").Zone)

	pages, err := availabilityzones.ListDetail(admin).AllPages(ctx)
	require.NoError(t, err)
	zones, err := availabilityzones.ExtractAvailabilityZones(pages)
	require.NoError(t, err)
	require.Len(t, zones, 3)
	require.Equal(t, "internal", zones[0].ZoneName)
	require.Equal(t, "east", zones[1].ZoneName)
	require.True(t, zones[1].Hosts["c"]["nova-compute"].Available)
	require.Equal(t, `{"availabilityZoneInfo":[{"hosts":null,"zoneName":"east","zoneState":{"available":true}},{"hosts":null,"zoneName":"nova","zoneState":{"available":true}}]}`,
		c.ask(t, "ann", "2.93", "GET /os-availability-zone", "").body)
	c.do(t, 200, "PUT /os-services/"+serviceID(t, c, "c"), `{"status":"disabled"}`)
	require.Contains(t, c.do(t, 200, "GET /os-availability-zone", "").body, `"zoneName":"east","zoneState":{"available":false}`)

	second := "second"
	_, err = aggregates.Create(ctx, admin, aggregates.CreateOpts{Name: second}).Extract()
	require.NoError(t, err)
	value := "fast"
	meta, err := aggregates.SetMetadata(ctx, admin, 2, aggregates.SetMetadataOpts{Metadata: map[string]any{"disk": value, "none": nil}}).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"disk": "fast"}, meta.Metadata)
	renamed, err := aggregates.Update(ctx, admin, 2, aggregates.UpdateOpts{Name: "hdd"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "hdd", renamed.Name)
	for _, test := range []struct {
		who, request, body string
		status             int
		message            string
	}{
		{"ann", "POST /os-aggregates", `{"aggregate":{"name":"x"}}`, 403, "Policy doesn't allow os_compute_api:os-aggregates:create to be performed."},
		{"admin", "POST /os-aggregates", `{"aggregate":{"name":"ssd"}}`, 409, "Aggregate ssd already exists."},
		{"admin", "POST /os-aggregates", `{"aggregate":{"name":"x","availability_zone":"a:b"}}`, 400, "'a:b' is not valid under any of the given schemas"},
		{"admin", "GET /os-aggregates/x", "", 400, "Invalid input received: id must be an integer"},
		{"admin", "GET /os-aggregates/7", "", 404, "Aggregate 7 could not be found."},
		{"admin", "POST /os-aggregates/1/action", `{"add_host":{"host":"c"}}`, 409, "Aggregate 1 already has host c."},
		{"admin", "POST /os-aggregates/1/action", `{"add_host":{"host":"x"}}`, 404, "Compute host x could not be found."},
		{"admin", "POST /os-aggregates/1/action", `{"remove_host":{"host":"a"}}`, 404, "Cannot remove host a in aggregate 1"},
		{"admin", "POST /os-aggregates/1/action", `{"set_metadata":{"metadata":{"availability_zone":"west"}}}`, 400, "One or more hosts contain instances in this zone"},
		{"admin", "DELETE /os-aggregates/1", "", 400, "Cannot remove host from aggregate 1. Reason: Host aggregate is not empty."},
	} {
		a := c.ask(t, test.who, "2.93", test.request, test.body)
		require.Equal(t, test.status, a.status, "%s %s: %s", test.request, test.body, a.body)
		require.Contains(t, a.message(t), test.message, test.request)
	}
	// A host is in one zone.
	c.do(t, 200, "POST /os-aggregates/2/action", `{"set_metadata":{"metadata":{"availability_zone":"west"}}}`)
	require.Equal(t, "Cannot add host to aggregate 2. Reason: One or more hosts already in availability zone(s) ['east'].",
		c.do(t, 409, "POST /os-aggregates/2/action", `{"add_host":{"host":"c"}}`).message(t))
	without, err := aggregates.RemoveHost(ctx, admin, 1, aggregates.RemoveHostOpts{Host: "c"}).Extract()
	require.NoError(t, err)
	require.Empty(t, without.Hosts)
	require.NoError(t, aggregates.Delete(ctx, admin, 1).ExtractErr())
	require.Equal(t, "The requested availability zone is not available", c.do(t, 400, "POST /servers",
		`{"server":{"name":"x","flavorRef":"small","imageRef":"`+image+`","networks":"none","availability_zone":"east"}}`).message(t))
}
