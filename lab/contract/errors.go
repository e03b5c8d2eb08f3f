package contract

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"
)

// form is how a service answers errors.
type form struct {
	message func(*testing.T, answer) string
	check   func(*testing.T, answer) // what else the form has
}

// forms are of the services themselves; what stands before them answers in plain.
func forms() map[string]form {
	novaNames := map[int]string{400: "badRequest", 403: "forbidden", 404: "itemNotFound"}
	return map[string]form{
		"identity": {
			func(t *testing.T, a answer) string { return a.text(t, "error", "message") },
			func(t *testing.T, a answer) {
				require.EqualValues(t, a.status, a.at(t, "error", "code"))
				require.Equal(t, http.StatusText(a.status), a.text(t, "error", "title"))
				require.True(t, strings.HasPrefix(a.header.Get("X-Openstack-Request-Id"), "req-"))
			},
		},
		"compute": {
			func(t *testing.T, a answer) string { return a.text(t, novaNames[a.status], "message") },
			func(t *testing.T, a answer) {
				require.EqualValues(t, a.status, a.at(t, novaNames[a.status], "code"))
				require.True(t, strings.HasPrefix(a.header.Get("X-Compute-Request-Id"), "req-"))
				require.Equal(t, a.header.Get("X-Compute-Request-Id"), a.header.Get("X-Openstack-Request-Id"))
				require.Equal(t, "compute 2.93", a.header.Get("OpenStack-API-Version"))
			},
		},
		"placement": {
			func(t *testing.T, a answer) string { return a.text(t, "errors", 0, "detail") },
			func(t *testing.T, a answer) {
				require.EqualValues(t, a.status, a.at(t, "errors", 0, "status"))
				require.Equal(t, http.StatusText(a.status), a.text(t, "errors", 0, "title"))
				require.Regexp(t, "^placement\\.", a.text(t, "errors", 0, "code"))
				require.Equal(t, a.header.Get("X-Openstack-Request-Id"), a.text(t, "errors", 0, "request_id"))
				require.Equal(t, "placement 1.39", a.header.Get("OpenStack-API-Version"))
			},
		},
		"image": {
			func(t *testing.T, a answer) string { return a.text(t, "message") },
			func(t *testing.T, a answer) {
				require.Equal(t, fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), a.text(t, "code"))
				require.Equal(t, http.StatusText(a.status), a.text(t, "title"))
			},
		},
		"network": {
			func(t *testing.T, a answer) string { return a.text(t, "NeutronError", "message") },
			func(t *testing.T, a answer) {
				require.ElementsMatch(t, []string{"type", "message", "detail"}, a.keys(t, "NeutronError"))
				require.True(t, strings.HasPrefix(a.header.Get("X-Openstack-Request-Id"), "req-"))
			},
		},
	}
}

// nobody is the id of what there is not.
const nobody = "00000000-0000-0000-0000-00000000c0de"

// testErrors: each service answers errors in its own way, and clients tell them apart by it.
func testErrors(t *testing.T, s *suite) {
	of := func(who *session, service string) *gophercloud.ServiceClient {
		return map[string]*gophercloud.ServiceClient{
			"identity": who.identity, "compute": who.compute, "placement": who.placement, "image": who.image, "network": who.network,
		}[service]
	}
	order := func(name, flavor, image, more string) string {
		return fmt.Sprintf(`{"server":{"name":%q,"flavorRef":%q,"imageRef":%q,"networks":"none"%s}}`, name, flavor, image, more)
	}
	create := func(more string) string { return order("x", s.flavor.ID, s.imageID, more) }
	for _, test := range []struct {
		service, method, path string
		body                  any
		status                int
		says                  string // a part
		user                  bool   // asked by the ordinary user
		kind                  string // Neutron's type, Placement's code
	}{
		{service: "identity", method: "GET", path: "projects", user: true, status: 403,
			says: "You are not authorized to perform the requested action: identity:list_projects."},
		{service: "identity", method: "GET", path: "users", user: true, status: 403, says: "identity:list_users."},
		{service: "identity", method: "POST", path: "projects", body: object{"project": object{"name": s.prefix + "no"}}, user: true, status: 403,
			says: "identity:create_project."},
		{service: "identity", method: "GET", path: "projects/" + nobody, status: 404, says: "Could not find project: " + nobody + "."},
		{service: "identity", method: "GET", path: "users/" + nobody, status: 404, says: "Could not find user: " + nobody + "."},
		{service: "identity", method: "GET", path: "domains/" + nobody, status: 404, says: "Could not find domain: " + nobody + "."},
		{service: "identity", method: "POST", path: "projects", body: `{`, status: 400,
			says: "Expecting to find valid JSON in request body."},
		{service: "identity", method: "POST", path: "projects", body: `{}`, status: 400, says: "'name' is a required property"},
		{service: "identity", method: "POST", path: "projects",
			body:   object{"project": object{"name": s.prefix + "project", "domain_id": "default"}},
			status: 409,
			says: "Conflict occurred attempting to store project - it is not permitted to have two projects with either the same name or " +
				"same id in the same domain: name is " + s.prefix + "project"},

		{service: "compute", method: "GET", path: "os-services", user: true, status: 403,
			says: "Policy doesn't allow os_compute_api:os-services:list to be performed."},
		{service: "compute", method: "GET", path: "os-hypervisors", user: true, status: 403,
			says: "Policy doesn't allow os_compute_api:os-hypervisors:list to be performed."},
		{service: "compute", method: "GET", path: "servers?all_tenants=1", user: true, status: 403,
			says: "Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed."},
		{service: "compute", method: "GET", path: "servers/detail?all_tenants=1", user: true, status: 403,
			says: "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed."},
		{service: "compute", method: "GET", path: "os-quota-sets/" + s.home.projectID, user: true, status: 403,
			says: "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed."},
		{service: "compute", method: "GET", path: "servers/" + nobody, status: 404, says: "Instance " + nobody + " could not be found."},
		{service: "compute", method: "DELETE", path: "servers/" + nobody, status: 404, says: "Instance " + nobody + " could not be found."},
		{service: "compute", method: "POST", path: "servers/" + nobody + "/action", body: `{"os-stop":null}`, status: 404,
			says: "Instance " + nobody + " has no mapping to a cell."},
		{service: "compute", method: "GET", path: "flavors/" + nobody, status: 404, says: "Flavor " + nobody + " could not be found."},
		{service: "compute", method: "GET", path: "os-hypervisors/" + nobody, status: 404,
			says: "Hypervisor with ID '" + nobody + "' could not be found."},
		{service: "compute", method: "POST", path: "servers", body: `{`, status: 400, says: "Malformed request body"},
		{service: "compute", method: "POST", path: "servers", body: `{}`, status: 400, says: "'server' is a required property"},
		{service: "compute", method: "POST", path: "servers", body: `[]`, status: 400, says: "[] is not of type 'object'"},
		{service: "compute", method: "POST", path: "servers", body: `{"server":{"name":"x"}}`, status: 400,
			says: "Invalid input for field/attribute server. Value: {'name': 'x'}. 'flavorRef' is a required property"},
		{service: "compute", method: "POST", path: "servers", body: create(`,"colour":"red"`), status: 400,
			says: "Additional properties are not allowed ('colour' was unexpected)"},
		{service: "compute", method: "POST", path: "servers", body: order("", s.flavor.ID, s.imageID, ""),
			status: 400,
			says:   "Invalid input for field/attribute name. Value: . '' is too short"},
		{service: "compute", method: "POST", path: "servers", body: order("x", nobody, s.imageID, ""),
			status: 400,
			says:   "Flavor " + nobody + " could not be found."},
		{service: "compute", method: "POST", path: "servers", body: order("x", s.flavor.ID, nobody, ""),
			status: 400,
			says:   "Can not find requested image"},
		{service: "compute", method: "POST", path: "servers", body: strings.Replace(create(""), `,"networks":"none"`, "", 1),
			status: 400,
			says: "Invalid input for field/attribute server. Value: {'name': 'x', 'flavorRef': '" + s.flavor.ID + "', 'imageRef': '" + s.imageID +
				"'}. 'networks' is a required property"},
		{service: "compute", method: "POST", path: "servers", body: create(`,"availability_zone":"nowhere"`), status: 400,
			says: "The requested availability zone is not available"},
		{service: "compute", method: "POST", path: "servers", body: create(`,"min_count":2,"max_count":1`), status: 400,
			says: "min_count must be <= max_count"},

		{service: "placement", method: "GET", path: "resource_providers", user: true, status: 403, kind: "placement.undefined_code",
			says: "Access was denied to this resource.\n\n Policy does not allow placement:resource_providers:list to be performed.  "},
		{service: "placement", method: "GET", path: "resource_providers/" + nobody, status: 404, kind: "placement.undefined_code",
			says: "The resource could not be found.\n\n No resource provider with uuid " + nobody + " found  "},
		{service: "placement", method: "GET", path: "nothing", status: 404, kind: "placement.undefined_code",
			says: "The resource could not be found.\n\n   "},
		{service: "placement", method: "PATCH", path: "resource_providers", body: `{}`, status: 405, kind: "placement.undefined_code",
			says: "The method PATCH is not allowed for this resource. \n\n The method specified is not allowed for this resource."},
		{service: "placement", method: "POST", path: "resource_providers", body: `{`, status: 400, kind: "placement.undefined_code",
			says: "The server could not comply with the request since it is either malformed or otherwise incorrect.\n\n Malformed JSON: "},
		{service: "placement", method: "POST", path: "resource_providers", body: `{}`, status: 400, kind: "placement.undefined_code",
			says: "JSON does not validate: 'name' is a required property"},

		{service: "image", method: "GET", path: "images/" + nobody, status: 404,
			says: "No image found with ID " + nobody + "<br /><br />\n\n\n"},
		{service: "image", method: "GET", path: "nothing", status: 404, says: "The resource could not be found.<br /><br />\n\n\n"},
		{service: "image", method: "PATCH", path: "images", body: `{}`, status: 405,
			says: "The method PATCH is not allowed for this resource. <br /><br />\n"},
		{service: "image", method: "POST", path: "images", body: `{`, status: 400,
			says: "Malformed JSON in request body.<br /><br />\n\n\n"},
		{service: "image", method: "POST", path: "images", body: object{"name": s.prefix + "no", "visibility": "public"}, user: true,
			status: 403,
			says:   "You are not authorized to complete publicize_image action.<br /><br />\n\n\n"},

		{service: "network", method: "GET", path: "networks/" + nobody, status: 404, kind: "NetworkNotFound",
			says: "Network " + nobody + " could not be found."},
		{service: "network", method: "GET", path: "ports/" + nobody, status: 404, kind: "PortNotFound",
			says: "Port " + nobody + " could not be found."},
		{service: "network", method: "DELETE", path: "ports/" + nobody, status: 404, kind: "PortNotFound",
			says: "Port " + nobody + " could not be found."},
		{service: "network", method: "GET", path: "nothing", status: 404, kind: "HTTPNotFound", says: "The resource could not be found."},
		{service: "network", method: "PATCH", path: "networks", body: `{}`, status: 405, kind: "HTTPMethodNotAllowed",
			says: "The server could not comply with the request since it is either malformed or otherwise incorrect."},
		{service: "network", method: "POST", path: "networks", body: `{`, status: 400, kind: "HTTPBadRequest",
			says: "Body contains invalid data"},
		{service: "network", method: "POST", path: "networks", body: `{}`, status: 400, kind: "HTTPBadRequest",
			says: "Unable to find 'network' in request body"},
		{service: "network", method: "POST", path: "networks", body: object{"network": object{"name": s.prefix + "no", "shared": true}}, user: true,
			status: 403, kind: "PolicyNotAuthorized",
			says: "is disallowed by policy"},
	} {
		name := fmt.Sprintf("%s %d %s %s", test.service, test.status, test.method, test.path)
		t.Run(name, func(t *testing.T) {
			who := s.admin
			if test.user {
				who = s.user
			}
			a := who.ask(t, of(who, test.service), test.method, test.path, test.body)
			require.Equal(t, test.status, a.status, a.body)
			f := forms()[test.service]
			require.Contains(t, f.message(t, a), test.says)
			f.check(t, a)
			switch test.service {
			case "placement":
				require.Equal(t, test.kind, a.text(t, "errors", 0, "code"))
			case "network":
				require.Equal(t, test.kind, a.text(t, "NeutronError", "type"))
			}
			require.True(t, strings.HasPrefix(a.header.Get("Content-Type"), "application/json"), a.header.Get("Content-Type"))
		})
	}
	// Routes that there are not are answered before the services: not in their forms.
	t.Run("no such path or method", func(t *testing.T) {
		a := s.admin.ask(t, s.admin.identity, "GET", "nothing", nil)
		require.Equal(t, http.StatusNotFound, a.status)
		require.Contains(t, a.header.Get("Content-Type"), "text/html")
		require.Contains(t, a.body, "The requested URL was not found on the server.")
		a = s.admin.ask(t, s.admin.identity, "PATCH", "auth/tokens", `{}`)
		require.Equal(t, http.StatusMethodNotAllowed, a.status)
		require.Equal(t, "The method is not allowed for the requested URL.", a.text(t, "message"))
		require.ElementsMatch(t, []string{"POST", "GET", "OPTIONS", "HEAD", "DELETE"}, strings.Split(a.header.Get("Allow"), ", "))
		for method, path := range map[string]string{"GET": "nothing", "PATCH": "servers"} {
			a = s.admin.ask(t, s.admin.compute, method, path, nil)
			require.Equal(t, http.StatusNotFound, a.status, "%s %s: %s", method, path, a.body)
			require.JSONEq(t, `{"message":"The resource could not be found.<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}`, a.body)
			require.Empty(t, a.header.Get("OpenStack-API-Version"))
		}
	})
	t.Run("without scope", func(t *testing.T) {
		auth := s.User
		auth.Scope = nil
		id, err := s.knock(t, auth).ExtractTokenID()
		require.NoError(t, err)
		// What is in the lists is nobody's business: Nova may show servers that are just being built, with status UNKNOWN.
		for service, status := range map[string]int{"identity": 200, "compute": 200, "placement": 403, "image": 200, "network": 200} {
			a := s.user.ask(t, of(s.user, service), "GET", probe(service), nil, "X-Auth-Token: "+id)
			require.Equal(t, status, a.status, "%s: %s", service, a.body)
		}
	})
}
