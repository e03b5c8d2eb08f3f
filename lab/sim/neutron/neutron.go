// Package neutron is an embedded OpenStack Networking API v2.0 for tests: networks, subnets, ports, agents and quotas, with
// paging, sorting, filters and fields. Nova takes its servers' ports from it in process, with a MAC and an address of a subnet of the
// network.
//
// It is simpler than Neutron in this: subnets are IPv4, resources are made one by one, a resource's tags, its
// provider's network and its security groups are shown and mean nothing, and there are no routers, floating addresses, subnet
// pools, security groups, address scopes and RBAC. Ports of the DHCP agents do not exist. Ports have no quota unless they
// are given one: a lab has more of them than Neutron's usual 500.
package neutron

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// Network is a network that there is from the start.
type Network struct {
	ID, Name string
	Subnet   netip.Prefix // IPv4; the first address is the gateway's
}

// Config is how a Neutron begins.
type Config struct {
	URL      string // its own, without /v2.0
	Tokens   service.Tokens
	Identity string    // Keystone's URL without its version, for answers of 401
	Owner    string    // the networks' project; they are shared
	Networks []Network // may be none
	Hosts    []string  // where agents run
	// Quota is what a project may have that was not given other values through the API, such as "port": 500; -1: no limit.
	Quota    map[string]int
	Notifier service.Notifier // of "port.create.end" and the like; nil: nobody
	Now      func() time.Time
}

// Neutron is a Networking API. Its methods may be called by many goroutines at once.
type Neutron struct {
	config Config
	router *service.Router

	mu       sync.RWMutex
	agents   []*agent
	quotas   map[string]map[string]int // that projects were given
	portsOf  map[string]int            // by project
	macs     map[[2]string]bool        // in use, with their network
	networks resources[*network]
	subnets  resources[*subnet]
	ports    resources[*port]
	byDevice map[string][]*port
}

// New makes a Neutron.
func New(c Config) (*Neutron, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Notifier == nil {
		c.Notifier = service.Silent{}
	}
	n := &Neutron{
		config: c, byDevice: map[string][]*port{}, quotas: map[string]map[string]int{}, portsOf: map[string]int{}, macs: map[[2]string]bool{},
		networks: newResources[*network](), subnets: newResources[*subnet](), ports: newResources[*port](),
	}
	n.agents = n.agentsOf(c.Hosts)
	for _, given := range c.Networks {
		if err := n.addNetwork(given); err != nil {
			return nil, fmt.Errorf("network %s: %w", given.Name, err)
		}
	}
	n.router = n.routes()
	return n, nil
}

// addNetwork makes a network that there is from the start, shared.
func (n *Neutron) addNetwork(given Network) error {
	o := n.newNetwork(given.ID, given.Name, n.config.Owner)
	o.Shared = true
	if err := n.networks.add(o.ID, o); err != nil {
		return err
	}
	s, err := n.newSubnet(uuid.NewSHA1(uuid.NameSpaceURL, []byte("subnet/"+given.ID)).String(), given.Name, o, given.Subnet)
	if err != nil {
		return err
	}
	n.keepSubnet(o, s)
	return nil
}

// Route is the template that a request's path matches, such as "GET /v2.1/servers/{id}".
func (n *Neutron) Route(req *http.Request) string { return n.router.Route(req) }

func (n *Neutron) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Openstack-Request-Id", "req-"+uuid.NewString())
	n.router.ServeHTTP(w, r)
}

func (n *Neutron) routes() *service.Router {
	r := service.NewRouter(n.Fail)
	r.Handle("GET", "/{$}", n.versions)
	handle := func(method, path string, h func(*call)) { r.Handle(method, "/v2.0"+path, n.authorized(h)) }
	for _, o := range []struct {
		path                               string
		list, create, show, update, delete func(*call)
	}{
		{"/networks", n.listNetworks, n.createNetwork, n.showNetwork, n.updateNetwork, n.deleteNetwork},
		{"/subnets", n.listSubnets, n.createSubnet, n.showSubnet, n.updateSubnet, n.deleteSubnet},
		{"/ports", n.listPorts, n.createPort, n.showPort, n.updatePort, n.deletePort},
	} {
		handle("GET", o.path, o.list)
		handle("POST", o.path, o.create)
		handle("GET", o.path+"/{id}", o.show)
		handle("PUT", o.path+"/{id}", o.update)
		handle("DELETE", o.path+"/{id}", o.delete)
	}
	handle("GET", "/agents", n.listAgents)
	handle("GET", "/agents/{id}", n.showAgent)
	handle("PUT", "/agents/{id}", n.updateAgent)
	handle("DELETE", "/agents/{id}", n.deleteAgent)
	handle("GET", "/quotas", n.listQuotas)
	handle("GET", "/quotas/{project}", n.showQuota)
	handle("PUT", "/quotas/{project}", n.updateQuota)
	handle("DELETE", "/quotas/{project}", n.deleteQuota)
	handle("GET", "/quotas/{project}/default", n.showDefaultQuota)
	handle("GET", "/quotas/{project}/details", n.showQuotaDetails)
	handle("GET", "/quotas/{project}/details.json", n.showQuotaDetails)
	handle("GET", "/network-ip-availabilities", n.listAvailabilities)
	handle("GET", "/network-ip-availabilities/{id}", n.showAvailability)
	handle("GET", "/extensions", n.listExtensions)
	handle("GET", "/extensions/{alias}", n.showExtension)
	return r
}

func (n *Neutron) versions(w http.ResponseWriter, _ *http.Request) {
	service.WriteJSON(w, http.StatusOK, map[string]any{"versions": []any{map[string]any{
		"id": "v2.0", "status": "CURRENT", "links": []any{map[string]any{"rel": "self", "href": n.config.URL + "/v2.0/"}},
	}}})
}
