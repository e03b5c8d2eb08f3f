package service

import "net/http"

// Router sends requests to handlers by method and path. It leaves the template that matched, such as
// "GET /v2.1/servers/{id}", in the request's Pattern.
type Router struct {
	mux  http.ServeMux
	fail Fail
}

// NewRouter makes a router that answers with fail where nothing matches.
func NewRouter(fail Fail) *Router { return &Router{fail: fail} }

// Handle sets the handler of a method and a path as http.ServeMux writes it. GET is also HEAD.
func (r *Router) Handle(method, path string, h http.HandlerFunc) {
	r.mux.HandleFunc(method+" "+path, h)
}

func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h, pattern := r.mux.Handler(req)
	if pattern != "" {
		r.mux.ServeHTTP(w, req) // sets the path's values too
		return
	}
	// The mux has found that this path is not there, or not with this method; say so in the service's form.
	answer := verdict{header: http.Header{}}
	h.ServeHTTP(&answer, req)
	if answer.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", answer.header.Get("Allow"))
		r.fail(w, req, answer.status, "The method specified is not allowed for this resource.")
		return
	}
	r.fail(w, req, http.StatusNotFound, "The resource could not be found.")
}

// verdict is what the mux would have answered.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(status int)      { v.status = status }
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// Route is the template that a request matches; empty if there is none.
func (r *Router) Route(req *http.Request) string {
	_, pattern := r.mux.Handler(req)
	return pattern
}
