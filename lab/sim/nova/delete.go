package nova

import (
	"context"
	"slices"
)

// deleteServer takes a server from its users at once; it is gone when what it held has been given back. One whose host's
// nova-compute is down is given back by the API itself.
func (n *Nova) deleteServer(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || s.refusesLocked(c) {
		return
	}
	c.w.WriteHeader(204)
	h := s.host
	if s.task == deletingTask && (h == nil || n.up(h)) {
		return
	}
	s.abandon(context.Canceled)
	n.become(s, s.state, deletingTask, fromAPI)
	switch {
	case h == nil || !n.up(h):
		n.begin(s, func(context.Context, *server) error { n.destroy(s, true); return nil })
	default:
		a := n.record(c, s, "delete")
		n.begin(s, n.onHost(h, a, "compute_terminate_instance", func(context.Context, *server) error { n.destroy(s, false); return nil }))
	}
}

// destroy gives back what a server holds. locally is without its host.
func (n *Nova) destroy(s *server, locally bool) {
	say := func(name string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		e := event{name: name, from: s.fromHost()}
		if locally {
			e.from, e.binary, e.host = fromAPI, "nova-api", controller
		}
		n.say(s, e)
	}
	n.mu.RLock()
	gone := s.state == deleted
	n.mu.RUnlock()
	if gone {
		return
	}
	say("delete.start")
	if !locally {
		say("shutdown.start")
	}
	n.config.Desktops.Shutdown(s.id)
	n.config.Neutron.Detach(s.id)
	if !locally {
		n.mu.Lock()
		s.ports = nil
		n.mu.Unlock()
		say("shutdown.end")
	}
	n.config.Placement.Release(s.id)
	n.mu.Lock()
	for _, m := range s.migrations {
		n.config.Placement.Release(m.uuid) // the room at the host that it was evacuated from
	}
	s.console, s.ports = nil, nil
	s.terminated = n.config.Now()
	from := s.fromHost()
	if locally {
		from = fromAPI
	}
	n.become(s, deleted, "", from)
	n.remove(s)
	n.consoles.forget(s.id)
	n.mu.Unlock()
	say("delete.end")
}

// forget drops a server's tokens, as nova-compute does when the server goes.
func (t *consoleTokens) forget(server string) {
	t.issued = slices.DeleteFunc(t.issued, func(token string) bool {
		if t.byToken[token].server != server {
			return false
		}
		delete(t.byToken, token)
		return true
	})
}
