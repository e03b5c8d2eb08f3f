package neutron

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// tokens are "admin", and else the name of a project.
type tokens struct{}

func (tokens) Caller(token string) *service.Caller {
	c := &service.Caller{UserID: "u", ProjectID: token, Roles: []string{"member"}}
	if token == "admin" {
		c.Roles = []string{"admin"}
	}
	return c
}

func newNeutron(t *testing.T) *Neutron {
	n, err := New(Config{Tokens: tokens{}, Owner: "admin", Hosts: []string{"h"}, Networks: []Network{
		{ID: "net", Name: "desktops", Subnet: netip.MustParsePrefix("10.0.0.0/29")},
	}})
	require.NoError(t, err)
	return n
}

func TestAddressesRunOutAndComeBack(t *testing.T) {
	n := newNeutron(t)
	seen := map[string]bool{}
	for _, server := range []string{"1", "2", "3", "4", "5"} { // of 8: network, gateway, broadcast
		p, err := n.Attach(PortSpec{Network: "net", Server: server, Host: "h", Project: "p"})
		require.NoError(t, err)
		require.False(t, seen[p.Address])
		seen[p.Address] = true
		require.True(t, netip.MustParsePrefix("10.0.0.0/29").Contains(netip.MustParseAddr(p.Address)))
		require.Equal(t, "desktops", p.Network)
		require.True(t, strings.HasPrefix(p.MAC, "fa:16:3e:"))
	}
	_, err := n.Attach(PortSpec{Network: "net", Server: "6", Project: "p"})
	require.ErrorIs(t, err, ErrNoAddresses)
	n.Detach("2")
	n.Detach("nobody")
	p, err := n.Attach(PortSpec{Network: "net", Server: "6", Project: "p"})
	require.NoError(t, err)
	require.Equal(t, "10.0.0.3", p.Address)
	_, err = n.Attach(PortSpec{Network: "none", Server: "7"})
	require.ErrorIs(t, err, ErrNoNetwork)
}

// TestMACsAreUnique with so many ports that random ones of three bytes are not: some twelve pairs of 20,000 are equal.
func TestMACsAreUnique(t *testing.T) {
	const ports = 20_000
	n, err := New(Config{Tokens: tokens{}, Owner: "admin", Hosts: []string{"h"}, Networks: []Network{
		{ID: "net", Name: "desktops", Subnet: netip.MustParsePrefix("10.0.0.0/16")},
	}})
	require.NoError(t, err)
	seen := make(map[string]bool, ports)
	for i := range ports {
		p, err := n.Attach(PortSpec{Network: "net", Server: strconv.Itoa(i), Host: "h", Project: "p"})
		require.NoError(t, err)
		require.Falsef(t, seen[p.MAC], "port %d has another one's %s", i, p.MAC)
		seen[p.MAC] = true
	}
	n.Detach("7")
	require.Len(t, n.macs, ports-1, "given back with its port")
}

func TestAPI(t *testing.T) {
	n := newNeutron(t)
	_, err := n.Attach(PortSpec{Network: "net", Server: "server", Host: "h", Project: "p"})
	require.NoError(t, err)
	subnetID := n.subnets.order[0].ID
	portID := n.ports.order[0].ID
	ids := strings.NewReplacer("SUBNET", subnetID, "PORT", portID, "AGENT", n.agents[0].ID)
	created := "" // the id that the last POST made
	for _, test := range []struct {
		token, request, body string
		status               int
		says                 string
	}{
		{"p", "GET /v2.0/networks?name=desktops", "", 200, `"id":"net"`},
		{"p", "GET /v2.0/networks?name=other", "", 200, `{"networks":[]}`},
		{"p", "GET /v2.0/networks/net", "", 200, `"shared":true`},
		{"p", "DELETE /v2.0/networks/net", "", 403, `PolicyNotAuthorized`},
		{"admin", "DELETE /v2.0/networks/net", "", 409, `NetworkInUse`},
		{"p", "POST /v2.0/networks", `{"network":{"name":"n","shared":true}}`, 403, `PolicyNotAuthorized`},
		{"p", "GET /v2.0/subnets?network_id=net", "", 200, `"gateway_ip":"10.0.0.1"`},
		{"p", "GET /v2.0/subnets/SUBNET", "", 200, `"cidr":"10.0.0.0/29"`},
		{"p", "GET /v2.0/subnets/none", "", 404, `SubnetNotFound`},
		{"p", "POST /v2.0/subnets", `{"subnet":{"network_id":"net","cidr":"10.1.0.0/24"}}`, 404, `NetworkNotFound`},
		{"admin", "POST /v2.0/subnets", `{"subnet":{"network_id":"net","cidr":"10.0.0.0/24","ip_version":4}}`, 400, `overlaps with another subnet.`},
		{"admin", "POST /v2.0/subnets", `{"subnet":{"network_id":"net","cidr":"x"}}`, 400, `x is not in a CIDR format.`},
		{"admin", "DELETE /v2.0/subnets/SUBNET", "", 409, `SubnetInUse`},
		{"p", "DELETE /v2.0/subnets/SUBNET", "", 403, `PolicyNotAuthorized`},
		{"p", "GET /v2.0/ports?device_id=server", "", 200, `"device_owner":"compute:nova"`},
		{"admin", "GET /v2.0/ports/PORT", "", 200, `"binding:host_id":"h"`},
		{"other", "GET /v2.0/ports", "", 200, `{"ports":[]}`},
		{"other", "GET /v2.0/ports/PORT", "", 404, `PortNotFound`},
		{"other", "DELETE /v2.0/ports/PORT", "", 404, `PortNotFound`},
		{"p", "POST /v2.0/ports", `{"port":{"network_id":"11111111-1111-1111-1111-111111111111"}}`, 404, `NetworkNotFound`},
		{"p", "DELETE /v2.0/ports/PORT", "", 204, ``},
		{"p", "GET /v2.0/ports?device_id=server", "", 200, `{"ports":[]}`},
		{"admin", "GET /v2.0/agents?host=h&agent_type=DHCP+agent", "", 200, `"binary":"neutron-dhcp-agent"`},
		{"admin", "GET /v2.0/agents/AGENT", "", 200, `"alive":true`},
		{"p", "GET /v2.0/agents", "", 200, `{"agents":[]}`},
		{"p", "GET /v2.0/agents/AGENT", "", 404, `AgentNotFound`},
		{"p", "GET /v2.0/extensions", "", 200, `"alias":"agent"`},
		{"p", "POST /v2.0/networks", `{"network":{"name":"own"}}`, 201, `"shared":false`},
		{"other", "GET /v2.0/networks/CREATED", "", 404, `NetworkNotFound`},
		{"p", "DELETE /v2.0/networks/CREATED", "", 204, ``},
		{"admin", "DELETE /v2.0/subnets/SUBNET", "", 204, ``},
		{"admin", "DELETE /v2.0/networks/net", "", 204, ``},
	} {
		t.Run(test.token+" "+test.request, func(t *testing.T) {
			expand := func(s string) string { return strings.ReplaceAll(ids.Replace(s), "CREATED", created) }
			method, path, _ := strings.Cut(expand(test.request), " ")
			r := httptest.NewRequest(method, path, strings.NewReader(expand(test.body)))
			r.Header.Set("X-Auth-Token", test.token)
			w := httptest.NewRecorder()
			n.ServeHTTP(w, r)
			require.Equal(t, test.status, w.Code, w.Body)
			require.Contains(t, w.Body.String(), test.says)
			if w.Code == 201 {
				var body map[string]struct{ ID string }
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
				for _, v := range body {
					created = v.ID
				}
			}
		})
	}
}
