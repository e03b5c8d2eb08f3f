package neutron

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// network is as the API shows it.
type network struct {
	standard
	Status       string   `json:"status"`
	AdminUp      bool     `json:"admin_state_up"`
	Shared       bool     `json:"shared"`
	External     bool     `json:"router:external"`
	MTU          int      `json:"mtu"`
	Subnets      []string `json:"subnets"`
	PortSecurity bool     `json:"port_security_enabled"`
	Hints        []string `json:"availability_zone_hints"`
	Zones        []string `json:"availability_zones"`
	ScopeV4      *string  `json:"ipv4_address_scope"`
	ScopeV6      *string  `json:"ipv6_address_scope"`
	Type         string   `json:"provider:network_type"`
	Physical     *string  `json:"provider:physical_network"`
	Segment      *int     `json:"provider:segmentation_id"`

	subnets []*subnet
}

func (n *Neutron) newNetwork(id, name, project string) *network {
	return &network{
		standard: n.newStandard(id, name, project), Status: "ACTIVE", AdminUp: true, MTU: 1450, Subnets: []string{}, PortSecurity: true,
		Hints: []string{}, Zones: []string{}, Type: "vxlan",
	}
}

func (o *network) setters(c *call) map[string]setter {
	return map[string]setter{
		"name": setText("name", &o.Name), "description": setText("description", &o.Description), "admin_state_up": setBool(&o.AdminUp),
		"port_security_enabled":   setBool(&o.PortSecurity),
		"availability_zone_hints": setTexts("availability_zone_hints", &o.Hints),
		"shared":                  onlyAdmins(c, "rule:create_network:shared", setBool(&o.Shared)),
		"router:external":         onlyAdmins(c, "rule:create_network:router:external", setBool(&o.External)),
		"mtu": func(raw json.RawMessage) *refusal {
			if json.Unmarshal(raw, &o.MTU) != nil || o.MTU < 0 {
				return badRequest("HTTPBadRequest", "Invalid input for mtu. Reason: '%s' is not an integer.", raw)
			}
			return nil
		},
	}
}

// onlyAdmins lets others leave an attribute out, or say false.
func onlyAdmins(c *call, rule string, set setter) setter {
	return func(raw json.RawMessage) *refusal {
		if !c.caller.Admin() && string(raw) != "false" {
			return notAuthorized("(rule:create_network and " + rule + ")")
		}
		return set(raw)
	}
}

var networkAttributes = attributesOf(reflect.TypeFor[network]())

func (n *Neutron) listNetworks(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var seen []*network
	for _, o := range n.networks.order {
		if c.sees(o.Project, o.Shared) {
			seen = append(seen, o)
		}
	}
	list(c, "networks", "Network", seen)
}

// network is the one of the path; without one it answers 404.
func (n *Neutron) network(c *call) *network {
	o := n.networks.byID[c.PathValue("id")]
	if o == nil || !c.sees(o.Project, o.Shared) {
		c.fail(notFound("Network", c.PathValue("id")))
		return nil
	}
	return o
}

func (n *Neutron) showNetwork(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if o := n.network(c); o != nil {
		c.answer(http.StatusOK, map[string]any{"network": c.view(o, c.URL.Query()["fields"]...)})
	}
}

func (n *Neutron) createNetwork(c *call) {
	b := c.read("network")
	if b == nil {
		return
	}
	c.tell("network.create.start", b.payload("network"))
	project, r := b.project(c)
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.newNetwork(uuid.NewString(), "", project)
	if r == nil {
		r = b.apply(true, o.setters(c), networkAttributes)
	}
	if r == nil {
		r = n.checkQuota("network", project)
	}
	if r != nil {
		c.fail(r)
		return
	}
	_ = n.networks.add(o.ID, o) // a new id
	v := map[string]any{"network": c.view(o)}
	c.tell("network.create.end", v)
	c.answer(http.StatusCreated, v)
}

// ownNetwork is the one of the path, if the caller may change it.
func (n *Neutron) ownNetwork(c *call, rule string) *network {
	o := n.network(c)
	if o != nil && !c.sees(o.Project, false) {
		c.fail(notAuthorized(rule))
		return nil
	}
	return o
}

func (n *Neutron) updateNetwork(c *call) {
	b := c.read("network")
	if b == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.ownNetwork(c, "rule:update_network")
	if o == nil {
		return
	}
	c.tell("network.update.start", b.withID("network", o.ID))
	changed := *o
	if r := b.apply(false, changed.setters(c), networkAttributes); r != nil {
		c.fail(r)
		return
	}
	n.touch(&changed.standard)
	*o = changed
	v := map[string]any{"network": c.view(o)}
	c.tell("network.update.end", v)
	c.answer(http.StatusOK, v)
}

// withID is the body of an update as a notification has it.
func (b body) withID(key, id string) map[string]any {
	v := b.payload(key)
	v["id"] = id
	return v
}

func (n *Neutron) deleteNetwork(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.ownNetwork(c, "rule:delete_network")
	if o == nil {
		return
	}
	c.tell("network.delete.start", map[string]any{"network_id": o.ID})
	var used []string
	for _, p := range n.ports.order {
		if p.Network == o.ID {
			used = append(used, p.ID)
		}
	}
	if len(used) > 0 {
		c.fail(conflict("NetworkInUse", "Unable to complete operation on network %s. There are one or more ports still in use on the network, "+
			"id for these ports is: %s.", o.ID, strings.Join(used, ",")))
		return
	}
	v := map[string]any{"network": c.view(o), "network_id": o.ID}
	for _, s := range slices.Clone(o.subnets) {
		n.subnets.remove(s.ID)
	}
	n.networks.remove(o.ID)
	c.tell("network.delete.end", v)
	c.w.WriteHeader(http.StatusNoContent)
}
