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
		{lab.Neutron, "POST /v2.0/subnets"}, {lab.Neutron, "GET /v2.0/ports"},
	}
	for _, body := range []string{
		`{"server":{"name":"x","flavorRef":"` + lab.FlavorID("desktop.small") + `","imageRef":"` + lab.ImageID("desktop") + `","networks":"auto"}}`,
		`{"server":null}`, `{"reboot":{"type":"HARD"}}`, `{"os-stop":null}`, `{"tags":["a"]}`, `{"metadata":{"a":"b"}}`,
		passwordBody("admin", "Default", "admin", desktopsScope), `{"auth":{"identity":{"methods":["password"],"password":null}}}`,
		`{"remote_console":{"protocol":"spice","type":"spice-html5"}}`, `{"subnet":{"cidr":"10.0.0.0/0"}}`,
	} {
		for i := range requests {
			f.Add(uint8(i), "limit=1&marker="+server+"&sort_key=uuid&name=a&tags=x,y&all_tenants=1", "2.93", body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, query, version, body string) {
		target := requests[int(which)%len(requests)]
		method, path, _ := strings.Cut(target.line, " ")
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("X-Auth-Token", token)
		r.Header.Set("OpenStack-API-Version", "compute "+version+", placement "+version)
		w := httptest.NewRecorder()
		target.to.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), "ValueError") {
			return // the console of a server that does not run, as of the real Nova
		}
		require.Less(t, w.Code, 500, w.Body)
	})
}
