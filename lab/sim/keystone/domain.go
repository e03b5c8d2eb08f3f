package keystone

import (
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

const defaultDomainID = "default" // by keystone-manage bootstrap

func usersDomainID() string { return stableID("domain", UsersDomain) }

// domainID is empty for a domain that there is not.
func domainID(ref *reference) string {
	switch {
	case ref == nil:
		return ""
	case ref.ID == defaultDomainID || ref.ID == "" && ref.Name == DefaultDomain:
		return defaultDomainID
	case ref.ID == usersDomainID() || ref.ID == "" && ref.Name == UsersDomain:
		return usersDomainID()
	}
	return ""
}

func domainRef(id string) nameRef {
	if id == defaultDomainID {
		return nameRef{id, DefaultDomain}
	}
	return nameRef{id, UsersDomain}
}

func (k *Keystone) domain(id string) map[string]any {
	return map[string]any{
		"id": id, "name": domainRef(id).Name, "description": "", "enabled": true, "tags": []string{}, "options": map[string]any{},
		"links": map[string]string{"self": k.URL() + "/domains/" + id},
	}
}

func (k *Keystone) listDomains(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_domains") == nil {
		return
	}
	list := []any{}
	for _, id := range []string{defaultDomainID, usersDomainID()} {
		if name := r.URL.Query().Get("name"); name == "" || name == domainRef(id).Name {
			list = append(list, k.domain(id))
		}
	}
	service.WriteJSON(w, http.StatusOK, map[string]any{"domains": list, "links": k.selfLink("/domains")})
}

func (k *Keystone) showDomain(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:get_domain") == nil {
		return
	}
	id := r.PathValue("id")
	if domainID(&reference{ID: id}) == "" {
		k.notFound(w, r, "domain", id)
		return
	}
	service.WriteJSON(w, http.StatusOK, map[string]any{"domain": k.domain(id)})
}
