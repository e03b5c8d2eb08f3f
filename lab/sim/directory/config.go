package directory

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Config is what a directory holds, and how it is reached.
type Config struct {
	// BaseDN is the DN above all entries, such as "dc=example,dc=com". Users are at UserDN, groups below GroupBase.
	BaseDN string
	// ServiceDN and ServicePassword are the account that may search.
	ServiceDN       string
	ServicePassword string
	Users           []User
	Groups          []Group
	// TLS adds an ldaps:// port, and StartTLS on the plain one. Nil: plain only.
	TLS *tls.Config
	// SizeLimit is how many entries a search returns on one page. 0: any number.
	SizeLimit int
}

// User is a person.
type User struct {
	Name     string // uid; unique, upper and lower case being the same
	Password string
	OUs      []string // organizational units, innermost first, as names
	Groups   []string // names of groups
	Locked   bool
}

// Group is a group of users and groups. Groups may be in a circle.
type Group struct {
	Name   string // cn; unique, upper and lower case being the same
	Groups []string
}

// GroupBase is the DN below which groups are.
func (c Config) GroupBase() string { return "ou=groups," + c.BaseDN }

// UserDN is the DN of a user in these organizational units.
func (c Config) UserDN(name string, ous []string) string {
	return "uid=" + ldap.EscapeDN(name) + "," + c.ouDN(ous)
}

func (c Config) ouDN(ous []string) string {
	dn := ""
	for _, ou := range ous {
		dn += "ou=" + ldap.EscapeDN(ou) + ","
	}
	return dn + c.BaseDN
}

func (c Config) groupDN(name string) string {
	return "cn=" + ldap.EscapeDN(name) + "," + c.GroupBase()
}

// LDIF returns the content for another directory server, with cleartext passwords, so that it can be compared with this
// one (RFC 2849). Groups without members are left out: groupOfNames does not allow them. Locked accounts need a server
// with a password policy.
func (c Config) LDIF() (string, error) {
	tree, err := c.tree()
	if err != nil {
		return "", err
	}
	passwords := map[string]string{key(c.ServiceDN): c.ServicePassword}
	locked := map[string]bool{}
	for _, u := range c.Users {
		passwords[key(c.UserDN(u.Name, u.OUs))] = u.Password
		locked[key(c.UserDN(u.Name, u.OUs))] = u.Locked
	}
	var b strings.Builder
	for _, e := range tree.topDown() {
		if slices.Contains(e.get("objectClass").values, "groupOfNames") && len(e.get("member").values) == 0 {
			continue
		}
		// Base64 values may hold anything.
		fmt.Fprintf(&b, "dn:: %s\n", base64(e.dn))
		for _, a := range e.attributes {
			for _, value := range a.values {
				fmt.Fprintf(&b, "%s:: %s\n", a.name, base64(value))
			}
		}
		if password, found := passwords[e.key]; found {
			fmt.Fprintf(&b, "userPassword:: %s\n", base64(password))
		}
		if locked[e.key] {
			b.WriteString("pwdAccountLockedTime: 000001010000Z\n") // for good, slapo-ppolicy(5)
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// Callcenter returns a call centre's directory with n people, the same each time.
//
// They are agent0001, agent0002 ...; Password has their passwords. Each is in the organizational units of a department
// (Sales, Support, Billing, Night shift) in a site (N1 to N6), so agent0001 is at
// "uid=agent0001,ou=Sales,ou=N1,dc=callcenter,dc=example": sites alternate from one person to the next, departments from
// one six to the next. Each is in the group of the department (sales, support, billing, night-shift), each tenth in
// supervisors too. The departments' groups are in agents; agents and supervisors are in staff.
func Callcenter(n int) Config {
	sites := []string{"N1", "N2", "N3", "N4", "N5", "N6"}
	departments := []struct{ ou, group string }{
		{"Sales", "sales"}, {"Support", "support"}, {"Billing", "billing"}, {"Night shift", "night-shift"},
	}
	c := Config{
		BaseDN:          "dc=callcenter,dc=example",
		ServiceDN:       "cn=broker,ou=services,dc=callcenter,dc=example",
		ServicePassword: "service-of-the-broker",
		Groups: []Group{
			{Name: "staff"},
			{Name: "agents", Groups: []string{"staff"}},
			{Name: "supervisors", Groups: []string{"staff"}},
		},
	}
	for _, d := range departments {
		c.Groups = append(c.Groups, Group{Name: d.group, Groups: []string{"agents"}})
	}
	for i := range n {
		name := fmt.Sprintf("agent%04d", i+1)
		department := departments[i/len(sites)%len(departments)]
		u := User{
			Name:     name,
			Password: Password(name),
			OUs:      []string{department.ou, sites[i%len(sites)]},
			Groups:   []string{department.group},
		}
		if (i+1)%10 == 0 {
			u.Groups = append(u.Groups, "supervisors")
		}
		c.Users = append(c.Users, u)
	}
	return c
}

// Password returns the password of a person of Callcenter: "pass-" and the name.
func Password(name string) string { return "pass-" + name }
