package nova

import (
	"fmt"
	"slices"
	"sync"
)

// refusal makes consoles be refused.
type refusal struct {
	server string // empty: all
	status int
}

// RefuseConsoles makes requests for a server's console, or for all if serverID is empty, fail with a status of HTTP until undo.
func (n *Nova) RefuseConsoles(serverID string, status int) (undo func()) {
	r := &refusal{serverID, status}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusals = append(n.refusals, r)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.refusals = slices.DeleteFunc(n.refusals, func(o *refusal) bool { return o == r })
	}
}

// refused is the status to refuse a console with; 0 is none. It is called with the lock held.
func (n *Nova) refused(serverID string) int {
	for _, r := range n.refusals {
		if r.server == "" || r.server == serverID {
			return r.status
		}
	}
	return 0
}

// KillDesktop ends a server's SPICE server; Nova goes on to say ACTIVE, and where it was. undo boots the desktop again, on a
// port of its own, and returns when it listens; on a host that is down it does nothing.
func (n *Nova) KillDesktop(serverID string) (undo func(), err error) {
	n.mu.RLock()
	s := n.servers[serverID]
	n.mu.RUnlock()
	if s == nil {
		return nil, fmt.Errorf("killing the desktop of server %s: there is no such server", serverID)
	}
	if !n.config.Desktops.Kill(serverID) {
		return nil, fmt.Errorf("killing the desktop of server %s: it has none that runs", serverID)
	}
	return sync.OnceFunc(func() { n.revive(s) }), nil
}

func (n *Nova) revive(s *server) {
	n.mu.Lock()
	if s.state != active || s.task != "" || n.closed || s.host.service.silent != nil {
		n.mu.Unlock() // it was deleted, stopped or booted anew meanwhile, or its host is down
		return
	}
	n.enter(s, s.state, hardReboot)
	finished := n.begin(s, n.rerun)
	n.mu.Unlock()
	<-finished
}
