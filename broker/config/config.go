// Package config is the broker's file: YAML, read strictly, so that a mistake is found at start and not at a login. Every
// mistake names file, line, column, what was expected and what was found, and all are told at once. broker.yaml, beside this
// file, is an example with every key.
//
// Secrets are named and not spelled out: {file: PATH} or {env: NAME}. Paths that are not absolute begin at the file's folder.
// Durations carry their unit: 30s, 5m, 1h30m.
package config

import (
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Config is the broker's configuration. Where a field has no default the file must have its key.
type Config struct {
	Listen        string            // host:port; port 0 is any free one
	TLS           *TLS              // default: nil, HTTP in the clear, for a proxy on the same machine that does TLS
	OperatorToken configfile.Secret // who shows it may drain, rebind and read all sessions
	MaxLogins     int               // logins under way at once, 1 to 100000; more are refused; default: 1000
	// Lease is how long a session lasts that its thin client does not renew, 1s to 24h: a thin client that lost its power
	// never logs out. Default: 10m.
	Lease time.Duration
	// Database is the DSN, sqlite:///absolute/path or postgres://user@host/database. With a password it is a secret.
	Database   configfile.Secret
	Cloud      Cloud
	Directory  Directory
	Console    Console
	Pools      []Pool         // at least one; their names differ
	Allocators *allocator.Set // their pools are among Pools
}

// TLS is the broker's own certificate, in PEM form.
type TLS struct {
	CertFile string
	KeyFile  string
}

// Cloud is OpenStack.
type Cloud struct {
	Name string // in clouds.yaml; default: empty, the OS_* variables
	// File is clouds.yaml's path; default: empty, where OpenStack's tools look for it.
	File string
	// Owner tags every desktop: letters, digits, '.', '_' and '-', at most 40. Two brokers in one project need two.
	Owner string
	// Run tags every desktop too, as Owner does: the test run that the broker was started for. Default: empty, none.
	Run string
}

// Directory is LDAP.
type Directory struct {
	URLs         []string          // ldap://host[:port] or ldaps://host[:port], tried in their order
	StartTLS     bool              // on ldap:// (RFC 4511, 4.14); without it passwords cross the network in the clear; default: false
	CAFile       string            // in PEM form; default: empty, the system's
	BindDN       string            // who searches; default: empty, anonymous
	BindPassword configfile.Secret // there is one if there is a BindDN
	UserBase     string            // the DN below which users are
	UserFilter   string            // finds a user (RFC 4515); %s is the name that was typed; default: "(&(objectClass=person)(uid=%s))"
	UserName     string            // the attribute with a user's name; default: "uid"
	GroupBase    string            // the DN below which groups are; default: empty, users have no groups
	GroupFilter  string            // what a group must match besides; default: empty, nothing
	GroupMember  string            // a group's attribute with its members' DNs; default: "member"
	GroupName    string            // a group's attribute with its name; default: "cn"
	Nested       bool              // groups of groups count; default: true
	InChain      bool              // Active Directory finds groups of groups itself, other directories find none so; default: false
	// GroupTTL is how long it is remembered which groups are in which, 0s to 1h; default: 1m.
	GroupTTL time.Duration
	PageSize int // groups in one answer (RFC 2696), 1 to 5000; Active Directory gives 1000 at most; default: 500
	// Timeout bounds each of the three or more questions of a login, 100ms to 1m; default: 3s.
	Timeout        time.Duration
	MaxConnections int // that search, and as many that check passwords, 1 to 1000; default: 8
}

// The ways to a desktop's console.
const (
	SpiceDirect = "spice-direct" // Nova's, as of 2025.1
	ViaLibvirt  = "libvirt"
	SpiceHTML5  = "spice-html5" // Nova's token, resolved by an administrator
	Static      = "static"
)

// Console says where desktops' consoles are found.
type Console struct {
	// Order is in which order the ways are tried; default: spice-direct, libvirt if it is configured, spice-html5, static if
	// it is configured.
	Order   []string
	Libvirt *Libvirt                 // default: nil
	Static  map[string]StaticConsole // by the server's name in Nova; default: none
	CAFile  string                   // of the certificates of the SPICE servers, in PEM form; default: empty, the system's
	Subject string                   // what those certificates say, such as "O=Example,CN=node17"; default: empty, the host's name
}

// Libvirt is how each compute node's libvirt is reached.
type Libvirt struct {
	URI            string        // %s is the compute node's name: "qemu+tls://%s/system"
	TicketLifetime time.Duration // of a ticket that the broker sets, 10s to 24h; default: 2m
}

// StaticConsole is a SPICE server that nothing else tells of. It has one port at least.
type StaticConsole struct {
	Host    string
	Port    int               // in the clear; default: 0, none
	TLSPort int               // default: 0, none
	Ticket  configfile.Secret // default: none
}

// After is what becomes of a desktop whose binding has ended.
type After string

// What becomes of a desktop whose binding has ended.
const (
	Keep    After = "keep"    // it is ready for the next one, as the last one left it
	Replace After = "replace" // it is deleted, and a fresh one built
)

// Pool is desktops of one specification.
type Pool struct {
	Name             string // letters, digits, '.', '_' and '-', at most 40: servers are named after it
	Flavor           string // Nova's, name or id
	Image            string // Glance's, name or id
	Networks         []string
	AvailabilityZone string            // default: empty, Nova chooses
	UserData         configfile.Secret // for cloud-init or cloudbase-init; default: none

	Ready        int           // desktops kept ready, 0 to Max
	Max          int           // desktops of the pool altogether, 1 to 100000
	Boots        int           // desktops that start at once, 1 to 1000; too many drown the disks; default: 4
	Wait         time.Duration // how long a login may wait for a desktop, 0s to 10m; default: 30s
	BuildTimeout time.Duration // after which a desktop that is not ready is broken, 10s to 2h; default: 5m
	CheckEvery   time.Duration // how often a ready desktop's health is checked, 1s to 1h; default: 15s
	After        After         // default: Replace
}

// what the file is, for errors.
const what = "the broker's configuration"

// Load reads the file.
func Load(path string) (Config, error) {
	r, root, err := configfile.Load(path, what)
	if err != nil {
		return Config{}, err
	}
	return read(r, root)
}

// Parse reads a configuration. The name is the file's path; errors begin with it, and relative paths begin in its folder. The
// error joins a *configfile.Error for each mistake, in the file's order.
func Parse(data []byte, name string) (Config, error) {
	r, root := configfile.Parse(data, name, what)
	return read(r, root)
}

func read(file *configfile.Reader, root ast.Node) (Config, error) {
	if root == nil {
		return Config{}, file.Err()
	}
	r := &reader{file}
	c, rules, def := r.config(root)
	if r.Err() == nil { // a value that could not be read would be missed elsewhere as well
		c.Allocators = r.references(c, rules, def)
	}
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}
