package contract

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func testDirectory(t *testing.T, s *suite) {
	d := s.Can.Directory
	dial := func(t *testing.T) *ldap.Conn {
		t.Helper()
		c, err := ldap.DialURL(d.URL)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	bound := func(t *testing.T) *ldap.Conn {
		t.Helper()
		c := dial(t)
		require.NoError(t, c.Bind(d.ServiceDN, d.ServicePassword))
		return c
	}
	person := "(&(objectClass=inetOrgPerson)(uid=" + ldap.EscapeFilter(s.User.Username) + "))"
	find := func(t *testing.T, c *ldap.Conn, base, filter string, attributes ...string) []*ldap.Entry {
		t.Helper()
		r, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil))
		require.NoError(t, err)
		return r.Entries
	}
	own := func(t *testing.T) *ldap.Entry {
		t.Helper()
		found := find(t, bound(t), d.BaseDN, person)
		require.Len(t, found, 1)
		return found[0]
	}
	code := func(t *testing.T, err error, want uint16) {
		t.Helper()
		require.True(t, ldap.IsErrorWithCode(err, want), "code %d expected, got %v", want, err)
	}
	t.Run("a person", func(t *testing.T) {
		e := own(t)
		require.Equal(t, s.User.Username, e.GetAttributeValue("uid"))
		require.Empty(t, e.GetAttributeValues("userPassword"), "the service account must not read passwords")
		require.Contains(t, strings.ToLower(e.DN), "ou=")
		found := find(t, bound(t), d.BaseDN, strings.ToUpper(person[:14])+person[14:], "uid")
		require.Len(t, found, 1, "attributes' names have no case")
		require.Len(t, found[0].Attributes, 1, "only what was asked for")
	})
	t.Run("below an organizational unit", func(t *testing.T) {
		dn := own(t).DN
		_, ou, ok := strings.Cut(dn, ",")
		require.True(t, ok)
		found := find(t, bound(t), ou, person)
		require.Len(t, found, 1)
		require.Equal(t, dn, found[0].DN)
		units := find(t, bound(t), ou, "(objectClass=organizationalUnit)", "ou")
		require.NotEmpty(t, units)
	})
	t.Run("groups of a person", func(t *testing.T) {
		dn := own(t).DN
		groups := find(t, bound(t), d.BaseDN, "(&(objectClass=groupOfNames)(member="+ldap.EscapeFilter(dn)+"))", "cn", "member")
		require.NotEmpty(t, groups)
		for _, g := range groups {
			require.NotEmpty(t, g.GetAttributeValue("cn"))
			members := g.GetEqualFoldAttributeValues("member")
			require.True(t, containsFold(members, dn), "%s in %v", dn, members)
		}
	})
	t.Run("pages", func(t *testing.T) {
		c := bound(t)
		all := find(t, c, d.BaseDN, "(objectClass=inetOrgPerson)", "uid")
		require.Greater(t, len(all), 1, "people")
		size := uint32(len(all)/2 + 1)
		paging := ldap.NewControlPaging(size)
		var dns []string
		for {
			r, err := c.Search(ldap.NewSearchRequest(d.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
				"(objectClass=inetOrgPerson)", []string{"uid"}, []ldap.Control{paging}))
			require.NoError(t, err)
			require.LessOrEqual(t, len(r.Entries), int(size))
			for _, e := range r.Entries {
				dns = append(dns, e.DN)
			}
			next, ok := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			require.True(t, ok, "a page's answer has the control")
			if len(next.Cookie) == 0 {
				break
			}
			paging.SetCookie(next.Cookie)
		}
		var want []string
		for _, e := range all {
			want = append(want, e.DN)
		}
		require.ElementsMatch(t, want, dns, "each entry once")
	})
	t.Run("bind as a person", func(t *testing.T) {
		dn := own(t).DN
		require.NoError(t, dial(t).Bind(dn, s.User.Password))
		code(t, dial(t).Bind(dn, s.User.Password+"x"), ldap.LDAPResultInvalidCredentials)
		code(t, dial(t).Bind("uid="+s.prefix+"nobody,"+d.BaseDN, "x"), ldap.LDAPResultInvalidCredentials)
	})
	t.Run("wrong service password", func(t *testing.T) {
		code(t, dial(t).Bind(d.ServiceDN, d.ServicePassword+"x"), ldap.LDAPResultInvalidCredentials)
	})
	t.Run("no such base", func(t *testing.T) {
		_, err := bound(t).Search(ldap.NewSearchRequest("ou="+s.prefix+"nowhere,"+d.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
			0, 0, false, "(objectClass=*)", nil, nil))
		code(t, err, ldap.LDAPResultNoSuchObject)
	})
	t.Run("size limit", func(t *testing.T) {
		r, err := bound(t).Search(ldap.NewSearchRequest(d.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 1, 0, false,
			"(objectClass=inetOrgPerson)", []string{"uid"}, nil))
		code(t, err, ldap.LDAPResultSizeLimitExceeded)
		require.Len(t, r.Entries, 1)
	})
	if d.StartTLS == nil {
		t.Log("not run: StartTLS: the cloud has no Directory.StartTLS")
		return
	}
	t.Run("StartTLS", func(t *testing.T) {
		c := dial(t)
		require.NoError(t, c.StartTLS(d.StartTLS))
		require.NoError(t, c.Bind(d.ServiceDN, d.ServicePassword))
		require.Len(t, find(t, c, d.BaseDN, person), 1)
	})
}

func containsFold(values []string, wanted string) bool {
	for _, v := range values {
		if strings.EqualFold(v, wanted) {
			return true
		}
	}
	return false
}
