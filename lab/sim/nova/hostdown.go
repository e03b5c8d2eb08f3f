package nova

// HostDown tells whether a host's nova-compute does not report. A host that there is not does not.
func (n *Nova) HostDown(name string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	h := n.hostNamed(name)
	return h == nil || h.service.silent != nil
}
