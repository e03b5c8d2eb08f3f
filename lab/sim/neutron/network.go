package neutron

import (
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// network is as the API shows it.
type network struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Status      string   `json:"status"`
	AdminUp     bool     `json:"admin_state_up"`
	Shared      bool     `json:"shared"`
	External    bool     `json:"router:external"`
	MTU         int      `json:"mtu"`
	Tenant      string   `json:"tenant_id"`
	Project     string   `json:"project_id"`
	Subnets     []string `json:"subnets"`
	Tags        []string `json:"tags"`

	subnet *subnet
}

func newNetwork(id, name, project string) *network {
	return &network{
		ID: id, Name: name, Status: "ACTIVE", AdminUp: true, MTU: 1450, Tenant: project, Project: project,
		Subnets: []string{}, Tags: []string{},
	}
}

func (n *Neutron) listNetworks(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := []*network{}
	for _, o := range n.networks.order {
		if c.sees(o.Project, o.Shared) && c.wants(map[string]string{
			"id": o.ID, "name": o.Name, "project_id": o.Project, "tenant_id": o.Project, "status": o.Status,
		}) {
			list = append(list, o)
		}
	}
	c.answer("networks", http.StatusOK, list)
}

// network is the one of the path; without one it answers 404.
func (n *Neutron) network(c *call) *network {
	o := n.networks.byID[c.PathValue("id")]
	if o == nil || !c.sees(o.Project, o.Shared) {
		c.notFound("Network", c.PathValue("id"))
		return nil
	}
	return o
}

func (n *Neutron) showNetwork(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if o := n.network(c); o != nil {
		c.answer("network", http.StatusOK, o)
	}
}

func (n *Neutron) createNetwork(c *call) {
	var body struct {
		Name        string
		Description string
		Shared      bool
	}
	if !c.read("network", &body) {
		return
	}
	if body.Shared && !c.caller.Admin() {
		c.fail(http.StatusForbidden, "PolicyNotAuthorized", "(rule:create_network and rule:create_network:shared) is disallowed by policy")
		return
	}
	o := newNetwork(uuid.NewString(), body.Name, c.caller.ProjectID)
	o.Description, o.Shared = body.Description, body.Shared
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.networks.add(o.ID, o); err != nil {
		c.fail(http.StatusConflict, "Conflict", err.Error())
		return
	}
	c.answer("network", http.StatusCreated, o)
}

func (n *Neutron) deleteNetwork(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.network(c)
	if o == nil {
		return
	}
	if !c.sees(o.Project, false) {
		c.fail(http.StatusForbidden, "PolicyNotAuthorized", "rule:delete_network is disallowed by policy")
		return
	}
	if slices.ContainsFunc(n.ports.order, func(p *port) bool { return p.Network == o.ID }) {
		c.fail(http.StatusConflict, "NetworkInUse", "Unable to complete operation on network "+o.ID+
			". There are one or more ports still in use on the network.")
		return
	}
	if o.subnet != nil {
		n.subnets.remove(o.subnet.ID)
	}
	n.networks.remove(o.ID)
	c.w.WriteHeader(http.StatusNoContent)
}
