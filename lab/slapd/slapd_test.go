package slapd_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/slapd"
	"github.com/deskstorm/deskstorm/lab/slapd/slapdtest"
)

const (
	base = "dc=example,dc=com"
	ldif = `dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: uid=ann,dc=example,dc=com
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: Ann
userPassword: right
`
)

func dial(t *testing.T, url string, options ...ldap.DialOpt) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(url, options...)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetTimeout(10 * time.Second)
	return c
}

func TestPeopleLogInOverAllTransports(t *testing.T) {
	files, authority := qemutest.TLSFiles(t)
	s := slapdtest.StartT(t, slapd.Config{BaseDN: base, LDIF: ldif, TLSDir: files.Dir})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(authority))
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}

	plain := dial(t, s.URL)
	require.NoError(t, plain.Bind("uid=ann,"+base, "right"))
	require.True(t, ldap.IsErrorWithCode(plain.Bind("uid=ann,"+base, "wrong"), ldap.LDAPResultInvalidCredentials))
	require.NoError(t, plain.Bind(s.AdminDN, s.AdminPassword))

	require.NoError(t, dial(t, s.TLSURL, ldap.DialWithTLSConfig(config)).Bind("uid=ann,"+base, "right"))

	upgraded := dial(t, s.URL)
	require.NoError(t, upgraded.StartTLS(config))
	require.NoError(t, upgraded.Bind("uid=ann,"+base, "right"))
}

func TestAccountsAreLocked(t *testing.T) {
	s := slapdtest.StartT(t, slapd.Config{BaseDN: base, LDIF: ldif, MaxFailures: 2})
	bind := func(password string) ([]ldap.Control, error) {
		policy := []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
		result, err := dial(t, s.URL).SimpleBind(ldap.NewSimpleBindRequest("uid=ann,"+base, password, policy))
		return result.Controls, err
	}
	_, err := bind("right")
	require.NoError(t, err)
	for range 2 {
		_, err = bind("wrong")
		require.Error(t, err)
	}
	controls, err := bind("right")
	require.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials))
	policy := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	require.EqualValues(t, ldap.BeheraAccountLocked, policy.Error)
}

func TestRestartKeepsAddressAndContent(t *testing.T) {
	s := slapdtest.StartT(t, slapd.Config{BaseDN: base, LDIF: ldif})
	before := s.URL
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, before, s.URL)
	require.NoError(t, dial(t, s.URL).Bind("uid=ann,"+base, "right"))
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := slapdtest.StartT(t, slapd.Config{BaseDN: base, LDIF: ldif})
	address := s.URL[len("ldap://"):]
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err := net.Dial("tcp", address)
	require.ErrorContains(t, err, "refused")
	requireNoFiles(t)
}

func TestStartFails(t *testing.T) {
	qemutest.RequireProgram(t, slapd.Program, "slapd")
	t.Setenv("TMPDIR", t.TempDir())
	for name, test := range map[string]struct {
		timeout time.Duration
		config  slapd.Config
		want    string
	}{
		"too late":        {0, slapd.Config{BaseDN: base, LDIF: ldif}, "deadline exceeded"},
		"no LDIF":         {time.Minute, slapd.Config{BaseDN: base, LDIF: "nonsense"}, "slapadd wrote"},
		"no DN":           {time.Minute, slapd.Config{BaseDN: "nonsense", LDIF: ldif}, "slapadd wrote"},
		"no certificates": {time.Minute, slapd.Config{BaseDN: base, LDIF: ldif, TLSDir: t.TempDir()}, "slapd wrote"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
			defer cancel()
			_, err := slapd.Start(ctx, test.config)
			require.ErrorContains(t, err, test.want)
			requireNoFiles(t)
		})
	}
}

func requireNoFiles(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "deskstorm-slapd-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
