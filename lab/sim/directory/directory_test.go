package directory_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/lab/slapd"
	"github.com/deskstorm/deskstorm/lab/slapd/slapdtest"
)

const deadline = 10 * time.Second

func start(t testing.TB, config directory.Config) *directory.Server {
	t.Helper()
	s, err := directory.Start(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func dial(t testing.TB, url string, options ...ldap.DialOpt) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(url, options...)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetTimeout(deadline)
	return c
}

// login connects as the service account.
func login(t testing.TB, url string, config directory.Config) *ldap.Conn {
	t.Helper()
	c := dial(t, url)
	require.NoError(t, c.Bind(config.ServiceDN, config.ServicePassword))
	return c
}

func request(base string, scope int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
}

// people is a directory with what is special: an escaped comma, groups in a circle, umlauts.
func people() directory.Config {
	c := directory.Callcenter(24) // so that no group is empty
	c.Users = append(c.Users,
		directory.User{Name: "Müller, Ann", Password: "p", OUs: []string{"Sales, North", "N1"}, Groups: []string{"sales", "ring1"}})
	c.Groups = append(c.Groups,
		directory.Group{Name: "ring1", Groups: []string{"ring2"}}, directory.Group{Name: "ring2", Groups: []string{"ring1"}})
	return c
}

func TestAnswersLikeOpenLDAP(t *testing.T) {
	content := people()
	ldif, err := content.LDIF()
	require.NoError(t, err)
	real := slapdtest.StartT(t, slapd.Config{BaseDN: content.BaseDN, LDIF: ldif})
	sim := start(t, content)
	ours, theirs := login(t, sim.URL, content), login(t, real.URL, content)

	ann := content.UserDN("Müller, Ann", []string{"Sales, North", "N1"})
	for _, filter := range []string{
		"(objectClass=*)",
		"(objectClass=person)",
		"(&(objectClass=person)(uid=agent0003))",
		"(&(objectclass=PERSON)(UID=Agent0003))",
		"(uid=nobody)",
		"(uid=agent*)",
		"(uid=*03)",
		"(uid=a*t00*3)",
		"(uid=*gent*)",
		"(uid=m*n)",
		`(uid=\2a)`,
		"(uid=" + ldap.EscapeFilter("Müller, Ann") + ")",
		"(uid=" + ldap.EscapeFilter(")(uid=*") + ")",
		"(uid=" + ldap.EscapeFilter("a\x00b") + ")",
		"(|(uid=agent0001)(cn=sales)(uid=agent0001))",
		"(|(uid=agent0001)(objectClass=groupOfNames))",
		"(!(objectClass=person))",
		"(&(objectClass=person)(!(uid=agent0001)))",
		"(&)",
		"(|)",
		"(member=*)",
		"(member=" + ldap.EscapeFilter(ann) + ")",
		"(member=UID=agent0001, OU=sales, ou=n1," + content.BaseDN + ")",
		"(member=cn=ring1," + content.GroupBase() + ")",
		"(member=nonsense)",
		"(ou=N1)",
	} {
		for _, base := range []string{content.BaseDN, content.GroupBase(), "ou=N1," + content.BaseDN} {
			for _, scope := range []int{ldap.ScopeBaseObject, ldap.ScopeSingleLevel, ldap.ScopeWholeSubtree} {
				t.Run(fmt.Sprint(filter, base, scope), func(t *testing.T) {
					want, err := theirs.Search(request(base, scope, filter))
					require.NoError(t, err)
					got, err := ours.Search(request(base, scope, filter))
					require.NoError(t, err)
					require.Equal(t, entries(t, want), entries(t, got))
				})
			}
		}
	}
	for name, r := range map[string]*ldap.SearchRequest{
		"no such base": request("ou=nowhere,"+content.BaseDN, ldap.ScopeWholeSubtree, "(uid=*)"),
		"size limit":   {BaseDN: content.BaseDN, Scope: ldap.ScopeWholeSubtree, Filter: "(uid=*)", SizeLimit: 2},
	} {
		t.Run(name, func(t *testing.T) {
			want, wantErr := theirs.Search(r)
			got, err := ours.Search(r)
			require.True(t, ldap.IsErrorWithCode(err, wantErr.(*ldap.Error).ResultCode), "%v, want %v", err, wantErr)
			require.Len(t, got.Entries, len(want.Entries))
		})
	}
	for name, credentials := range map[string][2]string{
		"person":         {ann, "p"},
		"wrong password": {ann, "q"},
		"nobody":         {"uid=nobody," + content.BaseDN, "p"},
		"group":          {"cn=sales," + content.GroupBase(), "p"},
		"no DN":          {"nonsense", "p"},
		"anonymous":      {"", ""},
		"no password":    {ann, ""},
	} {
		t.Run("bind "+name, func(t *testing.T) {
			r := &ldap.SimpleBindRequest{Username: credentials[0], Password: credentials[1], AllowEmptyPassword: true}
			_, want := dial(t, real.URL).SimpleBind(r)
			_, got := dial(t, sim.URL).SimpleBind(r)
			if name == "no DN" {
				require.True(t, ldap.IsErrorWithCode(want, ldap.LDAPResultInvalidDNSyntax))
				require.True(t, ldap.IsErrorWithCode(got, ldap.LDAPResultInvalidCredentials), "simpler than OpenLDAP")
				return
			}
			require.Equal(t, code(want), code(got))
		})
	}
}

func code(err error) uint16 {
	if err == nil {
		return ldap.LDAPResultSuccess
	}
	return err.(*ldap.Error).ResultCode
}

// entries returns what was found in a form that can be compared: values and entries have no order.
func entries(t *testing.T, result *ldap.SearchResult) map[string]map[string][]string {
	t.Helper()
	all := map[string]map[string][]string{}
	for _, e := range result.Entries {
		dn, err := ldap.ParseDN(e.DN)
		require.NoError(t, err)
		attributes := map[string][]string{}
		for _, a := range e.Attributes {
			values := slices.Clone(a.Values)
			for i, value := range values {
				if member, err := ldap.ParseDN(value); a.Name == "member" && err == nil {
					values[i] = member.String()
				}
			}
			slices.Sort(values)
			attributes[a.Name] = slices.DeleteFunc(values, func(v string) bool { return a.Name == "objectClass" && v == "top" })
		}
		delete(attributes, "userPassword") // OpenLDAP shows people their own
		all[dn.String()] = attributes
	}
	return all
}

func TestCallcenter(t *testing.T) {
	const n = 130
	c := directory.Callcenter(n)
	require.Equal(t, c, directory.Callcenter(n), "the same each time")
	s := start(t, c)
	first, found := s.User("AGENT0001")
	require.True(t, found)
	require.Equal(t, directory.User{
		Name: "agent0001", Password: "pass-agent0001", OUs: []string{"Sales", "N1"}, Groups: []string{"sales"},
	}, first)
	tenth, _ := s.User("agent0010")
	require.Equal(t, []string{"Support", "N4"}, tenth.OUs)
	require.Equal(t, []string{"support", "supervisors"}, tenth.Groups)

	paged, err := login(t, s.URL, c).SearchWithPaging(request(c.BaseDN, ldap.ScopeWholeSubtree, "(uid=*)", "uid"), 25)
	require.NoError(t, err)
	var names []string
	for _, e := range paged.Entries {
		names = append(names, e.GetAttributeValue("uid"))
	}
	slices.Sort(names)
	require.Len(t, slices.Compact(names), n)
	require.EqualValues(t, 6, s.Counts().Searches)

	result, err := login(t, s.URL, c).Search(request(c.GroupBase(), ldap.ScopeWholeSubtree,
		"(member:1.2.840.113556.1.4.1941:="+c.UserDN("agent0010", tenth.OUs)+")", "cn"))
	require.NoError(t, err)
	require.Equal(t, []string{"agents", "staff", "supervisors", "support"}, commonNames(result))
}

func commonNames(result *ldap.SearchResult) []string {
	var names []string
	for _, e := range result.Entries {
		names = append(names, e.GetAttributeValue("cn"))
	}
	slices.Sort(names)
	return names
}

func TestTLS(t *testing.T) {
	files, authority := qemutest.TLSFiles(t)
	certificate, err := tls.LoadX509KeyPair(filepath.Join(files.Dir, "server-cert.pem"), filepath.Join(files.Dir, "server-key.pem"))
	require.NoError(t, err)
	c := directory.Callcenter(1)
	c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s := start(t, c)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(authority))
	trusting := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}

	require.NoError(t, dial(t, s.TLSURL, ldap.DialWithTLSConfig(trusting)).Bind(c.ServiceDN, c.ServicePassword))
	upgraded := dial(t, s.URL)
	require.NoError(t, upgraded.StartTLS(trusting))
	require.NoError(t, upgraded.Bind(c.ServiceDN, c.ServicePassword))
	require.ErrorContains(t, dial(t, s.URL).StartTLS(&tls.Config{ServerName: "127.0.0.1"}), "unknown authority")

	plain := start(t, directory.Callcenter(1))
	require.Empty(t, plain.TLSURL)
	require.Error(t, dial(t, plain.URL).StartTLS(trusting))
}

func TestOnlyTheServiceAccountSearches(t *testing.T) {
	c := directory.Callcenter(1)
	s := start(t, c)
	search := func(c *ldap.Conn) uint16 {
		_, err := c.Search(request("dc=callcenter,dc=example", ldap.ScopeWholeSubtree, "(uid=*)"))
		return code(err)
	}
	conn := dial(t, s.URL)
	require.EqualValues(t, ldap.LDAPResultInsufficientAccessRights, search(conn))
	require.NoError(t, conn.Bind(c.UserDN("agent0001", c.Users[0].OUs), "pass-agent0001"))
	require.EqualValues(t, ldap.LDAPResultInsufficientAccessRights, search(conn))
	require.NoError(t, conn.Bind(c.ServiceDN, c.ServicePassword))
	require.EqualValues(t, ldap.LDAPResultSuccess, search(conn))
	require.Error(t, conn.Bind(c.ServiceDN, "wrong"))
	require.EqualValues(t, ldap.LDAPResultInsufficientAccessRights, search(conn), "a failed bind makes anonymous")
}

func TestChangesCountAtOnce(t *testing.T) {
	c := directory.Callcenter(2)
	s := start(t, c)
	conn := login(t, s.URL, c)
	groups := func(dn string) []string {
		result, err := conn.Search(request(c.GroupBase(), ldap.ScopeWholeSubtree, "(member="+dn+")", "cn"))
		require.NoError(t, err)
		return commonNames(result)
	}
	dn := c.UserDN("agent0001", c.Users[0].OUs)
	bind := func(dn, password string) error { return dial(t, s.URL).Bind(dn, password) }

	require.NoError(t, s.SetPassword("agent0001", "new"))
	require.Error(t, bind(dn, "pass-agent0001"))
	require.NoError(t, bind(dn, "new"))

	require.Equal(t, []string{"sales"}, groups(dn))
	require.NoError(t, s.SetGroups("agent0001", "billing", "supervisors"))
	require.Equal(t, []string{"billing", "supervisors"}, groups(dn))

	require.NoError(t, s.Move("agent0001", "Late, late", "N9"))
	moved := c.UserDN("agent0001", []string{"Late, late", "N9"})
	require.Empty(t, groups(dn))
	require.Equal(t, []string{"billing", "supervisors"}, groups(ldap.EscapeFilter(moved)))
	require.Error(t, bind(dn, "new"))
	require.NoError(t, bind(moved, "new"))
	result, err := conn.Search(request("ou=N9,"+c.BaseDN, ldap.ScopeWholeSubtree, "(uid=agent0001)"))
	require.NoError(t, err)
	require.Len(t, result.Entries, 1)

	require.NoError(t, s.Lock("agent0001", true))
	policy := []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
	answer, err := dial(t, s.URL).SimpleBind(ldap.NewSimpleBindRequest(moved, "new", policy))
	require.EqualValues(t, ldap.LDAPResultInvalidCredentials, code(err))
	require.EqualValues(t, ldap.BeheraAccountLocked, answer.Controls[0].(*ldap.ControlBeheraPasswordPolicy).Error)
	require.NoError(t, s.Lock("agent0001", false))
	require.NoError(t, bind(moved, "new"))

	require.ErrorContains(t, s.Lock("nobody", true), "nobody")
	require.ErrorContains(t, s.SetGroups("agent0001", "nothing"), "nothing")
	require.ErrorContains(t, s.SetPassword("agent0001", ""), "needed")
	require.Equal(t, []string{"billing", "supervisors"}, groups(ldap.EscapeFilter(moved)), "a refused change changes nothing")
}

func TestCheck(t *testing.T) {
	s := start(t, directory.Callcenter(2))
	check := func(name, password string) error { return s.Check(t.Context(), name, password) }
	require.NoError(t, check("agent0001", "pass-agent0001"))
	require.NoError(t, check("Agent0001", "pass-agent0001"))
	require.ErrorIs(t, check("agent0001", "wrong"), directory.ErrWrongPassword)
	require.ErrorIs(t, check("agent0001", ""), directory.ErrWrongPassword)
	require.ErrorIs(t, check("nobody", "pass-nobody"), directory.ErrWrongPassword)
	require.NoError(t, s.Lock("agent0002", true))
	require.ErrorIs(t, check("agent0002", "pass-agent0002"), directory.ErrLocked)

	s.Slow(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Check(ctx, "agent0001", "pass-agent0001"), context.DeadlineExceeded)
	s.Slow(0)
	require.NoError(t, s.Down(true))
	require.ErrorIs(t, check("agent0001", "pass-agent0001"), directory.ErrDown)
	require.NoError(t, s.Down(false))
	require.NoError(t, check("agent0001", "pass-agent0001"))
}

func TestSlowAndDown(t *testing.T) {
	c := directory.Callcenter(1)
	s := start(t, c)
	conn := login(t, s.URL, c)
	const delay = 50 * time.Millisecond
	s.Slow(delay)
	began := time.Now()
	require.NoError(t, conn.Bind(c.ServiceDN, c.ServicePassword))
	require.GreaterOrEqual(t, time.Since(began), delay)
	s.Slow(0)

	require.NoError(t, s.Down(true))
	require.Error(t, conn.Bind(c.ServiceDN, c.ServicePassword), "the connection is dropped")
	_, err := ldap.DialURL(s.URL)
	require.ErrorContains(t, err, "refused")
	require.NoError(t, s.Down(true))
	require.NoError(t, s.Down(false))
	require.NoError(t, s.Down(false))
	login(t, s.URL, c)
	require.Equal(t, directory.Counts{Connections: 2, Binds: 3}, s.Counts())
}

// TestCloseIsBounded closes a directory with requests under way and connections idle, and one that was closed.
func TestCloseIsBounded(t *testing.T) {
	before := runtime.NumGoroutine()
	c := directory.Callcenter(1)
	s, err := directory.Start(c)
	require.NoError(t, err)
	idle := login(t, s.URL, c)
	busy := dial(t, s.URL)
	s.Slow(time.Hour)
	var asking sync.WaitGroup
	asking.Go(func() { require.Error(t, busy.Bind(c.ServiceDN, c.ServicePassword)) })
	require.Eventually(t, func() bool { return s.Counts().Binds == 2 }, deadline, time.Millisecond)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(deadline):
		t.Fatal("Close does not end")
	}
	asking.Wait()
	idle.Close()
	require.NoError(t, s.Close())
	require.Error(t, s.Down(false))
	require.Error(t, s.Check(t.Context(), "agent0001", "pass-agent0001"))
	for end := time.Now().Add(deadline); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "goroutines are left")
	}
}

func TestBadContent(t *testing.T) {
	for want, change := range map[string]func(*directory.Config){
		"BaseDN":         func(c *directory.Config) { c.BaseDN = "nonsense" },
		"ServiceDN":      func(c *directory.Config) { c.ServiceDN = "cn=elsewhere" },
		"each name once": func(c *directory.Config) { c.Users = append(c.Users, c.Users[0]) },
		"no group":       func(c *directory.Config) { c.Users[0].Groups = []string{"nothing"} },
		"a password":     func(c *directory.Config) { c.Users[0].Password = "" },
		`group "SALES"`:  func(c *directory.Config) { c.Groups = append(c.Groups, directory.Group{Name: "SALES"}) },
	} {
		t.Run(want, func(t *testing.T) {
			c := directory.Callcenter(2)
			change(&c)
			_, err := directory.Start(c)
			require.ErrorContains(t, err, want)
			_, err = c.LDIF()
			require.ErrorContains(t, err, want)
		})
	}
}
