package openstack

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Config is the exporter's section.
type Config struct {
	Cloud *access.Cloud // default: nil, no API is asked
	// Services are whose APIs are timed: keystone, nova, placement, glance, neutron. Default: all of them.
	Services []string
	Logs     []Logs // default: none
	// Notifications are where the services tell of errors. Default: nil.
	Notifications *access.Notifications

	Interval          time.Duration // of servers, services and agents, 5s to 1h; default: 30s
	PlacementInterval time.Duration // of Placement's figures, two questions a host, 5s to 1h; default: 1m
	Timeout           time.Duration // of each of these, 1s to 10m; default: 1m
	Relist            time.Duration // how often all servers are listed and not only changed ones, 1m to 24h; default: 10m
	APIInterval       time.Duration // between two rounds of questions to an API, 1s to 1h; default: 15s
	APITimeout        time.Duration // of a round, 100ms to 10m; default: 10s
}

// Logs are a service's log files, as oslo.log writes them.
type Logs struct {
	Service string   // its label
	Files   []string // patterns, as of a shell: /var/log/nova/*.log
}

// maxLogs bounds the services, and so their labels.
const maxLogs = 50

func (c Config) withDefaults() Config {
	fill := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	fill(&c.Interval, 30*time.Second)
	fill(&c.PlacementInterval, time.Minute)
	fill(&c.Timeout, time.Minute)
	fill(&c.Relist, 10*time.Minute)
	fill(&c.APIInterval, 15*time.Second)
	fill(&c.APITimeout, 10*time.Second)
	if c.Services == nil {
		c.Services = cloud.CanaryServices()
	}
	return c
}

func (c Config) check() error {
	for _, service := range c.Services {
		if !slices.Contains(cloud.CanaryServices(), service) {
			return fmt.Errorf("there are no questions to the service %q", service)
		}
	}
	if len(c.Logs) > maxLogs {
		return fmt.Errorf("there are logs of %d services, more than %d", len(c.Logs), maxLogs)
	}
	named := map[string]bool{}
	for _, l := range c.Logs {
		if l.Service == "" || named[l.Service] || len(l.Files) == 0 {
			return errors.New("logs need files and the name of a service, each service once")
		}
		named[l.Service] = true
		for _, pattern := range l.Files {
			if _, err := filepath.Match(pattern, ""); err != nil {
				return fmt.Errorf("the log files %q: %w", pattern, err)
			}
		}
	}
	return nil
}

// Read reads the exporter's section.
func Read(r *configfile.Reader, n ast.Node) Config {
	c := Config{}.withDefaults()
	r.Mapping(n, configfile.Keys{
		"cloud": func(n ast.Node) {
			cloud := access.ReadCloud(r, n)
			c.Cloud = &cloud
		},
		"services": func(n ast.Node) {
			c.Services = nil
			r.List(func(n ast.Node) {
				var service string
				configfile.OneOf(r, &service, cloud.CanaryServices()...)(n)
				c.Services = append(c.Services, service)
			})(n)
		},
		"logs": r.List(func(n ast.Node) {
			var l Logs
			r.Mapping(n, configfile.Keys{"service": r.Text(&l.Service), "files": r.Paths(&l.Files)}, "service", "files")
			if slices.ContainsFunc(c.Logs, func(o Logs) bool { return o.Service == l.Service }) {
				r.Wrong(n, "expected each service once, found %q again", l.Service)
			}
			if len(c.Logs) == maxLogs {
				r.Wrong(n, "expected at most %d services, found more", maxLogs)
			}
			c.Logs = append(c.Logs, l)
		}),
		"notifications": func(n ast.Node) {
			c.Notifications = access.ReadNotifications(r, n, "nova", "neutron", "glance", "keystone", "cinder", "openstack")
		},
		"interval":           r.Duration(&c.Interval, 5*time.Second, time.Hour),
		"placement_interval": r.Duration(&c.PlacementInterval, 5*time.Second, time.Hour),
		"timeout":            r.Duration(&c.Timeout, time.Second, 10*time.Minute),
		"relist":             r.Duration(&c.Relist, time.Minute, 24*time.Hour),
		"api_interval":       r.Duration(&c.APIInterval, time.Second, time.Hour),
		"api_timeout":        r.Duration(&c.APITimeout, 100*time.Millisecond, 10*time.Minute),
	})
	return c
}
