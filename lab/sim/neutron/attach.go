package neutron

import (
	"errors"
	"fmt"
	"slices"
)

// What a port cannot be made for.
var (
	ErrNoNetwork   = errors.New("no such network")
	ErrNoAddresses = errors.New("no more IP addresses available on network")
	ErrQuota       = errors.New("quota exceeded for ports")
	ErrBinding     = errors.New("binding failed, for no agent on the host is alive")
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
	ID        string
	Network   string // its name
	NetworkID string
	SubnetID  string // of Address
	MAC       string
	Address   string // IPv4
}

// Attach makes a server's port, as Nova does while it builds the server.
func (n *Neutron) Attach(s PortSpec) (Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, err := n.attach(s)
	if err != nil {
		return Port{}, fmt.Errorf("making a port for server %s: %w", s.Server, err)
	}
	return Port{
		ID: p.ID, Network: n.networks.byID[p.Network].Name, NetworkID: p.Network, SubnetID: p.FixedIPs[0].Subnet, MAC: p.MAC,
		Address: p.FixedIPs[0].Address,
	}, nil
}

func (n *Neutron) attach(s PortSpec) (*port, error) {
	o := n.networks.byID[s.Network]
	if o == nil || len(o.subnets) == 0 {
		return nil, fmt.Errorf("%s: %w", s.Network, ErrNoNetwork)
	}
	if n.checkQuota("port", s.Project) != nil {
		return nil, ErrQuota
	}
	p := n.newPort(o, s.Project)
	p.DeviceID, p.DeviceOwner, p.HostID = s.Server, "compute:nova", s.Host
	if n.bind(p); p.VIFType == bindingFailed {
		return nil, fmt.Errorf("host %s: %w", s.Host, ErrBinding)
	}
	if n.addresses(p, o, nil) != nil {
		return nil, fmt.Errorf("%w %s", ErrNoAddresses, o.ID)
	}
	n.tell("port.create.start", map[string]any{"port": map[string]any{
		"network_id": o.ID, "device_id": s.Server, "device_owner": p.DeviceOwner, "tenant_id": s.Project, "binding:host_id": s.Host,
	}})
	p.Status = "ACTIVE"
	n.keepPort(p)
	n.tell("port.create.end", map[string]any{"port": p})
	return p, nil
}

// Detach deletes a server's ports.
func (n *Neutron) Detach(server string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range slices.Clone(n.byDevice[server]) {
		n.tell("port.delete.start", map[string]any{"port_id": p.ID})
		n.dropPort(p)
		n.tell("port.delete.end", map[string]any{"port_id": p.ID, "port": p})
	}
}

// tell sends a notification of what Nova did, who is no caller here.
func (n *Neutron) tell(event string, payload any) {
	n.config.Notifier.Notify(publisher, "INFO", event, payload)
}

// Visible are the ids of the networks that a project's servers can be attached to: its own, and shared ones.
func (n *Neutron) Visible(project string) []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var ids []string
	for _, o := range n.networks.order {
		if (o.Shared || o.Project == project) && len(o.subnets) > 0 {
			ids = append(ids, o.ID)
		}
	}
	return ids
}
