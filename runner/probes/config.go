package probes

import (
	"maps"
	"net/url"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// Config is the sections of the configuration that probes read. Those that are not there are nil or empty, and the probes that need
// them say so.
type Config struct {
	Prometheus *Prometheus
	Broker     *Broker
	Logins     []Login
	Cloud      *Cloud
	DHCP       DHCP
	RabbitMQ   []RabbitMQ
	Desktops   *Desktops
}

// Prometheus answers PromQL.
type Prometheus struct {
	URL      string            // such as https://prometheus.example:9090; a path is a prefix
	CA       string            // a PEM file; empty: the system's authorities
	Token    configfile.Secret // of the header Authorization: Bearer; either it or user and password, or neither
	User     string
	Password configfile.Secret
	Timeout  time.Duration // of a question
}

// Broker is the desktops' broker.
type Broker struct {
	URL           string
	CA            string            // a PEM file; empty: the system's authorities
	OperatorToken configfile.Secret // for how the pools stand; none: they are left out
	Timeout       time.Duration     // of a question
}

// Login is somebody whom the probe login logs in.
type Login struct {
	Name       string
	User       string
	Password   configfile.Secret
	Seat       string
	Site       string
	ThinClient string
	Tags       map[string]string
	// Cloud takes the way through Keystone and Nova; else through the broker.
	Cloud   bool
	Domain  string        // in the cloud, the user's; empty: the service account's
	Libvirt string        // in the cloud, the compute nodes' URI, with %s for the node's name; empty: Nova tells of consoles
	CA      string        // in the cloud, a PEM file for the desktops' certificates; empty: the system's authorities
	Subject string        // in the cloud, of the desktops' certificates; empty: the host's name is checked
	Timeout time.Duration // of the login and of the connect, each
}

// Cloud is OpenStack, as whom clouds.yaml says.
type Cloud struct {
	Name  string // in clouds.yaml; empty: that of OS_CLOUD, or the OS_* variables
	File  string // clouds.yaml's path; empty: where OpenStack's tools look for it
	Owner string // on all that is made
}

// DHCP is networks to probe, and hosts whose servers' sockets are audited.
type DHCP struct {
	Networks []Network
	Hosts    []Host
}

// Network is one of DHCP's.
type Network struct {
	Name      string
	Target    *dhcp.Target  // nil: it is not probed
	LeaseFile string        // dnsmasq's; empty: none
	LeaseTime time.Duration // how long its leases are; 0: not said
}

// Host is where DHCP servers run.
type Host struct {
	Name      string
	Namespace string // the file of the network namespace that they are in; empty: this program's
}

// RabbitMQ is a message broker.
type RabbitMQ struct {
	Name      string
	Address   string // host:port
	VHost     string
	User      string
	Password  configfile.Secret
	TLS       bool
	CA        string        // a PEM file; empty: the system's authorities
	Namespace string        // the file of the network namespace that the canaries are in; empty: this program's
	Patience  time.Duration // of each step
}

// Desktops is what desktops.create makes.
type Desktops struct {
	Flavor   string
	Image    string
	Networks []string
	Zone     string // availability zone; empty: Nova's choice
	Prefix   string // of names
	Most     int    // at once, of one run
}

// The configuration's sections that probes read.
const (
	prometheusSection = "prometheus"
	brokerSection     = "broker"
	loginsSection     = "logins"
	cloudSection      = "cloud"
	dhcpSection       = "dhcp"
	rabbitmqSection   = "rabbitmq"
	desktopsSection   = "desktops"
)

// Keys read the sections.
func (c *Config) Keys(r *configfile.Reader) configfile.Keys {
	return configfile.Keys{
		prometheusSection: func(n ast.Node) { c.Prometheus = ReadPrometheus(r, n) },
		brokerSection:     func(n ast.Node) { c.Broker = ReadBroker(r, n) },
		loginsSection:     func(n ast.Node) { c.Logins = ReadLogins(r, n) },
		cloudSection:      func(n ast.Node) { c.Cloud = ReadCloud(r, n) },
		dhcpSection:       func(n ast.Node) { c.DHCP = ReadDHCP(r, n) },
		rabbitmqSection:   func(n ast.Node) { c.RabbitMQ = ReadRabbitMQ(r, n) },
		desktopsSection:   func(n ast.Node) { c.Desktops = ReadDesktops(r, n) },
	}
}

const (
	shortest = 100 * time.Millisecond
	longest  = 10 * time.Minute
)

// ReadPrometheus reads the section `prometheus`.
func ReadPrometheus(r *configfile.Reader, n ast.Node) *Prometheus {
	p := &Prometheus{Timeout: 30 * time.Second}
	r.Mapping(n, configfile.Keys{
		"url":      r.Checked(&p.URL, "an address such as https://prometheus.example:9090, without user and password", plainURL),
		"ca_file":  r.Path(&p.CA),
		"token":    r.Secret(&p.Token),
		"user":     r.Text(&p.User),
		"password": r.Secret(&p.Password),
		"timeout":  r.Duration(&p.Timeout, shortest, longest),
	}, "url")
	switch {
	case p.Token.Given() && p.User != "":
		r.Wrong(n, "expected a token, or a user and a password, not both")
	case (p.User != "") != p.Password.Given():
		r.Wrong(n, "user and password go together")
	}
	return p
}

func plainURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// ReadBroker reads the section `broker`.
func ReadBroker(r *configfile.Reader, n ast.Node) *Broker {
	b := &Broker{Timeout: 10 * time.Second}
	r.Mapping(n, configfile.Keys{
		"url": r.Checked(&b.URL, "an address such as https://broker.example:8443", func(s string) bool {
			return client.CheckURL(s) == nil
		}),
		"ca_file":        r.Path(&b.CA),
		"operator_token": r.Secret(&b.OperatorToken),
		"timeout":        r.Duration(&b.Timeout, shortest, longest),
	}, "url")
	return b
}

// ReadLogins reads the section `logins`.
func ReadLogins(r *configfile.Reader, n ast.Node) (all []Login) {
	names := unique(r)
	r.List(func(n ast.Node) {
		l := Login{Timeout: time.Minute}
		r.Mapping(n, configfile.Keys{
			"name":        r.Name(&l.Name),
			"user":        r.Text(&l.User),
			"password":    r.Secret(&l.Password),
			"seat":        r.Text(&l.Seat),
			"site":        r.Text(&l.Site),
			"thin_client": r.Text(&l.ThinClient),
			"tags": func(n ast.Node) {
				l.Tags = map[string]string{}
				r.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) {
					var text string
					r.Text(&text)(value)
					l.Tags[name] = text
				})
			},
			"cloud":   r.Boolean(&l.Cloud),
			"domain":  r.Text(&l.Domain),
			"libvirt": r.Text(&l.Libvirt),
			"ca_file": r.Path(&l.CA),
			"subject": r.Text(&l.Subject),
			"timeout": r.Duration(&l.Timeout, shortest, longest),
		}, "name", "user", "password")
		if !l.Cloud && (l.Domain != "" || l.Libvirt != "" || l.CA != "" || l.Subject != "") {
			r.Wrong(n, "domain, libvirt, ca and subject are of a login with cloud: true")
		}
		names(n, l.Name)
		all = append(all, l)
	})(n)
	return all
}

// unique refuses a name that was there before.
func unique(r *configfile.Reader) func(n ast.Node, name string) {
	seen := map[string]bool{}
	return func(n ast.Node, name string) {
		if name != "" && seen[name] {
			r.Wrong(n, "there is another named %s", name)
		}
		seen[name] = true
	}
}

// ReadCloud reads the section `cloud`.
func ReadCloud(r *configfile.Reader, n ast.Node) *Cloud {
	c := &Cloud{Owner: "deskstorm"}
	r.Mapping(n, configfile.Keys{"name": r.Text(&c.Name), "file": r.Path(&c.File), "owner": r.Name(&c.Owner)})
	return c
}

// ReadDHCP reads the section `dhcp`, whose keys are those of the exporter.
func ReadDHCP(r *configfile.Reader, n ast.Node) (d DHCP) {
	timeout, window, renewals := 5*time.Second, time.Second, 8
	networks, hosts := unique(r), unique(r)
	r.Mapping(n, configfile.Keys{
		"timeout":  r.Duration(&timeout, shortest, time.Minute),
		"window":   r.Duration(&window, 10*time.Millisecond, time.Minute),
		"renewals": r.Number(&renewals, 1, 64),
		"networks": r.List(func(n ast.Node) {
			one := readNetwork(r, n)
			networks(n, one.Name)
			d.Networks = append(d.Networks, one)
		}),
		"hosts": r.List(func(n ast.Node) {
			var h Host
			r.Mapping(n, configfile.Keys{"name": r.Name(&h.Name), "namespace": r.Path(&h.Namespace)}, "name")
			hosts(n, h.Name)
			d.Hosts = append(d.Hosts, h)
		}),
	})
	for _, one := range d.Networks {
		if one.Target != nil {
			one.Target.Timeout, one.Target.Window, one.Target.Renewals = timeout, window, renewals
		}
	}
	return d
}

func readNetwork(r *configfile.Reader, n ast.Node) (one Network) {
	var target dhcp.Target
	keys := target.Keys(r)
	maps.Copy(keys, configfile.Keys{
		"name":       r.Name(&one.Name),
		"lease_file": r.Path(&one.LeaseFile),
		"lease_time": r.Duration(&one.LeaseTime, 2*time.Second, 10*365*24*time.Hour),
	})
	r.Mapping(n, keys, "name")
	switch {
	case target.Interface != "" || target.Relay != nil:
		one.Target = &target
	case one.LeaseFile == "":
		r.Wrong(n, "expected an interface or a relay to probe through, or a lease_file to read, or both")
	}
	if target.Relay != nil && len(target.MAC) == 0 {
		r.Wrong(n, "mac is missing; a probe through a relay needs one")
	}
	if one.LeaseFile != "" && one.LeaseTime == 0 {
		r.Wrong(n, "lease_time is missing; without it nobody knows which part of a lease is left")
	}
	return one
}

// ReadRabbitMQ reads the section `rabbitmq`.
func ReadRabbitMQ(r *configfile.Reader, n ast.Node) (all []RabbitMQ) {
	names := unique(r)
	r.Mapping(n, configfile.Keys{"brokers": r.List(func(n ast.Node) {
		b := RabbitMQ{Patience: 10 * time.Second}
		r.Mapping(n, configfile.Keys{
			"name":      r.Name(&b.Name),
			"address":   r.HostPort(&b.Address),
			"vhost":     r.Text(&b.VHost),
			"user":      r.Text(&b.User),
			"password":  r.Secret(&b.Password),
			"tls":       r.Boolean(&b.TLS),
			"ca_file":   r.Path(&b.CA),
			"namespace": r.Path(&b.Namespace),
			"patience":  r.Duration(&b.Patience, shortest, time.Minute),
		}, "name", "address", "user", "password")
		if b.CA != "" && !b.TLS {
			r.Wrong(n, "ca_file goes with tls: true")
		}
		names(n, b.Name)
		all = append(all, b)
	})}, "brokers")
	return all
}

// ReadDesktops reads the section `desktops`.
func ReadDesktops(r *configfile.Reader, n ast.Node) *Desktops {
	d := &Desktops{Prefix: "deskstorm", Most: 20}
	r.Mapping(n, configfile.Keys{
		"flavor":   r.Text(&d.Flavor),
		"image":    r.Text(&d.Image),
		"networks": r.Texts(&d.Networks),
		"zone":     r.Text(&d.Zone),
		"prefix":   r.Name(&d.Prefix),
		"most":     r.Number(&d.Most, 1, 10_000),
	}, "flavor", "image")
	return d
}
