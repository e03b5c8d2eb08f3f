package nova

import (
	"context"
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
// port of its own, and returns when it listens; on a host that is down it does nothing. The error is that it could not, or did not until
// the context ended: then it goes on, and a further call waits for it.
func (n *Nova) KillDesktop(serverID string) (undo func(context.Context) error, err error) {
	n.mu.RLock()
	s := n.servers[serverID]
	n.mu.RUnlock()
	if s == nil {
		return nil, fmt.Errorf("killing the desktop of server %s: there is no such server", serverID)
	}
	if !n.config.Desktops.Kill(serverID) {
		return nil, fmt.Errorf("killing the desktop of server %s: it has none that runs", serverID)
	}
	begin := sync.OnceValue(func() *revival { return n.revive(s) })
	return func(ctx context.Context) error { return begin().wait(ctx) }, nil
}

// revival is the boot of a desktop that was killed.
type revival struct {
	server   string
	finished <-chan struct{}
	failed   error // when it has finished
}

func (n *Nova) revive(s *server) *revival {
	r := &revival{server: s.id}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.state != active || s.task != "" || n.closed || s.host.service.silent != nil {
		done := make(chan struct{}) // it was deleted, stopped or booted anew meanwhile, or its host is down
		close(done)
		r.finished = done
		return r
	}
	n.enter(s, s.state, hardReboot)
	r.finished = n.begin(s, func(ctx context.Context, s *server) error {
		err := n.rerun(ctx, s)
		if ctx.Err() == nil { // or it is being deleted
			r.failed = err
		}
		return err
	})
	return r
}

func (r *revival) wait(ctx context.Context) error {
	select {
	case <-r.finished:
	case <-ctx.Done():
		return fmt.Errorf("the desktop of server %s still boots: %w", r.server, context.Cause(ctx))
	}
	if r.failed != nil {
		return fmt.Errorf("booting the desktop of server %s again: %w", r.server, r.failed)
	}
	return nil
}
