package contract

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/stretchr/testify/require"
)

// testPeople: those of the directory are users of a Keystone domain of their own.
func testPeople(t *testing.T, s *suite) {
	t.Run("log in", func(t *testing.T) {
		r := s.knock(t, s.User)
		require.NoError(t, r.Err)
		user, err := r.ExtractUser()
		require.NoError(t, err)
		require.Equal(t, s.User.Username, user.Name)
		require.NotEqual(t, "Default", user.Domain.Name)
		require.Regexp(t, "^[0-9a-f]{64}$", user.ID, "ids of a directory's users are digests")
		roles, err := r.ExtractRoles()
		require.NoError(t, err)
		names := map[string]bool{}
		for _, role := range roles {
			names[role.Name] = true
		}
		require.True(t, names["member"])
		require.False(t, names["admin"])
		require.Equal(t, user.ID, s.user.userID, "the same each time")
	})
	t.Run("by id", func(t *testing.T) {
		auth := s.User
		auth.Username, auth.DomainName, auth.DomainID, auth.UserID = "", "", "", s.user.userID
		require.NoError(t, s.knock(t, auth).Err)
		auth.Password += "x"
		requireUnauthorized(t, refused(t, s.knock(t, auth).Err, http.StatusUnauthorized))
	})
	t.Run("not in another domain", func(t *testing.T) {
		auth := s.User
		auth.DomainID, auth.DomainName = "default", ""
		requireUnauthorized(t, refused(t, s.knock(t, auth).Err, http.StatusUnauthorized))
	})
	t.Run("read only", func(t *testing.T) {
		a := s.admin.ask(t, s.admin.identity, "GET", "users/"+s.user.userID, nil)
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.Equal(t, s.User.Username, a.text(t, "user", "name"))
		require.NotContains(t, a.body, s.User.Password)
	})
	if s.Can.Directory.Lock == nil {
		t.Log("not run: locked: the cloud has no Directory.Lock")
		return
	}
	t.Run("locked", func(t *testing.T) {
		auth := s.Can.Directory.LockUser
		auth.Scope = nil
		before := s.knock(t, auth)
		require.NoError(t, before.Err)
		id, err := before.ExtractTokenID()
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Can.Directory.Lock(false)) })
		require.NoError(t, s.Can.Directory.Lock(true))
		requireUnauthorized(t, refused(t, s.knock(t, auth).Err, http.StatusUnauthorized))
		require.NoError(t, tokens.Get(t.Context(), s.admin.identity, id).Err, "Keystone knows nothing of the lock: tokens stay")
		require.NoError(t, s.Can.Directory.Lock(false))
		require.NoError(t, s.knock(t, auth).Err)
	})
}
