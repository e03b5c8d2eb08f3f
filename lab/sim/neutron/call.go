package neutron

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// call is a request with a valid token.
type call struct {
	w http.ResponseWriter
	*http.Request
	caller *service.Caller
}

func (c *call) answer(key string, status int, v any) {
	service.WriteJSON(c.w, status, map[string]any{key: v})
}

func (c *call) fail(status int, kind, message string) { writeError(c.w, status, kind, message) }

func (c *call) notFound(kind, id string) {
	c.fail(http.StatusNotFound, kind+"NotFound", kind+" "+id+" could not be found.")
}

func writeError(w http.ResponseWriter, status int, kind, message string) {
	service.WriteJSON(w, status, map[string]any{"NeutronError": map[string]any{"type": kind, "message": message, "detail": ""}})
}

// Fail answers in Neutron's form.
func (n *Neutron) Fail(w http.ResponseWriter, _ *http.Request, status int, message string) {
	kind := "HTTP" + http.StatusText(status)
	switch status {
	case http.StatusNotFound:
		kind = "HTTPNotFound"
	case http.StatusInternalServerError:
		kind = "HTTPInternalServerError"
	case http.StatusServiceUnavailable:
		kind = "HTTPServiceUnavailable"
	}
	writeError(w, status, kind, message)
}

func (n *Neutron) authorized(h func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := n.config.Tokens.Caller(r.Header.Get("X-Auth-Token"))
		if caller == nil {
			service.Unauthorized(w, n.config.Identity)
			return
		}
		h(&call{w, r, caller})
	}
}

// read reads a body of one resource, {"network": {...}}; it answers 400 and returns false if it is none.
func (c *call) read(key string, v any) bool {
	var body map[string]json.RawMessage
	err := service.ReadJSON(c.Request, &body)
	if err == nil && body[key] == nil {
		//lint:ignore ST1005 Neutron's words
		err = fmt.Errorf("Unable to find '%s' in request body", key)
	}
	if err == nil {
		err = json.Unmarshal(body[key], v)
	}
	if err != nil {
		c.fail(http.StatusBadRequest, "HTTPBadRequest", err.Error())
		return false
	}
	return true
}

// wants tells whether a resource passes the query's filters: each may be given several times, one value must be it.
func (c *call) wants(fields map[string]string) bool {
	q := c.URL.Query()
	for field, value := range fields {
		if wanted, ok := q[field]; ok && !slices.Contains(wanted, value) {
			return false
		}
	}
	return true
}

// sees tells whether the caller may see what a project owns.
func (c *call) sees(project string, shared bool) bool {
	return shared || c.caller.Admin() || c.caller.ProjectID == project
}
