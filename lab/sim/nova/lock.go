package nova

import "net/http"

// lock keeps who is no administrator from changing a server.
type lock struct {
	byAdmin bool   // else by the owner
	reason  string // may be empty
}

// refusesLocked answers 409 if a lock keeps the caller away. It is called with Nova.mu held.
func (s *server) refusesLocked(c *call) bool {
	if s.lock == nil || c.caller.Admin() {
		return false
	}
	c.fail(http.StatusConflict, "Instance "+s.id+" is locked")
	return true
}

func (n *Nova) lockServer(c *call, arguments rawJSON) {
	var asked *struct {
		Reason string `json:"locked_reason"`
	}
	if c.atLeast(73) {
		check := orNull(object(nil, property{"locked_reason", text(1, 255)}), "object")
		if !c.passes("lock", arguments, check, &asked) {
			return
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return
	}
	c.w.WriteHeader(http.StatusAccepted)
	owner := s.project == c.caller.ProjectID
	if s.lock != nil && owner {
		return
	}
	s.lock = &lock{byAdmin: !owner}
	if asked != nil {
		s.lock.reason = asked.Reason
	}
	n.changeLock(c, s, "lock")
}

func (n *Nova) unlockServer(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return
	}
	if s.lock != nil && s.lock.byAdmin && !c.adminOnly("os-lock-server:unlock:unlock_override") {
		return
	}
	s.lock = nil
	n.changeLock(c, s, "unlock")
	c.w.WriteHeader(http.StatusAccepted)
}

func (n *Nova) changeLock(c *call, s *server, action string) {
	a := n.record(c, s, action)
	e := &actionEvent{name: "api_" + action, host: controller, started: n.config.Now()}
	a.events = append(a.events, e)
	n.endEvent(a, e, nil)
	n.touch(s)
	n.say(s, event{versioned: action, from: fromAPI, binary: "nova-api", host: controller})
}
