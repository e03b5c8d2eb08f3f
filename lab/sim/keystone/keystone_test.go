package keystone

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func newKeystone(t *testing.T) (*Keystone, *clock) {
	c := &clock{time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	admin := []string{"admin", "member"}
	k, err := New(Config{
		URL: "http://keystone/", Projects: []string{"admin", "desktops"}, Now: func() time.Time { return c.now },
		Local: []LocalUser{
			{Name: "admin", Password: "p1", Roles: map[string][]string{"admin": admin, "desktops": admin}},
			{Name: "bob", Password: "p2", Roles: map[string][]string{"desktops": {"member"}}},
		},
		Catalog: []Endpoint{{"compute", "nova", "http://nova/v2.1"}},
	})
	require.NoError(t, err)
	return k, c
}

func ask(k *Keystone, token, request, body string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", token)
	w := httptest.NewRecorder()
	k.ServeHTTP(w, r)
	return w
}

func login(t *testing.T, k *Keystone, identity, scope string) string {
	t.Helper()
	w := ask(k, "", "POST /v3/auth/tokens", `{"auth":{"identity":`+identity+scope+`}}`)
	require.Equal(t, 201, w.Code, w.Body)
	return w.Header().Get("X-Subject-Token")
}

func password(id, password string) string {
	return fmt.Sprintf(`{"methods":["password"],"password":{"user":{"id":%q,"password":%q}}}`, id, password)
}

const inDesktops = `,"scope":{"project":{"name":"desktops","domain":{"id":"default"}}}`

func TestAPI(t *testing.T) {
	k, _ := newKeystone(t)
	adminID, bobID := stableID("user", "admin"), stableID("user", "bob")
	admin, bob := login(t, k, password(adminID, "p1"), inDesktops), login(t, k, password(bobID, "p2"), inDesktops)
	unscoped := login(t, k, password(bobID, "p2"), "")
	desktops := k.ProjectID("desktops")
	for _, test := range []struct {
		token, request, body string
		status               int
		says                 string
	}{
		{admin, "GET /v3/projects?name=desktops", "", 200, desktops},
		{admin, "GET /v3/projects?name=none", "", 200, `"projects":[]`},
		{bob, "GET /v3/auth/projects", "", 200, desktops},
		{bob, "GET /v3/users/" + bobID + "/projects", "", 200, desktops},
		{bob, "GET /v3/users/" + adminID, "", 403, `identity:get_user`},
		{bob, "GET /v3/users/" + bobID, "", 200, `"name":"bob"`},
		{admin, "GET /v3/users/none", "", 404, `Could not find user: none.`},
		{admin, "GET /v3/users?name=bob&domain_id=default", "", 200, bobID},
		{bob, "GET /v3/projects/" + desktops, "", 200, `"name":"desktops"`},
		{bob, "GET /v3/projects/" + k.ProjectID("admin"), "", 403, `identity:get_project`},
		{admin, "GET /v3/projects/none", "", 404, `Could not find project: none.`},
		{bob, "POST /v3/projects", `{"project":{"name":"new"}}`, 403, `identity:create_project`},
		{admin, "POST /v3/projects", `{"project":{}}`, 400, `'name' is a required property`},
		{admin, "POST /v3/projects", `{"project":{"name":"new"}}`, 201, `"name":"new"`},
		{admin, "POST /v3/projects", `{"project":{"name":"new"}}`, 409, `Conflict`},
		{admin, "GET /v3/domains?name=users", "", 200, usersDomainID()},
		{admin, "GET /v3/domains/default", "", 200, `"name":"Default"`},
		{admin, "GET /v3/domains/none", "", 404, `Could not find domain: none.`},
		{bob, "GET /v3/domains", "", 403, `identity:list_domains`},
		{bob, "GET /v3/auth/catalog", "", 200, `"url":"http://nova/v2.1"`},
		{unscoped, "GET /v3/auth/catalog", "", 403, ``},
		{"", "GET /v3/auth/catalog", "", 401, ``},
	} {
		t.Run(test.request, func(t *testing.T) {
			w := ask(k, test.token, test.request, test.body)
			require.Equal(t, test.status, w.Code, w.Body)
			require.Contains(t, w.Body.String(), test.says)
		})
	}
}

func TestApplicationCredentials(t *testing.T) {
	k, c := newKeystone(t)
	id := stableID("user", "admin")
	path := "/v3/users/" + id + "/application_credentials"
	admin := login(t, k, password(id, "p1"), inDesktops)
	bob := login(t, k, password(stableID("user", "bob"), "p2"), inDesktops)

	w := ask(k, admin, "POST "+path,
		`{"application_credential":{"name":"broker","secret":"s3","roles":[{"name":"member"}],"expires_at":"2026-11-21T09:00:00"}}`)
	require.Equal(t, 201, w.Code, w.Body)
	var made struct {
		Credential struct{ ID, Secret string } `json:"application_credential"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &made))
	require.Equal(t, "s3", made.Credential.Secret)
	one := path + "/" + made.Credential.ID

	byID := fmt.Sprintf(`{"methods":["application_credential"],"application_credential":{"id":%q,"secret":"s3"}}`, made.Credential.ID)
	byName := `{"methods":["application_credential"],"application_credential":{"name":"broker","secret":"s3","user":{"name":"admin","domain":{"id":"default"}}}}`
	token := login(t, k, byID, "")
	require.Equal(t, []string{"member"}, k.Caller(token).Roles, "no more than was asked for")
	require.Equal(t, k.ProjectID("desktops"), k.Caller(token).ProjectID)
	login(t, k, byName, "")

	for _, test := range []struct {
		token, request, body string
		status               int
	}{
		{admin, "POST " + path, `{"application_credential":{"name":"broker"}}`, 409},
		{admin, "POST " + path, `{"application_credential":{}}`, 400},
		{admin, "POST " + path, `{"application_credential":{"name":"x","roles":[{"name":"owner"}]}}`, 400},
		{admin, "POST " + path, `{"application_credential":{"name":"x","expires_at":"soon"}}`, 400},
		{bob, "POST " + path, `{"application_credential":{"name":"x"}}`, 403},
		{admin, "POST " + path, `{"application_credential":{"name":"x","unrestricted":"yes"}}`, 400},
		{token, "POST " + path, `{"application_credential":{"name":"x"}}`, 403}, // it is restricted
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + byID + inDesktops + `}}`, 401},
		{"", "POST /v3/auth/tokens", `{"auth":{"identity":` + strings.Replace(byID, "s3", "s4", 1) + `}}`, 401},
		{admin, "GET " + path, "", 200},
		{admin, "GET " + one, "", 200},
		{bob, "GET " + one, "", 403},
		{admin, "GET " + path + "/none", "", 404},
	} {
		w := ask(k, test.token, test.request, test.body)
		require.Equal(t, test.status, w.Code, "%s %s: %s", test.request, test.body, w.Body)
		require.NotContains(t, w.Body.String(), "s3")
	}
	c.now = c.now.Add(time.Hour)
	require.Equal(t, 401, ask(k, "", "POST /v3/auth/tokens", `{"auth":{"identity":`+byID+`}}`).Code, "it has expired")
	admin = login(t, k, password(id, "p1"), inDesktops)
	require.Equal(t, 204, ask(k, admin, "DELETE "+one, "").Code)
	require.Equal(t, 404, ask(k, admin, "DELETE "+one, "").Code)
}

func TestExpiredTokensAreForgotten(t *testing.T) {
	k, c := newKeystone(t)
	id := stableID("user", "bob")
	for range 100 {
		login(t, k, password(id, "p2"), "")
		c.now = c.now.Add(DefaultLifetime)
	}
	require.LessOrEqual(t, len(k.tokens), int((expiredWindow+DefaultLifetime)/DefaultLifetime))
	require.Len(t, k.issued, len(k.tokens))
}

func TestMalformedLogins(t *testing.T) {
	k, _ := newKeystone(t)
	for body, status := range map[string]int{
		``:                         400,
		`{}`:                       400,
		`{"auth":{}}`:              400,
		`{"auth":{"identity":{}}}`: 400,
		`{"auth":{"identity":{"methods":["password"]}}}`:                                                              400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{}}}}}`:                                       400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"password":"x"}}}}}`:                         400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"bob","password":"p2"}}}}}`:           400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"bob","domain":{"id":"default"}}}}}}`: 401,
		`{"auth":{"identity":` + password(stableID("user", "bob"), "p2") + `,"scope":{"unscoped":{}}}}`:               201,
		`{"auth":{"identity":{"methods":["totp"]}}}`:                                                                  401,
		`{"auth":{"identity":{"methods":["token"],"token":{"id":"x"}}}}`:                                              401,
		`{"auth":{"identity":` + password(stableID("user", "bob"), "p2") + `,"scope":{}}}`:                            400,
		`{"auth":{"identity":` + password(stableID("user", "bob"), "p2") + `,"scope":1}}`:                             400,
		`{"auth":{"identity":` + password(stableID("user", "bob"), "p2") + `,"scope":{"system":{"all":true}}}}`:       401,
		`{"auth":{"identity":` + password(stableID("user", "bob"), "p2") + `,"scope":"unscoped"}}`:                    201,
		`{"auth":{"identity":` + password("nobody", "p2") + `}}`:                                                      401,
	} {
		w := ask(k, "", "POST /v3/auth/tokens", body)
		require.Equal(t, status, w.Code, "%s: %s", body, w.Body)
	}
}

func TestNewRefusesRolesInNoProject(t *testing.T) {
	_, err := New(Config{Local: []LocalUser{{Name: "a", Password: "secret", Roles: map[string][]string{"none": {"member"}}}}})
	require.ErrorContains(t, err, "user a has roles in project none")
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", LocalUser{Name: "a", Password: "secret"}, []LocalUser{{Password: "secret"}},
		LocalUser{Password: "secret"}), "secret")
}
