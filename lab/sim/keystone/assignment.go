package keystone

import (
	"net/http"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// target is what a role is for: a project, a domain or the whole system.
type target struct{ kind, id string }

// The kinds of targets.
const (
	onProject = "project"
	onDomain  = "domain"
	onSystem  = "system"
)

var wholeSystem = target{onSystem, "all"}

// grant is where the roles of a user are.
type grant struct {
	user string
	on   target
}

// direct are the names of the roles that a user was given on a target, by an assignment or by the directory. It is called with the
// lock held.
func (k *Keystone) direct(u *user, on target) []string {
	names := slices.Clone(k.assignments[grant{u.id, on}])
	if on.kind == onProject {
		if p := k.projects[on.id]; p != nil && p.DomainID == defaultDomainID {
			names = append(names, u.roles[p.Name]...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rolesOn are the names of the roles that a user has on a target, with those that they imply.
func (k *Keystone) rolesOn(u *user, on target) []string { return withImplied(k.direct(u, on)) }

// assigned is what a path of assignments names.
type assigned struct {
	grant
	user *user
	role *role // nil: the path has none
}

// assigned finds what a path names; where it is not there it answers 404.
func (k *Keystone) assigned(w http.ResponseWriter, r *http.Request, kind, action string) *assigned {
	if k.admin(w, r, action) == nil {
		return nil
	}
	a := &assigned{}
	if id := r.PathValue("role"); id != "" {
		if a.role = k.role(w, r, id); a.role == nil {
			return nil
		}
	}
	id, userID := r.PathValue("id"), r.PathValue("user")
	k.mu.RLock()
	a.user = k.users[userID]
	found := kind == onSystem || kind == onProject && k.projects[id] != nil || kind == onDomain && k.domains[id] != nil
	k.mu.RUnlock()
	switch {
	case a.user == nil:
		k.notFound(w, r, "user", userID)
		return nil
	case !found:
		k.notFound(w, r, kind, id)
		return nil
	case kind == onSystem:
		a.grant = grant{userID, wholeSystem}
	default:
		a.grant = grant{userID, target{kind, id}}
	}
	return a
}

func (k *Keystone) listGrants(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a := k.assigned(w, r, kind, "identity:list_grants"); a != nil {
			k.mu.RLock()
			names := k.direct(a.user, a.on)
			k.mu.RUnlock()
			k.writeRoles(w, strings.TrimPrefix(r.URL.Path, "/v3"), names)
		}
	}
}

// checkGrant answers HEAD and GET.
func (k *Keystone) checkGrant(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := k.assigned(w, r, kind, "identity:check_grant")
		if a == nil {
			return
		}
		k.mu.RLock()
		has := slices.Contains(k.direct(a.user, a.on), a.role.name)
		k.mu.RUnlock()
		if !has {
			k.noGrant(w, r, a)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (k *Keystone) noGrant(w http.ResponseWriter, r *http.Request, a *assigned) {
	k.notFound(w, r, "role assignment with role", a.role.id+", user or group: "+a.user.id+", project, domain, or system: "+a.on.id)
}

func (k *Keystone) createGrant(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := k.assigned(w, r, kind, "identity:create_grant")
		if a == nil {
			return
		}
		k.mu.Lock()
		k.assign(a.grant, a.role.name)
		k.refreshTokens(func(t *token) bool { return t.user.id == a.user.id })
		k.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

// assign is called with the lock held, or before the Keystone is used.
func (k *Keystone) assign(at grant, name string) {
	if !slices.Contains(k.assignments[at], name) {
		k.assignments[at] = append(slices.Clone(k.assignments[at]), name)
	}
}

func (k *Keystone) deleteGrant(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := k.assigned(w, r, kind, "identity:revoke_grant")
		if a == nil {
			return
		}
		k.mu.Lock()
		i := slices.Index(k.assignments[a.grant], a.role.name)
		if i >= 0 {
			k.assignments[a.grant] = slices.Delete(slices.Clone(k.assignments[a.grant]), i, i+1)
			k.refreshTokens(func(t *token) bool { return t.user.id == a.user.id })
		}
		k.mu.Unlock()
		if i < 0 {
			k.noGrant(w, r, a)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// listAssignments knows the filters by user, role and scope; "effective" adds what roles imply.
func (k *Keystone) listAssignments(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_role_assignments") == nil {
		return
	}
	q := service.Query{Values: r.URL.Query()}
	list := []any{}
	k.mu.RLock()
	for _, at := range k.grants() {
		u := k.users[at.user]
		if !q.Allows("user.id", at.user) ||
			q.Has("scope.project.id") && at.on != (target{onProject, q.Get("scope.project.id")}) ||
			q.Has("scope.domain.id") && at.on != (target{onDomain, q.Get("scope.domain.id")}) ||
			q.Has("scope.system") && at.on != wholeSystem {
			continue
		}
		names := k.direct(u, at.on)
		if q.Has("effective") {
			names = withImplied(names)
		}
		for _, name := range names {
			if o := k.roleByName(name); o != nil && q.Allows("role.id", o.id) {
				list = append(list, k.assignmentView(u, at.on, o, q.Has("include_names")))
			}
		}
	}
	k.mu.RUnlock()
	links := k.selfLink("/role_assignments")
	if r.URL.RawQuery != "" {
		links = k.selfLink("/role_assignments?" + r.URL.RawQuery)
	}
	service.WriteJSON(w, http.StatusOK, map[string]any{"role_assignments": list, "links": links})
}

// grants are where somebody has a role, in an order that stays.
func (k *Keystone) grants() []grant {
	seen := map[grant]bool{}
	for at := range k.assignments {
		seen[at] = k.users[at.user] != nil
	}
	for _, u := range k.users {
		for name := range u.roles {
			if p := k.projectNamed(defaultDomainID, name); p != nil {
				seen[grant{u.id, target{onProject, p.ID}}] = true
			}
		}
	}
	var all []grant
	for at, there := range seen {
		if there {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, func(a, b grant) int {
		return strings.Compare(a.user+a.on.kind+a.on.id, b.user+b.on.kind+b.on.id)
	})
	return all
}

func (k *Keystone) assignmentView(u *user, on target, o *role, names bool) map[string]any {
	ref := func(id, name, domain string) map[string]any {
		v := map[string]any{"id": id}
		if names {
			v["name"] = name
			if domain != "" {
				v["domain"] = k.domainRef(domain)
			}
		}
		return v
	}
	var scope any
	path := "/" + on.kind + "s/" + on.id
	switch on.kind {
	case onProject:
		p := k.projects[on.id]
		scope = ref(p.ID, p.Name, p.DomainID)
	case onDomain:
		scope = ref(on.id, k.domains[on.id].name, "")
	default:
		scope, path = map[string]any{"all": true}, "/system"
	}
	return map[string]any{
		"scope": map[string]any{on.kind: scope}, "user": ref(u.id, u.name, u.domain), "role": ref(o.id, o.name, ""),
		"links": map[string]string{"assignment": k.URL() + path + "/users/" + u.id + "/roles/" + o.id},
	}
}
