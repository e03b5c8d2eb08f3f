package nova

import (
	"context"
	"net/http"
)

// What holds a guest still, and lets it go on; its SPICE server does not notice.

func (n *Nova) pauseServer(c *call)   { n.hold(c, "pause", pausing, active, paused) }
func (n *Nova) unpauseServer(c *call) { n.hold(c, "unpause", unpausing, paused, active) }
func (n *Nova) suspendServer(c *call) { n.hold(c, "suspend", suspending, active, suspended) }
func (n *Nova) resumeServer(c *call)  { n.hold(c, "resume", resuming, suspended, active) }

func (n *Nova) hold(c *call, action, task, from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || s.refusesLocked(c) || !s.ready(c, action, from) {
		return
	}
	n.change(c, s, action, task, "compute_"+action+"_instance", n.around(action, func(_ context.Context, s *server) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.enter(s, to, "")
		return nil
	}))
	c.w.WriteHeader(http.StatusAccepted)
}
