package nova

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// SetHostDown stops the nova-compute of a host, or starts it again. A stopped one reports nothing: its service is down after
// ServiceDownTime, and the scheduler avoids the host. Until then servers are still sent there. Whatever is sent to it waits, as a message in
// its queue does, until it is back; so does what it was doing, but for builds and rebuilds: those are ERROR when it is back. Desktops go
// on. The error is for a host that there is not.
func (n *Nova) SetHostDown(name string, down bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hostNamed(name)
	switch {
	case h == nil:
		return fmt.Errorf("setting the compute service of host %s: there is no such host", name)
	case down && h.service.silent == nil:
		h.service.silent, h.service.silentAt = make(chan struct{}), n.config.Now()
		for _, s := range h.servers {
			if s.isBuilt() {
				s.abandon(errInterrupted)
			}
		}
	case !down && h.service.silent != nil:
		close(h.service.silent)
		h.service.silent = nil
		n.initHost(h)
	}
	return nil
}

// errInterrupted ends what nova-compute was doing when it ended.
var errInterrupted = errors.New("nova-compute has ended")

// isBuilt tells whether a server is being built or rebuilt where it is. It is called with the lock held.
func (s *server) isBuilt() bool {
	return s.state == building || slices.Contains(rebuildTasks, s.task) && (s.state == active || s.state == stopped) && !s.evacuates()
}

// evacuates tells whether a server is being built on another host. It is called with the lock held.
func (s *server) evacuates() bool {
	return len(s.migrations) > 0 && s.migrations[len(s.migrations)-1].evacuates()
}

// initHost is what nova-compute does when it starts (init_host of nova/compute/manager.py). What was built or rebuilt when it ended is
// broken, without a word why. So are servers whose message to be built it has not taken yet; those are built when it takes it. Servers
// that should run and do not, as the host was restarted, are started again or stopped. It is called with the lock held.
func (n *Nova) initHost(h *host) {
	n.finishEvacuations(h)
	for _, s := range n.order {
		switch {
		case s.host == h && s.isBuilt():
			s.abandon(errInterrupted)
			n.enter(s, failed, "")
		case s.host == h:
			n.syncPowerState(s, n.config.ResumeGuests)
		case s.sentTo == h && s.state == building:
			n.enter(s, failed, "")
		}
	}
}

// HostDown tells whether a host's nova-compute does not report. A host that there is not does not.
func (n *Nova) HostDown(name string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	h := n.hostNamed(name)
	return h == nil || h.service.silent != nil
}

// reach waits until a host's nova-compute takes messages.
func (n *Nova) reach(ctx context.Context, h *host) error {
	for {
		n.mu.RLock()
		silent := h.service.silent
		n.mu.RUnlock()
		if silent == nil {
			return ctx.Err()
		}
		select {
		case <-silent:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rpcTimeout is how long who asks nova-compute for something waits for the answer ([DEFAULT] rpc_response_timeout).
const rpcTimeout = 60 * time.Second

// ask waits for a host's nova-compute as those do who need its answer.
func (n *Nova) ask(c *call, h *host) error {
	ctx, cancel := context.WithTimeout(c.Context(), rpcTimeout)
	defer cancel()
	if n.reach(ctx, h) != nil {
		return errors.New("<class 'oslo_messaging.exceptions.MessagingTimeout'>")
	}
	return nil
}
