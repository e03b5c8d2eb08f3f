package neutron

// Move binds a server's ports to another host, as Nova does when the server has moved there.
func (n *Neutron) Move(server, host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.byDevice[server] {
		p.HostID = host
	}
}
