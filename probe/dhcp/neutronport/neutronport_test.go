package neutronport_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/probe/dhcp/neutronport"
)

func TestPort(t *testing.T) {
	lab, err := sim.Start(t.Context(), sim.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	provider, err := openstack.AuthenticatedClient(t.Context(), lab.Admin())
	require.NoError(t, err)
	client, err := openstack.NewNetworkV2(provider, gophercloud.EndpointOpts{})
	require.NoError(t, err)
	pages, err := networks.List(client, networks.ListOpts{}).AllPages(t.Context())
	require.NoError(t, err)
	all, err := networks.ExtractNetworks(pages)
	require.NoError(t, err)
	require.NotEmpty(t, all)

	spec := neutronport.Spec{Network: all[0].ID, Owner: "north", Name: "dhcp-probe"}
	other := spec
	other.Owner = "south"
	made, err := neutronport.Ensure(t.Context(), client, spec)
	require.NoError(t, err)
	require.Len(t, made.MAC, 6)
	require.Len(t, made.Addresses, 1)
	again, err := neutronport.Ensure(t.Context(), client, spec)
	require.NoError(t, err)
	require.Equal(t, made, again)
	another, err := neutronport.Ensure(t.Context(), client, other)
	require.NoError(t, err)
	require.NotEqual(t, made.ID, another.ID)
	kept, err := ports.Get(t.Context(), client, made.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, [2]string{neutronport.DeviceOwner, "north"}, [2]string{kept.DeviceOwner, kept.DeviceID})

	for range 2 {
		require.NoError(t, neutronport.Remove(t.Context(), client, spec))
	}
	_, err = ports.Get(t.Context(), client, made.ID).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 404), err)
	_, err = ports.Get(t.Context(), client, another.ID).Extract()
	require.NoError(t, err, "another's stays")

	_, err = neutronport.Ensure(t.Context(), client, neutronport.Spec{Network: all[0].ID})
	require.ErrorContains(t, err, "needs a network's ID, an owner and a name")
	spec.Network = "nowhere"
	_, err = neutronport.Ensure(t.Context(), client, spec)
	require.ErrorContains(t, err, "making the port dhcp-probe of a DHCP probe on network nowhere")
}
