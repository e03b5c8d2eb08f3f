package directory

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/deskstorm/deskstorm/internal/authority"
)

// Config says where the directory is and what is in it. URLs and UserBase are required.
type Config struct {
	// URLs are the directory's servers, ldap://HOST[:PORT] or ldaps://HOST[:PORT], in the order in which they are tried. The
	// one that worked last is tried first.
	URLs []string
	// StartTLS encrypts ldap:// connections before anything is sent (RFC 4511 section 4.14). Without it, passwords cross
	// the network in the clear.
	StartTLS bool
	// RootCAs check the servers' certificates, and so does CAFile, in PEM form. Neither: the system's.
	RootCAs *x509.CertPool
	CAFile  string

	// BindDN and BindPassword are the service account that searches. Without a BindDN, searches are anonymous.
	BindDN       string
	BindPassword string

	// UserBase is the DN below which users are.
	UserBase string
	// UserFilter finds a user; %s stands for the name that was typed. Empty: "(&(objectClass=person)(uid=%s))". Active
	// Directory: "(&(objectCategory=person)(objectClass=user)(sAMAccountName=%s))".
	UserFilter string
	// UserName is the attribute that holds a user's name; of several values the first in alphabetical order counts, because
	// a directory returns them in any order. Empty: "uid". Active Directory: "sAMAccountName".
	UserName string

	// GroupBase is the DN below which groups are. Empty: users have no groups.
	GroupBase string
	// GroupFilter is what a group must match besides. Empty: nothing.
	GroupFilter string
	// GroupMember is the attribute of a group that holds the DNs of its members. Empty: "member".
	GroupMember string
	// GroupName is the attribute that holds a group's name; each of its values is one. Empty: "cn".
	GroupName string
	// Nested counts the groups that a user's groups are in too, of any depth up to 32.
	Nested bool
	// InChain has Active Directory find nested groups itself, in the one search for a user's groups. Other directories do
	// not know that matching rule and would find none.
	InChain bool
	// GroupTTL is how long it is remembered which groups are in which: a user's own groups are asked for at each login. 0:
	// not at all, and each level of nested groups costs each login a search.
	GroupTTL time.Duration
	// PageSize is how many groups the directory is asked for at once (RFC 2696). 0: 500.
	PageSize int

	// Timeout bounds each of the three or more operations of a login, waiting for a connection and connecting included.
	// 0: 5 s.
	Timeout time.Duration
	// MaxConns bounds the connections that search, and as many that check passwords. 0: 8.
	MaxConns int
}

const (
	defaultPageSize = 500
	defaultTimeout  = 5 * time.Second
	defaultMaxConns = 8
)

// String leaves out the password.
func (c Config) String() string {
	return fmt.Sprintf("the directory at %s, as %q", strings.Join(c.URLs, ", "), c.BindDN)
}

// GoString leaves out the password too.
func (c Config) GoString() string { return c.String() }

func (c Config) withDefaults() Config {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.UserFilter, "(&(objectClass=person)(uid=%s))")
	set(&c.UserName, "uid")
	set(&c.GroupMember, "member")
	set(&c.GroupName, "cn")
	if c.PageSize == 0 {
		c.PageSize = defaultPageSize
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	return c
}

// check returns all that is wrong with a Config with its defaults.
func (c Config) check() error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if len(c.URLs) == 0 {
		wrong("URLs are missing, such as ldaps://ldap.example.com")
	}
	for _, u := range c.URLs {
		s, err := parseServer(u)
		if err != nil {
			problems = append(problems, err)
		} else if s.tls && c.StartTLS {
			wrong("%s is encrypted already: leave out StartTLS, or write ldap://", u)
		}
	}
	dn := func(name, value string) {
		if _, err := ldap.ParseDN(value); err != nil {
			wrong("%s %q is not a DN: %w", name, value, err)
		}
	}
	dn("BindDN", c.BindDN)
	dn("UserBase", c.UserBase)
	dn("GroupBase", c.GroupBase)
	if c.UserBase == "" {
		wrong("UserBase is missing, such as ou=people,dc=example,dc=com")
	}
	if c.BindDN != "" && c.BindPassword == "" {
		wrong("BindPassword is missing: without one, the directory would take %s for anonymous", c.BindDN)
	}
	if !strings.Contains(c.UserFilter, "%s") {
		wrong("UserFilter %q has no %%s where the user's name belongs", c.UserFilter)
	} else if _, err := ldap.CompileFilter(c.userFilter("name")); err != nil {
		wrong("UserFilter %q is not a filter: %w", c.UserFilter, err)
	}
	if _, err := ldap.CompileFilter(c.groupFilter([]string{"cn=member"})); err != nil {
		wrong("GroupFilter %q with GroupMember %q is not a filter: %w", c.GroupFilter, c.GroupMember, err)
	}
	if c.InChain && !c.Nested {
		wrong("InChain is a way to find nested groups: set Nested too")
	}
	if c.PageSize < 0 || c.Timeout < 0 || c.MaxConns < 0 || c.GroupTTL < 0 {
		wrong("PageSize, Timeout, MaxConns and GroupTTL must not be negative")
	}
	return errors.Join(problems...)
}

// userFilter returns the filter that finds a user by the name that was typed.
func (c Config) userFilter(name string) string {
	return strings.ReplaceAll(c.UserFilter, "%s", ldap.EscapeFilter(name))
}

// inChain is LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] section 3.1.1.3.4.4.3.
const inChain = ":1.2.840.113556.1.4.1941:"

// groupFilter returns the filter that finds the groups that any of the members is in.
func (c Config) groupFilter(members []string) string {
	rule := ""
	if c.InChain {
		rule = inChain
	}
	var has strings.Builder
	for _, dn := range members {
		fmt.Fprintf(&has, "(%s%s=%s)", c.GroupMember, rule, ldap.EscapeFilter(dn))
	}
	if len(members) == 1 && c.GroupFilter == "" {
		return has.String()
	}
	return fmt.Sprintf("(&%s(|%s))", c.GroupFilter, has.String())
}

// roots returns what servers' certificates are checked with; nil is the system's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return c.RootCAs, nil
	}
	pool := x509.NewCertPool()
	if c.RootCAs != nil {
		pool = c.RootCAs.Clone()
	}
	if err := authority.Add(pool, c.CAFile); err != nil {
		return nil, fmt.Errorf("reading the directory's CA: %w", err)
	}
	return pool, nil
}

// server is one of the directory's servers.
type server struct {
	url     string
	host    string // that its certificate must name
	address string
	tls     bool // from the first byte
}

func parseServer(text string) (server, error) {
	u, err := url.Parse(text)
	if err != nil {
		return server{}, fmt.Errorf("the directory's URL: %w", err)
	}
	port := u.Port()
	switch {
	case u.User != nil:
		// The URL would be in errors; so might be a password in it.
		return server{}, errors.New("a URL of the directory has a user in it: use BindDN and BindPassword")
	case u.Scheme != "ldap" && u.Scheme != "ldaps":
		return server{}, fmt.Errorf("the directory's URL %s must begin with ldap:// or ldaps://", text)
	case u.Hostname() == "":
		return server{}, fmt.Errorf("the directory's URL %s has no host", text)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return server{}, fmt.Errorf("the directory's URL %s must end after the port: bases and filters have settings of their own", text)
	case port == "" && u.Scheme == "ldaps":
		port = ldap.DefaultLdapsPort
	case port == "":
		port = ldap.DefaultLdapPort
	}
	return server{
		url:     u.Scheme + "://" + u.Host,
		host:    u.Hostname(),
		address: net.JoinHostPort(u.Hostname(), port),
		tls:     u.Scheme == "ldaps",
	}, nil
}
