package sim_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// FuzzRequests: whatever a client sends is its own mistake, never the lab's.
func FuzzRequests(f *testing.F) {
	lab := startLab(f, sim.Config{Servers: []sim.ServerSeed{{Name: "a"}}, Desktops: idleDesktops, Quota: sim.Quota{Instances: 50}})
	token := adminToken(f, lab)
	server := lab.Servers()[0].ID
	requests := []struct {
		to   http.Handler
		line string
	}{
		{lab.Nova, "POST /v2.1/servers"}, {lab.Nova, "GET /v2.1/servers/detail"}, {lab.Nova, "POST /v2.1/servers/" + server + "/action"},
		{lab.Nova, "PUT /v2.1/servers/" + server}, {lab.Nova, "PUT /v2.1/servers/" + server + "/tags"},
		{lab.Nova, "POST /v2.1/servers/" + server + "/metadata"}, {lab.Nova, "POST /v2.1/servers/" + server + "/remote-consoles"},
		{lab.Nova, "GET /v2.1/os-hypervisors/detail"}, {lab.Keystone, "POST /v3/auth/tokens"}, {lab.Keystone, "POST /v3/projects"},
		{lab.Placement, "GET /resource_providers"}, {lab.Glance, "GET /v2/images"}, {lab.Neutron, "POST /v2.0/networks"},
		{lab.Neutron, "POST /v2.0/subnets"}, {lab.Neutron, "GET /v2.0/ports"}, {lab.Neutron, "POST /v2.0/ports"},
		{lab.Neutron, "PUT /v2.0/networks/" + lab.NetworkID("desktops")}, {lab.Neutron, "PUT /v2.0/quotas/p"}, {lab.Neutron, "GET /v2.0/agents"},
		{lab.Placement, "POST /resource_providers"}, {lab.Placement, "PUT /allocations/" + server}, {lab.Placement, "POST /allocations"},
		{lab.Placement, "GET /allocation_candidates"}, {lab.Placement, "PUT /resource_providers/" + lab.Servers()[0].Host + "/inventories"},
		{lab.Keystone, "POST /v3/users"}, {lab.Keystone, "POST /v3/endpoints"}, {lab.Keystone, "GET /v3/role_assignments"},
		{lab.Glance, "POST /v2/images"}, {lab.Glance, "PATCH /v2/images/" + lab.ImageID("desktop")},
	}
	for _, body := range []string{
		`{"server":{"name":"x","flavorRef":"` + lab.FlavorID("desktop.small") + `","imageRef":"` + lab.ImageID("desktop") + `","networks":"auto"}}`,
		`{"server":null}`, `{"reboot":{"type":"HARD"}}`, `{"os-stop":null}`, `{"tags":["a"]}`, `{"metadata":{"a":"b"}}`,
		passwordBody("admin", "Default", "admin", desktopsScope), `{"auth":{"identity":{"methods":["password"],"password":null}}}`,
		`{"remote_console":{"protocol":"spice","type":"spice-html5"}}`, `{"subnet":{"cidr":"10.0.0.0/0"}}`,
		`{"port":{"network_id":"` + lab.NetworkID("desktops") + `","fixed_ips":[{"ip_address":"10.20.0.9"}],"mac_address":"fa:16:3e:00:00:01"}}`,
		`{"subnet":{"network_id":"` + lab.NetworkID("desktops") + `","cidr":"10.8.0.0/24","ip_version":4,"allocation_pools":[{"start":"10.8.0.2","end":"10.8.0.3"}]}}`,
		`{"user":{"name":"x"}}`, `{"endpoint":{"service_id":"x","interface":"public","url":"x"}}`, `[{"op":"replace","path":"/name","value":"x"}]`,
		`{"allocations":{},"project_id":"p","user_id":"u","consumer_generation":null,"consumer_type":"X"}`, `{"network":null}`, `{"quota":{"port":1}}`,
	} {
		for i := range requests {
			f.Add(uint8(i), "limit=1&marker="+server+"&sort_key=uuid&name=a&tags=x,y&all_tenants=1", "2.93", body)
			f.Add(uint8(i), "limit=1&sort_key=name&sort_dir=asc&fields=name&resources=VCPU:1&required=!X&member_of=in:a,b", "2.39", body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, query, version, body string) {
		target := requests[int(which)%len(requests)]
		method, path, _ := strings.Cut(target.line, " ")
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("X-Auth-Token", token)
		r.Header.Set("OpenStack-API-Version", "compute "+version+", placement "+strings.Replace(version, "2.", "1.", 1))
		if method == "PATCH" {
			r.Header.Set("Content-Type", "application/openstack-images-v2.1-json-patch")
		}
		w := httptest.NewRecorder()
		target.to.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), "ValueError") {
			return // the console of a server that does not run, as of the real Nova
		}
		require.Less(t, w.Code, 500, w.Body)
	})
}
