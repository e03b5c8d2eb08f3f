package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// reader reads the broker's sections.
type reader struct{ *configfile.Reader }

// config reads the file, each section by itself.
func (r *reader) config(n ast.Node) (c Config, rules []allocator.Allocator, def *allocator.Allocator) {
	c.MaxLogins, c.Lease = 1000, 10*time.Minute
	c.Console.Order = []string{SpiceDirect, SpiceHTML5}
	r.Mapping(n, configfile.Keys{
		"listen":         r.Checked(&c.Listen, "an address such as 127.0.0.1:8080", isAddress),
		"tls":            func(n ast.Node) { c.TLS = r.tls(n) },
		"operator_token": r.Secret(&c.OperatorToken),
		"max_logins":     r.Number(&c.MaxLogins, 1, 100_000),
		"lease":          r.Duration(&c.Lease, time.Second, 24*time.Hour),
		"database":       r.Database(&c.Database),
		"cloud":          func(n ast.Node) { c.Cloud = r.cloud(n) },
		"directory":      func(n ast.Node) { c.Directory = r.directory(n) },
		"console":        func(n ast.Node) { c.Console = r.console(n) },
		"pools":          r.List(func(n ast.Node) { c.Pools = append(c.Pools, r.pool(n)) }),
		"allocators":     r.List(func(n ast.Node) { rules = append(rules, r.allocator(n)) }),
		"default":        func(n ast.Node) { def = r.fallback(n) },
	}, "listen", "operator_token", "database", "cloud", "directory", "pools")
	return c, rules, def
}

func (r *reader) tls(n ast.Node) *TLS {
	t := &TLS{}
	r.Mapping(n, configfile.Keys{"cert_file": r.Path(&t.CertFile), "key_file": r.Path(&t.KeyFile)}, "cert_file", "key_file")
	return t
}

func (r *reader) cloud(n ast.Node) (c Cloud) {
	r.Mapping(n, configfile.Keys{
		"name":  r.Text(&c.Name),
		"file":  r.Path(&c.File),
		"owner": r.Name(&c.Owner),
		"run":   r.Name(&c.Run),
	}, "owner")
	return c
}

func (r *reader) directory(n ast.Node) Directory {
	d := Directory{
		UserFilter: "(&(objectClass=person)(uid=%s))", UserName: "uid", GroupMember: "member", GroupName: "cn",
		Nested: true, GroupTTL: time.Minute, PageSize: 500, Timeout: 3 * time.Second, MaxConnections: 8,
	}
	dn := func(to *string) func(ast.Node) {
		return r.Checked(to, "a DN such as ou=people,dc=example,dc=com", func(s string) bool {
			_, err := ldap.ParseDN(s)
			return err == nil
		})
	}
	r.Mapping(n, configfile.Keys{
		"urls": r.List(func(n ast.Node) {
			var u string
			r.Checked(&u, "ldap://HOST or ldaps://HOST, with a port or without, and nothing more", isDirectoryURL)(n)
			d.URLs = append(d.URLs, u)
		}),
		"start_tls":     r.Boolean(&d.StartTLS),
		"ca_file":       r.Path(&d.CAFile),
		"bind_dn":       dn(&d.BindDN),
		"bind_password": r.Secret(&d.BindPassword),
		"user_base":     dn(&d.UserBase),
		"user_filter": r.Checked(&d.UserFilter, "an LDAP filter with %s for the user's name, such as (uid=%s)", func(s string) bool {
			return strings.Contains(s, "%s") && isFilter(strings.ReplaceAll(s, "%s", "name"))
		}),
		"user_name":       r.Text(&d.UserName),
		"group_base":      dn(&d.GroupBase),
		"group_filter":    r.Checked(&d.GroupFilter, "an LDAP filter such as (objectClass=groupOfNames)", isFilter),
		"group_member":    r.Text(&d.GroupMember),
		"group_name":      r.Text(&d.GroupName),
		"nested":          r.Boolean(&d.Nested),
		"in_chain":        r.Boolean(&d.InChain),
		"group_ttl":       r.Duration(&d.GroupTTL, 0, time.Hour),
		"page_size":       r.Number(&d.PageSize, 1, 5000),
		"timeout":         r.Duration(&d.Timeout, 100*time.Millisecond, time.Minute),
		"max_connections": r.Number(&d.MaxConnections, 1, 1000),
	}, "urls", "user_base")
	path := n.GetPath()
	if r.Has(path+".bind_dn") != r.Has(path+".bind_password") {
		r.Wrong(n, "expected bind_dn and bind_password together, found one of them")
	}
	if d.StartTLS && slices.ContainsFunc(d.URLs, func(u string) bool { return strings.HasPrefix(u, "ldaps:") }) {
		r.Wrong(r.Node(path+".start_tls"), "expected ldap:// in all urls, found ldaps://, which is TLS from the beginning")
	}
	if d.InChain && !d.Nested {
		r.Wrong(r.Node(path+".in_chain"), "expected nested groups with it, found nested: false")
	}
	return d
}

func (r *reader) console(n ast.Node) (c Console) {
	r.Mapping(n, configfile.Keys{
		"order": r.List(func(n ast.Node) {
			var way string
			configfile.OneOf(r.Reader, &way, SpiceDirect, ViaLibvirt, SpiceHTML5, Static)(n)
			if way != "" && slices.Contains(c.Order, way) {
				r.Wrong(n, "%s is in the list already", way)
			}
			c.Order = append(c.Order, way)
		}),
		"libvirt": func(n ast.Node) { c.Libvirt = r.libvirt(n) },
		"static": func(n ast.Node) {
			c.Static = map[string]StaticConsole{}
			r.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) { c.Static[name] = r.staticConsole(value) })
		},
		"ca_file": r.Path(&c.CAFile),
		"subject": r.Text(&c.Subject),
	})
	path := n.GetPath()
	if !r.Has(path + ".order") {
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
			r.Wrong(r.Node(path+".order["+strconv.Itoa(i)+"]"), "expected console.%s beside it, which is missing", way)
		}
	}
	return c
}

func (r *reader) libvirt(n ast.Node) *Libvirt {
	l := &Libvirt{TicketLifetime: 2 * time.Minute}
	r.Mapping(n, configfile.Keys{
		"uri":             r.Checked(&l.URI, "a libvirt URI without a password, such as qemu+tls://%s/system", isLibvirtURI),
		"ticket_lifetime": r.Duration(&l.TicketLifetime, 10*time.Second, 24*time.Hour),
	}, "uri")
	return l
}

func (r *reader) staticConsole(n ast.Node) (s StaticConsole) {
	r.Mapping(n, configfile.Keys{
		"host":     r.Text(&s.Host),
		"port":     r.Number(&s.Port, 1, 65535),
		"tls_port": r.Number(&s.TLSPort, 1, 65535),
		"ticket":   r.Secret(&s.Ticket),
	}, "host")
	if path := n.GetPath(); !r.Has(path+".port") && !r.Has(path+".tls_port") {
		r.Wrong(n, "expected port or tls_port, found neither")
	}
	return s
}

func (r *reader) pool(n ast.Node) Pool {
	p := Pool{
		Boots: 4, Wait: 30 * time.Second, BuildTimeout: 5 * time.Minute, CheckEvery: 15 * time.Second, After: Replace,
	}
	r.Mapping(n, configfile.Keys{
		"name":              r.Name(&p.Name),
		"flavor":            r.Text(&p.Flavor),
		"image":             r.Text(&p.Image),
		"networks":          r.Texts(&p.Networks),
		"availability_zone": r.Text(&p.AvailabilityZone),
		"user_data":         r.Secret(&p.UserData),
		"ready":             r.Number(&p.Ready, 0, 100_000),
		"max":               r.Number(&p.Max, 1, 100_000),
		"boots":             r.Number(&p.Boots, 1, 1000),
		"wait":              r.Duration(&p.Wait, 0, 10*time.Minute),
		"build_timeout":     r.Duration(&p.BuildTimeout, 10*time.Second, 2*time.Hour),
		"check_every":       r.Duration(&p.CheckEvery, time.Second, time.Hour),
		"after":             configfile.OneOf(r.Reader, &p.After, Keep, Replace),
	}, "name", "flavor", "image", "networks", "ready", "max")
	if p.Max > 0 && p.Ready > p.Max {
		r.Wrong(r.Node(n.GetPath()+".ready"), "expected at most max, which is %d, found %d", p.Max, p.Ready)
	}
	return p
}

func (r *reader) allocator(n ast.Node) (a allocator.Allocator) {
	r.Mapping(n, configfile.Keys{
		"name":     r.Text(&a.Name),
		"priority": r.Number(&a.Priority, 0, 1_000_000),
		"match":    func(n ast.Node) { a.Match = r.match(n) },
		"pool":     r.Text(&a.Pool),
		"bind":     r.bind(&a.Bind),
	}, "name", "priority", "match", "pool", "bind")
	return a
}

func (r *reader) match(n ast.Node) (m allocator.Match) {
	r.Mapping(n, configfile.Keys{
		"group": r.Texts(&m.Groups),
		"ou":    r.Texts(&m.OUs),
		"tag": func(n ast.Node) {
			m.Tags = map[string]string{}
			r.Entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
				if name == "" {
					r.Wrong(key, "expected a tag's name, found an empty text")
				}
				var s string
				r.Text(&s)(value)
				m.Tags[name] = s
			})
		},
		"seat": r.Texts(&m.Seats),
		"site": r.Texts(&m.Sites),
	})
	return m
}

// fallback is the allocator that serves whom no other one matches.
func (r *reader) fallback(n ast.Node) *allocator.Allocator {
	a := &allocator.Allocator{Name: "default"}
	r.Mapping(n, configfile.Keys{"pool": r.Text(&a.Pool), "bind": r.bind(&a.Bind)}, "pool", "bind")
	return a
}

func (r *reader) bind(to *store.BindingKind) func(ast.Node) {
	return configfile.OneOf(r.Reader, to, store.BindUser, store.BindSeat, store.BindThinClient, store.BindSession)
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
