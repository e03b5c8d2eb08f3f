package keystone

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// project is as the API shows it. It does not change; an update replaces it.
type project struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	DomainID    string            `json:"domain_id"`
	ParentID    string            `json:"parent_id"`
	Description string            `json:"description"`
	Enabled     bool              `json:"enabled"`
	IsDomain    bool              `json:"is_domain"`
	Tags        []string          `json:"tags"`
	Options     map[string]any    `json:"options"`
	Links       map[string]string `json:"links"`
}

// stableID is an id as Keystone makes them, 32 hexadecimal digits, but the same in every run.
func stableID(kind, name string) string {
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte("deskstorm/"+kind+"/"+name))
	return strings.ReplaceAll(id.String(), "-", "")
}

func newID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

func (k *Keystone) newProject(id, name, domain string) *project {
	return &project{
		ID: id, Name: name, DomainID: domain, ParentID: domain, Enabled: true, Tags: []string{}, Options: map[string]any{},
		Links: map[string]string{"self": k.URL() + "/projects/" + id},
	}
}

// scopedName is a name within a domain.
type scopedName struct{ domain, name string } // the domain's id

// keepProject is called with the lock held, or before the Keystone is used.
func (k *Keystone) keepProject(p *project) {
	if old := k.projects[p.ID]; old != nil {
		delete(k.projectIDs, scopedName{old.DomainID, old.Name})
	}
	k.projects[p.ID], k.projectIDs[scopedName{p.DomainID, p.Name}] = p, p.ID
}

// forgetProject is called with the lock held.
func (k *Keystone) forgetProject(p *project) {
	delete(k.projects, p.ID)
	delete(k.projectIDs, scopedName{p.DomainID, p.Name})
	for at := range k.assignments {
		if at.on == (target{onProject, p.ID}) {
			delete(k.assignments, at)
		}
	}
	k.dropTokens(func(t *token) bool { return t.on == target{onProject, p.ID} })
}

// ProjectID is the id of a project of the domain "Default"; empty if there is none of this name.
func (k *Keystone) ProjectID(name string) string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.projectIDs[scopedName{defaultDomainID, name}]
}

// projectNamed is called with the lock held.
func (k *Keystone) projectNamed(domain, name string) *project {
	return k.projects[k.projectIDs[scopedName{domain, name}]]
}

// findProject is one that is enabled and whose domain is. It is called with the lock held.
func (k *Keystone) findProject(ref reference) *project {
	p := k.projects[ref.ID]
	if ref.ID == "" {
		p = k.projectNamed(k.domainID(ref.Domain), ref.Name)
	}
	if p == nil || !p.Enabled || k.domainID(&reference{ID: p.DomainID}) == "" {
		return nil
	}
	return p
}

func (k *Keystone) writeProjects(w http.ResponseWriter, path string, keep func(*project) bool) {
	k.mu.RLock()
	list := []*project{}
	for _, p := range k.projects {
		if keep(p) {
			list = append(list, p)
		}
	}
	k.mu.RUnlock()
	slices.SortFunc(list, func(a, b *project) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	service.WriteJSON(w, http.StatusOK, map[string]any{"projects": list, "links": k.selfLink(path)})
}

func (k *Keystone) listProjects(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_projects") == nil {
		return
	}
	q := service.Query{Values: r.URL.Query()}
	k.writeProjects(w, "/projects", func(p *project) bool {
		return q.Allows("name", p.Name) && q.Allows("domain_id", p.DomainID) && q.Allows("parent_id", p.ParentID) &&
			allowsEnabled(q, p.Enabled)
	})
}

func (k *Keystone) has(u *user) func(*project) bool {
	return func(p *project) bool { return len(k.direct(u, target{onProject, p.ID})) > 0 }
}

func (k *Keystone) listOwnProjects(w http.ResponseWriter, r *http.Request) {
	if t := k.caller(w, r); t != nil {
		k.writeProjects(w, "/auth/projects", func(p *project) bool { return p.Enabled && k.has(t.user)(p) })
	}
}

func (k *Keystone) listUserProjects(w http.ResponseWriter, r *http.Request) {
	if u := k.ownOrAnyUser(w, r, "identity:list_user_projects"); u != nil {
		k.writeProjects(w, "/users/"+u.id+"/projects", k.has(u))
	}
}

func (k *Keystone) showProject(w http.ResponseWriter, r *http.Request) {
	t := k.caller(w, r)
	if t == nil {
		return
	}
	k.mu.RLock()
	p := k.projects[r.PathValue("id")]
	k.mu.RUnlock()
	switch {
	case !t.caller.Admin() && (p == nil || t.on != target{onProject, p.ID}):
		k.forbidden(w, r, "identity:get_project")
	case p == nil:
		k.notFound(w, r, "project", r.PathValue("id"))
	default:
		service.WriteJSON(w, http.StatusOK, map[string]any{"project": p})
	}
}

type projectBody struct {
	Project struct {
		Name        *string   `json:"name"`
		Description *string   `json:"description"`
		Enabled     *bool     `json:"enabled"`
		DomainID    *string   `json:"domain_id"`
		ParentID    *string   `json:"parent_id"`
		Tags        *[]string `json:"tags"`
	} `json:"project"`
}

func (b *projectBody) apply(p *project) {
	set(&p.Name, b.Project.Name)
	set(&p.Description, b.Project.Description)
	set(&p.Enabled, b.Project.Enabled)
	set(&p.Tags, b.Project.Tags)
}

func (k *Keystone) createProject(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_project") == nil {
		return
	}
	var body projectBody
	if !k.read(w, r, &body) || !k.named(w, r, body.Project.Name, true) {
		return
	}
	in := defaultDomainID
	set(&in, body.Project.DomainID)
	k.mu.RLock()
	there := k.domains[in] != nil
	k.mu.RUnlock()
	if !there {
		k.notFound(w, r, "domain", in)
		return
	}
	p := k.newProject(newID(), *body.Project.Name, in)
	set(&p.ParentID, body.Project.ParentID)
	body.apply(p)
	if k.storeProject(w, r, p) {
		k.tell("created", "project", p.ID)
		service.WriteJSON(w, http.StatusCreated, map[string]any{"project": p})
	}
}

// storeProject keeps a project, unless another one has its name.
func (k *Keystone) storeProject(w http.ResponseWriter, r *http.Request, p *project) bool {
	k.mu.Lock()
	if o := k.projectNamed(p.DomainID, p.Name); o != nil && o.ID != p.ID {
		k.mu.Unlock()
		k.conflict(w, r, "project - it is not permitted to have two projects with either the same name or same id in the same domain: "+
			"name is "+p.Name+", project id "+p.ID+".")
		return false
	}
	k.keepProject(p)
	if !p.Enabled {
		k.dropTokens(func(t *token) bool { return t.on == target{onProject, p.ID} })
	}
	k.mu.Unlock()
	return true
}

// anyProject is the one of the path, for administrators.
func (k *Keystone) anyProject(w http.ResponseWriter, r *http.Request, action string) *project {
	if k.admin(w, r, action) == nil {
		return nil
	}
	k.mu.RLock()
	p := k.projects[r.PathValue("id")]
	k.mu.RUnlock()
	if p == nil {
		k.notFound(w, r, "project", r.PathValue("id"))
	}
	return p
}

func (k *Keystone) updateProject(w http.ResponseWriter, r *http.Request) {
	p := k.anyProject(w, r, "identity:update_project")
	var body projectBody
	if p == nil || !k.read(w, r, &body) || !k.named(w, r, body.Project.Name, false) {
		return
	}
	updated := *p
	body.apply(&updated)
	if k.storeProject(w, r, &updated) {
		k.tell("updated", "project", p.ID)
		service.WriteJSON(w, http.StatusOK, map[string]any{"project": &updated})
	}
}

func (k *Keystone) deleteProject(w http.ResponseWriter, r *http.Request) {
	p := k.anyProject(w, r, "identity:delete_project")
	if p == nil {
		return
	}
	k.mu.Lock()
	k.forgetProject(p)
	k.mu.Unlock()
	k.tell("deleted", "project", p.ID)
	w.WriteHeader(http.StatusNoContent)
}
