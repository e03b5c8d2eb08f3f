package keystone

import (
	"net/http"
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// endpoint is as the API shows it. It does not change; an update replaces it.
type endpoint struct {
	ID        string            `json:"id"`
	Interface string            `json:"interface"`
	RegionID  *string           `json:"region_id"`
	Region    *string           `json:"region"`
	Service   string            `json:"service_id"`
	URL       string            `json:"url"`
	Enabled   bool              `json:"enabled"`
	Links     map[string]string `json:"links"`
}

// interfaces are those that a service can be reached by.
var interfaces = []string{"public", "internal", "admin"}

func (k *Keystone) newEndpoint(id string) *endpoint {
	return &endpoint{ID: id, Enabled: true, Links: map[string]string{"self": k.URL() + "/endpoints/" + id}}
}

func (k *Keystone) listEndpoints(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_endpoints") == nil {
		return
	}
	q := service.Query{Values: r.URL.Query()}
	list := []*endpoint{}
	k.mu.RLock()
	for _, e := range k.endpoints {
		if q.Allows("service_id", e.Service) && q.Allows("interface", e.Interface) &&
			(!q.Has("region_id") || e.RegionID != nil && q.Get("region_id") == *e.RegionID) {
			list = append(list, e)
		}
	}
	k.mu.RUnlock()
	links := k.selfLink("/endpoints")
	if r.URL.RawQuery != "" {
		links = k.selfLink("/endpoints?" + r.URL.RawQuery)
	}
	service.WriteJSON(w, http.StatusOK, map[string]any{"endpoints": list, "links": links})
}

// findEndpoint is the one of the path, for administrators; without one it answers 404.
func (k *Keystone) findEndpoint(w http.ResponseWriter, r *http.Request, action string) *endpoint {
	if k.admin(w, r, action) == nil {
		return nil
	}
	id := r.PathValue("id")
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, e := range k.endpoints {
		if e.ID == id {
			return e
		}
	}
	k.notFound(w, r, "endpoint", id)
	return nil
}

func (k *Keystone) showEndpoint(w http.ResponseWriter, r *http.Request) {
	if e := k.findEndpoint(w, r, "identity:get_endpoint"); e != nil {
		service.WriteJSON(w, http.StatusOK, map[string]any{"endpoint": e})
	}
}

type endpointBody struct {
	Endpoint struct {
		Service   *string `json:"service_id"`
		Interface *string `json:"interface"`
		URL       *string `json:"url"`
		RegionID  *string `json:"region_id"`
		Region    *string `json:"region"` // as of API v2
		Enabled   *bool   `json:"enabled"`
	} `json:"endpoint"`
}

// apply checks what a request wants of an endpoint, and does it.
func (k *Keystone) applyEndpoint(w http.ResponseWriter, r *http.Request, b endpointBody, e *endpoint) bool {
	set(&e.Service, b.Endpoint.Service)
	set(&e.Interface, b.Endpoint.Interface)
	set(&e.URL, b.Endpoint.URL)
	set(&e.Enabled, b.Endpoint.Enabled)
	for _, id := range []*string{b.Endpoint.Region, b.Endpoint.RegionID} {
		if id != nil {
			e.RegionID, e.Region = id, id
		}
	}
	if !slices.Contains(interfaces, e.Interface) {
		k.Fail(w, r, http.StatusBadRequest, "Invalid input for field 'interface': '"+e.Interface+"' is not one of ['admin', 'internal', 'public']")
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.serviceByID(e.Service) == nil {
		k.badRequest(w, r, "endpoint service_id", "service table")
		return false
	}
	if e.RegionID != nil && k.regions[*e.RegionID] == nil {
		k.badRequest(w, r, "endpoint region_id", "region table")
		return false
	}
	return true
}

func (k *Keystone) createEndpoint(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_endpoint") == nil {
		return
	}
	var body endpointBody
	if !k.read(w, r, &body) || !k.given(w, r, "interface", body.Endpoint.Interface, true) ||
		!k.given(w, r, "service_id", body.Endpoint.Service, true) || !k.given(w, r, "url", body.Endpoint.URL, true) {
		return
	}
	e := k.newEndpoint(newID())
	if !k.applyEndpoint(w, r, body, e) {
		return
	}
	k.mu.Lock()
	k.endpoints = append(k.endpoints, e)
	k.renderCatalog()
	k.mu.Unlock()
	k.tell("created", "endpoint", e.ID)
	service.WriteJSON(w, http.StatusCreated, map[string]any{"endpoint": e})
}

func (k *Keystone) updateEndpoint(w http.ResponseWriter, r *http.Request) {
	e := k.findEndpoint(w, r, "identity:update_endpoint")
	var body endpointBody
	if e == nil || !k.read(w, r, &body) {
		return
	}
	updated := *e
	if !k.applyEndpoint(w, r, body, &updated) {
		return
	}
	k.mu.Lock()
	if i := slices.Index(k.endpoints, e); i >= 0 {
		k.endpoints[i] = &updated
	}
	k.renderCatalog()
	k.mu.Unlock()
	k.tell("updated", "endpoint", e.ID)
	service.WriteJSON(w, http.StatusOK, map[string]any{"endpoint": &updated})
}

func (k *Keystone) deleteEndpoint(w http.ResponseWriter, r *http.Request) {
	e := k.findEndpoint(w, r, "identity:delete_endpoint")
	if e == nil {
		return
	}
	k.mu.Lock()
	k.endpoints = slices.DeleteFunc(k.endpoints, func(o *endpoint) bool { return o.ID == e.ID })
	k.renderCatalog()
	k.mu.Unlock()
	k.tell("deleted", "endpoint", e.ID)
	w.WriteHeader(http.StatusNoContent)
}
