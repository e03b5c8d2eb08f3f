package neutron

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/uuid"
)

// subnet is as the API shows it.
type subnet struct {
	standard
	Network    string   `json:"network_id"`
	IPVersion  int      `json:"ip_version"`
	CIDR       string   `json:"cidr"`
	Gateway    *string  `json:"gateway_ip"`
	DHCP       bool     `json:"enable_dhcp"`
	Pools      []pool   `json:"allocation_pools"`
	DNS        []string `json:"dns_nameservers"`
	HostRoutes []any    `json:"host_routes"`
	Pool       *string  `json:"subnetpool_id"`
	RAMode     *string  `json:"ipv6_ra_mode"`
	V6Mode     *string  `json:"ipv6_address_mode"`
	Types      []string `json:"service_types"`

	prefix    netip.Prefix
	addresses *addresses
}

type pool struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

var subnetAttributes = attributesOf(reflect.TypeFor[subnet]())

// newSubnet makes a network's subnet, whose gateway is the first address.
func (n *Neutron) newSubnet(id, name string, o *network, prefix netip.Prefix) (*subnet, error) {
	if !prefix.IsValid() || !prefix.Addr().Is4() || prefix.Bits() > 29 {
		return nil, fmt.Errorf("subnet %v is not IPv4, or smaller than a /29", prefix)
	}
	prefix = prefix.Masked()
	for _, other := range o.subnets {
		if other.prefix.Overlaps(prefix) {
			//lint:ignore ST1005 Neutron's words
			return nil, fmt.Errorf("Requested subnet with cidr: %s for network: %s overlaps with another subnet", prefix, o.ID)
		}
	}
	s := &subnet{
		standard: n.newStandard(id, name, o.Project), Network: o.ID, IPVersion: 4, CIDR: prefix.String(), DHCP: true, DNS: []string{},
		HostRoutes: []any{}, Types: []string{}, prefix: prefix,
	}
	gateway := address(number(prefix.Addr()) + 1).String()
	s.Gateway = &gateway
	all := newAddresses(s.usual())
	s.addresses = &all
	s.showPools()
	return s, nil
}

// hosts are all addresses but the network's and the broadcast's.
func (s *subnet) hosts() span {
	base := number(s.prefix.Addr())
	return span{base + 1, base + 1<<(32-s.prefix.Bits()) - 2}
}

// usual are the ranges of a subnet that was not given any: all hosts but the gateway.
func (s *subnet) usual() []span {
	all := s.hosts()
	if s.Gateway == nil {
		return []span{all}
	}
	a, err := netip.ParseAddr(*s.Gateway)
	if err != nil || !s.prefix.Contains(a) {
		return []span{all}
	}
	var spans []span
	for _, part := range []span{{all.first, number(a) - 1}, {number(a) + 1, all.last}} {
		if part.first <= part.last {
			spans = append(spans, part)
		}
	}
	return spans
}

func (s *subnet) showPools() {
	s.Pools = nil
	for _, one := range s.addresses.spans {
		s.Pools = append(s.Pools, pool{address(one.first).String(), address(one.last).String()})
	}
}

// setters are of creation and updates; creation sets the rest first.
func (s *subnet) setters(routes *[]any) map[string]setter {
	return map[string]setter{
		"name": setText("name", &s.Name), "description": setText("description", &s.Description), "enable_dhcp": setBool(&s.DHCP),
		"dns_nameservers": setTexts("dns_nameservers", &s.DNS), "gateway_ip": s.setGateway, "allocation_pools": func(json.RawMessage) *refusal { return nil },
		"host_routes": func(raw json.RawMessage) *refusal {
			if json.Unmarshal(raw, routes) != nil {
				return badRequest("HTTPBadRequest", "Invalid input for host_routes. Reason: '%s' is not a list.", raw)
			}
			return nil
		},
	}
}

func (s *subnet) setGateway(raw json.RawMessage) *refusal {
	var gateway *string
	if json.Unmarshal(raw, &gateway) != nil {
		return badRequest("HTTPBadRequest", "Invalid input for gateway_ip. Reason: '%s' is not a valid IP address.", raw)
	}
	if gateway != nil {
		if a, err := netip.ParseAddr(*gateway); err != nil || !a.Is4() {
			return badRequest("HTTPBadRequest", "Invalid input for gateway_ip. Reason: '%s' is not a valid IP address.", *gateway)
		}
	}
	s.Gateway = gateway
	return nil
}

// setPools sets the ranges that a body has, or the usual ones where they follow from the gateway.
func (s *subnet) setPools(b body, creating bool) *refusal {
	raw, given := b["allocation_pools"]
	spans := s.addresses.spans
	switch {
	case given:
		var pools []pool
		if json.Unmarshal(raw, &pools) != nil || len(pools) == 0 {
			return badRequest("HTTPBadRequest", "Invalid input for allocation_pools. Reason: Invalid data format for IP pool: '%s'.", raw)
		}
		spans = nil
		for _, p := range pools {
			first, err := netip.ParseAddr(p.Start)
			last, err2 := netip.ParseAddr(p.End)
			switch {
			case err != nil || err2 != nil || !first.Is4() || !last.Is4() || last.Less(first):
				return badRequest("InvalidAllocationPool", "The allocation pool {'start': '%s', 'end': '%s'} is not valid.", p.Start, p.End)
			case number(first) < s.hosts().first || number(last) > s.hosts().last:
				return badRequest("OutOfBoundsAllocationPool", "The allocation pool %s-%s spans beyond the subnet cidr %s.", p.Start, p.End, s.CIDR)
			}
			spans = append(spans, span{number(first), number(last)})
		}
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
		for i := 1; i < len(spans); i++ {
			if spans[i].first <= spans[i-1].last {
				return conflict("OverlappingAllocationPools", "Found overlapping allocation pools: %s for subnet %s.", address(spans[i].first), s.CIDR)
			}
		}
	case creating:
		spans = s.usual()
	}
	if s.Gateway != nil {
		a := number(netip.MustParseAddr(*s.Gateway)) // was checked
		for _, one := range spans {
			if one.first <= a && a <= one.last {
				return conflict("GatewayConflictWithAllocationPools", "Gateway ip %s conflicts with allocation pool %s-%s.", *s.Gateway,
					address(one.first), address(one.last))
			}
		}
	}
	if given || creating {
		s.addresses.setSpans(spans)
		s.showPools()
	}
	return nil
}

func (n *Neutron) seesSubnet(c *call, s *subnet) bool {
	return c.sees(s.Project, n.networks.byID[s.Network].Shared)
}

func (n *Neutron) listSubnets(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var seen []*subnet
	for _, s := range n.subnets.order {
		if n.seesSubnet(c, s) {
			seen = append(seen, s)
		}
	}
	list(c, "subnets", "Subnet", seen)
}

func (n *Neutron) subnet(c *call) *subnet {
	s := n.subnets.byID[c.PathValue("id")]
	if s == nil || !n.seesSubnet(c, s) {
		c.fail(notFound("Subnet", c.PathValue("id")))
		return nil
	}
	return s
}

func (n *Neutron) ownSubnet(c *call, rule string) *subnet {
	s := n.subnet(c)
	if s != nil && !c.sees(s.Project, false) {
		c.fail(notAuthorized(rule))
		return nil
	}
	return s
}

func (n *Neutron) showSubnet(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if s := n.subnet(c); s != nil {
		c.answer(http.StatusOK, map[string]any{"subnet": c.view(s, c.URL.Query()["fields"]...)})
	}
}

func (n *Neutron) createSubnet(c *call) {
	b := c.read("subnet")
	if b == nil {
		return
	}
	c.tell("subnet.create.start", b.payload("subnet"))
	n.mu.Lock()
	defer n.mu.Unlock()
	s, r := n.makeSubnet(c, b)
	if r != nil {
		c.fail(r)
		return
	}
	v := map[string]any{"subnet": c.view(s)}
	c.tell("subnet.create.end", v)
	c.answer(http.StatusCreated, v)
}

func (n *Neutron) makeSubnet(c *call, b body) (*subnet, *refusal) {
	id, r := b.text("network_id")
	if r != nil {
		return nil, r
	}
	o := n.networks.byID[id]
	if o == nil || !c.sees(o.Project, false) {
		return nil, notFound("Network", id)
	}
	if b["cidr"] == nil {
		return nil, badRequest("BadRequest", "Bad subnets request: a subnetpool must be specified in the absence of a cidr.")
	}
	cidr, r := b.text("cidr")
	if r != nil {
		return nil, r
	}
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil, invalidInput("%s is not in a CIDR format.", cidr)
	}
	if version := string(b["ip_version"]); version == "" {
		return nil, badRequest("HTTPBadRequest", "Failed to parse request. Required attribute 'ip_version' not specified")
	} else if (version == "4" || version == `"4"`) != prefix.Addr().Is4() {
		return nil, invalidInput("cidr '%s' does not match the ip_version '%s'.", cidr, version)
	}
	s, err := n.newSubnet(uuid.NewString(), "", o, prefix)
	if err != nil {
		return nil, invalidInput("%s.", err)
	}
	setters := s.setters(&s.HostRoutes)
	for _, name := range []string{"network_id", "cidr", "ip_version"} {
		setters[name] = func(json.RawMessage) *refusal { return nil } // above
	}
	if r := b.apply(true, setters, subnetAttributes); r != nil {
		return nil, r
	}
	if r := s.setPools(b, true); r != nil {
		return nil, r
	}
	if r := n.checkQuota("subnet", s.Project); r != nil {
		return nil, r
	}
	n.keepSubnet(o, s)
	return s, nil
}

// keepSubnet adds a subnet, whose id is new, to its network.
func (n *Neutron) keepSubnet(o *network, s *subnet) {
	_ = n.subnets.add(s.ID, s)
	o.subnets, o.Subnets = append(o.subnets, s), append(slices.Clone(o.Subnets), s.ID)
	if len(n.agents) > 0 {
		o.Zones = []string{"nova"} // a DHCP agent serves it
	}
}

func (n *Neutron) updateSubnet(c *call) {
	b := c.read("subnet")
	if b == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.ownSubnet(c, "rule:update_subnet")
	if s == nil {
		return
	}
	c.tell("subnet.update.start", b.withID("subnet", s.ID))
	changed := *s
	r := b.apply(false, changed.setters(&changed.HostRoutes), subnetAttributes)
	if r == nil {
		r = changed.setPools(b, false)
	}
	if r != nil {
		c.fail(r)
		return
	}
	n.touch(&changed.standard)
	*s = changed
	v := map[string]any{"subnet": c.view(s)}
	c.tell("subnet.update.end", v)
	c.answer(http.StatusOK, v)
}

func (n *Neutron) deleteSubnet(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.ownSubnet(c, "rule:delete_subnet")
	if s == nil {
		return
	}
	c.tell("subnet.delete.start", map[string]any{"subnet_id": s.ID})
	if slices.ContainsFunc(n.ports.order, func(p *port) bool {
		return slices.ContainsFunc(p.FixedIPs, func(ip fixedIP) bool { return ip.Subnet == s.ID })
	}) {
		c.fail(conflict("SubnetInUse", "Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", s.ID))
		return
	}
	v := map[string]any{"subnet": c.view(s), "subnet_id": s.ID}
	o := n.networks.byID[s.Network]
	o.subnets = slices.DeleteFunc(slices.Clone(o.subnets), func(other *subnet) bool { return other == s })
	o.Subnets = slices.DeleteFunc(slices.Clone(o.Subnets), func(id string) bool { return id == s.ID })
	n.subnets.remove(s.ID)
	c.tell("subnet.delete.end", v)
	c.w.WriteHeader(http.StatusNoContent)
}
