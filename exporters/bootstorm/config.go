package bootstorm

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Config is the exporter's section.
type Config struct {
	Cloud Cloud
	// Notifications are where Nova tells what happens. Default: nil; boots are found in Nova's lists then, with the times of its
	// instance actions, in whole seconds.
	Notifications *Notifications
	Leases        *Leases // default: nil; boots are not followed to their lease
	// UsablePort is the TCP port on which a desktop's guest listens once a person can use it: a remote desktop service, the
	// agent. Default: 0; boots are not followed that far.
	UsablePort  int
	LostAfter   time.Duration        // how long an accepted boot may wait for a compute node, 5s to 1h; default: 1m
	GiveUpAfter time.Duration        // how long a boot may take, 1m to 24h; it counts as failed then; default: 1h
	Poll        time.Duration        // how often Nova is asked, 1s to 10m; default: 15s
	Hosts       []storage.HostConfig // whose disks are watched, under Nova's names for them; default: none
	Slow        time.Duration        // a disk request's mean time from which a storm slows its host, 1ms to 10s; default: 50ms
	// Drowning is that time from which the host drowns, 1ms to 1m; default: 200ms, at which a boot took 40 minutes in production.
	Drowning time.Duration
}

// Cloud is OpenStack, whose administrator the exporter is: it watches all projects.
type Cloud struct {
	Name string // in clouds.yaml; default: empty, the OS_* variables
	File string // clouds.yaml's path; default: empty, where OpenStack's tools look for it
	Tag  string // only servers with this tag are watched; default: empty, all
}

// Notifications is the message broker that Nova's notifications go to.
type Notifications struct {
	URL      configfile.Secret // amqp:// or amqps://user:password@host:port/vhost
	CAFile   string            // of amqps, in PEM form; default: empty, the system's
	Exchange string            // nova.conf's control_exchange; default: "nova"
	Topic    string            // default: "notifications"; "versioned_notifications" for versioned ones
}

// Leases are dnsmasq's lease files.
type Leases struct {
	Files  []string      // patterns, as of a shell
	Length time.Duration // of a lease, 1m to 8760h; default: 24h, Neutron's
}

// Read reads the exporter's section.
func Read(r *configfile.Reader, n ast.Node) Config {
	c := Config{
		LostAfter: time.Minute, GiveUpAfter: time.Hour, Poll: 15 * time.Second, Slow: 50 * time.Millisecond, Drowning: 200 * time.Millisecond,
	}
	r.Mapping(n, configfile.Keys{
		"cloud": func(n ast.Node) {
			r.Mapping(n, configfile.Keys{"name": r.Text(&c.Cloud.Name), "file": r.Path(&c.Cloud.File), "tag": r.Text(&c.Cloud.Tag)})
		},
		"notifications": func(n ast.Node) {
			c.Notifications = &Notifications{Exchange: "nova", Topic: "notifications"}
			r.Mapping(n, configfile.Keys{
				"url": r.Secret(&c.Notifications.URL), "ca_file": r.Path(&c.Notifications.CAFile),
				"exchange": r.Text(&c.Notifications.Exchange), "topic": r.Text(&c.Notifications.Topic),
			}, "url")
		},
		"leases": func(n ast.Node) {
			c.Leases = &Leases{Length: 24 * time.Hour}
			r.Mapping(n, configfile.Keys{
				"files":  r.Texts(&c.Leases.Files),
				"length": r.Duration(&c.Leases.Length, time.Minute, 8760*time.Hour),
			}, "files")
		},
		"usable_port":   r.Number(&c.UsablePort, 1, 65535),
		"lost_after":    r.Duration(&c.LostAfter, 5*time.Second, time.Hour),
		"give_up_after": r.Duration(&c.GiveUpAfter, time.Minute, 24*time.Hour),
		"poll":          r.Duration(&c.Poll, time.Second, 10*time.Minute),
		"hosts":         func(n ast.Node) { c.Hosts = storage.Read(r, n) },
		"slow":          r.Duration(&c.Slow, time.Millisecond, 10*time.Second),
		"drowning":      r.Duration(&c.Drowning, time.Millisecond, time.Minute),
	}, "cloud")
	if c.Drowning < c.Slow {
		r.Wrong(n, "expected drowning to be at least slow, which is %s, found %s", c.Slow, c.Drowning)
	}
	return c
}

// listener makes the notifications' listener of their section.
func (n Notifications) listener() (notification.Listener, error) {
	url, err := n.URL.Read()
	if err != nil {
		return notification.Listener{}, err
	}
	l := notification.Listener{URL: url, Exchanges: []string{n.Exchange}, Keys: []string{n.Topic + ".*"}, Name: "deskstorm-exporter bootstorm"}
	if n.CAFile != "" {
		pem, err := os.ReadFile(n.CAFile)
		if err != nil {
			return notification.Listener{}, fmt.Errorf("reading the authority of the message broker's certificate: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return notification.Listener{}, fmt.Errorf("the file %s has no certificate in PEM form", n.CAFile)
		}
		l.TLS = &tls.Config{RootCAs: roots}
	}
	return l, l.Check()
}
