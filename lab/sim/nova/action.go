package nova

import (
	"context"
	"net/http"
	"slices"
)

// actOnServer sends POST /servers/{id}/action to the one action that its body names.
func (n *Nova) actOnServer(c *call) {
	plain := func(do func(*call)) func([]byte) { return func([]byte) { do(c) } }
	with := func(do func(*call, rawJSON)) func([]byte) { return func(raw []byte) { do(c, raw) } }
	c.act(map[string]func([]byte){
		"os-start": plain(n.startServer), "os-stop": plain(n.stopServer), "reboot": with(n.rebootServer), "rebuild": with(n.rebuildServer),
		"pause": plain(n.pauseServer), "unpause": plain(n.unpauseServer), "suspend": plain(n.suspendServer), "resume": plain(n.resumeServer),
		"lock": with(n.lockServer), "unlock": plain(n.unlockServer), "os-resetState": with(n.resetState),
		"os-migrateLive": with(n.liveMigrateAction), "evacuate": with(n.evacuateAction), "os-getConsoleOutput": with(n.showConsoleOutput),
		"os-getSPICEConsole": func(raw []byte) {
			if c.atLeast(6) {
				c.notFound() // replaced by remote-consoles
				return
			}
			n.getSPICEConsole(c, raw)
		},
	})
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

// placed tells whether a server has a host; else it answers 409. Nova asks that of some actions before it looks at the state.
func (s *server) placed(c *call) bool {
	if s.host == nil {
		c.fail(http.StatusConflict, "Instance "+s.id+" is not ready")
	}
	return s.host != nil
}

func (s *server) conflict(c *call, action, state string) {
	c.fail(http.StatusConflict, "Cannot '"+action+"' instance "+s.id+" while it is in "+state)
}

// conflictIn writes a state that may be none as Nova does.
func (s *server) conflictIn(c *call, action, state, of string) {
	if state == "" {
		c.fail(http.StatusConflict, "Instance "+s.id+" is in an invalid state for '"+action+"'")
		return
	}
	s.conflict(c, action, of+" "+state)
}

// change begins what an action does on the server's host. It is called with the lock held.
func (n *Nova) change(c *call, s *server, action, task, event string, do job) {
	n.become(s, s.state, task, fromAPI)
	a := n.record(c, s, action)
	n.begin(s, n.onHost(s.host, a, event, do))
}

// around is a job between a notification of its start and one of its end.
func (n *Nova) around(name string, do job) job {
	say := func(s *server, phase string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.say(s, event{name: name + "." + phase, from: s.fromHost()})
	}
	return func(ctx context.Context, s *server) error {
		say(s, "start")
		if err := do(ctx, s); err != nil {
			return err
		}
		say(s, "end")
		return nil
	}
}

func (n *Nova) startServer(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.mapped(c)
	if s == nil || s.refusesLocked(c) || !s.placed(c) || !s.ready(c, "start", stopped) {
		return
	}
	n.change(c, s, "start", poweringOn, "compute_start_instance", n.around("power_on", func(ctx context.Context, s *server) error {
		if err := n.run(ctx, s, s.host); err != nil {
			return reverted{err}
		}
		return nil
	}))
	c.w.WriteHeader(http.StatusAccepted)
}

func (n *Nova) stopServer(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.mapped(c)
	if s == nil || s.refusesLocked(c) || !s.placed(c) || !s.ready(c, "stop", active, failed) {
		return
	}
	n.change(c, s, "stop", poweringOff, "compute_stop_instance", n.around("power_off", n.halt))
	c.w.WriteHeader(http.StatusAccepted)
}

func (n *Nova) halt(_ context.Context, s *server) error {
	n.config.Desktops.Shutdown(s.id)
	n.mu.Lock()
	defer n.mu.Unlock()
	s.console = nil
	n.enter(s, stopped, "")
	return nil
}

var rebootTypes = []string{"HARD", "Hard", "hard", "SOFT", "Soft", "soft"}

// rebootServer: SOFT tells the guest, whose SPICE server goes on; HARD makes the virtual machine anew.
func (n *Nova) rebootServer(c *call, arguments rawJSON) {
	var reboot struct{ Type string }
	if !c.passes("reboot", arguments, object([]string{"type"}, property{"type", oneOf(rebootTypes...)}), &reboot) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || s.refusesLocked(c) {
		return
	}
	if slices.Index(rebootTypes, reboot.Type) >= 3 {
		if s.ready(c, "reboot", active) {
			n.change(c, s, "reboot", rebooting, "compute_reboot_instance", n.around("reboot", n.restartGuest))
			c.w.WriteHeader(http.StatusAccepted)
		}
		return
	}
	if s.ready(c, "reboot", active, stopped, paused, suspended, failed) {
		n.change(c, s, "reboot", hardReboot, "compute_reboot_instance", n.around("reboot", n.rerun))
		c.w.WriteHeader(http.StatusAccepted)
	}
}

// steps takes a server through tasks, unless what is done to it has been given up.
func (n *Nova) steps(ctx context.Context, s *server, tasks ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, task := range tasks {
		if ctx.Err() == nil {
			n.enter(s, s.state, task)
		}
	}
}

// restartGuest leaves the desktop alone: what is behind the SPICE server is not simulated here.
func (n *Nova) restartGuest(ctx context.Context, s *server) error {
	n.steps(ctx, s, rebootPending, rebootStarted)
	if err := n.boot(ctx, s, s.host); err != nil {
		return err
	}
	n.steps(ctx, s, "")
	return nil
}

// rerun ends a server's desktop and boots a new one.
func (n *Nova) rerun(ctx context.Context, s *server) error {
	n.steps(ctx, s, hardRebootPending, hardRebootStarted)
	n.endDesktop(s)
	return n.run(ctx, s, s.host)
}

func (n *Nova) endDesktop(s *server) {
	n.config.Desktops.Shutdown(s.id)
	n.mu.Lock()
	defer n.mu.Unlock()
	s.console = nil
}

// resetState is how administrators say that a server is, or is not, broken.
func (n *Nova) resetState(c *call, arguments rawJSON) {
	var reset struct{ State string }
	if !c.passes("os-resetState", arguments, object([]string{"state"}, property{"state", oneOf(active, failed)}), &reset) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || !c.adminOnly("os-admin-actions:reset_state") {
		return
	}
	n.record(c, s, "resetState")
	n.enter(s, reset.State, "")
	c.w.WriteHeader(http.StatusAccepted)
}
