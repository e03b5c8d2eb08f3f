package neutron

import "fmt"

// Binding is a server's port, and where it is plugged in.
type Binding struct {
	Port, Server string // ids
	Network      string // its id
	Host         string // its name
	MAC          string
	Address      string // IPv4
	Status       string // "ACTIVE" or "DOWN"
}

// Bindings are the ports of all servers that have an address, oldest first.
func (n *Neutron) Bindings() []Binding {
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := make([]Binding, 0, len(n.ports.order))
	for _, p := range n.ports.order {
		if p.DeviceID != "" && len(p.FixedIPs) > 0 {
			all = append(all, Binding{p.ID, p.DeviceID, p.Network, p.HostID, p.MAC, p.FixedIPs[0].Address, p.Status})
		}
	}
	return all
}

// SetDead says whether nothing passes a server's ports: they are DOWN, as they are when the agent on their host does not find
// their devices. Where they are bound, and what Nova says of the server, stays as it was.
func (n *Neutron) SetDead(server string, dead bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ports := n.byDevice[server]
	if len(ports) == 0 {
		return fmt.Errorf("server %s has no port", server)
	}
	for _, p := range ports {
		if p.Status = "ACTIVE"; dead {
			p.Status = "DOWN"
		}
	}
	return nil
}
