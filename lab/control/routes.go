package control

import (
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

//go:embed page.html
var page []byte

const jsonKind = "application/json"

// routes has the API's paths. A page of another origin that a browser on this machine has open may neither inject nor undo.
func (c *Control) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy",
			"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:")
		_, _ = w.Write(page)
	})
	mux.HandleFunc("GET /v1/state", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, jsonKind, c.state()) })
	mux.HandleFunc("GET /v1/types", c.listTypes)
	mux.HandleFunc("POST /v1/faults", c.createFault)
	mux.HandleFunc("GET /v1/faults", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, jsonKind, map[string]any{"faults": c.views()})
	})
	mux.HandleFunc("DELETE /v1/faults", c.deleteFaults)
	mux.HandleFunc("GET /v1/faults/{id}", c.showFault)
	mux.HandleFunc("DELETE /v1/faults/{id}", c.deleteFault)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &refusal{http.StatusNotFound, "not-found", r.Method + " " + r.URL.Path + " is not there: see /v1/state, /v1/faults, /v1/types."})
	})
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, &refusal{http.StatusForbidden, "cross-origin", "A page of another origin may not switch faults."})
	}))
	return guard.Handler(mux)
}

// Fault is a fault as the API shows it.
type Fault struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Parameters json.RawMessage `json:"parameters"`
	Targets    []string        `json:"targets"` // what it hit: ids of servers, names of hosts and services; none: all, or requests
	Began      time.Time       `json:"began"`
	Until      *time.Time      `json:"until"`           // null: until it is undone
	Ended      *time.Time      `json:"ended"`           // null: not yet
	Error      string          `json:"error,omitempty"` // why it could not be undone yet
}

func (c *Control) view(a *active) Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := Fault{ID: a.id, Type: a.kind, Parameters: a.parameters, Targets: a.shown, Began: a.began.UTC(), Error: a.failed}
	if f.Targets == nil {
		f.Targets = []string{}
	}
	if !a.until.IsZero() {
		f.Until = new(a.until.UTC())
	}
	if !a.ended.IsZero() {
		f.Ended = new(a.ended.UTC())
	}
	return f
}

func (c *Control) views() []Fault {
	list := []Fault{}
	for _, a := range c.all() {
		list = append(list, c.view(a))
	}
	return list
}

func (c *Control) createFault(w http.ResponseWriter, r *http.Request) {
	o, err := c.read(r)
	if err != nil {
		fail(w, err)
		return
	}
	a, err := c.inject(o)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Location", "/v1/faults/"+a.id)
	write(w, http.StatusCreated, jsonKind, c.view(a))
}

// find is a fault that is still shown; nil if there is none.
func (c *Control) find(id string) *active {
	for _, a := range c.all() {
		if a.id == id {
			return a
		}
	}
	return nil
}

func noFault(w http.ResponseWriter, r *http.Request) {
	fail(w, &refusal{http.StatusNotFound, "not-found", "There is no fault " + r.PathValue("id") + "."})
}

func (c *Control) showFault(w http.ResponseWriter, r *http.Request) {
	a := c.find(r.PathValue("id"))
	if a == nil {
		noFault(w, r)
		return
	}
	write(w, http.StatusOK, jsonKind, c.view(a))
}

// deleteFault answers 204 for a fault that has ended, also if it is not shown any more.
func (c *Control) deleteFault(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	known := c.ids[r.PathValue("id")]
	c.mu.Unlock()
	if !known {
		noFault(w, r)
		return
	}
	if a := c.find(r.PathValue("id")); a != nil {
		if err := c.end(a); err != nil {
			fail(w, err)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// deleteFaults undoes the latest first.
func (c *Control) deleteFaults(w http.ResponseWriter, _ *http.Request) {
	all := c.all()
	var errs []error
	for i := range all {
		errs = append(errs, c.end(all[len(all)-1-i]))
	}
	if err := errors.Join(errs...); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *Control) listTypes(w http.ResponseWriter, _ *http.Request) {
	type view struct {
		Type       string   `json:"type"`
		Does       string   `json:"does"`
		Parameters []string `json:"parameters"`
	}
	list := []view{}
	for _, k := range c.types {
		list = append(list, view{k.name, k.does, parameters(k.make())})
	}
	write(w, http.StatusOK, jsonKind, map[string]any{"types": list})
}
