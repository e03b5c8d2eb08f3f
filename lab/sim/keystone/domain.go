package keystone

import (
	"net/http"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

const defaultDomainID = "default" // by keystone-manage bootstrap

func usersDomainID() string { return stableID("domain", UsersDomain) }

// domain does not change; an update replaces it.
type domain struct {
	id, name, description string
	enabled               bool
}

// domainID is empty for a domain that there is not. It is called with the lock held.
func (k *Keystone) domainID(ref *reference) string {
	if ref == nil {
		return ""
	}
	for _, d := range k.domains {
		if d.enabled && (ref.ID == d.id || ref.ID == "" && ref.Name == d.name) {
			return d.id
		}
	}
	return ""
}

// domainRef is called with the lock held.
func (k *Keystone) domainRef(id string) nameRef {
	if d := k.domains[id]; d != nil {
		return nameRef{id, d.name}
	}
	return nameRef{ID: id}
}

func (k *Keystone) domainView(d *domain) map[string]any {
	return map[string]any{
		"id": d.id, "name": d.name, "description": d.description, "enabled": d.enabled, "tags": []string{}, "options": map[string]any{},
		"links": map[string]string{"self": k.URL() + "/domains/" + d.id},
	}
}

func (k *Keystone) writeDomains(w http.ResponseWriter, path string, keep func(*domain) bool) {
	k.mu.RLock()
	var found []*domain
	for _, d := range k.domains {
		if keep(d) {
			found = append(found, d)
		}
	}
	k.mu.RUnlock()
	slices.SortFunc(found, func(a, b *domain) int { return strings.Compare(a.name, b.name) })
	list := []any{}
	for _, d := range found {
		list = append(list, k.domainView(d))
	}
	service.WriteJSON(w, http.StatusOK, map[string]any{"domains": list, "links": k.selfLink(path)})
}

func (k *Keystone) listDomains(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_domains") == nil {
		return
	}
	q := service.Query{Values: r.URL.Query()}
	k.writeDomains(w, "/domains", func(d *domain) bool {
		return q.Allows("name", d.name) && allowsEnabled(q, d.enabled)
	})
}

// wantsTrue reads a query's boolean as Keystone does: all but a few words are true.
func wantsTrue(s string) bool {
	switch strings.ToLower(s) {
	case "0", "false", "no", "off":
		return false
	}
	return true
}

// allowsEnabled tells whether what is enabled, or not, is asked for.
func allowsEnabled(q service.Query, enabled bool) bool {
	return !q.Has("enabled") || wantsTrue(q.Get("enabled")) == enabled
}

func (k *Keystone) listOwnDomains(w http.ResponseWriter, r *http.Request) {
	if t := k.caller(w, r); t != nil {
		k.writeDomains(w, "/auth/domains", func(d *domain) bool {
			return d.enabled && len(k.direct(t.user, target{onDomain, d.id})) > 0
		})
	}
}

// showOwnSystem tells whether the caller may have a token of the whole system.
func (k *Keystone) showOwnSystem(w http.ResponseWriter, r *http.Request) {
	t := k.caller(w, r)
	if t == nil {
		return
	}
	k.mu.RLock()
	list := []any{}
	if len(k.direct(t.user, wholeSystem)) > 0 {
		list = append(list, map[string]any{"all": true})
	}
	k.mu.RUnlock()
	service.WriteJSON(w, http.StatusOK, map[string]any{"system": list, "links": map[string]any{"self": k.URL() + "/auth/system"}})
}

// findDomain is the one of the path; without one it answers 404.
func (k *Keystone) findDomain(w http.ResponseWriter, r *http.Request) *domain {
	k.mu.RLock()
	d := k.domains[r.PathValue("id")]
	k.mu.RUnlock()
	if d == nil {
		k.notFound(w, r, "domain", r.PathValue("id"))
	}
	return d
}

func (k *Keystone) showDomain(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:get_domain") == nil {
		return
	}
	if d := k.findDomain(w, r); d != nil {
		service.WriteJSON(w, http.StatusOK, map[string]any{"domain": k.domainView(d)})
	}
}

type domainBody struct {
	Domain struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
		Enabled     *bool   `json:"enabled"`
	} `json:"domain"`
}

func (b *domainBody) apply(d *domain) {
	set(&d.name, b.Domain.Name)
	set(&d.description, b.Domain.Description)
	set(&d.enabled, b.Domain.Enabled)
}

// set gives a field the value that a request has for it, if any.
func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

func (k *Keystone) createDomain(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_domain") == nil {
		return
	}
	var body domainBody
	if !k.read(w, r, &body) || !k.named(w, r, body.Domain.Name, true) {
		return
	}
	d := &domain{id: newID(), enabled: true}
	body.apply(d)
	if k.storeDomain(w, r, d) {
		k.tell("created", "domain", d.id)
		service.WriteJSON(w, http.StatusCreated, map[string]any{"domain": k.domainView(d)})
	}
}

// storeDomain keeps a domain, unless another one has its name.
func (k *Keystone) storeDomain(w http.ResponseWriter, r *http.Request, d *domain) bool {
	k.mu.Lock()
	for _, o := range k.domains {
		if o.name == d.name && o.id != d.id {
			k.mu.Unlock()
			k.conflict(w, r, "project - it is not permitted to have two projects acting as domains with the same name: "+d.name+".")
			return false
		}
	}
	k.domains[d.id] = d
	if !d.enabled {
		k.dropTokens(func(t *token) bool {
			return t.user.domain == d.id || t.on == target{onDomain, d.id} || t.project != nil && t.project.DomainID == d.id
		})
	}
	k.mu.Unlock()
	return true
}

func (k *Keystone) updateDomain(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:update_domain") == nil {
		return
	}
	d := k.findDomain(w, r)
	var body domainBody
	if d == nil || !k.read(w, r, &body) || !k.named(w, r, body.Domain.Name, false) {
		return
	}
	updated := *d
	body.apply(&updated)
	if k.storeDomain(w, r, &updated) {
		k.tell("updated", "domain", d.id)
		service.WriteJSON(w, http.StatusOK, map[string]any{"domain": k.domainView(&updated)})
	}
}

// deleteDomain deletes its projects and users too.
func (k *Keystone) deleteDomain(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:delete_domain") == nil {
		return
	}
	d := k.findDomain(w, r)
	if d == nil {
		return
	}
	if d.enabled {
		k.Fail(w, r, http.StatusForbidden, "Cannot delete a domain that is enabled, please disable it first.")
		return
	}
	k.mu.Lock()
	for _, p := range k.projects {
		if p.DomainID == d.id {
			k.forgetProject(p)
		}
	}
	for _, u := range k.users {
		if u.domain == d.id {
			k.forgetUser(u)
		}
	}
	delete(k.domains, d.id)
	k.mu.Unlock()
	k.tell("deleted", "domain", d.id)
	w.WriteHeader(http.StatusNoContent)
}
