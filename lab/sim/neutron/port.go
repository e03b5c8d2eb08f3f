package neutron

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/google/uuid"
)

// port is as the API shows it.
type port struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Network     string    `json:"network_id"`
	Status      string    `json:"status"`
	AdminUp     bool      `json:"admin_state_up"`
	MAC         string    `json:"mac_address"`
	FixedIPs    []fixedIP `json:"fixed_ips"`
	DeviceID    string    `json:"device_id"`
	DeviceOwner string    `json:"device_owner"`
	Tenant      string    `json:"tenant_id"`
	Project     string    `json:"project_id"`
	Groups      []string  `json:"security_groups"`
	Tags        []string  `json:"tags"`
	HostID      string    `json:"binding:host_id"`
	VIFType     string    `json:"binding:vif_type"`
	VNICType    string    `json:"binding:vnic_type"`

	subnet  *subnet
	address netip.Addr
}

type fixedIP struct {
	Subnet  string `json:"subnet_id"`
	Address string `json:"ip_address"`
}

// What a port cannot be made for.
var (
	ErrNoNetwork   = errors.New("no such network")
	ErrNoAddresses = errors.New("no more IP addresses available on network")
)

// PortSpec says what a port is for.
type PortSpec struct {
	Network string // its id
	Server  string // the server's id
	Host    string
	Project string
}

// Port is a server's port.
type Port struct {
	ID      string
	Network string // its name
	MAC     string
	Address string // IPv4
}

// Attach makes a server's port, as Nova does while it builds the server.
func (n *Neutron) Attach(s PortSpec) (Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, err := n.makePort(s.Network, s.Project)
	if err != nil {
		return Port{}, fmt.Errorf("making a port for server %s: %w", s.Server, err)
	}
	p.DeviceID, p.DeviceOwner, p.HostID = s.Server, "compute:nova", s.Host
	p.Status, p.VIFType = "ACTIVE", "ovs"
	n.byDevice[s.Server] = append(n.byDevice[s.Server], p)
	return Port{ID: p.ID, Network: n.networks.byID[p.Network].Name, MAC: p.MAC, Address: p.FixedIPs[0].Address}, nil
}

// Detach deletes a server's ports.
func (n *Neutron) Detach(server string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.byDevice[server] {
		p.subnet.giveBack(p.address)
		n.ports.remove(p.ID)
	}
	delete(n.byDevice, server)
}

// Visible are the ids of the networks that a project's servers can be attached to: its own, and shared ones.
func (n *Neutron) Visible(project string) []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var ids []string
	for _, o := range n.networks.order {
		if (o.Shared || o.Project == project) && o.subnet != nil {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// makePort is called with the lock held.
func (n *Neutron) makePort(networkID, project string) (*port, error) {
	o := n.networks.byID[networkID]
	if o == nil || o.subnet == nil {
		return nil, fmt.Errorf("%s: %w", networkID, ErrNoNetwork)
	}
	a, ok := o.subnet.take()
	if !ok {
		return nil, fmt.Errorf("%w %s", ErrNoAddresses, o.ID)
	}
	p := &port{
		ID: uuid.NewString(), Network: o.ID, Status: "DOWN", AdminUp: true, MAC: newMAC(), Tenant: project, Project: project,
		FixedIPs: []fixedIP{{o.subnet.ID, a.String()}}, Groups: []string{}, Tags: []string{}, VIFType: "unbound", VNICType: "normal",
		subnet: o.subnet, address: a,
	}
	return p, n.ports.add(p.ID, p)
}

// newMAC has Neutron's usual beginning ([DEFAULT] base_mac).
func newMAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", b[0], b[1], b[2])
}

func (n *Neutron) listPorts(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	from := n.ports.order
	if q := c.URL.Query(); len(q["device_id"]) == 1 {
		from = n.byDevice[q.Get("device_id")]
	}
	list := []*port{}
	for _, p := range from {
		if c.sees(p.Project, false) && c.wants(map[string]string{
			"id": p.ID, "name": p.Name, "network_id": p.Network, "device_id": p.DeviceID, "device_owner": p.DeviceOwner,
			"status": p.Status, "mac_address": p.MAC, "project_id": p.Project, "tenant_id": p.Project, "binding:host_id": p.HostID,
		}) {
			list = append(list, p)
		}
	}
	c.answer("ports", http.StatusOK, list)
}

func (n *Neutron) port(c *call) *port {
	p := n.ports.byID[c.PathValue("id")]
	if p == nil || !c.sees(p.Project, false) {
		c.notFound("Port", c.PathValue("id"))
		return nil
	}
	return p
}

func (n *Neutron) showPort(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if p := n.port(c); p != nil {
		c.answer("port", http.StatusOK, p)
	}
}

func (n *Neutron) createPort(c *call) {
	var body struct {
		Name    string
		Network string `json:"network_id"`
	}
	if !c.read("port", &body) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if o := n.networks.byID[body.Network]; o == nil || !c.sees(o.Project, o.Shared) {
		c.notFound("Network", body.Network)
		return
	}
	p, err := n.makePort(body.Network, c.caller.ProjectID)
	if err != nil {
		c.fail(http.StatusConflict, "IpAddressGenerationFailure", err.Error())
		return
	}
	p.Name = body.Name
	c.answer("port", http.StatusCreated, p)
}

func (n *Neutron) deletePort(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.port(c)
	if p == nil {
		return
	}
	p.subnet.giveBack(p.address)
	n.ports.remove(p.ID)
	if p.DeviceID != "" {
		n.dropFromDevice(p)
	}
	c.w.WriteHeader(http.StatusNoContent)
}

func (n *Neutron) dropFromDevice(p *port) {
	var rest []*port
	for _, o := range n.byDevice[p.DeviceID] {
		if o != p {
			rest = append(rest, o)
		}
	}
	n.byDevice[p.DeviceID] = rest
}
