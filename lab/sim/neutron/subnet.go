package neutron

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/google/uuid"
)

// subnet is as the API shows it.
type subnet struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Network    string   `json:"network_id"`
	IPVersion  int      `json:"ip_version"`
	CIDR       string   `json:"cidr"`
	Gateway    string   `json:"gateway_ip"`
	DHCP       bool     `json:"enable_dhcp"`
	Pools      []pool   `json:"allocation_pools"`
	DNS        []string `json:"dns_nameservers"`
	HostRoutes []string `json:"host_routes"`
	Tenant     string   `json:"tenant_id"`
	Project    string   `json:"project_id"`
	Tags       []string `json:"tags"`

	next, last uint32   // addresses that were never given out
	free       []uint32 // addresses that were given back
}

type pool struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// newSubnet makes a network's subnet.
func newSubnet(id, name string, n *network, prefix netip.Prefix) (*subnet, error) {
	if !prefix.IsValid() || !prefix.Addr().Is4() || prefix.Bits() > 29 {
		return nil, fmt.Errorf("subnet %v is not IPv4, or smaller than a /29", prefix)
	}
	prefix = prefix.Masked()
	base := number(prefix.Addr())
	s := &subnet{
		ID: id, Name: name, Network: n.ID, IPVersion: 4, CIDR: prefix.String(), DHCP: true, Tenant: n.Project, Project: n.Project,
		DNS: []string{}, HostRoutes: []string{}, Tags: []string{},
		next: base + 2, last: base + 1<<(32-prefix.Bits()) - 2,
	}
	s.Gateway = address(base + 1).String()
	s.Pools = []pool{{address(s.next).String(), address(s.last).String()}}
	n.subnet, n.Subnets = s, []string{s.ID}
	return s, nil
}

func number(a netip.Addr) uint32 {
	four := a.As4()
	return binary.BigEndian.Uint32(four[:])
}

func address(n uint32) netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], n)
	return netip.AddrFrom4(four)
}

// take gives out an address: one that was never used if there is one, as a lease may still be known of the others.
func (s *subnet) take() (netip.Addr, bool) {
	if s.next <= s.last {
		s.next++
		return address(s.next - 1), true
	}
	if len(s.free) == 0 {
		return netip.Addr{}, false
	}
	n := s.free[0]
	s.free = s.free[1:]
	return address(n), true
}

func (s *subnet) giveBack(a netip.Addr) { s.free = append(s.free, number(a)) }

func (n *Neutron) seesSubnet(c *call, s *subnet) bool {
	return c.sees(s.Project, n.networks.byID[s.Network].Shared)
}

func (n *Neutron) listSubnets(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := []*subnet{}
	for _, s := range n.subnets.order {
		if n.seesSubnet(c, s) && c.wants(map[string]string{"id": s.ID, "name": s.Name, "network_id": s.Network, "cidr": s.CIDR}) {
			list = append(list, s)
		}
	}
	c.answer("subnets", http.StatusOK, list)
}

func (n *Neutron) subnet(c *call) *subnet {
	s := n.subnets.byID[c.PathValue("id")]
	if s == nil || !n.seesSubnet(c, s) {
		c.notFound("Subnet", c.PathValue("id"))
		return nil
	}
	return s
}

func (n *Neutron) showSubnet(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if s := n.subnet(c); s != nil {
		c.answer("subnet", http.StatusOK, s)
	}
}

func (n *Neutron) createSubnet(c *call) {
	var body struct {
		Name    string
		Network string `json:"network_id"`
		CIDR    string `json:"cidr"`
		Version int    `json:"ip_version"`
	}
	if !c.read("subnet", &body) {
		return
	}
	prefix, err := netip.ParsePrefix(body.CIDR)
	if err != nil {
		c.fail(http.StatusBadRequest, "HTTPBadRequest", "Invalid input for cidr. Reason: '"+body.CIDR+"' is not a valid IP subnet.")
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.networks.byID[body.Network]
	switch {
	case o == nil || !c.sees(o.Project, false):
		c.notFound("Network", body.Network)
		return
	case o.subnet != nil:
		c.fail(http.StatusBadRequest, "InvalidInput", "Invalid input for operation: a network of this lab has one subnet.")
		return
	}
	s, err := newSubnet(uuid.NewString(), body.Name, o, prefix)
	if err == nil {
		err = n.subnets.add(s.ID, s)
	}
	if err != nil {
		c.fail(http.StatusBadRequest, "InvalidInput", "Invalid input for operation: "+err.Error()+".")
		return
	}
	c.answer("subnet", http.StatusCreated, s)
}

func (n *Neutron) deleteSubnet(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.subnet(c)
	if s == nil {
		return
	}
	if !c.sees(s.Project, false) {
		c.fail(http.StatusForbidden, "PolicyNotAuthorized", "rule:delete_subnet is disallowed by policy")
		return
	}
	if slices.ContainsFunc(n.ports.order, func(p *port) bool { return p.subnet == s }) {
		c.fail(http.StatusConflict, "SubnetInUse", "Unable to complete operation on subnet "+s.ID+
			": One or more ports have an IP allocation from this subnet.")
		return
	}
	o := n.networks.byID[s.Network]
	o.subnet, o.Subnets = nil, []string{}
	n.subnets.remove(s.ID)
	c.w.WriteHeader(http.StatusNoContent)
}
