package contract

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/applicationcredentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/stretchr/testify/require"
)

func testTokens(t *testing.T, s *suite) {
	fresh := func(t *testing.T) (string, *gophercloud.ServiceClient, tokens.CreateResult) {
		t.Helper()
		r := s.knock(t, in(s.User, s.user.projectID))
		require.NoError(t, r.Err)
		id, err := r.ExtractTokenID()
		require.NoError(t, err)
		client := s.stranger(t)
		client.SetToken(id)
		return id, client, r
	}
	t.Run("lifetime", func(t *testing.T) {
		before := time.Now().Add(-2 * time.Second)
		_, _, r := fresh(t)
		var token struct {
			Issued  time.Time `json:"issued_at"`
			Expires time.Time `json:"expires_at"`
		}
		require.NoError(t, r.ExtractInto(&token))
		require.WithinRange(t, token.Issued, before, time.Now().Add(2*time.Second))
		require.Greater(t, token.Expires.Sub(token.Issued), time.Minute)
		require.Zero(t, token.Expires.Sub(token.Issued)%time.Second, "a lifetime is whole seconds")
		text := r.Body.(object)["token"].(object)
		for _, key := range []string{"issued_at", "expires_at"} {
			require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, text[key])
		}
	})
	t.Run("validation", func(t *testing.T) {
		id, own, r := fresh(t)
		got := tokens.Get(t.Context(), own, id)
		require.NoError(t, got.Err)
		require.Equal(t, r.Body, got.Body, "what was issued")
		require.Equal(t, id, got.Header.Get("X-Subject-Token"))
		require.NoError(t, tokens.Get(t.Context(), s.admin.identity, id).Err, "an administrator may")
		valid, err := tokens.Validate(t.Context(), own, id)
		require.NoError(t, err)
		require.True(t, valid)
	})
	t.Run("of somebody else", func(t *testing.T) {
		_, own, _ := fresh(t)
		a := refused(t, tokens.Get(t.Context(), own, s.admin.token()).Err, http.StatusForbidden)
		require.Equal(t, "You are not authorized to perform the requested action: identity:validate_token.", a.text(t, "error", "message"))
		a = refused(t, tokens.Revoke(t.Context(), own, s.admin.token()).Err, http.StatusForbidden)
		require.Equal(t, "You are not authorized to perform the requested action: identity:revoke_token.", a.text(t, "error", "message"))
	})
	t.Run("unknown", func(t *testing.T) {
		refused(t, tokens.Get(t.Context(), s.admin.identity, s.prefix+"token").Err, http.StatusNotFound)
		valid, err := tokens.Validate(t.Context(), s.admin.identity, s.prefix+"token")
		require.NoError(t, err)
		require.False(t, valid)
		a := s.admin.ask(t, s.admin.identity, "GET", "auth/tokens", nil)
		require.Equal(t, http.StatusNotFound, a.status)
		require.Equal(t, "No token in the request", a.text(t, "error", "message"))
	})
	t.Run("rescoping", func(t *testing.T) {
		id, _, r := fresh(t)
		first, err := r.ExtractToken()
		require.NoError(t, err)
		again := s.knock(t, gophercloud.AuthOptions{TokenID: id, Scope: &gophercloud.AuthScope{ProjectID: s.user.projectID}})
		require.NoError(t, again.Err)
		second, err := again.ExtractToken()
		require.NoError(t, err)
		require.Equal(t, first.ExpiresAt, second.ExpiresAt, "it ends with the token that it was got with")
		body := again.Body.(object)["token"].(object)
		require.ElementsMatch(t, []any{"password", "token"}, body["methods"])
		audits := body["audit_ids"].([]any)
		require.Len(t, audits, 2)
		require.Equal(t, r.Body.(object)["token"].(object)["audit_ids"].([]any)[0], audits[1])
		plain := tokens.Create(t.Context(), s.stranger(t), unscoped{&tokens.AuthOptions{TokenID: second.ID}})
		require.NoError(t, plain.Err)
		require.NotContains(t, plain.Body.(object)["token"], "project", "from a project to none")
	})
	t.Run("revocation", func(t *testing.T) {
		id, own, _ := fresh(t)
		derived := s.knock(t, gophercloud.AuthOptions{TokenID: id, Scope: &gophercloud.AuthScope{ProjectID: s.user.projectID}})
		require.NoError(t, derived.Err)
		require.NoError(t, tokens.Revoke(t.Context(), own, id).Err)
		a := refused(t, tokens.Get(t.Context(), own, id).Err, http.StatusUnauthorized)
		requireUnauthorized(t, a)
		s.requireChallenge(t, "identity", a)
		a = refused(t, tokens.Get(t.Context(), s.admin.identity, id).Err, http.StatusNotFound)
		require.Equal(t, "Failed to validate token", a.text(t, "error", "message"))
		refused(t, tokens.Revoke(t.Context(), s.admin.identity, id).Err, http.StatusNotFound)
		for name, client := range s.services() {
			a := s.user.ask(t, client, "GET", probe(name), nil, "X-Auth-Token: "+id)
			require.Equal(t, http.StatusUnauthorized, a.status, "%s: %s", name, a.body)
		}
		other, err := derived.ExtractTokenID()
		require.NoError(t, err)
		require.NoError(t, tokens.Get(t.Context(), s.admin.identity, other).Err, "those that were got with it stay")
	})
	t.Run("expiry", func(t *testing.T) { s.tokenExpires(t) })
	t.Run("services refuse", func(t *testing.T) {
		for name, client := range s.services() {
			for _, header := range []string{"X-Auth-Token", "X-Auth-Token: " + s.prefix + "token"} {
				a := s.user.ask(t, client, "GET", probe(name), nil, header)
				require.Equal(t, http.StatusUnauthorized, a.status, "%s: %s", name, a.body)
				s.requireChallenge(t, name, a)
				if name == "image" {
					require.Equal(t, "401 Unauthorized", a.text(t, "code"))
					require.Equal(t, "Unauthorized", a.text(t, "title"))
				} else {
					requireUnauthorized(t, a)
				}
			}
		}
	})
}

// services are the clients of the ordinary user.
func (s *suite) services() map[string]*gophercloud.ServiceClient {
	return map[string]*gophercloud.ServiceClient{
		"identity": s.user.identity, "compute": s.user.compute, "placement": s.user.placement, "image": s.user.image, "network": s.user.network,
	}
}

// probe is a path of a service that needs a token.
func probe(service string) string {
	return map[string]string{
		"identity": "auth/projects", "compute": "flavors", "placement": "resource_providers", "image": "images", "network": "networks",
	}[service]
}

// tokenExpires: a token of an application credential ends with it at the latest, so that one need not wait for an hour.
func (s *suite) tokenExpires(t *testing.T) {
	var credential *applicationcredentials.ApplicationCredential
	var issued tokens.CreateResult
	for lifetime := 3 * time.Second; ; lifetime *= 2 { // a busy cloud may take longer than that for the login
		require.Less(t, lifetime, s.BuildTimeout)
		ends := time.Now().UTC().Truncate(time.Second).Add(lifetime)
		var err error
		credential, err = applicationcredentials.Create(t.Context(), s.user.identity, s.user.userID, applicationcredentials.CreateOpts{
			Name: s.prefix + "expires-" + lifetime.String(), ExpiresAt: &ends,
		}).Extract()
		if gophercloud.ResponseCodeIs(err, http.StatusBadRequest) {
			continue // it was over before
		}
		require.NoError(t, err)
		cleanup(t, "application credential "+credential.Name, func(ctx context.Context) error {
			return applicationcredentials.Delete(ctx, s.user.identity, s.user.userID, credential.ID).ExtractErr()
		})
		issued = s.knock(t, gophercloud.AuthOptions{ApplicationCredentialID: credential.ID, ApplicationCredentialSecret: credential.Secret})
		if issued.Err == nil {
			require.Contains(t, issued.Body.(object)["token"].(object)["expires_at"], ends.Format("2006-01-02T15:04:05"))
			break
		}
	}
	id, err := issued.ExtractTokenID()
	require.NoError(t, err)
	var a answer
	await(t, s.BuildTimeout, "the token expires", func() bool {
		a = s.user.ask(t, s.user.identity, "GET", probe("identity"), nil, "X-Auth-Token: "+id)
		return a.status != http.StatusOK
	})
	require.False(t, time.Now().Before(credential.ExpiresAt), "not before its time")
	requireUnauthorized(t, a)
	s.requireChallenge(t, "identity", a)
	for name, client := range s.services() {
		a := s.user.ask(t, client, "GET", probe(name), nil, "X-Auth-Token: "+id)
		require.Equal(t, http.StatusUnauthorized, a.status, "%s: %s", name, a.body)
		s.requireChallenge(t, name, a)
	}
	requireUnauthorized(t, refused(t, s.knock(t, gophercloud.AuthOptions{
		ApplicationCredentialID: credential.ID, ApplicationCredentialSecret: credential.Secret,
	}).Err, http.StatusUnauthorized))
}
