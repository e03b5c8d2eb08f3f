package contract

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
	"github.com/stretchr/testify/require"
)

// sayUnauthorized is what Keystone says to whoever may not come in, whatever the reason.
const sayUnauthorized = "The request you have made requires authentication."

// stranger is an identity client of nobody.
func (s *suite) stranger(t *testing.T) *gophercloud.ServiceClient {
	t.Helper()
	provider, err := openstack.NewClient(s.Admin.IdentityEndpoint)
	require.NoError(t, err)
	identity, err := openstack.NewIdentityV3(provider, gophercloud.EndpointOpts{})
	require.NoError(t, err)
	return identity
}

// knock asks for a token.
func (s *suite) knock(t *testing.T, who gophercloud.AuthOptions) tokens.CreateResult {
	t.Helper()
	opts := tokens.AuthOptions{
		UserID: who.UserID, Username: who.Username, Password: who.Password, DomainID: who.DomainID, DomainName: who.DomainName,
		TokenID: who.TokenID, ApplicationCredentialID: who.ApplicationCredentialID,
		ApplicationCredentialName: who.ApplicationCredentialName, ApplicationCredentialSecret: who.ApplicationCredentialSecret,
	}
	if sc := who.Scope; sc != nil {
		opts.Scope = tokens.Scope{ProjectID: sc.ProjectID, ProjectName: sc.ProjectName, DomainID: sc.DomainID, DomainName: sc.DomainName}
	}
	if who.Scope == nil && who.TokenID == "" && opts.ApplicationCredentialSecret == "" {
		return tokens.Create(t.Context(), s.stranger(t), unscoped{&opts})
	}
	return tokens.Create(t.Context(), s.stranger(t), &opts)
}

// unscoped asks for a token without a scope, which a user who has a default project does not get otherwise.
type unscoped struct{ *tokens.AuthOptions }

// ToTokenV3ScopeMap implements tokens.AuthOptionsBuilder.
func (unscoped) ToTokenV3ScopeMap() (map[string]any, error) { return object{"unscoped": object{}}, nil }

// requireUnauthorized checks an answer of 401 that tells no reason.
func requireUnauthorized(t *testing.T, a answer) {
	t.Helper()
	require.Equal(t, http.StatusUnauthorized, a.status, a.body)
	require.JSONEq(t, `{"error":{"code":401,"message":"`+sayUnauthorized+`","title":"Unauthorized"}}`, a.body)
}

// requireChallenge checks where an answer of 401 sends to: Keystone itself to its API's version (base_url of
// keystone/server/flask/common.py), the other services to what they are configured with, which has no version.
func (s *suite) requireChallenge(t *testing.T, service string, a answer) {
	t.Helper()
	uri := strings.TrimSuffix(s.Admin.IdentityEndpoint, "/")
	if service != "identity" {
		uri = strings.TrimSuffix(uri, "/v3")
	}
	require.Equal(t, `Keystone uri="`+uri+`"`, a.header.Get("WWW-Authenticate"), service)
}

func testAuthentication(t *testing.T, s *suite) {
	foreign := s.project(t, "foreign")
	bare := s.User
	bare.Scope = nil
	with := func(change func(*gophercloud.AuthOptions)) gophercloud.AuthOptions {
		auth := bare
		change(&auth)
		return auth
	}
	t.Run("unscoped", func(t *testing.T) {
		r := s.knock(t, bare)
		require.NoError(t, r.Err)
		user, err := r.ExtractUser()
		require.NoError(t, err)
		require.Equal(t, s.User.Username, user.Name)
		require.Equal(t, s.user.userID, user.ID)
		require.Equal(t, []any{"password"}, r.Body.(object)["token"].(object)["methods"])
		for _, key := range []string{"project", "roles", "catalog", "is_domain"} {
			require.NotContains(t, r.Body.(object)["token"], key)
		}
	})
	for name, scope := range map[string]gophercloud.AuthScope{
		"project by id":   {ProjectID: s.user.projectID},
		"project by name": {ProjectName: s.prefix + "project", DomainID: "default"},
		"and domain name": {ProjectName: s.prefix + "project", DomainName: "Default"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.knock(t, with(func(a *gophercloud.AuthOptions) { a.Scope = &scope }))
			require.NoError(t, r.Err)
			project, err := r.ExtractProject()
			require.NoError(t, err)
			home := tokens.Domain{ID: "default", Name: "Default"}
			require.Equal(t, tokens.Project{ID: s.user.projectID, Name: s.prefix + "project", Domain: home}, *project)
			roles, err := r.ExtractRoles()
			require.NoError(t, err)
			require.Contains(t, roles, tokens.Role{ID: s.memberID, Name: "member"})
			for _, role := range roles {
				require.NotEqual(t, "admin", role.Name)
			}
			catalog, err := r.ExtractServiceCatalog()
			require.NoError(t, err)
			require.NotEmpty(t, catalog.Entries)
		})
	}
	for name, auth := range map[string]gophercloud.AuthOptions{
		"wrong password":  with(func(a *gophercloud.AuthOptions) { a.Password += "x" }),
		"unknown user":    with(func(a *gophercloud.AuthOptions) { a.Username = s.prefix + "nobody" }),
		"unknown domain":  with(func(a *gophercloud.AuthOptions) { a.DomainName, a.DomainID = s.prefix+"nowhere", "" }),
		"unknown project": with(func(a *gophercloud.AuthOptions) { a.Scope = &gophercloud.AuthScope{ProjectID: s.prefix + "none"} }),
		"another project": with(func(a *gophercloud.AuthOptions) { a.Scope = &gophercloud.AuthScope{ProjectID: foreign} }),
	} {
		t.Run(name, func(t *testing.T) {
			a := refused(t, s.knock(t, auth).Err, http.StatusUnauthorized)
			requireUnauthorized(t, a)
			s.requireChallenge(t, "identity", a)
			require.NotContains(t, a.body, s.User.Password)
		})
	}
	t.Run("disabled account", func(t *testing.T) {
		const password = "a-password-of-the-contract"
		u, err := users.Create(t.Context(), s.admin.identity, users.CreateOpts{
			Name: s.prefix + "disabled", DomainID: "default", Password: password,
		}).Extract()
		require.NoError(t, err)
		cleanup(t, "user "+u.Name, func(ctx context.Context) error { return users.Delete(ctx, s.home.identity, u.ID).ExtractErr() })
		auth := gophercloud.AuthOptions{UserID: u.ID, Password: password}
		before := s.knock(t, auth)
		require.NoError(t, before.Err)
		token, err := before.ExtractTokenID()
		require.NoError(t, err)
		off, on := false, true
		_, err = users.Update(t.Context(), s.admin.identity, u.ID, users.UpdateOpts{Enabled: &off}).Extract()
		require.NoError(t, err)
		requireUnauthorized(t, refused(t, s.knock(t, auth).Err, http.StatusUnauthorized))
		own := s.stranger(t)
		own.SetToken(token)
		requireUnauthorized(t, refused(t, tokens.Get(t.Context(), own, token).Err, http.StatusUnauthorized))
		_, err = users.Update(t.Context(), s.admin.identity, u.ID, users.UpdateOpts{Enabled: &on}).Extract()
		require.NoError(t, err)
		require.NoError(t, s.knock(t, auth).Err)
	})
	for name, test := range map[string]struct{ body, message string }{
		"no JSON":     {`{`, "Expecting to find valid JSON in request body."},
		"no auth":     {`{}`, "Expecting to find auth in request body."},
		"no identity": {`{"auth":{}}`, "'identity' is a required property"},
		"no methods":  {`{"auth":{"identity":{}}}`, "'methods' is a required property"},
		"no domain": {`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"a","password":"b"}}}}}`,
			"Expecting to find domain in user."},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.admin.ask(t, s.admin.identity, "POST", "auth/tokens", test.body, "X-Auth-Token")
			require.Equal(t, http.StatusBadRequest, a.status, a.body)
			require.Contains(t, a.text(t, "error", "message"), test.message)
			require.Equal(t, "Bad Request", a.text(t, "error", "title"))
		})
	}
	t.Run("unknown method", func(t *testing.T) {
		a := s.admin.ask(t, s.admin.identity, "POST", "auth/tokens", `{"auth":{"identity":{"methods":["nosuch"],"nosuch":{}}}}`, "X-Auth-Token")
		require.Equal(t, http.StatusUnauthorized, a.status, a.body)
		require.Equal(t, "Attempted to authenticate with an unsupported method.", a.text(t, "error", "message"))
		require.Contains(t, a.at(t, "error", "identity", "methods"), "password")
	})
}
