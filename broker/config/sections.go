package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/broker/store"
)

// config reads the file, each section by itself.
func (r *reader) config(n ast.Node) (c Config, rules []allocator.Allocator, def *allocator.Allocator) {
	c.MaxLogins, c.Lease = 1000, 10*time.Minute
	c.Console.Order = []string{SpiceDirect, SpiceHTML5}
	r.mapping(n, keys{
		"listen":         r.checked(&c.Listen, "an address such as 127.0.0.1:8080", isAddress),
		"tls":            func(n ast.Node) { c.TLS = r.tls(n) },
		"operator_token": r.secret(&c.OperatorToken),
		"max_logins":     r.number(&c.MaxLogins, 1, 100_000),
		"lease":          r.duration(&c.Lease, time.Second, 24*time.Hour),
		"database":       r.database(&c.Database),
		"cloud":          func(n ast.Node) { c.Cloud = r.cloud(n) },
		"directory":      func(n ast.Node) { c.Directory = r.directory(n) },
		"console":        func(n ast.Node) { c.Console = r.console(n) },
		"pools":          r.list(func(n ast.Node) { c.Pools = append(c.Pools, r.pool(n)) }),
		"allocators":     r.list(func(n ast.Node) { rules = append(rules, r.allocator(n)) }),
		"default":        func(n ast.Node) { def = r.fallback(n) },
	}, "listen", "operator_token", "database", "cloud", "directory", "pools")
	return c, rules, def
}

func (r *reader) tls(n ast.Node) *TLS {
	t := &TLS{}
	r.mapping(n, keys{"cert_file": r.path(&t.CertFile), "key_file": r.path(&t.KeyFile)}, "cert_file", "key_file")
	return t
}

func (r *reader) cloud(n ast.Node) (c Cloud) {
	r.mapping(n, keys{
		"name":  r.text(&c.Name),
		"file":  r.path(&c.File),
		"owner": r.name(&c.Owner),
		"run":   r.name(&c.Run),
	}, "owner")
	return c
}

func (r *reader) directory(n ast.Node) Directory {
	d := Directory{
		UserFilter: "(&(objectClass=person)(uid=%s))", UserName: "uid", GroupMember: "member", GroupName: "cn",
		Nested: true, GroupTTL: time.Minute, PageSize: 500, Timeout: 3 * time.Second, MaxConnections: 8,
	}
	dn := func(to *string) func(ast.Node) {
		return r.checked(to, "a DN such as ou=people,dc=example,dc=com", func(s string) bool {
			_, err := ldap.ParseDN(s)
			return err == nil
		})
	}
	r.mapping(n, keys{
		"urls": r.list(func(n ast.Node) {
			var u string
			r.checked(&u, "ldap://HOST or ldaps://HOST, with a port or without, and nothing more", isDirectoryURL)(n)
			d.URLs = append(d.URLs, u)
		}),
		"start_tls":     r.boolean(&d.StartTLS),
		"ca_file":       r.path(&d.CAFile),
		"bind_dn":       dn(&d.BindDN),
		"bind_password": r.secret(&d.BindPassword),
		"user_base":     dn(&d.UserBase),
		"user_filter": r.checked(&d.UserFilter, "an LDAP filter with %s for the user's name, such as (uid=%s)", func(s string) bool {
			return strings.Contains(s, "%s") && isFilter(strings.ReplaceAll(s, "%s", "name"))
		}),
		"user_name":       r.text(&d.UserName),
		"group_base":      dn(&d.GroupBase),
		"group_filter":    r.checked(&d.GroupFilter, "an LDAP filter such as (objectClass=groupOfNames)", isFilter),
		"group_member":    r.text(&d.GroupMember),
		"group_name":      r.text(&d.GroupName),
		"nested":          r.boolean(&d.Nested),
		"in_chain":        r.boolean(&d.InChain),
		"group_ttl":       r.duration(&d.GroupTTL, 0, time.Hour),
		"page_size":       r.number(&d.PageSize, 1, 5000),
		"timeout":         r.duration(&d.Timeout, 100*time.Millisecond, time.Minute),
		"max_connections": r.number(&d.MaxConnections, 1, 1000),
	}, "urls", "user_base")
	path := n.GetPath()
	if r.has(path+".bind_dn") != r.has(path+".bind_password") {
		r.wrong(n, "expected bind_dn and bind_password together, found one of them")
	}
	if d.StartTLS && slices.ContainsFunc(d.URLs, func(u string) bool { return strings.HasPrefix(u, "ldaps:") }) {
		r.wrong(r.node(path+".start_tls"), "expected ldap:// in all urls, found ldaps://, which is TLS from the beginning")
	}
	if d.InChain && !d.Nested {
		r.wrong(r.node(path+".in_chain"), "expected nested groups with it, found nested: false")
	}
	return d
}

func (r *reader) console(n ast.Node) (c Console) {
	r.mapping(n, keys{
		"order": r.list(func(n ast.Node) {
			var way string
			oneOf(r, &way, SpiceDirect, ViaLibvirt, SpiceHTML5, Static)(n)
			if way != "" && slices.Contains(c.Order, way) {
				r.wrong(n, "%s is in the list already", way)
			}
			c.Order = append(c.Order, way)
		}),
		"libvirt": func(n ast.Node) { c.Libvirt = r.libvirt(n) },
		"static": func(n ast.Node) {
			c.Static = map[string]StaticConsole{}
			r.entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) { c.Static[name] = r.staticConsole(value) })
		},
		"ca_file": r.path(&c.CAFile),
		"subject": r.text(&c.Subject),
	})
	path := n.GetPath()
	if !r.has(path + ".order") {
		c.Order = append(c.Order, SpiceDirect)
		if c.Libvirt != nil {
			c.Order = append(c.Order, ViaLibvirt)
		}
		c.Order = append(c.Order, SpiceHTML5)
		if c.Static != nil {
			c.Order = append(c.Order, Static)
		}
		return c
	}
	for i, way := range c.Order {
		if way == ViaLibvirt && c.Libvirt == nil || way == Static && c.Static == nil {
			r.wrong(r.node(path+".order["+strconv.Itoa(i)+"]"), "expected console.%s beside it, which is missing", way)
		}
	}
	return c
}

func (r *reader) libvirt(n ast.Node) *Libvirt {
	l := &Libvirt{TicketLifetime: 2 * time.Minute}
	r.mapping(n, keys{
		"uri":             r.checked(&l.URI, "a libvirt URI without a password, such as qemu+tls://%s/system", isLibvirtURI),
		"ticket_lifetime": r.duration(&l.TicketLifetime, 10*time.Second, 24*time.Hour),
	}, "uri")
	return l
}

func (r *reader) staticConsole(n ast.Node) (s StaticConsole) {
	r.mapping(n, keys{
		"host":     r.text(&s.Host),
		"port":     r.number(&s.Port, 1, 65535),
		"tls_port": r.number(&s.TLSPort, 1, 65535),
		"ticket":   r.secret(&s.Ticket),
	}, "host")
	if path := n.GetPath(); !r.has(path+".port") && !r.has(path+".tls_port") {
		r.wrong(n, "expected port or tls_port, found neither")
	}
	return s
}

func (r *reader) pool(n ast.Node) Pool {
	p := Pool{
		Boots: 4, Wait: 30 * time.Second, BuildTimeout: 5 * time.Minute, CheckEvery: 15 * time.Second, After: Replace,
	}
	r.mapping(n, keys{
		"name":              r.name(&p.Name),
		"flavor":            r.text(&p.Flavor),
		"image":             r.text(&p.Image),
		"networks":          r.texts(&p.Networks),
		"availability_zone": r.text(&p.AvailabilityZone),
		"user_data":         r.secret(&p.UserData),
		"ready":             r.number(&p.Ready, 0, 100_000),
		"max":               r.number(&p.Max, 1, 100_000),
		"boots":             r.number(&p.Boots, 1, 1000),
		"wait":              r.duration(&p.Wait, 0, 10*time.Minute),
		"build_timeout":     r.duration(&p.BuildTimeout, 10*time.Second, 2*time.Hour),
		"check_every":       r.duration(&p.CheckEvery, time.Second, time.Hour),
		"after":             oneOf(r, &p.After, Keep, Replace),
	}, "name", "flavor", "image", "networks", "ready", "max")
	if p.Max > 0 && p.Ready > p.Max {
		r.wrong(r.node(n.GetPath()+".ready"), "expected at most max, which is %d, found %d", p.Max, p.Ready)
	}
	return p
}

func (r *reader) allocator(n ast.Node) (a allocator.Allocator) {
	r.mapping(n, keys{
		"name":     r.text(&a.Name),
		"priority": r.number(&a.Priority, 0, 1_000_000),
		"match":    func(n ast.Node) { a.Match = r.match(n) },
		"pool":     r.text(&a.Pool),
		"bind":     r.bind(&a.Bind),
	}, "name", "priority", "match", "pool", "bind")
	return a
}

func (r *reader) match(n ast.Node) (m allocator.Match) {
	r.mapping(n, keys{
		"group": r.texts(&m.Groups),
		"ou":    r.texts(&m.OUs),
		"tag": func(n ast.Node) {
			m.Tags = map[string]string{}
			r.entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
				if name == "" {
					r.wrong(key, "expected a tag's name, found an empty text")
				}
				var s string
				r.text(&s)(value)
				m.Tags[name] = s
			})
		},
		"seat": r.texts(&m.Seats),
		"site": r.texts(&m.Sites),
	})
	return m
}

// fallback is the allocator that serves whom no other one matches.
func (r *reader) fallback(n ast.Node) *allocator.Allocator {
	a := &allocator.Allocator{Name: "default"}
	r.mapping(n, keys{"pool": r.text(&a.Pool), "bind": r.bind(&a.Bind)}, "pool", "bind")
	return a
}

func (r *reader) bind(to *store.BindingKind) func(ast.Node) {
	return oneOf(r, to, store.BindUser, store.BindSeat, store.BindThinClient, store.BindSession)
}

// name reads what becomes part of a server's name or of a tag in Nova, which takes neither '/' nor ','.
func (r *reader) name(to *string) func(ast.Node) {
	valid := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
	expected := "a name of at most 40 letters, digits, '.', '_' and '-' that begins with a letter or a digit"
	return func(n ast.Node) {
		s, ok := r.scalar(n, expected)
		if !ok {
			return
		}
		if !valid.MatchString(s) {
			r.wrong(n, "expected %s, found %s", expected, found(n))
			return
		}
		*to = s
	}
}

func (r *reader) has(path string) bool {
	_, ok := r.at[path]
	return ok
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isDirectoryURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "ldap" || u.Scheme == "ldaps") && u.Hostname() != "" && u.User == nil &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
}

func isFilter(s string) bool {
	_, err := ldap.CompileFilter(s)
	return err == nil
}

func isLibvirtURI(s string) bool {
	u, err := url.Parse(strings.ReplaceAll(s, "%s", "node")) // a bare %s is no URL
	if err != nil || !strings.HasPrefix(u.Scheme, "qemu") {
		return false
	}
	_, password := u.User.Password()
	return !password
}
