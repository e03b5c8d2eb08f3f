package neutron

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"reflect"

	"github.com/google/uuid"
)

// port is as the API shows it.
type port struct {
	standard
	Network      string         `json:"network_id"`
	Status       string         `json:"status"`
	AdminUp      bool           `json:"admin_state_up"`
	MAC          string         `json:"mac_address"`
	FixedIPs     []fixedIP      `json:"fixed_ips"`
	DeviceID     string         `json:"device_id"`
	DeviceOwner  string         `json:"device_owner"`
	Groups       []string       `json:"security_groups"`
	PortSecurity bool           `json:"port_security_enabled"`
	Pairs        []any          `json:"allowed_address_pairs"`
	DHCPOptions  []any          `json:"extra_dhcp_opts"`
	HostID       string         `json:"binding:host_id"`
	VIFType      string         `json:"binding:vif_type"`
	VIFDetails   map[string]any `json:"binding:vif_details"`
	VNICType     string         `json:"binding:vnic_type"`
	Profile      map[string]any `json:"binding:profile"`
}

type fixedIP struct {
	Subnet  string `json:"subnet_id"`
	Address string `json:"ip_address"`
}

var portAttributes = attributesOf(reflect.TypeFor[port]())

// newPort is a port that has no addresses yet and is not kept.
func (n *Neutron) newPort(o *network, project string) *port {
	p := &port{
		standard: n.newStandard(uuid.NewString(), "", project), Network: o.ID, Status: "DOWN", AdminUp: true, FixedIPs: []fixedIP{},
		Groups: []string{}, PortSecurity: o.PortSecurity, Pairs: []any{}, DHCPOptions: []any{}, VIFType: "unbound", VIFDetails: map[string]any{},
		VNICType: "normal", Profile: map[string]any{},
	}
	for p.MAC = newMAC(); n.macInUse(o.ID, p.MAC); {
		p.MAC = newMAC()
	}
	return p
}

// newMAC has Neutron's usual beginning ([DEFAULT] base_mac).
func newMAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", b[0], b[1], b[2])
}

func (n *Neutron) macInUse(network, mac string) bool { return n.macs[[2]string{network, mac}] }

// keepPort adds a port, whose id is new.
func (n *Neutron) keepPort(p *port) {
	_ = n.ports.add(p.ID, p)
	n.macs[[2]string{p.Network, p.MAC}] = true
	n.countPort(p.Project, 1)
	if p.DeviceID != "" {
		n.byDevice[p.DeviceID] = append(n.byDevice[p.DeviceID], p)
	}
}

func (n *Neutron) dropPort(p *port) {
	n.giveBack(p.FixedIPs)
	n.ports.remove(p.ID)
	delete(n.macs, [2]string{p.Network, p.MAC})
	n.countPort(p.Project, -1)
	n.dropFromDevice(p)
}

func (n *Neutron) dropFromDevice(p *port) {
	var rest []*port
	for _, o := range n.byDevice[p.DeviceID] {
		if o.ID != p.ID {
			rest = append(rest, o)
		}
	}
	if n.byDevice[p.DeviceID] = rest; len(rest) == 0 {
		delete(n.byDevice, p.DeviceID)
	}
}

const bindingFailed = "binding_failed"

// bind does what ML2 does with a port's host: the host's layer 2 agent must be alive.
func (n *Neutron) bind(p *port) {
	switch {
	case p.HostID == "":
		p.VIFType, p.Status = "unbound", "DOWN"
	case n.layer2Alive(p.HostID):
		p.VIFType = "ovs"
	default:
		p.VIFType, p.Status = bindingFailed, "DOWN"
	}
}

// wantedIP is an address of a request; nil where any will do.
type wantedIP struct {
	Subnet  string `json:"subnet_id"`
	Address string `json:"ip_address"`
}

// addresses gives a port the addresses that are wanted, or one of any subnet where that is nil; all or none.
func (n *Neutron) addresses(p *port, o *network, want []wantedIP) *refusal {
	var got []fixedIP
	fail := func(r *refusal) *refusal {
		n.giveBack(got)
		return r
	}
	if want == nil {
		want = []wantedIP{{}}
		if len(o.subnets) == 0 {
			want = nil // a port without an address
		}
	}
	for _, w := range want {
		from := o.subnets
		if w.Subnet != "" {
			s := n.subnets.byID[w.Subnet]
			switch {
			case s == nil:
				return fail(notFound("Subnet", w.Subnet))
			case s.Network != o.ID:
				return fail(invalidInput("Failed to create port on network %s, because fixed_ips included invalid subnet %s.", o.ID, s.ID))
			}
			from = []*subnet{s}
		}
		ip, r := takeFrom(from, w, o)
		if r != nil {
			return fail(r)
		}
		got = append(got, ip)
	}
	p.FixedIPs = append([]fixedIP{}, got...)
	return nil
}

func takeFrom(subnets []*subnet, w wantedIP, o *network) (fixedIP, *refusal) {
	if w.Address == "" {
		for _, s := range subnets {
			if a, ok := s.addresses.take(); ok {
				return fixedIP{s.ID, address(a).String()}, nil
			}
		}
		return fixedIP{}, conflict("IpAddressGenerationFailure", "No more IP addresses available on network %s.", o.ID)
	}
	a, err := netip.ParseAddr(w.Address)
	if err != nil || !a.Is4() {
		return fixedIP{}, badRequest("HTTPBadRequest", "Invalid input for fixed_ips. Reason: '%s' is not a valid IP address.", w.Address)
	}
	for _, s := range subnets {
		switch {
		case !s.prefix.Contains(a):
			continue
		case s.addresses.takeThis(number(a)):
			return fixedIP{s.ID, a.String()}, nil
		}
		return fixedIP{}, conflict("IpAddressAlreadyAllocated", "IP address %s already allocated in subnet %s", a, s.ID)
	}
	if w.Subnet != "" {
		return fixedIP{}, badRequest("InvalidIpForSubnet", "IP address %s is not a valid IP for the specified subnet.", a)
	}
	return fixedIP{}, badRequest("InvalidIpForNetwork", "IP address %s is not a valid IP for any of the subnets on the specified network.", a)
}

func (n *Neutron) giveBack(ips []fixedIP) {
	for _, ip := range ips {
		if s := n.subnets.byID[ip.Subnet]; s != nil {
			s.addresses.giveBack(number(netip.MustParseAddr(ip.Address))) // it came from there
		}
	}
}

// setters are of creation and updates; addresses and MAC are set when all else is known to be right.
func (p *port) setters(c *call) map[string]setter {
	later := func(json.RawMessage) *refusal { return nil }
	object := func(to *map[string]any) setter {
		return func(raw json.RawMessage) *refusal {
			v := map[string]any{}
			if json.Unmarshal(raw, &v) != nil {
				return badRequest("HTTPBadRequest", "Invalid input for operation: '%s' is not a dictionary.", raw)
			}
			*to = v
			return nil
		}
	}
	anys := func(to *[]any) setter {
		return func(raw json.RawMessage) *refusal {
			v := []any{}
			if json.Unmarshal(raw, &v) != nil {
				return badRequest("HTTPBadRequest", "Invalid input for operation: '%s' is not a list.", raw)
			}
			*to = append([]any{}, v...)
			return nil
		}
	}
	admin := func(set setter) setter {
		return func(raw json.RawMessage) *refusal {
			if !c.caller.Admin() {
				return notAuthorized("(rule:create_port and rule:create_port:binding:host_id)")
			}
			return set(raw)
		}
	}
	return map[string]setter{
		"name": setText("name", &p.Name), "description": setText("description", &p.Description), "admin_state_up": setBool(&p.AdminUp),
		"device_id": setText("device_id", &p.DeviceID), "device_owner": setText("device_owner", &p.DeviceOwner),
		"port_security_enabled": setBool(&p.PortSecurity), "security_groups": setTexts("security_groups", &p.Groups),
		"allowed_address_pairs": anys(&p.Pairs), "extra_dhcp_opts": anys(&p.DHCPOptions),
		"binding:host_id": admin(setText("binding:host_id", &p.HostID)), "binding:vnic_type": setText("binding:vnic_type", &p.VNICType),
		"binding:profile": admin(object(&p.Profile)), "fixed_ips": later, "mac_address": later,
	}
}

// wantedIPs are those of a body; nil where it has none.
func (b body) wantedIPs() ([]wantedIP, *refusal) {
	raw, ok := b["fixed_ips"]
	if !ok {
		return nil, nil
	}
	want := []wantedIP{}
	if json.Unmarshal(raw, &want) != nil || want == nil {
		return nil, badRequest("HTTPBadRequest", "Invalid input for fixed_ips. Reason: Invalid data format for fixed IP: '%s'.", raw)
	}
	return want, nil
}

func (n *Neutron) setMAC(p *port, b body) *refusal {
	raw, ok := b["mac_address"]
	if !ok {
		return nil
	}
	var text string
	if r := setText("mac_address", &text)(raw); r != nil {
		return r
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return badRequest("HTTPBadRequest", "Invalid input for mac_address. Reason: '%s' is not a valid MAC address.", text)
	}
	if mac.String() != p.MAC && n.macInUse(p.Network, mac.String()) {
		return conflict("MacAddressInUse", "Unable to complete operation for network %s. The mac address %s is in use.", p.Network, mac)
	}
	p.MAC = mac.String()
	return nil
}

func (n *Neutron) listPorts(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	from := n.ports.order
	if q := c.URL.Query(); len(q["device_id"]) == 1 {
		from = n.byDevice[q.Get("device_id")]
	}
	var seen []*port
	for _, p := range from {
		if c.sees(p.Project, false) {
			seen = append(seen, p)
		}
	}
	list(c, "ports", "Port", seen)
}

func (n *Neutron) port(c *call) *port {
	p := n.ports.byID[c.PathValue("id")]
	if p == nil || !c.sees(p.Project, false) {
		c.fail(notFound("Port", c.PathValue("id")))
		return nil
	}
	return p
}

func (n *Neutron) showPort(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if p := n.port(c); p != nil {
		c.answer(http.StatusOK, map[string]any{"port": c.view(p, c.URL.Query()["fields"]...)})
	}
}

func (n *Neutron) createPort(c *call) {
	b := c.read("port")
	if b == nil {
		return
	}
	c.tell("port.create.start", b.payload("port"))
	n.mu.Lock()
	defer n.mu.Unlock()
	p, r := n.makePort(c, b)
	if r != nil {
		c.fail(r)
		return
	}
	v := map[string]any{"port": c.view(p)}
	c.tell("port.create.end", v)
	c.answer(http.StatusCreated, v)
}

func (n *Neutron) makePort(c *call, b body) (*port, *refusal) {
	id, r := b.text("network_id")
	if r != nil {
		return nil, r
	}
	o := n.networks.byID[id]
	if o == nil && uuid.Validate(id) != nil {
		return nil, badRequest("HTTPBadRequest", "Invalid input for network_id. Reason: '%s' is not a valid UUID.", id)
	}
	if o == nil || !c.sees(o.Project, o.Shared) {
		return nil, notFound("Network", id)
	}
	project, r := b.project(c)
	if r != nil {
		return nil, r
	}
	p := n.newPort(o, project)
	setters := p.setters(c)
	setters["network_id"] = func(json.RawMessage) *refusal { return nil } // above
	want, r := b.wantedIPs()
	for _, check := range []func() *refusal{
		func() *refusal { return r },
		func() *refusal { return b.apply(true, setters, portAttributes) },
		func() *refusal { return n.setMAC(p, b) },
		func() *refusal { return n.checkQuota("port", project) },
		func() *refusal { return n.addresses(p, o, want) },
	} {
		if r := check(); r != nil {
			return nil, r
		}
	}
	n.bind(p)
	n.keepPort(p)
	return p, nil
}

func (n *Neutron) updatePort(c *call) {
	b := c.read("port")
	if b == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.port(c)
	if p == nil {
		return
	}
	c.tell("port.update.start", b.withID("port", p.ID))
	if r := n.changePort(c, p, b); r != nil {
		c.fail(r)
		return
	}
	v := map[string]any{"port": c.view(p)}
	c.tell("port.update.end", v)
	c.answer(http.StatusOK, v)
}

func (n *Neutron) changePort(c *call, p *port, b body) *refusal {
	changed := *p
	want, r := b.wantedIPs()
	if r != nil {
		return r
	}
	if r := b.apply(false, changed.setters(c), portAttributes); r != nil {
		return r
	}
	if r := n.setMAC(&changed, b); r != nil {
		return r
	}
	if !changed.PortSecurity && len(changed.Groups) > 0 {
		return conflict("PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port security or IP address until security group is removed.")
	}
	if want != nil {
		n.giveBack(p.FixedIPs) // it may keep them
		if r := n.addresses(&changed, n.networks.byID[p.Network], want); r != nil {
			for _, ip := range p.FixedIPs {
				n.subnets.byID[ip.Subnet].addresses.takeThis(number(netip.MustParseAddr(ip.Address)))
			}
			return r
		}
	}
	if changed.HostID != p.HostID {
		n.bind(&changed)
	}
	n.touch(&changed.standard)
	n.dropFromDevice(p)
	delete(n.macs, [2]string{p.Network, p.MAC})
	*p = changed
	n.macs[[2]string{p.Network, p.MAC}] = true
	if p.DeviceID != "" {
		n.byDevice[p.DeviceID] = append(n.byDevice[p.DeviceID], p)
	}
	return nil
}

func (n *Neutron) deletePort(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.port(c)
	if p == nil {
		return
	}
	c.tell("port.delete.start", map[string]any{"port_id": p.ID})
	v := map[string]any{"port": c.view(p), "port_id": p.ID}
	n.dropPort(p)
	c.tell("port.delete.end", v)
	c.w.WriteHeader(http.StatusNoContent)
}
