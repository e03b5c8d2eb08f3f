package contract

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/stretchr/testify/require"
)

func testNetwork(t *testing.T, s *suite) {
	api := s.admin.network
	pages, err := subnets.List(api, subnets.ListOpts{NetworkID: s.networkID, IPVersion: 4}).AllPages(t.Context())
	require.NoError(t, err)
	nets, err := subnets.ExtractSubnets(pages)
	require.NoError(t, err)
	require.NotEmpty(t, nets)
	prefix := netip.MustParsePrefix(nets[0].CIDR)

	t.Run("a server's port", func(t *testing.T) {
		t.Parallel()
		id := s.server(t, s.admin, "network", boot{"networks": []object{{"uuid": s.networkID}}}).ID
		addresses := s.user.ask(t, s.user.compute, "GET", "servers/"+id, nil)
		first := addresses.at(t, "server", "addresses", s.Network, 0).(object)
		require.True(t, prefix.Contains(netip.MustParseAddr(first["addr"].(string))), "%v in %s", first, prefix)
		require.EqualValues(t, 4, first["version"])
		require.Equal(t, "fixed", first["OS-EXT-IPS:type"])
		pages, err := ports.List(api, ports.ListOpts{DeviceID: id}).AllPages(t.Context())
		require.NoError(t, err)
		found, err := ports.ExtractPorts(pages)
		require.NoError(t, err)
		require.Len(t, found, 1)
		p := found[0]
		require.Equal(t, s.networkID, p.NetworkID)
		require.Equal(t, s.user.projectID, p.ProjectID)
		require.Equal(t, first["addr"], p.FixedIPs[0].IPAddress)
		require.Equal(t, first["OS-EXT-IPS-MAC:mac_addr"], p.MACAddress)
		require.Equal(t, "ACTIVE", p.Status)
		require.Equal(t, "compute:nova", p.DeviceOwner)
		shown := s.admin.ask(t, api, "GET", "ports/"+p.ID, nil)
		require.Equal(t, s.settle(t, s.admin, id, "ACTIVE").Host, shown.text(t, "port", "binding:host_id"))
		interfaces := s.user.ask(t, s.user.compute, "GET", "servers/"+id+"/os-interface", nil)
		require.Equal(t, http.StatusOK, interfaces.status, interfaces.body)
		require.Equal(t, p.ID, interfaces.text(t, "interfaceAttachments", 0, "port_id"))

		require.NoError(t, servers.Delete(t.Context(), s.user.compute, id).ExtractErr())
		s.watch(t, s.user, id, "ACTIVE", "ACTIVE deleting", "DELETED", "gone")
		refused(t, ports.Get(t.Context(), api, p.ID).Err, http.StatusNotFound)
	})
	t.Run("ports", func(t *testing.T) {
		t.Parallel()
		var ids []string
		for _, name := range []string{"port-a", "port-b", "port-c"} {
			p, err := ports.Create(t.Context(), api, ports.CreateOpts{Name: s.prefix + name, NetworkID: s.networkID}).Extract()
			require.NoError(t, err)
			cleanup(t, "port "+p.Name, func(ctx context.Context) error { return ports.Delete(ctx, api, p.ID).ExtractErr() })
			require.Equal(t, "DOWN", p.Status)
			require.Len(t, p.FixedIPs, 1)
			ids = append(ids, p.ID)
		}
		query := "ports?tenant_id=" + s.admin.projectID + "&sort_key=name&sort_dir=asc&limit=2&fields=id&fields=name"
		for i := range ids {
			query += "&name=" + s.prefix + []string{"port-a", "port-b", "port-c"}[i]
		}
		var seen []string
		for next := query; next != ""; {
			a := s.admin.ask(t, api, "GET", next, nil)
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.LessOrEqual(t, len(a.at(t, "ports").([]any)), 2)
			for _, p := range a.at(t, "ports").([]any) {
				require.Len(t, p, 2, "only the fields that were asked for")
				seen = append(seen, p.(object)["id"].(string))
			}
			next = ""
			if links, ok := a.at(t).(object)["ports_links"].([]any); ok {
				for _, l := range links {
					if l.(object)["rel"] == "next" {
						next = l.(object)["href"].(string)
						u, err := url.Parse(next)
						require.NoError(t, err)
						require.Equal(t, seen[len(seen)-1], u.Query().Get("marker"))
					}
				}
			}
		}
		require.Equal(t, ids, seen)
		for query, test := range map[string]struct {
			status     int
			kind, says string
		}{
			"limit=x":                      {400, "BadRequest", "Bad limit request: Limit must be an integer 0 or greater and not 'x'."},
			"limit=1&marker=" + nobody:     {404, "PortNotFound", "Port " + nobody + " could not be found."},
			"sort_key=nosuch&sort_dir=asc": {400, "HTTPBadRequest", "['nosuch'] is invalid attribute for sort_keys"},
			"sort_key=name":                {400, "HTTPBadRequest", "The number of sort_keys and sort_dirs must be same"},
		} {
			a := s.admin.ask(t, api, "GET", "ports?"+query, nil)
			require.Equal(t, test.status, a.status, a.body)
			require.Equal(t, test.kind, a.text(t, "NeutronError", "type"), query)
			require.Equal(t, test.says, a.text(t, "NeutronError", "message"), query)
		}
		p, err := ports.Update(t.Context(), api, ids[0], ports.UpdateOpts{Name: new(s.prefix + "port-d")}).Extract()
		require.NoError(t, err)
		require.Equal(t, s.prefix+"port-d", p.Name)
		at := func(address string) error {
			return ports.Create(t.Context(), api, ports.CreateOpts{NetworkID: s.networkID, FixedIPs: []ports.IP{{IPAddress: address}}}).Err
		}
		twice := refused(t, at(p.FixedIPs[0].IPAddress), http.StatusConflict)
		require.Equal(t, "IpAddressAlreadyAllocated", twice.text(t, "NeutronError", "type"))
		outside := refused(t, at("192.0.2.1"), http.StatusBadRequest) // of TEST-NET-1, RFC 5737
		require.Equal(t, "InvalidIpForNetwork", outside.text(t, "NeutronError", "type"))
	})
	t.Run("agents", func(t *testing.T) {
		a := s.admin.ask(t, api, "GET", "agents", nil)
		require.Equal(t, http.StatusOK, a.status)
		for _, agent := range a.at(t, "agents").([]any) {
			for _, key := range []string{"id", "agent_type", "binary", "host", "alive", "admin_state_up", "heartbeat_timestamp", "configurations"} {
				require.Contains(t, agent, key)
			}
		}
		a = s.user.ask(t, s.user.network, "GET", "agents", nil)
		require.Equal(t, http.StatusOK, a.status, "users see none")
		require.JSONEq(t, `{"agents":[]}`, a.body)
	})
}
