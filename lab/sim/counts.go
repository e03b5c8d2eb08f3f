package sim

import (
	"maps"
	"net/http"
	"strings"
	"sync"
)

// Request is a kind of requests to the APIs.
type Request struct {
	Service string // "keystone", "nova", "placement", "glance", "neutron"
	Method  string
	Route   string // the path's template within the service, such as "/v2.1/servers/{id}"; empty: there is none
	Status  int    // 0: the connection was cut before an answer
}

type counts struct {
	mu        sync.Mutex
	byRequest map[Request]int
}

func (c *counts) add(service string, r *http.Request, status int) {
	_, route, found := strings.Cut(r.Pattern, " ")
	if !found {
		route = r.Pattern
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byRequest[Request{service, r.Method, strings.TrimSuffix(route, "{$}"), status}]++
}

// Requests is how many requests were answered so far, by their kind.
func (l *Lab) Requests() map[Request]int {
	c := &l.front.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byRequest)
}
