// Package nova is an embedded OpenStack Compute API v2.1 for tests: flavors with their extra specs and access, servers with their
// life, live migration and evacuation, consoles, metadata, tags, hypervisors, services that go down, aggregates and availability
// zones, quotas, limits, instance actions and migrations, and oslo notifications of both forms. Microversions go up to 2.93, the last
// of release Zed; or to 2.99, the first with spice-direct, whose answers nobody has compared with a real cloud. Servers are accepted
// at once, scheduled and built in the background: Placement decides whether a host has room, Neutron gives them their ports, and the
// embedding program their desktops.
//
// Where the answers' forms and the rules of the API matter to clients they are Nova's, as seen on a cloud of release Zed and in its
// sources. It is simpler in this:
//   - There are no volumes, key pairs, security groups, server groups, images made of servers, resize, cold migration, shelve, rescue
//     and soft deletion; hosts and ports are those of the start; one cell.
//   - The scheduler knows a host's zone, whether it is enabled and up, and its memory; scheduler hints are not looked at, nor are extra
//     specs, and from 2.86 on they are not checked.
//   - Policies are two roles, administrator and member. Quotas are a project's, not a user's, and a project need not exist.
//   - A live migration takes as long as a boot, its server's desktop stays where it listens, and it cannot be forced to its end.
//     After an evacuation the room at the old host is held by the migration instead of the server.
//   - A pause changes only the state. A console of a server that does not run is 500, as where libvirt has it.
//   - Deleted servers are remembered for a day, 32 actions of a server, and 10,000 migrations. Tracebacks are one line.
//   - Notifications of aggregates, flavors, quotas and key pairs, compute.instance.exists and the scheduler's own are not sent.
package nova

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/glance"
	"github.com/deskstorm/deskstorm/lab/sim/neutron"
	"github.com/deskstorm/deskstorm/lab/sim/placement"
	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// Console is where a desktop's SPICE server listens.
type Console struct {
	Host    string
	Port    int // 0: not in the clear
	TLSPort int // 0: not over TLS
}

// Desktops runs what servers are. Its methods may be called by many goroutines at once, but not for one server.
type Desktops interface {
	// Boot starts a server's desktop and returns when its SPICE server listens. The context bounds the start only.
	Boot(ctx context.Context, serverID string) (Console, error)
	// Shutdown ends a desktop. One that is not there is fine.
	Shutdown(serverID string)
	// Kill ends a desktop's SPICE server as a crash would: what holds it stays until Shutdown. It tells whether there was one.
	Kill(serverID string) bool
}

// Host is a hypervisor. Its id is that of its resource provider.
type Host struct{ ID, Name string }

// Config is how a Nova begins.
type Config struct {
	URL      string // its own, without /v2.1
	Tokens   service.Tokens
	Identity string // Keystone's URL without its version, for answers of 401

	Placement *placement.Placement
	Neutron   *neutron.Neutron
	Glance    *glance.Glance
	Desktops  Desktops

	Hosts   []Host
	Flavors []Flavor
	Quota   Quota
	// Boot is how long a server takes from being scheduled, and having got a place among its host's concurrent boots, until its
	// desktop is started. It is asked once a boot, with random numbers that are the same in every run of the same Seed.
	Boot func(*rand.Rand) time.Duration
	Seed uint64
	// Hardware decides instead of Boot how long boots take, if it is not nil.
	Hardware Hardware
	// ResumeGuests starts servers again whose host was restarted, where there is Hardware ([DEFAULT] resume_guests_state_on_host_boot);
	// else they are stopped, as by default.
	ResumeGuests bool
	// ServiceDownTime is after how long without a report a service is down ([DEFAULT] service_down_time): 60 s if 0. Services report six
	// times as often.
	ServiceDownTime time.Duration
	// BootsPerHost is how many servers may boot on a host at once; 0 is no limit.
	BootsPerHost int
	// SpiceDirect offers microversions up to 2.99, and consoles of type spice-direct.
	SpiceDirect bool
	// MetadataFilter lets administrators list servers by ?metadata={"key":"value"}. Nova itself refuses that with 400 and ignores
	// it for others; clouds with a patched Nova have it.
	MetadataFilter bool
	// Notifier sends unversioned notifications, and Versioned versioned ones (topics "notifications" and "versioned_notifications");
	// nil: nobody is told. Close waits until all were sent.
	Notifier, Versioned service.Notifier
	Now                 func() time.Time
}

// Nova is a Compute API. Its methods may be called by many goroutines at once.
type Nova struct {
	config     Config
	router     *service.Router
	maxVersion service.Version
	ctx        context.Context
	stop       context.CancelFunc
	work       sync.WaitGroup

	randomMu sync.Mutex
	random   *rand.Rand

	started time.Time
	outbox  *outbox // nil: nobody is notified

	mu           sync.RWMutex
	closed       bool
	servers      map[string]*server
	order        []*server // all, oldest first
	graves       graves
	sequence     int
	projects     map[string]*project
	hosts        []*host
	hostByID     map[string]*host
	flavors      map[string]*Flavor
	flavorIDs    int
	aggregates   []*aggregate // oldest first
	aggregateIDs int
	migrations   []*migration // oldest first
	migrationIDs int
	losses       []*loss
	refusals     []*refusal
	consoles     consoleTokens
}

type project struct {
	servers []*server // oldest first
	used    Quota
	quotas  map[string]int // that are its own
}

type host struct {
	Host
	number  int // Nova's ids before UUIDs
	boots   chan struct{}
	servers map[string]*server
	service computeService
}

// New makes a Nova.
func New(c Config) (*Nova, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ServiceDownTime <= 0 {
		c.ServiceDownTime = time.Minute
	}
	if c.Boot == nil {
		c.Boot = func(*rand.Rand) time.Duration { return 0 }
	}
	if c.Placement == nil || c.Neutron == nil || c.Glance == nil || c.Desktops == nil || c.Tokens == nil {
		return nil, errors.New("Nova needs Placement, Neutron, Glance, Desktops and Tokens")
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	n := &Nova{
		config: c, maxVersion: service.Version{Major: 2, Minor: 93},
		random:  rand.New(rand.NewPCG(c.Seed, 0)),
		servers: map[string]*server{}, projects: map[string]*project{}, hostByID: map[string]*host{}, flavors: map[string]*Flavor{},
		consoles: consoleTokens{byToken: map[string]consoleToken{}}, graves: graves{byID: map[string]*server{}},
		started: c.Now(),
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	if c.SpiceDirect {
		n.maxVersion.Minor = 99
	}
	for i, given := range c.Hosts {
		h := &host{Host: given, number: i + 1, servers: map[string]*server{}}
		if c.BootsPerHost > 0 {
			h.boots = make(chan struct{}, c.BootsPerHost)
		}
		n.hosts, n.hostByID[h.ID] = append(n.hosts, h), h
	}
	for i := range c.Flavors {
		f := new(c.Flavors[i])
		if f.VCPUs < 1 || f.RAM < 1 || f.Disk < 0 {
			return nil, fmt.Errorf("flavor %s: %d VCPUs, %d MB and %d GB make no server", f.Name, f.VCPUs, f.RAM, f.Disk)
		}
		if n.flavors[f.ID] != nil {
			return nil, fmt.Errorf("flavor %s: there are two with id %s", f.Name, f.ID)
		}
		n.addFlavor(f)
	}
	if c.Notifier != nil || c.Versioned != nil {
		n.outbox = newOutbox()
	}
	n.router = n.routes()
	return n, nil
}

// Close ends what happens in the background and shuts all desktops down.
func (n *Nova) Close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.stop()
	n.work.Wait()
	for _, s := range n.Servers() {
		n.config.Desktops.Shutdown(s.ID)
	}
	if n.outbox != nil {
		n.outbox.close()
	}
}

// Route is the template that a request's path matches, such as "GET /v2.1/servers/{id}".
func (n *Nova) Route(req *http.Request) string { return n.router.Route(req) }

func (n *Nova) ServeHTTP(w http.ResponseWriter, r *http.Request) { n.router.ServeHTTP(w, r) }

func (n *Nova) routes() *service.Router {
	r := service.NewRouter(n.noRoute)
	r.Handle("GET", "/{$}", n.listVersions)
	r.Handle("GET", "/v2.1", n.showVersion)
	r.Handle("GET", "/v2.1/{$}", n.showVersion)
	between := func(first, last int, method, path string, h func(*call)) {
		r.Handle(method, "/v2.1"+path, n.authorized(first, last, h))
	}
	since := func(minor int, method, path string, h func(*call)) { between(minor, forever, method, path, h) }
	handle := func(method, path string, h func(*call)) { since(1, method, path, h) }
	handle("GET", "/flavors", n.listFlavors)
	handle("POST", "/flavors", n.createFlavor)
	handle("GET", "/flavors/detail", n.detailFlavors)
	handle("GET", "/flavors/{id}", n.showFlavor)
	since(55, "PUT", "/flavors/{id}", n.updateFlavor)
	handle("DELETE", "/flavors/{id}", n.deleteFlavor)
	handle("POST", "/flavors/{id}/action", n.actOnFlavor)
	handle("GET", "/flavors/{id}/os-flavor-access", n.listFlavorAccess)
	handle("GET", "/flavors/{id}/os-extra_specs", n.listFlavorSpecs)
	handle("POST", "/flavors/{id}/os-extra_specs", n.createFlavorSpecs)
	handle("GET", "/flavors/{id}/os-extra_specs/{key}", n.showFlavorSpec)
	handle("PUT", "/flavors/{id}/os-extra_specs/{key}", n.updateFlavorSpec)
	handle("DELETE", "/flavors/{id}/os-extra_specs/{key}", n.deleteFlavorSpec)
	handle("GET", "/servers", n.listServers)
	handle("GET", "/servers/detail", n.detailServers)
	handle("POST", "/servers", n.createServer)
	handle("GET", "/servers/{id}", n.showServer)
	handle("PUT", "/servers/{id}", n.updateServer)
	handle("DELETE", "/servers/{id}", n.deleteServer)
	handle("POST", "/servers/{id}/action", n.actOnServer)
	handle("GET", "/servers/{id}/ips", n.listAddresses)
	handle("GET", "/servers/{id}/os-interface", n.listInterfaces)
	handle("GET", "/servers/{id}/ips/{network}", n.showAddresses)
	handle("GET", "/servers/{id}/metadata", n.listMetadata)
	handle("POST", "/servers/{id}/metadata", n.addMetadata)
	handle("PUT", "/servers/{id}/metadata", n.replaceMetadata)
	handle("GET", "/servers/{id}/metadata/{key}", n.showMetadata)
	handle("PUT", "/servers/{id}/metadata/{key}", n.putMetadata)
	handle("DELETE", "/servers/{id}/metadata/{key}", n.deleteMetadata)
	since(26, "GET", "/servers/{id}/tags", n.listTags)
	since(26, "PUT", "/servers/{id}/tags", n.replaceTags)
	since(26, "DELETE", "/servers/{id}/tags", n.deleteTags)
	since(26, "GET", "/servers/{id}/tags/{tag}", n.showTag)
	since(26, "PUT", "/servers/{id}/tags/{tag}", n.putTag)
	since(26, "DELETE", "/servers/{id}/tags/{tag}", n.deleteTag)
	since(23, "GET", "/servers/{id}/migrations", n.listServerMigrations)
	since(23, "GET", "/servers/{id}/migrations/{migration}", n.showServerMigration)
	since(24, "DELETE", "/servers/{id}/migrations/{migration}", n.abortServerMigration)
	since(6, "POST", "/servers/{id}/remote-consoles", n.createConsole)
	handle("GET", "/os-console-auth-tokens/{token}", n.showConsoleToken)
	handle("GET", "/servers/{id}/os-instance-actions", n.listInstanceActions)
	handle("GET", "/servers/{id}/os-instance-actions/{request}", n.showInstanceAction)
	handle("GET", "/os-migrations", n.listMigrations)
	handle("GET", "/os-hypervisors", n.listHypervisors)
	handle("GET", "/os-hypervisors/detail", n.detailHypervisors)
	between(1, 87, "GET", "/os-hypervisors/statistics", n.showStatistics)
	handle("GET", "/os-hypervisors/{id}", n.showHypervisor)
	between(1, 87, "GET", "/os-hypervisors/{id}/uptime", n.showUptime)
	between(1, 52, "GET", "/os-hypervisors/{id}/search", n.searchHypervisors)
	between(1, 52, "GET", "/os-hypervisors/{id}/servers", n.hypervisorServers)
	handle("GET", "/os-services", n.listServices)
	handle("PUT", "/os-services/{id}", n.updateService)
	handle("GET", "/os-aggregates", n.listAggregates)
	handle("POST", "/os-aggregates", n.createAggregate)
	handle("GET", "/os-aggregates/{id}", n.showAggregate)
	handle("PUT", "/os-aggregates/{id}", n.updateAggregate)
	handle("DELETE", "/os-aggregates/{id}", n.deleteAggregate)
	handle("POST", "/os-aggregates/{id}/action", n.actOnAggregate)
	handle("GET", "/os-availability-zone", n.listZones)
	handle("GET", "/os-availability-zone/detail", n.detailZones)
	handle("GET", "/os-quota-sets/{id}", n.showQuotas)
	handle("GET", "/os-quota-sets/{id}/defaults", n.showDefaultQuotas)
	handle("GET", "/os-quota-sets/{id}/detail", n.detailQuotas)
	handle("PUT", "/os-quota-sets/{id}", n.updateQuotas)
	handle("DELETE", "/os-quota-sets/{id}", n.deleteQuotas)
	handle("GET", "/limits", n.showLimits)
	return r
}

// forever is after the last microversion.
const forever = 1 << 16
