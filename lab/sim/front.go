package sim

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// front sends requests to the services by the first part of their paths, as OpenStack does where one web server has them all.
type front struct {
	identity string // Keystone's URL without its version
	backends map[string]backend
	faults   *faults
	counts   counts
}

type backend struct {
	name string
	api  api
}

// api is a service.
type api interface {
	http.Handler
	Fail(w http.ResponseWriter, r *http.Request, status int, message string)
	Route(*http.Request) string
}

func newFront(seed uint64, identity string, backends map[string]backend) *front {
	return &front{identity: identity, backends: backends, faults: newFaults(seed), counts: counts{byRequest: map[Request]int{}}}
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	prefix, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	to, ok := f.backends[prefix]
	if !ok {
		http.NotFound(w, r)
		return
	}
	// A shallow copy, as http.StripPrefix makes; the service leaves its route's template in it.
	inner := *r
	inner.URL = new(url.URL)
	*inner.URL = *r.URL
	inner.URL.Path = "/" + rest
	if r.URL.RawPath != "" {
		inner.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/"+prefix)
	}
	answer := &recorder{ResponseWriter: w}
	defer func() { f.counts.add(to.name, &inner, answer.status) }() // also if the connection is cut
	status := f.faults.apply(to.name, answer, &inner)
	if status == 0 {
		to.api.ServeHTTP(answer, &inner)
		return
	}
	inner.Pattern = to.api.Route(&inner)
	switch {
	case status != http.StatusUnauthorized:
		to.api.Fail(answer, &inner, status, injected)
	case to.name == "keystone":
		to.api.Fail(answer, &inner, status, service.NeedsAuthentication)
	default:
		service.Unauthorized(answer, f.identity)
	}
}

// injected is the message of errors that a Fault asked for.
const injected = "The lab was told to fail this request."

// recorder remembers an answer's status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}
