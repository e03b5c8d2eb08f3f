package ports

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// none as the database says that this host has no Open vSwitch.
const none = "none"

// Config says what is watched. Its zero value is a compute node of Neutron's Open vSwitch agent.
type Config struct {
	// Database is where the ovsdb-server listens: "unix:PATH" or "tcp:HOST:PORT"; "unix:/var/run/openvswitch/db.sock" if empty,
	// and "none" where there is none, as on a host that has only the DHCP servers.
	Database string
	// Integration is the bridge that desktops' ports belong on; "br-int" if empty.
	Integration string
	// Bridges have their own label in the metrics, beside the integration bridge. All else is "other".
	Bridges []string
	// DevicePrefixes are how desktops' devices are named: a port of such a name on another bridge is a stale record, even if it
	// does not say whose it is. "vnet", "tap", "qvo" and "vhu" if nil.
	DevicePrefixes []string
	// Namespace is the network namespace that Open vSwitch's devices are in, as a path; this program's if empty.
	Namespace string
	// Namespaces is the folder of other namespaces, where devices are looked for that are missing; "/run/netns" if empty.
	Namespaces string
	// Expected is a file of the tags that ports should have, lines of a port's ID and its tag; none if empty. It is read at
	// each update.
	Expected string
	// Cloud is asked who owns what: for Neutron's networks and Nova's ACTIVE desktops; nobody is asked if nil.
	Cloud *access.Cloud
	// Host is what Nova and Neutron call this host, so that they are asked for its ports only; all if empty.
	Host string
	// Libvirt is the libvirtd's URI, as package hypervisor has it; it is not asked if empty.
	Libvirt string
	// LeaseFiles are dnsmasq's, as patterns of package path/filepath, such as "/var/lib/neutron/dhcp/*/leases".
	LeaseFiles []string
	// Networks are the IDs of the networks whose leases are in LeaseFiles. If empty, they are the names of the files' folders
	// where those are UUIDs, as Neutron has them, and else all.
	Networks []string
	// Grace is how long a desktop may be ACTIVE without a lease; 5 min if 0: a new desktop has to be ready by then.
	Grace time.Duration

	Interval time.Duration // between updates, from 1 s to 1 h; 15 s if 0
	Timeout  time.Duration // of an update, from 100 ms to 10 min; 10 s if 0
}

func (c Config) withDefaults() Config {
	if c.Database == "" {
		c.Database = "unix:/var/run/openvswitch/db.sock"
	}
	if c.Integration == "" {
		c.Integration = "br-int"
	}
	if c.DevicePrefixes == nil {
		c.DevicePrefixes = []string{"vnet", "tap", "qvo", "vhu"}
	}
	if c.Namespaces == "" {
		c.Namespaces = "/run/netns"
	}
	if c.Grace == 0 {
		c.Grace = 5 * time.Minute
	}
	if c.Interval == 0 {
		c.Interval = 15 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	return c
}

func (c Config) check() error {
	if !validDatabase(c.Database) {
		return fmt.Errorf("the database %q is neither unix:PATH nor tcp:HOST:PORT nor none", c.Database)
	}
	if c.Interval < time.Second || c.Interval > time.Hour || c.Timeout < 100*time.Millisecond || c.Timeout > 10*time.Minute {
		return errors.New("the interval is from 1 s to 1 h, and the timeout from 100 ms to 10 min")
	}
	return nil
}

func validDatabase(s string) bool {
	path, unix := strings.CutPrefix(s, "unix:")
	address, tcp := strings.CutPrefix(s, "tcp:")
	return s == none || unix && strings.HasPrefix(path, "/") || tcp && strings.Contains(address, ":")
}

// Read reads the exporter's section of the configuration file.
func Read(r *configfile.Reader, n ast.Node) Config {
	var c Config
	r.Mapping(n, configfile.Keys{
		"database":        r.Checked(&c.Database, "unix:PATH, tcp:HOST:PORT or none", validDatabase),
		"integration":     r.Text(&c.Integration),
		"bridges":         r.Texts(&c.Bridges),
		"device_prefixes": r.Texts(&c.DevicePrefixes),
		"namespace":       r.Path(&c.Namespace),
		"namespaces":      r.Path(&c.Namespaces),
		"expected":        r.Path(&c.Expected),
		"cloud":           func(n ast.Node) { cloud := access.ReadCloud(r, n); c.Cloud = &cloud },
		"host":            r.Text(&c.Host),
		"libvirt":         r.Checked(&c.Libvirt, "a libvirt URI such as qemu+unix:///system", func(s string) bool { return hypervisor.CheckURI(s) == nil }),
		"lease_files":     r.Paths(&c.LeaseFiles),
		"networks":        r.Texts(&c.Networks),
		"grace":           r.Duration(&c.Grace, time.Second, 24*time.Hour),
		"interval":        r.Duration(&c.Interval, time.Second, time.Hour),
		"timeout":         r.Duration(&c.Timeout, 100*time.Millisecond, 10*time.Minute),
	})
	return c
}
