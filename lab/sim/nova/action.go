package nova

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// actOnServer sends POST /servers/{id}/action to the one action that its body names.
func (n *Nova) actOnServer(c *call) {
	var body map[string]json.RawMessage
	if err := service.ReadJSON(c.Request, &body); err != nil || len(body) != 1 {
		c.fail(http.StatusBadRequest, "Malformed request body")
		return
	}
	for name, arguments := range body {
		switch name {
		case "os-start":
			n.startServer(c)
		case "os-stop":
			n.stopServer(c)
		case "reboot":
			n.rebootServer(c, arguments)
		case "rebuild":
			n.rebuildServer(c, arguments)
		case "os-resetState":
			n.resetState(c, arguments)
		case "os-getSPICEConsole":
			if c.atLeast(6) {
				c.notFound() // replaced by remote-consoles
				return
			}
			n.getSPICEConsole(c, arguments)
		default:
			c.fail(http.StatusBadRequest, "There is no such action: "+name)
		}
	}
}

// ready tells whether an action may be done to a server now; else it answers 409. It is called with the lock held.
func (s *server) ready(c *call, action string, states ...string) bool {
	switch {
	case !slices.Contains(states, s.state):
		s.conflict(c, action, "vm_state "+s.state)
	case s.task != "":
		s.conflict(c, action, "task_state "+s.task)
	case s.host == nil:
		c.fail(http.StatusConflict, "Instance "+s.id+" is not ready")
	default:
		return true
	}
	return false
}

func (s *server) conflict(c *call, action, state string) {
	c.fail(http.StatusConflict, "Cannot '"+action+"' instance "+s.id+" while it is in "+state)
}

func (n *Nova) startServer(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || !s.ready(c, "start", stopped) {
		return
	}
	n.change(c, s, "start", poweringOn, func(ctx context.Context, s *server) error { return n.run(ctx, s, poweringOn) })
	c.w.WriteHeader(http.StatusAccepted)
}

func (n *Nova) stopServer(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || !s.ready(c, "stop", active, failed) {
		return
	}
	n.change(c, s, "stop", poweringOff, n.halt)
	c.w.WriteHeader(http.StatusAccepted)
}

// change begins what an action does. It is called with the lock held.
func (n *Nova) change(c *call, s *server, action, task string, do func(context.Context, *server) error) {
	s.task = task
	n.touch(s)
	n.begin(s, do, n.record(c, s, action))
}

func (n *Nova) halt(_ context.Context, s *server) error {
	n.config.Desktops.Shutdown(s.id)
	n.mu.Lock()
	defer n.mu.Unlock()
	s.console = nil
	if s.task != deletingTask {
		s.state, s.task = stopped, ""
	}
	n.touch(s)
	return nil
}

// rebootServer: SOFT tells the guest, whose SPICE server goes on; HARD makes the virtual machine anew.
func (n *Nova) rebootServer(c *call, arguments json.RawMessage) {
	var reboot struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(arguments, &reboot)
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return
	}
	switch reboot.Type {
	case "SOFT", "soft", "Soft":
		if s.ready(c, "reboot", active) {
			n.change(c, s, "reboot", rebooting, n.restartGuest)
			c.w.WriteHeader(http.StatusAccepted)
		}
	case "HARD", "hard", "Hard":
		if s.ready(c, "reboot", active, stopped, failed) {
			n.change(c, s, "reboot", hardReboot, n.rerun(hardReboot))
			c.w.WriteHeader(http.StatusAccepted)
		}
	default:
		c.failed(invalidField("type", string(shorten(arguments)), "It is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']"))
	}
}

// restartGuest leaves the desktop alone: what is behind the SPICE server is not simulated here.
func (n *Nova) restartGuest(ctx context.Context, s *server) error {
	if err := n.boot(ctx, s); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s.setTask("")
	n.touch(s)
	return nil
}

// rerun ends a server's desktop and boots a new one.
func (n *Nova) rerun(task string) func(context.Context, *server) error {
	return func(ctx context.Context, s *server) error {
		n.config.Desktops.Shutdown(s.id)
		n.mu.Lock()
		s.console = nil
		n.mu.Unlock()
		return n.run(ctx, s, task)
	}
}

func (n *Nova) rebuildServer(c *call, arguments json.RawMessage) {
	var rebuild struct {
		Image    string            `json:"imageRef"`
		Name     *string           `json:"name"`
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(arguments, &rebuild); err != nil || rebuild.Image == "" {
		c.fail(http.StatusBadRequest, "'imageRef' is a required property")
		return
	}
	image := lastPart(rebuild.Image)
	if _, ok := n.config.Glance.Image(image); !ok {
		c.fail(http.StatusBadRequest, "Cannot find image for rebuild")
		return
	}
	if rebuild.Name != nil && c.failed(checkName(*rebuild.Name)) || c.failed(checkMetadata(rebuild.Metadata)) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || !s.ready(c, "rebuild", active, stopped, failed) {
		return
	}
	s.image = image
	if rebuild.Name != nil {
		s.name = *rebuild.Name
	}
	if rebuild.Metadata != nil {
		s.metadata = maps.Clone(rebuild.Metadata)
	}
	// Nova stops a server again that was stopped; here it runs.
	n.change(c, s, "rebuild", rebuilding, n.rerun(rebuilding))
	c.answer(http.StatusAccepted, map[string]any{"server": n.view(c, s)})
}

// resetState is how administrators say that a server is, or is not, broken.
func (n *Nova) resetState(c *call, arguments json.RawMessage) {
	if !c.caller.Admin() {
		c.forbidden("os-admin-actions:reset_state")
		return
	}
	var reset struct {
		State string `json:"state"`
	}
	if json.Unmarshal(arguments, &reset) != nil || reset.State != active && reset.State != failed {
		c.failed(invalidField("state", string(shorten(arguments)), "It is not one of ['active', 'error']"))
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.find(c); s != nil {
		s.state = reset.State
		s.setTask("")
		n.touch(s)
		c.w.WriteHeader(http.StatusAccepted)
	}
}
