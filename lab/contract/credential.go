package contract

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/applicationcredentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/stretchr/testify/require"
)

func testCredentials(t *testing.T, s *suite) {
	own := s.user.identity
	make := func(t *testing.T, opts applicationcredentials.CreateOpts) *applicationcredentials.ApplicationCredential {
		t.Helper()
		c, err := applicationcredentials.Create(t.Context(), own, s.user.userID, opts).Extract()
		require.NoError(t, err)
		cleanup(t, "application credential "+c.Name, func(ctx context.Context) error {
			return applicationcredentials.Delete(ctx, own, s.user.userID, c.ID).ExtractErr()
		})
		return c
	}
	t.Run("used", func(t *testing.T) {
		c := make(t, applicationcredentials.CreateOpts{Name: s.prefix + "used"})
		require.NotEmpty(t, c.Secret, "shown this once")
		require.Equal(t, s.user.projectID, c.ProjectID)
		require.False(t, c.Unrestricted)
		shown, err := applicationcredentials.Get(t.Context(), own, s.user.userID, c.ID).Extract()
		require.NoError(t, err)
		require.Empty(t, shown.Secret)
		require.Equal(t, c.Name, shown.Name)

		provider, err := openstack.AuthenticatedClient(t.Context(), gophercloud.AuthOptions{
			IdentityEndpoint: s.User.IdentityEndpoint, ApplicationCredentialID: c.ID, ApplicationCredentialSecret: c.Secret,
		})
		require.NoError(t, err)
		compute, err := openstack.NewComputeV2(provider, gophercloud.EndpointOpts{Region: s.Region})
		require.NoError(t, err)
		_, err = flavors.ListDetail(compute, nil).AllPages(t.Context())
		require.NoError(t, err)
	})
	t.Run("token", func(t *testing.T) {
		c := make(t, applicationcredentials.CreateOpts{Name: s.prefix + "token", Roles: []applicationcredentials.Role{{Name: "member"}}})
		r := s.knock(t, gophercloud.AuthOptions{ApplicationCredentialID: c.ID, ApplicationCredentialSecret: c.Secret})
		require.NoError(t, r.Err)
		body := r.Body.(object)["token"].(object)
		require.Equal(t, []any{"application_credential"}, body["methods"])
		require.Equal(t, object{"id": c.ID, "name": c.Name, "restricted": true}, body["application_credential"])
		require.Equal(t, []any{object{"id": s.memberID, "name": "member"}}, body["roles"])
		project, err := r.ExtractProject()
		require.NoError(t, err)
		require.Equal(t, s.user.projectID, project.ID)
		byName := s.knock(t, gophercloud.AuthOptions{
			UserID: s.user.userID, ApplicationCredentialName: c.Name, ApplicationCredentialSecret: c.Secret,
		})
		require.NoError(t, byName.Err)
	})
	t.Run("restricted", func(t *testing.T) {
		c := make(t, applicationcredentials.CreateOpts{Name: s.prefix + "restricted"})
		r := s.knock(t, gophercloud.AuthOptions{ApplicationCredentialID: c.ID, ApplicationCredentialSecret: c.Secret})
		id, err := r.ExtractTokenID()
		require.NoError(t, err)
		limited := s.stranger(t)
		limited.SetToken(id)
		const managing = "You are not authorized to perform the requested action: " +
			"Using method 'application_credential' is not allowed for managing additional application credentials.."
		a := refused(t, applicationcredentials.Create(t.Context(), limited, s.user.userID,
			applicationcredentials.CreateOpts{Name: s.prefix + "another"}).Err, http.StatusForbidden)
		require.Equal(t, managing, a.text(t, "error", "message"))
		a = refused(t, applicationcredentials.Delete(t.Context(), limited, s.user.userID, c.ID).Err, http.StatusForbidden)
		require.Equal(t, managing, a.text(t, "error", "message"))
		a = refused(t, s.knock(t, gophercloud.AuthOptions{TokenID: id, Scope: &gophercloud.AuthScope{ProjectID: s.user.projectID}}).Err,
			http.StatusForbidden)
		require.Contains(t, a.text(t, "error", "message"), "Using a delegated token to create another token is not allowed.")
	})
	t.Run("unrestricted", func(t *testing.T) {
		c := make(t, applicationcredentials.CreateOpts{Name: s.prefix + "unrestricted", Unrestricted: true})
		require.True(t, c.Unrestricted)
		r := s.knock(t, gophercloud.AuthOptions{ApplicationCredentialID: c.ID, ApplicationCredentialSecret: c.Secret})
		id, err := r.ExtractTokenID()
		require.NoError(t, err)
		require.Equal(t, object{"id": c.ID, "name": c.Name, "restricted": false}, r.Body.(object)["token"].(object)["application_credential"])
		with := s.stranger(t)
		with.SetToken(id)
		another, err := applicationcredentials.Create(t.Context(), with, s.user.userID,
			applicationcredentials.CreateOpts{Name: s.prefix + "made-with-it"}).Extract()
		require.NoError(t, err)
		require.False(t, another.Unrestricted)
		require.Equal(t, s.user.projectID, another.ProjectID)
		require.NoError(t, applicationcredentials.Delete(t.Context(), with, s.user.userID, another.ID).ExtractErr())
		a := refused(t, s.knock(t, gophercloud.AuthOptions{TokenID: id, Scope: &gophercloud.AuthScope{ProjectID: s.user.projectID}}).Err,
			http.StatusForbidden)
		require.Contains(t, a.text(t, "error", "message"), "Using a delegated token to create another token is not allowed.")
	})
	t.Run("deleted", func(t *testing.T) {
		c := make(t, applicationcredentials.CreateOpts{Name: s.prefix + "deleted"})
		auth := gophercloud.AuthOptions{ApplicationCredentialID: c.ID, ApplicationCredentialSecret: c.Secret}
		id, err := s.knock(t, auth).ExtractTokenID()
		require.NoError(t, err)
		require.NoError(t, applicationcredentials.Delete(t.Context(), own, s.user.userID, c.ID).ExtractErr())
		sayGone := "Could not find Application Credential: " + c.ID + "."
		for name, err := range map[string]error{
			"login":      s.knock(t, auth).Err,
			"its token":  tokens.Get(t.Context(), s.admin.identity, id).Err,
			"itself":     applicationcredentials.Get(t.Context(), own, s.user.userID, c.ID).Err,
			"once again": applicationcredentials.Delete(t.Context(), own, s.user.userID, c.ID).ExtractErr(),
		} {
			a := refused(t, err, http.StatusNotFound)
			require.Equal(t, sayGone, a.text(t, "error", "message"), name)
		}
		for name, client := range s.services() {
			if name != "identity" {
				a := s.user.ask(t, client, "GET", probe(name), nil, "X-Auth-Token: "+id)
				require.Equal(t, http.StatusUnauthorized, a.status, "%s: %s", name, a.body)
			}
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		c := make(t, applicationcredentials.CreateOpts{Name: s.prefix + "wrong"})
		a := refused(t, s.knock(t, gophercloud.AuthOptions{ApplicationCredentialID: c.ID, ApplicationCredentialSecret: "x"}).Err,
			http.StatusUnauthorized)
		requireUnauthorized(t, a)
	})
	t.Run("refused", func(t *testing.T) {
		c := make(t, applicationcredentials.CreateOpts{Name: s.prefix + "twice"})
		past := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		for name, test := range map[string]struct {
			opts    applicationcredentials.CreateOpts
			status  int
			message string
		}{
			"name twice": {applicationcredentials.CreateOpts{Name: c.Name}, http.StatusConflict,
				"Conflict occurred attempting to store application_credential - Duplicate entry found with name " + c.Name + "."},
			"a role that the user has not": {
				applicationcredentials.CreateOpts{Name: s.prefix + "role", Roles: []applicationcredentials.Role{{Name: "admin"}}},
				http.StatusBadRequest, "Invalid application credential: Cannot create an application credential with unassigned role",
			},
			"expired": {applicationcredentials.CreateOpts{Name: s.prefix + "expired", ExpiresAt: &past}, http.StatusBadRequest,
				"The 'expires_at' must not be before now."},
		} {
			a := refused(t, applicationcredentials.Create(t.Context(), own, s.user.userID, test.opts).Err, test.status)
			require.Contains(t, a.text(t, "error", "message"), test.message, name)
		}
		a := s.user.ask(t, own, "GET", "users/"+s.admin.userID+"/application_credentials", nil)
		require.Equal(t, http.StatusForbidden, a.status, "of another user: %s", a.body)
	})
}
