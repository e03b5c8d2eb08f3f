package nova

import (
	"fmt"
	"time"
)

// SetHostDown says whether a host's nova-compute has stopped reporting. What is scheduled to a host that is down is not built.
func (n *Nova) SetHostDown(name string, down bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hostNamed(name)
	if h == nil {
		return fmt.Errorf("there is no host %q", name)
	}
	if down && h.downSince.IsZero() {
		h.downSince = n.config.Now()
	} else if !down {
		h.downSince = time.Time{}
	}
	return nil
}

// HostDown tells whether a host's nova-compute does not report. A host that there is not does not.
func (n *Nova) HostDown(name string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	h := n.hostNamed(name)
	return h == nil || h.down()
}

// hostNamed is called with the lock held.
func (n *Nova) hostNamed(name string) *host {
	for _, h := range n.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

func (h *host) down() bool { return !h.downSince.IsZero() }

// state is as os-services and os-hypervisors say it.
func (h *host) state() string {
	if h.down() {
		return "down"
	}
	return "up"
}
