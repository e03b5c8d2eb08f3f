package directory

import (
	stdbase64 "encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// entry is an entry of the directory. It is never changed, only replaced.
type entry struct {
	dn         string
	key        string // by which DNs are compared
	parent     string // the key of the entry above
	attributes []attribute
}

type attribute struct {
	name   string
	values []string
	folded []string // the same as they are compared: folding a large group's members takes milliseconds
}

func newAttribute(name string, values ...string) attribute {
	a := attribute{name: name, values: values}
	for _, value := range values {
		a.folded = append(a.folded, fold(name, value))
	}
	return a
}

func newEntry(dn string, attributes ...attribute) *entry {
	e := &entry{dn: dn, key: key(dn), attributes: attributes}
	_, e.parent, _ = cutRDN(e.key)
	return e
}

// get returns an attribute, without values if the entry has it not.
func (e *entry) get(name string) attribute {
	for _, a := range e.attributes {
		if strings.EqualFold(a.name, name) {
			return a
		}
	}
	return attribute{}
}

// with returns the entry with other values of an attribute that it has.
func (e *entry) with(changed attribute) *entry {
	copied := *e
	copied.attributes = slices.Clone(e.attributes)
	for i, a := range copied.attributes {
		if a.name == changed.name {
			copied.attributes[i] = changed
		}
	}
	return &copied
}

// fold returns a value in the form in which it is compared.
func fold(name, value string) string {
	if strings.EqualFold(name, "member") {
		return key(value)
	}
	return strings.ToLower(strings.TrimSpace(value))
}

// key returns the form in which a DN is compared. What is no DN equals none.
func key(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return "\x00" + dn
	}
	return strings.ToLower(parsed.String())
}

// cutRDN cuts a key at its first comma that is not escaped.
func cutRDN(key string) (rdn, parent string, found bool) {
	for i := 0; i < len(key); i++ {
		switch key[i] {
		case '\\':
			i++
		case ',':
			return key[:i], key[i+1:], true
		}
	}
	return key, "", false
}

func base64(s string) string { return stdbase64.StdEncoding.EncodeToString([]byte(s)) }

// tree is all entries. It is not safe for concurrent use while it is changed.
type tree struct {
	entries map[string]*entry
	index   map[string][]*entry // by attribute and value, of the attributes that few entries share a value of
}

func newTree() *tree {
	return &tree{entries: map[string]*entry{}, index: map[string][]*entry{}}
}

func indexed(name string) bool {
	return strings.EqualFold(name, "uid") || strings.EqualFold(name, "cn") || strings.EqualFold(name, "member")
}

func indexKey(name, folded string) string { return strings.ToLower(name) + "=" + folded }

func (t *tree) add(e *entry) {
	t.entries[e.key] = e
	for _, a := range e.attributes {
		if indexed(a.name) {
			for _, value := range a.folded {
				k := indexKey(a.name, value)
				t.index[k] = append(t.index[k], e)
			}
		}
	}
}

func (t *tree) remove(e *entry) {
	delete(t.entries, e.key)
	for _, a := range e.attributes {
		if indexed(a.name) {
			for _, value := range a.folded {
				k := indexKey(a.name, value)
				t.index[k] = slices.DeleteFunc(t.index[k], func(other *entry) bool { return other == e })
				if len(t.index[k]) == 0 {
					delete(t.index, k)
				}
			}
		}
	}
}

func (t *tree) replace(old, e *entry) {
	t.remove(old)
	t.add(e)
}

// topDown returns all entries, each after the one above it.
func (t *tree) topDown() []*entry {
	depth := func(e *entry) (n int) {
		for parent, found := e.parent, true; found; n++ {
			_, parent, found = cutRDN(parent)
		}
		return n
	}
	return slices.SortedFunc(maps.Values(t.entries), func(a, b *entry) int {
		if d := depth(a) - depth(b); d != 0 {
			return d
		}
		return strings.Compare(a.key, b.key)
	})
}

// tree builds the entries, and says what is wrong with the content.
func (c Config) tree() (*tree, error) {
	base, err := ldap.ParseDN(c.BaseDN)
	if err != nil || len(base.RDNs) == 0 || !strings.EqualFold(base.RDNs[0].Attributes[0].Type, "dc") {
		return nil, fmt.Errorf("BaseDN %q is not a DN like dc=example,dc=com", c.BaseDN)
	}
	t := newTree()
	dc := base.RDNs[0].Attributes[0].Value
	t.add(newEntry(c.BaseDN, objectClass("dcObject", "organization"), newAttribute("dc", dc), newAttribute("o", dc)))
	t.addOUs(c, []string{"groups"})
	if err := c.addService(t); err != nil {
		return nil, err
	}
	if err := c.addGroups(t); err != nil {
		return nil, err
	}
	members := map[string][]string{}
	for _, g := range c.Groups {
		for _, above := range g.Groups {
			group := key(c.groupDN(above))
			members[group] = append(members[group], c.groupDN(g.Name))
		}
	}
	names := map[string]bool{}
	for _, u := range c.Users {
		name := strings.ToLower(u.Name)
		if u.Name == "" || u.Password == "" || names[name] {
			return nil, fmt.Errorf("user %q: a name and a password are needed, and each name once", u.Name)
		}
		names[name] = true
		t.addOUs(c, u.OUs)
		t.add(userEntry(c.UserDN(u.Name, u.OUs), u.Name))
		for _, g := range u.Groups {
			group := key(c.groupDN(g))
			members[group] = append(members[group], c.UserDN(u.Name, u.OUs))
		}
	}
	for group, list := range members {
		g := t.entries[group]
		if g == nil {
			return nil, fmt.Errorf("there is no group %s", group)
		}
		t.replace(g, g.with(newAttribute("member", list...)))
	}
	return t, nil
}

func (c Config) addService(t *tree) error {
	service, err := ldap.ParseDN(c.ServiceDN)
	if err != nil || !strings.HasSuffix(key(c.ServiceDN), ","+key(c.BaseDN)) || c.ServicePassword == "" {
		return fmt.Errorf("ServiceDN %q must be a DN below %s, with a password", c.ServiceDN, c.BaseDN)
	}
	rdn := service.RDNs[0].Attributes[0]
	if !strings.EqualFold(rdn.Type, "cn") {
		return fmt.Errorf("ServiceDN %q must begin with cn=", c.ServiceDN)
	}
	var ous []string
	base, _ := ldap.ParseDN(c.BaseDN)
	for _, above := range service.RDNs[1 : len(service.RDNs)-len(base.RDNs)] {
		if !strings.EqualFold(above.Attributes[0].Type, "ou") {
			return fmt.Errorf("ServiceDN %q must have only organizational units between its name and %s", c.ServiceDN, c.BaseDN)
		}
		ous = append(ous, above.Attributes[0].Value)
	}
	t.addOUs(c, ous)
	t.add(newEntry(c.ServiceDN, objectClass("organizationalRole", "simpleSecurityObject"), newAttribute("cn", rdn.Value)))
	return nil
}

func (c Config) addGroups(t *tree) error {
	for _, g := range c.Groups {
		dn := c.groupDN(g.Name)
		if g.Name == "" || t.entries[key(dn)] != nil {
			return fmt.Errorf("group %q: a name is needed, and each name once", g.Name)
		}
		t.add(newEntry(dn, objectClass("groupOfNames"), newAttribute("cn", g.Name), newAttribute("member")))
	}
	return nil
}

// addOUs adds the organizational units that are not there yet.
func (t *tree) addOUs(c Config, ous []string) {
	for i := len(ous) - 1; i >= 0; i-- {
		dn := c.ouDN(ous[i:])
		if t.entries[key(dn)] == nil {
			t.add(newEntry(dn, objectClass("organizationalUnit"), newAttribute("ou", ous[i])))
		}
	}
}

func userEntry(dn, name string) *entry {
	return newEntry(dn,
		objectClass("top", "person", "organizationalPerson", "inetOrgPerson"),
		newAttribute("uid", name), newAttribute("cn", name), newAttribute("sn", name))
}

func objectClass(names ...string) attribute { return newAttribute("objectClass", names...) }
