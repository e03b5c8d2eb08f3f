// Package neutron is an embedded OpenStack Networking API v2.0 for tests: networks, subnets, ports and agents. Nova takes its
// servers' ports from it in process, with a MAC and an IPv4 address of the network's subnet.
//
// It is simpler than Neutron in this: lists are not paged, a network has one IPv4 subnet that is given at the start or made
// through the API, and there are no security groups, routers, floating addresses and quotas.
package neutron

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"

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
	Identity string    // Keystone's URL, for answers of 401
	Owner    string    // the networks' project; they are shared
	Networks []Network // may be none
	Hosts    []string  // where agents run
}

// Neutron is a Networking API. Its methods may be called by many goroutines at once.
type Neutron struct {
	config Config
	router *service.Router
	agents []agent

	mu       sync.RWMutex
	networks resources[*network]
	subnets  resources[*subnet]
	ports    resources[*port]
	byDevice map[string][]*port
}

// New makes a Neutron.
func New(c Config) (*Neutron, error) {
	n := &Neutron{
		config: c, agents: agentsOf(c.Hosts), byDevice: map[string][]*port{},
		networks: newResources[*network](), subnets: newResources[*subnet](), ports: newResources[*port](),
	}
	for _, given := range c.Networks {
		added := newNetwork(given.ID, given.Name, c.Owner)
		added.Shared = true
		if err := n.networks.add(given.ID, added); err != nil {
			return nil, fmt.Errorf("network %s: %w", given.Name, err)
		}
		s, err := newSubnet(uuid.NewSHA1(uuid.NameSpaceURL, []byte("subnet/"+given.ID)).String(), given.Name, added, given.Subnet)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", given.Name, err)
		}
		if err := n.subnets.add(s.ID, s); err != nil {
			return nil, fmt.Errorf("network %s: %w", given.Name, err)
		}
	}
	n.router = n.routes()
	return n, nil
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
	handle("GET", "/networks", n.listNetworks)
	handle("POST", "/networks", n.createNetwork)
	handle("GET", "/networks/{id}", n.showNetwork)
	handle("DELETE", "/networks/{id}", n.deleteNetwork)
	handle("GET", "/subnets", n.listSubnets)
	handle("POST", "/subnets", n.createSubnet)
	handle("GET", "/subnets/{id}", n.showSubnet)
	handle("DELETE", "/subnets/{id}", n.deleteSubnet)
	handle("GET", "/ports", n.listPorts)
	handle("POST", "/ports", n.createPort)
	handle("GET", "/ports/{id}", n.showPort)
	handle("DELETE", "/ports/{id}", n.deletePort)
	handle("GET", "/agents", n.listAgents)
	handle("GET", "/agents/{id}", n.showAgent)
	handle("GET", "/extensions", n.listExtensions)
	return r
}

func (n *Neutron) versions(w http.ResponseWriter, _ *http.Request) {
	service.WriteJSON(w, http.StatusOK, map[string]any{"versions": []any{map[string]any{
		"id": "v2.0", "status": "CURRENT", "links": []any{map[string]any{"rel": "self", "href": n.config.URL + "/v2.0/"}},
	}}})
}
