package rabbitmq

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Read reads the exporter's section of a configuration file; docs/rabbitmq.md describes it.
func Read(r *configfile.Reader, n ast.Node) Config {
	var c Config
	names := map[string]bool{}
	r.Mapping(n, configfile.Keys{
		"brokers": r.List(func(n ast.Node) {
			b := readBroker(r, n)
			if b.Name != "" && names[b.Name] {
				r.Wrong(n, "there is another broker named %s", b.Name)
			}
			names[b.Name] = true
			c.Brokers = append(c.Brokers, b)
		}),
		"services": r.Texts(&c.Services),
		"groups": func(n ast.Node) {
			r.Entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
				g := Group{Name: name}
				r.List(func(n ast.Node) {
					var s string
					r.Text(&s)(n)
					if s == "" {
						return
					}
					prefix, err := netip.ParsePrefix(s)
					if err != nil {
						r.Wrong(n, "expected a network such as 10.1.0.0/16, found %s", configfile.Found(n))
						return
					}
					g.Networks = append(g.Networks, prefix.Masked())
				})(value)
				c.Groups = append(c.Groups, g)
			})
		},
	}, "brokers")
	return c
}

func readBroker(r *configfile.Reader, n ast.Node) Broker {
	var b Broker
	r.Mapping(n, configfile.Keys{
		"name":         r.Name(&b.Name),
		"idle_cut_off": r.Duration(&b.CutOff, time.Second, 7*24*time.Hour),
		"management": func(n ast.Node) {
			b.Management = &Management{}
			readManagement(r, n, b.Management)
		},
		"sockets": func(n ast.Node) {
			b.Sockets = &Sockets{}
			readSockets(r, n, b.Sockets)
		},
		"canary": func(n ast.Node) {
			b.Canary = &Canary{}
			readCanary(r, n, b.Canary)
		},
	}, "name")
	if _, ok := n.(*ast.MappingNode); ok && b.Management == nil && b.Sockets == nil && b.Canary == nil {
		r.Wrong(n, "expected at least one of management, sockets and canary")
	}
	return b
}

// Limits of how often a source is asked, and how long it may take.
const (
	minInterval = time.Second
	maxInterval = time.Hour
)

func readManagement(r *configfile.Reader, n ast.Node, m *Management) {
	r.Mapping(n, configfile.Keys{
		"url": r.Checked(&m.URL, "an address such as https://broker1:15671, without user and password", func(s string) bool {
			u, err := url.Parse(s)
			return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == ""
		}),
		"user":     r.Text(&m.User),
		"password": r.Secret(&m.Password),
		"ca_file":  r.Path(&m.CA),
		"node":     r.Text(&m.Node),
		"interval": r.Duration(&m.Interval, minInterval, maxInterval),
		"timeout":  r.Duration(&m.Timeout, minInterval, maxInterval),
	}, "url", "user", "password")
}

func readSockets(r *configfile.Reader, n ast.Node, s *Sockets) {
	r.Mapping(n, configfile.Keys{
		"ports": r.List(func(n ast.Node) {
			var port int
			r.Number(&port, 1, 65535)(n)
			s.Ports = append(s.Ports, uint16(port))
		}),
		"namespace": r.Path(&s.Namespace),
		"interval":  r.Duration(&s.Interval, minInterval, maxInterval),
	})
}

// longestSilence is as long as a rung or an idle canary may take to say something once.
const longestSilence = 24 * time.Hour

func readCanary(r *configfile.Reader, n ast.Node, c *Canary) {
	names := map[string]bool{}
	r.Mapping(n, configfile.Keys{
		"address":  r.HostPort(&c.Address),
		"vhost":    r.Text(&c.VHost),
		"user":     r.Text(&c.User),
		"password": r.Secret(&c.Password),
		"tls":      r.Boolean(&c.TLS),
		"ca_file":  r.Path(&c.CA),
		"instance": r.Name(&c.Instance),
		"interval": r.Duration(&c.Interval, minInterval, maxInterval),
		"patience": r.Duration(&c.Patience, minInterval, time.Minute),
		"ladder": r.List(func(n ast.Node) {
			var silence time.Duration
			r.Duration(&silence, minInterval, longestSilence)(n)
			for _, earlier := range c.Ladder {
				if silence > 0 && earlier == silence {
					r.Wrong(n, "the ladder has this silence already")
				}
			}
			c.Ladder = append(c.Ladder, silence)
		}),
		"idle": r.List(func(n ast.Node) {
			var i IdleCanary
			r.Mapping(n, configfile.Keys{
				"name":      r.Name(&i.Name),
				"silence":   r.Duration(&i.Silence, minInterval, longestSilence),
				"heartbeat": r.Duration(&i.Heartbeat, time.Second, time.Hour),
				"keepalive": r.Duration(&i.KeepAlive, time.Second, 9*time.Hour),
			}, "name", "silence")
			if i.Name == fresh || strings.HasPrefix(i.Name, ladderPrefix) || names[i.Name] {
				r.Wrong(n, "expected a name of its own that is not %s and does not begin with %s", fresh, ladderPrefix)
			}
			names[i.Name] = true
			c.Idle = append(c.Idle, i)
		}),
	}, "address", "user", "password")
}
