package keystone

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/endpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/regions"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// TestRegisterCloud does as the administrator of a new cloud does, with gophercloud.
func TestRegisterCloud(t *testing.T) {
	c := Config{Projects: []string{"admin"}, Local: []LocalUser{{Name: "admin", Password: "p1", Roles: map[string][]string{"admin": {"admin"}}}}}
	server := httptest.NewUnstartedServer(nil)
	c.URL = "http://" + server.Listener.Addr().String()
	events := &heard{}
	c.Notifier = events
	k, err := New(c)
	require.NoError(t, err)
	server.Config.Handler = k
	server.Start()
	defer server.Close()

	ctx := t.Context()
	login := func(user, password, project string) (*gophercloud.ProviderClient, error) {
		return openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{
			IdentityEndpoint: k.URL(), Username: user, Password: password, DomainID: "default",
			Scope: &gophercloud.AuthScope{ProjectName: project, DomainID: "default"},
		})
	}
	admin, err := login("admin", "p1", "admin")
	require.NoError(t, err)
	identity, err := openstack.NewIdentityV3(admin, gophercloud.EndpointOpts{})
	require.NoError(t, err)

	project, err := projects.Create(ctx, identity, projects.CreateOpts{Name: "service", Description: "of services"}).Extract()
	require.NoError(t, err)
	user, err := users.Create(ctx, identity, users.CreateOpts{Name: "nova", Password: "secret", DomainID: "default"}).Extract()
	require.NoError(t, err)
	_, err = login("nova", "secret", "service")
	require.Error(t, err, "no role yet")
	page, err := roles.List(identity, roles.ListOpts{Name: "admin"}).AllPages(ctx)
	require.NoError(t, err)
	found, err := roles.ExtractRoles(page)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, roles.Assign(ctx, identity, found[0].ID, roles.AssignOpts{UserID: user.ID, ProjectID: project.ID}).ExtractErr())
	nova, err := login("nova", "secret", "service")
	require.NoError(t, err)
	shown, err := tokens.Get(ctx, identity, nova.TokenID).ExtractRoles()
	require.NoError(t, err)
	require.Len(t, shown, 3, "admin implies member and reader")

	_, err = regions.Create(ctx, identity, regions.CreateOpts{ID: "RegionTwo"}).Extract()
	require.NoError(t, err)
	registered, err := services.Create(ctx, identity, services.CreateOpts{Type: "compute", Extra: map[string]any{"name": "nova"}}).Extract()
	require.NoError(t, err)
	endpoint, err := endpoints.Create(ctx, identity, endpoints.CreateOpts{
		Availability: gophercloud.AvailabilityPublic, Name: "nova", Region: "RegionTwo", URL: "http://nova/%(tenant_id)s/v2.1", ServiceID: registered.ID,
	}).Extract()
	require.NoError(t, err)
	nova, err = login("nova", "secret", "service")
	require.NoError(t, err)
	compute, err := openstack.NewComputeV2(nova, gophercloud.EndpointOpts{Region: "RegionTwo"})
	require.NoError(t, err)
	require.Equal(t, "http://nova/"+project.ID+"/v2.1/", compute.Endpoint, "what is registered is in the catalog")
	require.NoError(t, endpoints.Delete(ctx, identity, endpoint.ID).ExtractErr())

	require.NoError(t, roles.Unassign(ctx, identity, found[0].ID, roles.UnassignOpts{UserID: user.ID, ProjectID: project.ID}).ExtractErr())
	require.Nil(t, k.Caller(nova.TokenID), "without a role there is no token")
	require.NoError(t, users.Delete(ctx, identity, user.ID).ExtractErr())
	require.NoError(t, projects.Delete(ctx, identity, project.ID).ExtractErr())
	require.Equal(t, []string{
		"identity.project.created", "identity.user.created", "identity.region.created", "identity.service.created",
		"identity.endpoint.created", "identity.endpoint.deleted", "identity.user.deleted", "identity.project.deleted",
	}, events.names)
}

// heard are the notifications that were sent.
type heard struct{ names []string }

func (h *heard) Notify(_, _, event string, _ any) { h.names = append(h.names, event) }

// TestAdministration holds the answers to what a real Keystone of Zed was seen to answer.
func TestAdministration(t *testing.T) {
	k, _ := newKeystone(t)
	admin, bob := login(t, k, password(stableID("user", "admin"), "p1"), inDesktops), login(t, k, password(stableID("user", "bob"), "p2"), inDesktops)
	desktops, bobID := k.ProjectID("desktops"), stableID("user", "bob")
	names := map[string]string{"DESKTOPS": desktops, "BOB": bobID, "READER": stableID("role", "reader"), "MEMBER": stableID("role", "member"),
		"USERSDOMAIN": usersDomainID()}
	for i, s := range []struct {
		token, request, body string
		status               int
		says                 string
		keep                 string // the created id's name
	}{
		{admin, "POST /v3/users", `{"user":{"name":"new","password":"secret","description":"d"}}`, 201, `"description":"d"`, "NEW"},
		{admin, "POST /v3/users", `{"user":{"name":"new"}}`, 409, `Conflict occurred attempting to store user - Duplicate entry found with name new at domain ID default.`, ""},
		{admin, "POST /v3/users", `{"user":{}}`, 400, `'name' is a required property`, ""},
		{admin, "POST /v3/users", `{"user":{"name":"x","domain_id":"nope"}}`, 404, `Could not find domain: nope.`, ""},
		{admin, "POST /v3/users", `{"user":{"name":"x","domain_id":"USERSDOMAIN"}}`, 403, `LDAP does not support write operations`, ""},
		{admin, "POST /v3/users", `{"user":{"name":"x","enabled":"x"}}`, 400, `Invalid input for field 'enabled'`, ""},
		{bob, "POST /v3/users", `{"user":{"name":"x"}}`, 403, `You are not authorized to perform the requested action: identity:create_user.`, ""},
		{admin, "PATCH /v3/users/NEW", `{"user":{"email":"a@b"}}`, 200, `"extra":{"description":"d","email":"a@b"}`, ""},
		{"", "POST /v3/users/NEW/password", `{"user":{"password":"b","original_password":"wrong"}}`, 401, `requires authentication`, ""},
		{"", "POST /v3/users/NEW/password", `{"user":{"password":"b"}}`, 400, `'original_password' is a required property`, ""},
		{"", "POST /v3/users/NEW/password", `{"user":{"password":"better","original_password":"secret"}}`, 204, ``, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + password("NEW", "secret") + `}}`, 401, ``, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + password("NEW", "better") + `}}`, 201, ``, ""},
		{admin, "PATCH /v3/users/NEW", `{"user":{"enabled":false}}`, 200, `"enabled":false`, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + password("NEW", "better") + `}}`, 401, ``, ""},
		{admin, "DELETE /v3/users/NEW", "", 204, ``, ""},
		{admin, "DELETE /v3/users/NEW", "", 404, `Could not find user: NEW.`, ""},

		{admin, "POST /v3/roles", `{"role":{"name":"operator"}}`, 201, `"domain_id":null`, "OPERATOR"},
		{admin, "POST /v3/roles", `{"role":{"name":"operator"}}`, 409, `Conflict occurred attempting to store role - Duplicate entry found with name operator.`, ""},
		{admin, "DELETE /v3/roles/READER", "", 403, `immutable`, ""},
		{admin, "HEAD /v3/projects/DESKTOPS/users/BOB/roles/OPERATOR", "", 404, ``, ""},
		{admin, "PUT /v3/projects/DESKTOPS/users/BOB/roles/OPERATOR", "", 204, ``, ""},
		{admin, "HEAD /v3/projects/DESKTOPS/users/BOB/roles/OPERATOR", "", 204, ``, ""},
		{admin, "PUT /v3/projects/DESKTOPS/users/BOB/roles/nope", "", 404, `Could not find role: nope.`, ""},
		{admin, "PUT /v3/projects/DESKTOPS/users/nope/roles/OPERATOR", "", 404, `Could not find user: nope.`, ""},
		{admin, "PUT /v3/projects/nope/users/BOB/roles/OPERATOR", "", 404, `Could not find project: nope.`, ""},
		{admin, "GET /v3/projects/DESKTOPS/users/BOB/roles", "", 200, `"name":"operator"`, ""},
		{admin, "GET /v3/role_assignments?user.id=BOB&role.id=OPERATOR", "", 200, `"scope":{"project":{"id":"DESKTOPS"}},"user":{"id":"BOB"}}]`, ""},
		{admin, "GET /v3/role_assignments?user.id=BOB&role.id=READER&effective", "", 200, `"role":{"id":"READER"}`, ""},
		{admin, "GET /v3/role_assignments?scope.project.id=DESKTOPS&include_names", "", 200, `"name":"operator"`, ""},
		{bob, "GET /v3/auth/tokens", "", 200, `"name":"operator"`, ""}, // the roles of a token are those of now
		{admin, "DELETE /v3/roles/OPERATOR", "", 204, ``, ""},
		{admin, "DELETE /v3/projects/DESKTOPS/users/BOB/roles/READER", "", 404, `Could not find role assignment with role: READER, user or group: BOB, project, domain, or system: DESKTOPS.`, ""},
		{admin, "PUT /v3/domains/default/users/BOB/roles/MEMBER", "", 204, ``, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + password("BOB", "p2") + `,"scope":{"domain":{"name":"Default"}}}}`, 201, `"domain":{"id":"default","name":"Default"}`, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + password("BOB", "p2") + `,"scope":{"domain":{"id":"nope"}}}}`, 401, ``, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + password("BOB", "p2") + `,"scope":{"system":{"all":true}}}}`, 401, ``, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + password(stableID("user", "admin"), "p1") + `,"scope":{"system":{"all":true}}}}`, 201, `"system":{"all":true}`, ""},
		{bob, "GET /v3/auth/domains", "", 200, `"name":"Default"`, ""},
		{bob, "GET /v3/auth/system", "", 200, `"system":[]`, ""},
		{admin, "GET /v3/system/users/BOB/roles", "", 200, `"roles":[]`, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":{"methods":["nope"],"nope":{}}}}`, 401, `"identity":{"methods":["external","password","token"`, ""},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":{"methods":["token"],"token":{"id":"` + admin + `"}}}}`, 201, `"methods":["password","token"]`, ""},

		{admin, "POST /v3/services", `{"service":{"type":"test","name":"t"}}`, 201, `"type":"test"`, "SERVICE"},
		{admin, "POST /v3/services", `{"service":{"name":"t"}}`, 400, `'type' is a required property`, ""},
		{admin, "POST /v3/endpoints", `{"endpoint":{"service_id":"SERVICE","interface":"public","url":"http://x","region_id":"R"}}`, 400, `Expecting to find endpoint region_id in region table.`, ""},
		{admin, "POST /v3/endpoints", `{"endpoint":{"service_id":"nope","interface":"public","url":"http://x"}}`, 400, `Expecting to find endpoint service_id in service table.`, ""},
		{admin, "POST /v3/endpoints", `{"endpoint":{"service_id":"SERVICE","interface":"odd","url":"http://x"}}`, 400, `Invalid input for field 'interface': 'odd' is not one of ['admin', 'internal', 'public']`, ""},
		{admin, "POST /v3/regions", `{"region":{"id":"R"}}`, 201, `"parent_region_id":null`, ""},
		{admin, "POST /v3/regions", `{"region":{"id":"R"}}`, 409, `Conflict occurred attempting to store region - Duplicate ID, R..`, ""},
		{admin, "POST /v3/endpoints", `{"endpoint":{"service_id":"SERVICE","interface":"public","url":"http://x","region_id":"R"}}`, 201, `"region":"R"`, "ENDPOINT"},
		{bob, "GET /v3/auth/catalog", "", 200, `"url":"http://x"`, ""},
		{admin, "PATCH /v3/endpoints/ENDPOINT", `{"endpoint":{"enabled":false}}`, 200, `"enabled":false`, ""},
		{admin, "GET /v3/endpoints?service_id=SERVICE", "", 200, `"id":"ENDPOINT"`, ""},
		{admin, "DELETE /v3/regions/R", "", 403, `Unable to delete region R because it or its child regions have associated endpoints.`, ""},
		{admin, "PATCH /v3/services/SERVICE", `{"service":{"name":"renamed"}}`, 200, `"name":"renamed"`, ""},
		{admin, "DELETE /v3/services/SERVICE", "", 204, ``, ""},
		{admin, "GET /v3/endpoints/ENDPOINT", "", 404, `Could not find endpoint: ENDPOINT.`, ""},
		{bob, "GET /v3/regions/R", "", 200, `"id":"R"`, ""},
		{admin, "DELETE /v3/regions/R", "", 204, ``, ""},
		{admin, "DELETE /v3/regions/R", "", 404, `Could not find region: R.`, ""},

		{admin, "POST /v3/domains", `{"domain":{"name":"d"}}`, 201, `"enabled":true`, "DOMAIN"},
		{admin, "POST /v3/domains", `{"domain":{"name":"d"}}`, 409, `it is not permitted to have two projects acting as domains with the same name: d.`, ""},
		{admin, "POST /v3/projects", `{"project":{"name":"desktops","domain_id":"DOMAIN"}}`, 201, `"parent_id":"DOMAIN"`, "PROJECT"},
		{admin, "POST /v3/projects", `{"project":{"name":"desktops"}}`, 409, `either the same name or same id in the same domain: name is desktops`, ""},
		{admin, "POST /v3/projects", `{"project":{"name":""}}`, 400, `Invalid input for field 'name': '' is too short`, ""},
		{admin, "PATCH /v3/projects/PROJECT", `{"project":{"enabled":false,"description":"x"}}`, 200, `"description":"x"`, ""},
		{admin, "DELETE /v3/domains/DOMAIN", "", 403, `Cannot delete a domain that is enabled, please disable it first.`, ""},
		{admin, "PATCH /v3/domains/DOMAIN", `{"domain":{"enabled":false}}`, 200, `"enabled":false`, ""},
		{admin, "DELETE /v3/domains/DOMAIN", "", 204, ``, ""},
		{admin, "GET /v3/projects/PROJECT", "", 404, `Could not find project: PROJECT.`, ""},
		{admin, "GET /v3/groups", "", 200, `"groups":[]`, ""},
		{admin, "PATCH /v3/projects/DESKTOPS", `{"project":{"enabled":false}}`, 200, ``, ""},
		{admin, "GET /v3/projects", "", 401, ``, ""}, // a token for a project that is disabled
	} {
		expand := func(s string) string {
			for name, id := range names {
				s = strings.ReplaceAll(s, name, id)
			}
			return s
		}
		request := expand(s.request)
		var w *httptest.ResponseRecorder
		if request == "GET /v3/auth/tokens" {
			r := httptest.NewRequest("GET", "/v3/auth/tokens", nil)
			r.Header.Set("X-Auth-Token", s.token)
			r.Header.Set("X-Subject-Token", s.token)
			w = httptest.NewRecorder()
			k.ServeHTTP(w, r)
		} else {
			w = ask(k, s.token, request, expand(s.body))
		}
		require.Equal(t, s.status, w.Code, "%d %s %s: %s", i, s.request, s.body, w.Body)
		require.Contains(t, w.Body.String(), expand(s.says), "%d %s %s", i, s.request, s.body)
		require.NotContains(t, w.Body.String(), "secret")
		if s.keep != "" {
			var body map[string]struct{ ID string }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			for _, v := range body {
				names[s.keep] = v.ID
			}
		}
	}
}

func TestExpiredTokensCanBeShown(t *testing.T) {
	k, c := newKeystone(t)
	old := login(t, k, password(stableID("user", "bob"), "p2"), inDesktops)
	c.now = c.now.Add(2 * DefaultLifetime)
	admin := login(t, k, password(stableID("user", "admin"), "p1"), inDesktops)
	show := func(query string) int {
		r := httptest.NewRequest("GET", "/v3/auth/tokens"+query, nil)
		r.Header.Set("X-Auth-Token", admin)
		r.Header.Set("X-Subject-Token", old)
		w := httptest.NewRecorder()
		k.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, 404, show(""))
	require.Equal(t, 200, show("?allow_expired=1"))
	require.Equal(t, 404, show("?allow_expired=0"))
	require.Nil(t, k.Caller(old))
	k.ExpireTokens()
	var none *service.Caller
	require.Equal(t, none, k.Caller(admin))
}
