package nova

import "context"

// Hardware is what servers run on. Its methods may be called by many goroutines at once, but not for one server.
type Hardware interface {
	// Boot boots a server's desktop on a host, by its name, and returns when it has booted, or when it was killed before.
	Boot(ctx context.Context, serverID, host string, f Flavor) error
	// Move puts a server's desktop, which goes on, on another host.
	Move(serverID, host string) error
	// Runs tells whether a server's desktop runs.
	Runs(serverID string) bool
}

// boot takes as long as a server's desktop takes to boot on a host.
func (n *Nova) boot(ctx context.Context, s *server, h *host) error {
	if n.config.Hardware == nil {
		return sleep(ctx, n.bootDuration())
	}
	return n.config.Hardware.Boot(ctx, s.id, h.Name, *s.flavor)
}

// SyncPowerState stops a server that should run and whose desktop does not, after what is done to it already, as nova-compute does on
// libvirt's event that a domain has stopped (_sync_instance_power_state of nova/compute/manager.py).
func (n *Nova) SyncPowerState(serverID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.servers[serverID]; s != nil {
		n.syncPowerState(s, false)
	}
}

// syncPowerState stops a server that should run and does not, or starts it again: that is what nova-compute does with those of a host that
// was restarted (_resume_guests_state), without saying so. It is called with the lock held.
func (n *Nova) syncPowerState(s *server, resumes bool) {
	if n.config.Hardware == nil {
		return
	}
	n.begin(s, func(ctx context.Context, s *server) error {
		n.mu.RLock()
		should, wasActive := runs(s.state) && s.task == "", s.state == active
		n.mu.RUnlock()
		switch {
		case !should || n.config.Hardware.Runs(s.id):
			return nil
		case resumes && wasActive:
			n.endDesktop(s)
			return n.start(ctx, s, s.host)
		}
		return n.around("power_off", n.halt)(ctx, s)
	})
}
