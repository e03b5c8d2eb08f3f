package bootstorm

import (
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Config is the exporter's section.
type Config struct {
	Cloud access.Cloud
	Tag   string // only servers with this tag are watched; default: empty, all of all projects
	// Notifications are where Nova tells what happens. Default: nil; boots are found in Nova's lists then, with the times of its
	// instance actions, in whole seconds.
	Notifications *access.Notifications
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
		"cloud":         func(n ast.Node) { c.Cloud = access.ReadCloud(r, n) },
		"tag":           r.Text(&c.Tag),
		"notifications": func(n ast.Node) { c.Notifications = access.ReadNotifications(r, n, "nova") },
		"leases": func(n ast.Node) {
			c.Leases = &Leases{Length: 24 * time.Hour}
			r.Mapping(n, configfile.Keys{
				"files":  r.Paths(&c.Leases.Files),
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
