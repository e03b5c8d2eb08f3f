package slapd

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// configuration returns slapd.conf(5).
func (s *Server) configuration() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, schema := range []string{"core", "cosine", "inetorgperson"} {
		line("include /etc/ldap/schema/%s.schema", schema)
	}
	line("pidfile %s", quote(s.file("pid")))
	line("modulepath /usr/lib/ldap")
	line("moduleload back_mdb")
	if s.config.MaxFailures > 0 {
		line("moduleload ppolicy")
	}
	if dir := s.config.TLSDir; dir != "" {
		line("TLSCACertificateFile %s", quote(filepath.Join(dir, "ca-cert.pem")))
		line("TLSCertificateFile %s", quote(filepath.Join(dir, "server-cert.pem")))
		line("TLSCertificateKeyFile %s", quote(filepath.Join(dir, "server-key.pem")))
	}
	if s.config.SizeLimit > 0 {
		line("sizelimit %d", s.config.SizeLimit)
	}
	if s.config.IdleTimeout > 0 {
		line("idletimeout %d", int(s.config.IdleTimeout/time.Second))
	}
	line("threads 4")

	line("database mdb")
	line("suffix %s", quote(s.BaseDN))
	line("directory %s", quote(s.file("db")))
	line("maxsize %d", 256<<20) // of a sparse file
	line("dbnosync")
	line("rootdn %s", quote(s.AdminDN))
	line("rootpw %s", quote(s.AdminPassword))
	line("index objectClass,uid,cn,member eq")
	line("access to attrs=userPassword by anonymous auth by * none")
	line("access to * by * read")
	if s.config.MaxFailures > 0 {
		line("overlay ppolicy")
		line("ppolicy_default %s", quote(s.policyDN()))
		line("ppolicy_use_lockout") // or clients would not be told of locked accounts
	}
	return b.String()
}

func (s *Server) policyDN() string { return PolicyDN(s.BaseDN) }

func (s *Server) policy() string {
	if s.config.MaxFailures == 0 {
		return ""
	}
	return PolicyLDIF(s.BaseDN, s.config.MaxFailures)
}

// PolicyDN is the DN of the password policy of PolicyLDIF, for slapd.conf's ppolicy_default.
func PolicyDN(baseDN string) string { return "cn=policy," + baseDN }

// PolicyLDIF is the entry of a password policy that locks accounts after so many wrong passwords (slapo-ppolicy(5)). Without a
// policy no account can be locked, by its administrator either.
func PolicyLDIF(baseDN string, maxFailures int) string {
	return fmt.Sprintf(`
dn: %s
objectClass: organizationalRole
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: %d
`, PolicyDN(baseDN), maxFailures)
}

// quote returns s as an argument in slapd.conf(5).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
