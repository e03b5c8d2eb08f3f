package neutron

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// call is a request with a valid token.
type call struct {
	w http.ResponseWriter
	*http.Request
	caller   *service.Caller
	notifier service.Notifier
	url      string // Neutron's own
}

// refusal is an answer that is an error.
type refusal struct {
	status        int
	kind, message string
}

func (r *refusal) Error() string { return r.message }

func badRequest(kind, format string, a ...any) *refusal {
	return &refusal{http.StatusBadRequest, kind, fmt.Sprintf(format, a...)}
}

func invalidInput(format string, a ...any) *refusal {
	return badRequest("InvalidInput", "Invalid input for operation: "+format, a...)
}

func conflict(kind, format string, a ...any) *refusal {
	return &refusal{http.StatusConflict, kind, fmt.Sprintf(format, a...)}
}

func notFound(kind, id string) *refusal {
	return &refusal{http.StatusNotFound, kind + "NotFound", kind + " " + id + " could not be found."}
}

func notAuthorized(rule string) *refusal {
	return &refusal{http.StatusForbidden, "PolicyNotAuthorized", rule + " is disallowed by policy"}
}

func (c *call) answer(status int, v any) { service.WriteJSON(c.w, status, v) }

func (c *call) fail(r *refusal) { writeError(c.w, r.status, r.kind, r.message) }

func writeError(w http.ResponseWriter, status int, kind, message string) {
	service.WriteJSON(w, status, map[string]any{"NeutronError": map[string]any{"type": kind, "message": message, "detail": ""}})
}

// Fail answers in Neutron's form.
func (n *Neutron) Fail(w http.ResponseWriter, _ *http.Request, status int, message string) {
	if status == http.StatusMethodNotAllowed {
		message = "The server could not comply with the request since it is either malformed or otherwise incorrect."
	}
	kind := "HTTP" + strings.ReplaceAll(http.StatusText(status), " ", "")
	writeError(w, status, kind, message)
}

func (n *Neutron) authorized(h func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := n.config.Tokens.Caller(r.Header.Get("X-Auth-Token"))
		if caller == nil {
			service.Unauthorized(w, n.config.Identity)
			return
		}
		h(&call{w, r, caller, n.config.Notifier, n.config.URL})
	}
}

// publisher is whom Neutron's notifications come from: "network." and its host.
const publisher = "network.neutron"

// tell sends a notification of the request.
func (c *call) tell(event string, payload any) {
	c.notifier.Notify(publisher, "INFO", event, service.Caused{
		Payload: payload, By: c.caller, RequestID: c.w.Header().Get("X-Openstack-Request-Id"),
	})
}

// body is a request's resource, by attribute.
type body map[string]json.RawMessage

// read reads a body of one resource, {"network": {...}}; it answers 400 and returns nil if it is none.
func (c *call) read(key string) body {
	var outer map[string]json.RawMessage
	if service.ReadJSON(c.Request, &outer) != nil {
		c.fail(badRequest("HTTPBadRequest", "Body contains invalid data"))
		return nil
	}
	if outer[key] == nil {
		c.fail(badRequest("HTTPBadRequest", "Unable to find '%s' in request body", key))
		return nil
	}
	var b body
	if json.Unmarshal(outer[key], &b) != nil || b == nil {
		c.fail(badRequest("HTTPBadRequest", "Body contains invalid data"))
		return nil
	}
	return b
}

// payload is the body as a notification has it.
func (b body) payload(key string) map[string]any {
	return map[string]any{key: map[string]json.RawMessage(b)}
}

// setter gives a resource the value of an attribute.
type setter func(raw json.RawMessage) *refusal

// apply sets what a body of a creation or an update has. Attributes that the setters do not know are refused: the resource has none
// of this name, or it may not be set.
func (b body) apply(creating bool, setters map[string]setter, known []attribute) *refusal {
	var odd, fixed []string
	for name := range b {
		switch {
		case setters[name] != nil || creating && (name == "tenant_id" || name == "project_id"):
		case slices.ContainsFunc(known, func(a attribute) bool { return a.name == name }):
			fixed = append(fixed, name)
		default:
			odd = append(odd, name)
		}
	}
	slices.Sort(odd)
	slices.Sort(fixed)
	switch {
	case len(odd) > 0:
		return badRequest("HTTPBadRequest", "Unrecognized attribute(s) '%s'", strings.Join(odd, ", "))
	case len(fixed) > 0 && creating:
		return badRequest("HTTPBadRequest", "Attribute '%s' not allowed in POST", fixed[0])
	case len(fixed) > 0:
		return badRequest("HTTPBadRequest", "Cannot update read-only attribute %s", fixed[0])
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if set := setters[name]; set != nil {
			if r := set(b[name]); r != nil {
				return r
			}
		}
	}
	return nil
}

// text is a value of a body; without it the answer is 400.
func (b body) text(name string) (string, *refusal) {
	var s string
	if b[name] == nil {
		return "", badRequest("HTTPBadRequest", "Failed to parse request. Required attribute '%s' not specified", name)
	}
	r := setText(name, &s)(b[name])
	return s, r
}

// project is whom a new resource shall belong to: the caller's project, or another one for administrators.
func (b body) project(c *call) (string, *refusal) {
	project := c.caller.ProjectID
	for _, name := range []string{"tenant_id", "project_id"} {
		if raw := b[name]; raw != nil {
			if r := setText(name, &project)(raw); r != nil {
				return "", r
			}
		}
	}
	if project != c.caller.ProjectID && !c.caller.Admin() {
		return "", notAuthorized("rule:create for project " + project)
	}
	return project, nil
}

func setText(name string, to *string) setter {
	return func(raw json.RawMessage) *refusal {
		if string(raw) == "null" || json.Unmarshal(raw, to) != nil {
			return badRequest("HTTPBadRequest", "Invalid input for %s. Reason: '%s' is not a valid string.", name, raw)
		}
		return nil
	}
}

// setBool takes what Neutron converts to a boolean.
func setBool(to *bool) setter {
	return func(raw json.RawMessage) *refusal {
		switch text := strings.ToLower(strings.Trim(string(raw), `"`)); text {
		case "true", "1":
			*to = true
		case "false", "0":
			*to = false
		default:
			return invalidInput("'%s' cannot be converted to boolean.", text)
		}
		return nil
	}
}

func setTexts(name string, to *[]string) setter {
	return func(raw json.RawMessage) *refusal {
		list := []string{}
		if json.Unmarshal(raw, &list) != nil {
			return badRequest("HTTPBadRequest", "Invalid input for %s. Reason: '%s' is not a list.", name, raw)
		}
		*to = append([]string{}, list...)
		return nil
	}
}

// sees tells whether the caller may see what a project owns.
func (c *call) sees(project string, shared bool) bool {
	return shared || c.caller.Admin() || c.caller.ProjectID == project
}
