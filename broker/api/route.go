package api

import (
	"net/http"
	"strings"

	"github.com/deskstorm/deskstorm/broker/client"
)

// route is a line of the API: a method, and a path as http.ServeMux and OpenAPI both write it.
type route struct {
	method   string
	path     string
	operator bool // asks for the operator's token
	quiet    bool // asked so often by machines that its log line is for debugging
	handle   func(*call) error
}

// routes is the whole API.
func (s *server) routes() []route {
	return []route{
		{method: "POST", path: "/v1/sessions", handle: s.login},
		{method: "GET", path: "/v1/sessions/{id}", handle: s.session},
		{method: "DELETE", path: "/v1/sessions/{id}", handle: s.logout},
		{method: "POST", path: "/v1/sessions/{id}/console", handle: s.console},
		{method: "POST", path: "/v1/sessions/{id}/renew", handle: s.renew},
		{method: "POST", path: "/v1/sessions/{id}/report-broken", handle: s.reportBroken},

		{method: "GET", path: "/v1/desktops", operator: true, handle: s.desktops},
		{method: "POST", path: "/v1/desktops/{id}/drain", operator: true, handle: s.drain},
		{method: "POST", path: "/v1/desktops/{id}/release", operator: true, handle: s.release},
		{method: "POST", path: "/v1/desktops/{id}/report-broken", operator: true, handle: s.desktopBroken},
		{method: "GET", path: "/v1/bindings", operator: true, handle: s.bindings},
		{method: "PUT", path: "/v1/bindings/{pool}/{kind}/{key}", operator: true, handle: s.rebind},
		{method: "DELETE", path: "/v1/bindings/{pool}/{kind}/{key}", operator: true, handle: s.unbind},
		{method: "GET", path: "/v1/pools", operator: true, handle: s.pools},

		{method: "GET", path: "/v1/openapi.yaml", handle: description},
		{method: "GET", path: "/-/healthy", quiet: true, handle: healthy},
		{method: "GET", path: "/-/ready", quiet: true, handle: s.ready},
		{method: "GET", path: "/metrics", quiet: true, handle: s.ownMetrics},
	}
}

func methodNotAllowed(allowed []string) func(*call) error {
	list := strings.Join(allowed, ", ")
	return func(c *call) error {
		c.w.Header().Set("Allow", list)
		return &refusal{status: http.StatusMethodNotAllowed, class: client.BadRequest, detail: "possible here: " + list}
	}
}

func nothingHere(*call) error {
	return &client.Error{Class: NotFound, Message: "there is nothing at this path; see /v1/openapi.yaml"}
}
