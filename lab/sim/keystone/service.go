package keystone

import (
	"net/http"
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// registered is a service of the catalog. It does not change; an update replaces it.
type registered struct {
	id, kind, name string
	description    *string
	enabled        bool
}

func (k *Keystone) serviceView(s *registered) map[string]any {
	v := map[string]any{
		"id": s.id, "type": s.kind, "name": s.name, "enabled": s.enabled,
		"links": map[string]string{"self": k.URL() + "/services/" + s.id},
	}
	if s.description != nil {
		v["description"] = *s.description
	}
	return v
}

func (k *Keystone) listServices(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_services") == nil {
		return
	}
	q := service.Query{Values: r.URL.Query()}
	list := []any{}
	k.mu.RLock()
	for _, s := range k.services {
		if q.Allows("type", s.kind) && q.Allows("name", s.name) {
			list = append(list, k.serviceView(s))
		}
	}
	k.mu.RUnlock()
	service.WriteJSON(w, http.StatusOK, map[string]any{"services": list, "links": k.selfLink("/services")})
}

// findService is the one of the path, for administrators; without one it answers 404.
func (k *Keystone) findService(w http.ResponseWriter, r *http.Request, action string) *registered {
	if k.admin(w, r, action) == nil {
		return nil
	}
	k.mu.RLock()
	s := k.serviceByID(r.PathValue("id"))
	k.mu.RUnlock()
	if s == nil {
		k.notFound(w, r, "service", r.PathValue("id"))
	}
	return s
}

// serviceByID is called with the lock held.
func (k *Keystone) serviceByID(id string) *registered {
	for _, s := range k.services {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (k *Keystone) showService(w http.ResponseWriter, r *http.Request) {
	if s := k.findService(w, r, "identity:get_service"); s != nil {
		service.WriteJSON(w, http.StatusOK, map[string]any{"service": k.serviceView(s)})
	}
}

type serviceBody struct {
	Service struct {
		Type        *string `json:"type"`
		Name        *string `json:"name"`
		Description *string `json:"description"`
		Enabled     *bool   `json:"enabled"`
	} `json:"service"`
}

func (b *serviceBody) apply(s *registered) {
	set(&s.kind, b.Service.Type)
	set(&s.name, b.Service.Name)
	set(&s.enabled, b.Service.Enabled)
	if b.Service.Description != nil {
		s.description = b.Service.Description
	}
}

func (k *Keystone) createService(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_service") == nil {
		return
	}
	var body serviceBody
	if !k.read(w, r, &body) || !k.given(w, r, "type", body.Service.Type, true) {
		return
	}
	s := &registered{id: newID(), enabled: true}
	body.apply(s)
	k.mu.Lock()
	k.services = append(k.services, s)
	k.renderCatalog()
	k.mu.Unlock()
	k.tell("created", "service", s.id)
	service.WriteJSON(w, http.StatusCreated, map[string]any{"service": k.serviceView(s)})
}

func (k *Keystone) updateService(w http.ResponseWriter, r *http.Request) {
	s := k.findService(w, r, "identity:update_service")
	var body serviceBody
	if s == nil || !k.read(w, r, &body) {
		return
	}
	updated := *s
	body.apply(&updated)
	k.mu.Lock()
	if i := slices.Index(k.services, s); i >= 0 {
		k.services[i] = &updated
	}
	k.renderCatalog()
	k.mu.Unlock()
	k.tell("updated", "service", s.id)
	service.WriteJSON(w, http.StatusOK, map[string]any{"service": k.serviceView(&updated)})
}

// deleteService deletes its endpoints too.
func (k *Keystone) deleteService(w http.ResponseWriter, r *http.Request) {
	s := k.findService(w, r, "identity:delete_service")
	if s == nil {
		return
	}
	k.mu.Lock()
	k.services = slices.DeleteFunc(k.services, func(o *registered) bool { return o.id == s.id })
	k.endpoints = slices.DeleteFunc(k.endpoints, func(e *endpoint) bool { return e.Service == s.id })
	k.renderCatalog()
	k.mu.Unlock()
	k.tell("deleted", "service", s.id)
	w.WriteHeader(http.StatusNoContent)
}
