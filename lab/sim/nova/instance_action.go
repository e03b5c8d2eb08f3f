package nova

import (
	"errors"
	"net/http"
	"slices"
	"time"
)

// maxActions are kept of a server, so that one that is restarted for days stays small.
const maxActions = 32

// microTime is how Nova's own times are written; clients' have it where the value was never meant for them.
const microTime = "2006-01-02T15:04:05.000000"

// instanceAction is what was done to a server. Nova.mu guards it.
type instanceAction struct {
	name      string
	requestID string
	user      string
	project   string
	started   time.Time
	updated   time.Time
	failed    bool
	events    []*actionEvent // oldest first
}

// actionEvent is a part of an action that one service did. Nova.mu guards it.
type actionEvent struct {
	name     string
	host     string
	started  time.Time
	finished time.Time // zero: it goes on
	failure  string    // empty: it did not fail
}

// record keeps an action. It is called with the lock held.
func (n *Nova) record(c *call, s *server, name string) *instanceAction {
	now := n.config.Now()
	a := &instanceAction{
		name: name, requestID: c.requestID, user: c.caller.UserID, project: c.caller.ProjectID, started: now, updated: now,
	}
	if len(s.actions) == maxActions {
		s.actions = slices.Delete(slices.Clone(s.actions), 1, 2) // its creation stays
	}
	s.actions = append(s.actions, a)
	return a
}

// startEvent begins an event of an action, and returns what ends it. There may be no action.
func (n *Nova) startEvent(a *instanceAction, name, host string) (end func(error)) {
	if a == nil {
		return func(error) {}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e := &actionEvent{name: name, host: host, started: n.config.Now()}
	a.events = append(a.events, e)
	a.updated = e.started
	return func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.endEvent(a, e, err)
	}
}

// endEvent is called with the lock held.
func (n *Nova) endEvent(a *instanceAction, e *actionEvent, err error) {
	e.finished = n.config.Now()
	a.updated = e.finished
	if err != nil {
		e.failure = err.Error()
		a.failed = true
	}
}

func (a *instanceAction) view(c *call, s *server) map[string]any {
	v := map[string]any{
		"action": a.name, "instance_uuid": s.id, "request_id": a.requestID, "user_id": a.user, "project_id": a.project,
		"start_time": a.started.UTC().Format(microTime), "message": nil,
	}
	if a.failed {
		v["message"] = "Error"
	}
	if c.atLeast(58) {
		v["updated_at"] = a.updated.UTC().Format(microTime)
	}
	return v
}

func (e *actionEvent) view(c *call, project string) map[string]any {
	v := map[string]any{"event": e.name, "start_time": e.started.UTC().Format(microTime), "finish_time": nil, "result": nil}
	if !e.finished.IsZero() {
		v["finish_time"], v["result"] = e.finished.UTC().Format(microTime), "Success"
	}
	if e.failure != "" {
		v["result"] = "Error"
	}
	admin := c.caller.Admin()
	if admin {
		v["traceback"] = nil
		if e.failure != "" {
			v["traceback"] = traceback(errors.New(e.failure))
		}
	}
	if c.atLeast(62) {
		v["hostId"] = hostID(project, e.host)
		if admin {
			v["host"] = e.host
		}
	}
	if c.atLeast(84) && admin {
		v["details"] = nil
		if e.failure != "" {
			v["details"] = e.failure
		}
	}
	return v
}

// acted is the server of the path whose actions are asked for: from 2.21 on those of deleted ones are there, too. It is called with
// the lock held.
func (n *Nova) acted(c *call) *server {
	if s := n.graves.byID[c.PathValue("id")]; s != nil && c.atLeast(21) && (s.project == c.caller.ProjectID || c.caller.Admin()) {
		return s
	}
	return n.find(c)
}

func (n *Nova) listInstanceActions(c *call) {
	p, span := page{limit: maxPage}, span{}
	if c.atLeast(58) {
		names := []string{"limit", "marker", "changes-since"}
		if c.atLeast(66) {
			names = append(names, "changes-before")
		}
		if c.refusesQuery(58, names...) {
			return
		}
		var err error
		if p, err = c.page(); c.failed(err) {
			return
		}
		if span, err = changes(c.URL.Query()); c.failed(err) {
			return
		}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.acted(c)
	if s == nil {
		return
	}
	if p.marker != "" && !slices.ContainsFunc(s.actions, func(a *instanceAction) bool { return a.requestID == p.marker }) {
		c.fail(http.StatusBadRequest, "Marker "+p.marker+" could not be found.")
		return
	}
	list, last := []any{}, ""
	reached := p.marker == ""
	for _, a := range slices.Backward(s.actions) {
		if reached && len(list) < p.limit && span.has(a.updated) {
			list, last = append(list, a.view(c, s)), a.requestID
		}
		reached = reached || a.requestID == p.marker
	}
	body := map[string]any{"instanceActions": list}
	if c.atLeast(58) && len(list) > 0 {
		if links := n.next(c, p, len(list), "servers/"+s.id+"/os-instance-actions", last); links != nil {
			body["links"] = links
		}
	}
	c.answer(http.StatusOK, body)
}

func (n *Nova) showInstanceAction(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.acted(c)
	if s == nil {
		return
	}
	for _, a := range s.actions {
		if a.requestID != c.PathValue("request") {
			continue
		}
		v := a.view(c, s)
		if c.atLeast(51) || c.caller.Admin() {
			events := []any{}
			for _, e := range slices.Backward(a.events) {
				events = append(events, e.view(c, a.project))
			}
			v["events"] = events
		}
		c.answer(http.StatusOK, map[string]any{"instanceAction": v})
		return
	}
	c.fail(http.StatusNotFound, "Action "+c.PathValue("request")+" not found")
}
