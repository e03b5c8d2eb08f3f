package keystone

import (
	"net/http"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// role does not change.
type role struct{ id, name string }

// implied are the roles that keystone-manage bootstrap makes roles imply.
var implied = map[string][]string{"admin": {"member", "reader"}, "member": {"reader"}}

// addRole is called with the lock held, or before the Keystone is used. The ids of roles that there are from the start are the
// same in every run.
func (k *Keystone) addRole(name string) *role {
	if r := k.roleByName(name); r != nil {
		return r
	}
	r := &role{stableID("role", name), name}
	k.roles[r.id] = r
	return r
}

func (k *Keystone) roleByName(name string) *role { return k.roles[stableID("role", name)] }

func (k *Keystone) roleView(r *role) map[string]any {
	_, immutable := implied[r.name]
	options := map[string]any{}
	if immutable || r.name == "reader" {
		options["immutable"] = true
	}
	return map[string]any{
		"id": r.id, "name": r.name, "domain_id": nil, "description": nil, "options": options,
		"links": map[string]string{"self": k.URL() + "/roles/" + r.id},
	}
}

func (k *Keystone) listRoles(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_roles") == nil {
		return
	}
	q := service.Query{Values: r.URL.Query()}
	k.mu.RLock()
	var names []string
	for _, o := range k.roles {
		if q.Allows("name", o.name) {
			names = append(names, o.name)
		}
	}
	k.mu.RUnlock()
	k.writeRoles(w, "/roles", names)
}

// writeRoles lists roles by their names.
func (k *Keystone) writeRoles(w http.ResponseWriter, path string, names []string) {
	slices.Sort(names)
	list := []any{}
	k.mu.RLock()
	for _, name := range names {
		if o := k.roleByName(name); o != nil {
			list = append(list, k.roleView(o))
		}
	}
	k.mu.RUnlock()
	service.WriteJSON(w, http.StatusOK, map[string]any{"roles": list, "links": k.selfLink(path)})
}

// role is the one of the path; without one it answers 404.
func (k *Keystone) role(w http.ResponseWriter, r *http.Request, id string) *role {
	k.mu.RLock()
	o := k.roles[id]
	k.mu.RUnlock()
	if o == nil {
		k.notFound(w, r, "role", id)
	}
	return o
}

func (k *Keystone) showRole(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:get_role") == nil {
		return
	}
	if o := k.role(w, r, r.PathValue("id")); o != nil {
		service.WriteJSON(w, http.StatusOK, map[string]any{"role": k.roleView(o)})
	}
}

func (k *Keystone) createRole(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_role") == nil {
		return
	}
	var body struct {
		Role struct {
			Name *string `json:"name"`
		} `json:"role"`
	}
	if !k.read(w, r, &body) || !k.named(w, r, body.Role.Name, true) {
		return
	}
	name := *body.Role.Name
	k.mu.Lock()
	exists := k.roleByName(name) != nil
	o := k.addRole(name)
	k.mu.Unlock()
	if exists {
		k.conflict(w, r, "role - Duplicate entry found with name "+name+".")
		return
	}
	k.tell("created", "role", o.id)
	service.WriteJSON(w, http.StatusCreated, map[string]any{"role": k.roleView(o)})
}

func (k *Keystone) deleteRole(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:delete_role") == nil {
		return
	}
	o := k.role(w, r, r.PathValue("id"))
	if o == nil {
		return
	}
	if _, immutable := k.roleView(o)["options"].(map[string]any)["immutable"]; immutable {
		k.Fail(w, r, http.StatusForbidden, "Cannot delete immutable resource. The immutable option must be set to false first: role "+o.id+".")
		return
	}
	k.mu.Lock()
	delete(k.roles, o.id)
	for at, names := range k.assignments {
		k.assignments[at] = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == o.name })
	}
	k.refreshTokens(func(*token) bool { return true })
	k.mu.Unlock()
	k.tell("deleted", "role", o.id)
	w.WriteHeader(http.StatusNoContent)
}

// withImplied adds the roles that roles imply; sorted.
func withImplied(names []string) []string {
	all := slices.Clone(names)
	for _, name := range names {
		all = append(all, implied[name]...)
	}
	slices.SortFunc(all, strings.Compare)
	return slices.Compact(all)
}
