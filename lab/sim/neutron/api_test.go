package neutron

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/networkipavailabilities"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsbinding"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// heard are the notifications that were sent.
type heard struct {
	names    []string
	payloads []any
}

func (h *heard) Notify(_, _, event string, payload any) {
	h.names, h.payloads = append(h.names, event), append(h.payloads, payload)
}

// TestLife is a desktop's network, with gophercloud.
func TestLife(t *testing.T) {
	events := &heard{}
	server := httptest.NewUnstartedServer(nil)
	n, err := New(Config{
		URL: "http://" + server.Listener.Addr().String(), Tokens: tokens{}, Owner: "admin", Hosts: []string{"h1", "h2"}, Notifier: events,
	})
	require.NoError(t, err)
	server.Config.Handler = n
	server.Start()
	defer server.Close()
	client := &gophercloud.ServiceClient{ProviderClient: &gophercloud.ProviderClient{TokenID: "admin"}, Endpoint: server.URL + "/v2.0/"}
	ctx := t.Context()

	network, err := networks.Create(ctx, client, networks.CreateOpts{Name: "floor"}).Extract()
	require.NoError(t, err)
	var made []string
	for i := range 2 {
		subnet, err := subnets.Create(ctx, client, subnets.CreateOpts{
			NetworkID: network.ID, Name: fmt.Sprint("s", i), CIDR: fmt.Sprintf("10.%d.0.0/29", i), IPVersion: gophercloud.IPv4, EnableDHCP: new(bool),
			AllocationPools: []subnets.AllocationPool{{Start: fmt.Sprintf("10.%d.0.2", i), End: fmt.Sprintf("10.%d.0.3", i)}}, DNSNameservers: []string{"10.9.9.9"},
		}).Extract()
		require.NoError(t, err)
		require.False(t, subnet.EnableDHCP)
		made = append(made, subnet.ID)
	}
	for i := range 4 {
		port, err := ports.Create(ctx, client, ports.CreateOpts{NetworkID: network.ID, Name: fmt.Sprint("p", i)}).Extract()
		require.NoError(t, err)
		require.Len(t, port.FixedIPs, 1, "of the first subnet that has one left")
		require.Equal(t, made[i/2], port.FixedIPs[0].SubnetID)
	}
	_, err = ports.Create(ctx, client, ports.CreateOpts{NetworkID: network.ID}).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 409), "%v", err)

	pages := 0
	var names []string
	pager := ports.List(client, ports.ListOpts{NetworkID: network.ID, Limit: 3, SortKey: "name", SortDir: "desc"})
	require.NoError(t, pager.EachPage(ctx, func(_ context.Context, page pagination.Page) (bool, error) {
		list, err := ports.ExtractPorts(page)
		for _, p := range list {
			names = append(names, p.Name)
		}
		pages++
		return true, err
	}))
	require.Equal(t, []string{"p3", "p2", "p1", "p0"}, names)
	require.Equal(t, 2, pages)
	page, err := networkipavailabilities.List(client, nil).AllPages(ctx)
	require.NoError(t, err)
	free, err := networkipavailabilities.ExtractNetworkIPAvailabilities(page)
	require.NoError(t, err)
	require.Equal(t, "4", free[0].UsedIPs)
	require.Equal(t, "4", free[0].TotalIPs)

	page, err = ports.List(client, ports.ListOpts{Name: "p0"}).AllPages(ctx)
	require.NoError(t, err)
	list, err := ports.ExtractPorts(page)
	require.NoError(t, err)
	device, host := "server", "h1"
	type bound struct {
		ports.Port
		portsbinding.PortsBindingExt
	}
	var updated bound
	require.NoError(t, ports.Update(ctx, client, list[0].ID, portsbinding.UpdateOptsExt{
		UpdateOptsBuilder: ports.UpdateOpts{DeviceID: &device, FixedIPs: []ports.IP{{IPAddress: "10.1.0.5"}}}, HostID: &host,
	}).ExtractInto(&updated))
	require.Equal(t, "ovs", updated.VIFType)
	require.Equal(t, "10.1.0.5", updated.FixedIPs[0].IPAddress)

	require.NoError(t, n.SetAgentDown("h2", layer2, true))
	require.Error(t, n.SetAgentDown("h3", layer2, true))
	host = "h2"
	require.NoError(t, ports.Update(ctx, client, list[0].ID, portsbinding.UpdateOptsExt{UpdateOptsBuilder: ports.UpdateOpts{}, HostID: &host}).ExtractInto(&updated))
	require.Equal(t, "binding_failed", updated.VIFType)
	_, err = n.Attach(PortSpec{Network: network.ID, Server: "s", Host: "h2", Project: "p"})
	require.ErrorIs(t, err, ErrBinding)
	page, err = agents.List(client, agents.ListOpts{Host: "h2"}).AllPages(ctx)
	require.NoError(t, err)
	known, err := agents.ExtractAgents(page)
	require.NoError(t, err)
	require.False(t, known[0].Alive)
	require.True(t, known[1].Alive)
	up := false
	changed, err := agents.Update(ctx, client, known[1].ID, agents.UpdateOpts{AdminStateUp: &up}).Extract()
	require.NoError(t, err)
	require.False(t, changed.AdminStateUp)

	limit := 4
	_, err = quotas.Update(ctx, client, "admin", quotas.UpdateOpts{Port: &limit}).Extract()
	require.NoError(t, err)
	_, err = ports.Create(ctx, client, ports.CreateOpts{NetworkID: network.ID, FixedIPs: []ports.IP{}}).Extract()
	require.ErrorContains(t, err, "Quota exceeded for resources: ['port'].")
	detail, err := quotas.GetDetail(ctx, client, "admin").Extract()
	require.NoError(t, err)
	require.Equal(t, quotas.QuotaDetail{Limit: 4, Used: 4}, detail.Port)

	for _, p := range []string{"p0", "p1", "p2", "p3"} {
		page, err := ports.List(client, ports.ListOpts{Name: p}).AllPages(ctx)
		require.NoError(t, err)
		list, err := ports.ExtractPorts(page)
		require.NoError(t, err)
		require.NoError(t, ports.Delete(ctx, client, list[0].ID).ExtractErr())
	}
	require.NoError(t, subnets.Delete(ctx, client, made[0]).ExtractErr())
	require.NoError(t, networks.Delete(ctx, client, network.ID).ExtractErr())
	require.Empty(t, n.subnets.order)
	require.Empty(t, n.macs)
	require.Empty(t, n.portsOf)

	require.Equal(t, []string{"network.create.start", "network.create.end", "subnet.create.start", "subnet.create.end"}, events.names[:4])
	require.Equal(t, []string{"port.delete.end", "subnet.delete.start", "subnet.delete.end", "network.delete.start", "network.delete.end"}, events.names[len(events.names)-5:])
	caused := events.payloads[1].(service.Caused)
	require.Equal(t, "admin", caused.By.ProjectID)
	require.Equal(t, "floor", caused.Payload.(map[string]any)["network"].(map[string]any)["name"])
	require.Contains(t, events.names, "port.update.end")
}

// TestAnswers holds the answers to what a real Neutron of Zed was seen to answer.
func TestAnswers(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 10, 0, time.UTC)
	n, err := New(Config{
		URL: "http://neutron", Tokens: tokens{}, Owner: "admin", Hosts: []string{"h"}, Now: func() time.Time { return now },
		Networks: []Network{{ID: "net", Name: "desktops", Subnet: netip.MustParsePrefix("10.0.0.0/24")}},
	})
	require.NoError(t, err)
	ids := map[string]string{"SUBNET": n.subnets.order[0].ID, "AGENT": n.agents[0].ID}
	for i, s := range []struct {
		token, request, body string
		status               int
		says                 string
		keep                 string // the created id's name
	}{
		{"p", "POST /v2.0/networks", `{"network":{"name":"own"}}`, 201, `"revision_number":0`, "OWN"},
		{"p", "POST /v2.0/networks", `{"network":{"nam":"x"}}`, 400, `Unrecognized attribute(s) 'nam'`, ""},
		{"p", "POST /v2.0/networks", `{"network":{"name":1}}`, 400, `Invalid input for name. Reason: '1' is not a valid string.`, ""},
		{"p", "POST /v2.0/networks", `{"net":{}}`, 400, `Unable to find 'network' in request body`, ""},
		{"p", "POST /v2.0/networks", `[]`, 400, `Body contains invalid data`, ""},
		{"p", "POST /v2.0/networks", `{"network":{"status":"x"}}`, 400, `Attribute 'status' not allowed in POST`, ""},
		{"p", "PUT /v2.0/networks/OWN", `{"network":{"tenant_id":"x"}}`, 400, `Cannot update read-only attribute tenant_id`, ""},
		{"p", "PUT /v2.0/networks/OWN", `{"network":{"id":"x"}}`, 400, `Cannot update read-only attribute id`, ""},
		{"p", "PUT /v2.0/networks/OWN", `{"network":{"admin_state_up":"maybe"}}`, 400, `Invalid input for operation: 'maybe' cannot be converted to boolean.`, ""},
		{"p", "PUT /v2.0/networks/OWN", `{"network":{"description":"d"}}`, 200, `"revision_number":1`, ""},
		{"p", "PUT /v2.0/networks/net", `{"network":{"description":"d"}}`, 403, `rule:update_network is disallowed by policy`, ""},
		{"admin", "GET /v2.0/networks/OWN", "", 200, `"provider:network_type":"vxlan"`, ""},

		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.1.0.0/24","ip_version":4}}`, 201, `"allocation_pools":[{"start":"10.1.0.2","end":"10.1.0.254"}]`, "FIRST"},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.1.0.0/25","ip_version":4}}`, 400, `Invalid input for operation: Requested subnet with cidr: 10.1.0.0/25 for network: OWN overlaps with another subnet.`, ""},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.2.0.0/24","ip_version":6}}`, 400, `cidr '10.2.0.0/24' does not match the ip_version '6'.`, ""},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.2.0.0/24"}}`, 400, `Failed to parse request. Required attribute 'ip_version' not specified`, ""},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","ip_version":4}}`, 400, `Bad subnets request: a subnetpool must be specified in the absence of a cidr.`, ""},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.2.0.0/29","ip_version":4,"gateway_ip":null,"allocation_pools":[{"start":"10.2.0.2","end":"10.2.0.3"}]}}`, 201, `"gateway_ip":null`, "SECOND"},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.3.0.0/29","ip_version":4,"allocation_pools":[{"start":"10.3.1.2","end":"10.3.1.3"}]}}`, 400, `The allocation pool 10.3.1.2-10.3.1.3 spans beyond the subnet cidr 10.3.0.0/29.`, ""},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.3.0.0/29","ip_version":4,"allocation_pools":[{"start":"10.3.0.3","end":"10.3.0.2"}]}}`, 400, `The allocation pool {'start': '10.3.0.3', 'end': '10.3.0.2'} is not valid.`, ""},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"OWN","cidr":"10.3.0.0/29","ip_version":4,"gateway_ip":"10.3.0.3","allocation_pools":[{"start":"10.3.0.2","end":"10.3.0.4"}]}}`, 409, `Gateway ip 10.3.0.3 conflicts with allocation pool 10.3.0.2-10.3.0.4.`, ""},
		{"p", "PUT /v2.0/subnets/FIRST", `{"subnet":{"name":"first","enable_dhcp":false}}`, 200, `"enable_dhcp":false`, ""},
		{"p", "PUT /v2.0/subnets/FIRST", `{"subnet":{"cidr":"10.5.0.0/24"}}`, 400, `Cannot update read-only attribute cidr`, ""},

		{"admin", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[{"ip_address":"10.1.0.50"}],"mac_address":"fa:16:3e:00:00:01","device_id":"d","binding:host_id":"h"}}`, 201, `"binding:vif_type":"ovs"`, "PORT"},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[{"ip_address":"10.1.0.50"}]}}`, 409, `IP address 10.1.0.50 already allocated in subnet FIRST`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","mac_address":"fa:16:3e:00:00:01"}}`, 409, `Unable to complete operation for network OWN. The mac address fa:16:3e:00:00:01 is in use.`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","mac_address":"x"}}`, 400, `Invalid input for mac_address. Reason: 'x' is not a valid MAC address.`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[{"ip_address":"10.99.0.5"}]}}`, 400, `IP address 10.99.0.5 is not a valid IP for any of the subnets on the specified network.`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[{"subnet_id":"FIRST","ip_address":"10.2.0.2"}]}}`, 400, `IP address 10.2.0.2 is not a valid IP for the specified subnet.`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[{"subnet_id":"none"}]}}`, 404, `Subnet none could not be found.`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"nope"}}`, 400, `Invalid input for network_id. Reason: 'nope' is not a valid UUID.`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"name":"x"}}`, 400, `Failed to parse request. Required attribute 'network_id' not specified`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","binding:host_id":"h"}}`, 403, `PolicyNotAuthorized`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","name":"two","fixed_ips":[{"subnet_id":"SECOND"},{"subnet_id":"FIRST"}]}}`, 201, `"ip_address":"10.2.0.2"`, "TWO"},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[{"subnet_id":"SECOND"},{"subnet_id":"SECOND"}]}}`, 409, `No more IP addresses available on network OWN.`, ""},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[{"subnet_id":"SECOND"}]}}`, 201, `"ip_address":"10.2.0.3"`, ""}, // what was refused took none
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"OWN","fixed_ips":[]}}`, 201, `"fixed_ips":[]`, ""},
		{"p", "PUT /v2.0/ports/TWO", `{"port":{"fixed_ips":[{"ip_address":"10.1.0.50"}]}}`, 409, `already allocated`, ""},
		{"p", "GET /v2.0/ports/TWO", "", 200, `"ip_address":"10.2.0.2"`, ""},
		{"p", "PUT /v2.0/ports/TWO", `{"port":{"fixed_ips":[{"ip_address":"10.2.0.2"},{"ip_address":"10.1.0.77"}],"mac_address":"fa:16:3e:00:00:02"}}`, 200, `"mac_address":"fa:16:3e:00:00:02"`, ""},
		{"p", "PUT /v2.0/ports/TWO", `{"port":{"network_id":"x"}}`, 400, `Cannot update read-only attribute network_id`, ""},
		{"p", "PUT /v2.0/ports/TWO", `{"port":{"security_groups":["g"],"port_security_enabled":false}}`, 409, `Port has security group associated.`, ""},
		{"p", "PUT /v2.0/ports/none", `{"port":{"name":"x"}}`, 404, `Port none could not be found.`, ""},

		{"p", "GET /v2.0/ports?fixed_ips=ip_address%3D10.1.0.77&fields=name", "", 200, `{"ports":[{"name":"two"}]}`, ""},
		{"p", "GET /v2.0/ports?limit=1&sort_key=name&sort_dir=desc&fields=name", "", 200, `"href":"http://neutron/v2.0/ports?fields=name\u0026limit=1\u0026marker=TWO\u0026sort_dir=desc\u0026sort_key=name","rel":"next"`, ""},
		{"p", "GET /v2.0/ports?limit=1&sort_key=name&sort_dir=asc&fields=name&marker=TWO&page_reverse=True", "", 200, `"rel":"previous"`, ""},
		{"p", "GET /v2.0/ports?sort_key=name", "", 400, `The number of sort_keys and sort_dirs must be same`, ""},
		{"p", "GET /v2.0/ports?sort_key=name&sort_dir=up", "", 400, `['up'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'`, ""},
		{"p", "GET /v2.0/ports?limit=x", "", 400, `Bad limit request: Limit must be an integer 0 or greater and not 'x'.`, ""},
		{"p", "GET /v2.0/ports?limit=1&marker=nope", "", 404, `Port nope could not be found.`, ""},
		{"p", "GET /v2.0/ports?odd=1", "", 400, `['odd'] is invalid attribute for filtering`, ""},
		{"p", "GET /v2.0/networks?shared=True&fields=id", "", 200, `{"networks":[{"id":"net"}]}`, ""},
		{"p", "DELETE /v2.0/networks/OWN", "", 409, `There are one or more ports still in use on the network, id for these ports is: PORT,TWO,`, ""},
		{"p", "DELETE /v2.0/subnets/FIRST", "", 409, `Unable to complete operation on subnet FIRST: One or more ports have an IP allocation from this subnet.`, ""},

		{"admin", "GET /v2.0/agents/AGENT", "", 200, `"heartbeat_timestamp":"2026-11-21 08:00:00"`, ""},
		{"admin", "PUT /v2.0/agents/AGENT", `{"agent":{"description":"x"}}`, 200, `"description":"x"`, ""},
		{"admin", "PUT /v2.0/agents/AGENT", `{"agent":{"host":"x"}}`, 400, `Cannot update read-only attribute host`, ""},
		{"admin", "DELETE /v2.0/agents/AGENT", "", 204, ``, ""},
		{"admin", "GET /v2.0/agents?binary=neutron-openvswitch-agent", "", 200, `{"agents":[]}`, ""},

		{"admin", "GET /v2.0/quotas", "", 200, `{"quotas":[]}`, ""},
		{"q", "GET /v2.0/quotas/q", "", 200, `"port":-1`, ""},
		{"q", "GET /v2.0/quotas/p", "", 403, `PolicyNotAuthorized`, ""},
		{"q", "PUT /v2.0/quotas/q", `{"quota":{"network":1}}`, 403, `PolicyNotAuthorized`, ""},
		{"admin", "PUT /v2.0/quotas/q", `{"quota":{"network":1,"nope":2}}`, 400, `Unrecognized attribute(s) 'nope'`, ""},
		{"admin", "PUT /v2.0/quotas/q", `{"quota":{"network":0,"subnet":0}}`, 200, `"network":0`, ""},
		{"admin", "GET /v2.0/quotas", "", 200, `"project_id":"q"`, ""},
		{"q", "POST /v2.0/networks", `{"network":{}}`, 409, `Quota exceeded for resources: ['network'].`, ""},
		{"admin", "DELETE /v2.0/quotas/q", "", 204, ``, ""},
		{"admin", "DELETE /v2.0/quotas/q", "", 404, `Quota for tenant q could not be found.`, ""},
		{"q", "GET /v2.0/quotas/q/default", "", 200, `"network":100`, ""},
		{"admin", "GET /v2.0/network-ip-availabilities/OWN", "", 200, `"total_ips":255`, ""},
		{"p", "GET /v2.0/network-ip-availabilities", "", 200, `{"network_ip_availabilities":[]}`, ""},
		{"p", "GET /v2.0/extensions/quotas", "", 200, `"alias":"quotas"`, ""},
		{"p", "GET /v2.0/extensions/odd", "", 404, `HTTPNotFound`, ""},
	} {
		expand := func(s string) string {
			for name, id := range ids {
				s = strings.ReplaceAll(s, name, id)
			}
			return s
		}
		method, path, _ := strings.Cut(expand(s.request), " ")
		r := httptest.NewRequest(method, path, strings.NewReader(expand(s.body)))
		r.Header.Set("X-Auth-Token", s.token)
		w := httptest.NewRecorder()
		n.ServeHTTP(w, r)
		require.Equal(t, s.status, w.Code, "%d %s %s: %s", i, s.request, s.body, w.Body)
		require.Contains(t, w.Body.String(), expand(s.says), "%d %s %s", i, s.request, s.body)
		if s.keep != "" {
			var made map[string]struct{ ID string }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &made))
			for _, v := range made {
				ids[s.keep] = v.ID
			}
		}
	}
	now = now.Add(reportInterval)
	require.Len(t, n.known(), 2, "an agent that is alive is back")
	require.NotEqual(t, ids["AGENT"], n.known()[0].ID)
}

func TestAddresses(t *testing.T) {
	a := newAddresses([]span{{10, 11}, {20, 20}})
	require.True(t, a.takeThis(11))
	require.False(t, a.takeThis(11))
	require.True(t, a.takeThis(99), "outside of all ranges")
	for _, want := range []uint32{10, 20} {
		got, ok := a.take()
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok := a.take()
	require.False(t, ok)
	a.giveBack(11)
	a.giveBack(99)
	require.True(t, a.takeThis(11))
	_, ok = a.take()
	require.False(t, ok, "what was given back was taken by name")
	a.giveBack(20)
	got, ok := a.take()
	require.True(t, ok)
	require.EqualValues(t, 20, got)
	require.Equal(t, 3, a.total())
}
