package nova

import (
	"net/http"
	"slices"
	"time"
)

// maxActions are kept of a server, so that one that is restarted for days stays small.
const maxActions = 32

// instanceAction is what was done to a server. Nova.mu guards it.
type instanceAction struct {
	name      string
	requestID string
	user      string
	project   string
	started   time.Time
	finished  time.Time // zero: it goes on
	failed    bool
}

// record keeps an action; its end is told to the function that is returned, with the lock held. It is called with the lock
// held.
func (n *Nova) record(c *call, s *server, name string) (done func(error)) {
	a := &instanceAction{name: name, requestID: c.requestID, user: c.caller.UserID, project: c.caller.ProjectID, started: n.config.Now()}
	if len(s.actions) == maxActions {
		s.actions = slices.Delete(slices.Clone(s.actions), 1, 2) // its creation stays
	}
	s.actions = append(s.actions, a)
	return func(err error) {
		a.finished, a.failed = n.config.Now(), err != nil
	}
}

const actionTime = "2006-01-02T15:04:05.000000"

func (a *instanceAction) view(c *call, s *server) map[string]any {
	v := map[string]any{
		"action": a.name, "instance_uuid": s.id, "request_id": a.requestID, "user_id": a.user, "project_id": a.project,
		"start_time": a.started.UTC().Format(actionTime), "message": nil,
	}
	if a.failed {
		v["message"] = "Error"
	}
	if c.atLeast(58) {
		v["updated_at"] = a.started.UTC().Format(actionTime)
		if !a.finished.IsZero() {
			v["updated_at"] = a.finished.UTC().Format(actionTime)
		}
	}
	return v
}

// eventNames are of the one event that an action here has, on the compute node.
var eventNames = map[string]string{
	"create": "compute__do_build_and_run_instance", "delete": "compute_terminate_instance", "start": "compute_start_instance",
	"stop": "compute_stop_instance", "reboot": "compute_reboot_instance", "rebuild": "compute_rebuild_instance",
}

func (a *instanceAction) event(c *call, s *server) map[string]any {
	v := map[string]any{
		"event": eventNames[a.name], "start_time": a.started.UTC().Format(actionTime), "finish_time": nil, "result": nil,
	}
	if !a.finished.IsZero() {
		v["finish_time"], v["result"] = a.finished.UTC().Format(actionTime), "Success"
		if a.failed {
			v["result"] = "Error"
		}
	}
	if c.caller.Admin() {
		v["traceback"] = nil
		if c.atLeast(62) && s.host != nil {
			v["host"] = s.host.Name
		}
	}
	return v
}

func (n *Nova) listInstanceActions(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.find(c)
	if s == nil {
		return
	}
	list := []any{}
	for _, a := range slices.Backward(s.actions) {
		list = append(list, a.view(c, s))
	}
	c.answer(http.StatusOK, map[string]any{"instanceActions": list})
}

func (n *Nova) showInstanceAction(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.find(c)
	if s == nil {
		return
	}
	for _, a := range s.actions {
		if a.requestID != c.PathValue("request") {
			continue
		}
		v := a.view(c, s)
		if c.atLeast(51) || c.caller.Admin() {
			v["events"] = []any{a.event(c, s)}
		}
		c.answer(http.StatusOK, map[string]any{"instanceAction": v})
		return
	}
	c.fail(http.StatusNotFound, "Action "+c.PathValue("request")+" not found")
}
