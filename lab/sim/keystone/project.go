package keystone

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// project is as the API shows it.
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

// addProject is called with the lock held, or before the Keystone is used.
func (k *Keystone) addProject(name string) *project {
	if id, ok := k.projectIDs[name]; ok {
		return k.projects[id]
	}
	p := &project{
		ID: stableID("project", name), Name: name, DomainID: defaultDomainID, ParentID: defaultDomainID, Enabled: true,
		Tags: []string{}, Options: map[string]any{},
	}
	p.Links = map[string]string{"self": k.URL() + "/projects/" + p.ID}
	k.projects[p.ID], k.projectIDs[name] = p, p.ID
	return p
}

// ProjectID is the id of a project of the domain "Default"; empty if there is none of this name.
func (k *Keystone) ProjectID(name string) string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.projectIDs[name]
}

func (k *Keystone) findProject(ref reference) *project {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if ref.ID != "" {
		return k.projects[ref.ID]
	}
	if domainID(ref.Domain) != defaultDomainID {
		return nil
	}
	return k.projects[k.projectIDs[ref.Name]]
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
	slices.SortFunc(list, func(a, b *project) int { return strings.Compare(a.Name, b.Name) })
	service.WriteJSON(w, http.StatusOK, map[string]any{"projects": list, "links": k.selfLink(path)})
}

func (k *Keystone) listProjects(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_projects") == nil {
		return
	}
	q := r.URL.Query()
	k.writeProjects(w, "/projects", func(p *project) bool {
		return (!q.Has("name") || q.Get("name") == p.Name) && (!q.Has("domain_id") || q.Get("domain_id") == p.DomainID)
	})
}

func (k *Keystone) listOwnProjects(w http.ResponseWriter, r *http.Request) {
	if t := k.caller(w, r); t != nil {
		k.writeProjects(w, "/auth/projects", func(p *project) bool { return len(t.user.roles[p.Name]) > 0 })
	}
}

func (k *Keystone) listUserProjects(w http.ResponseWriter, r *http.Request) {
	if u := k.ownOrAnyUser(w, r, "identity:list_user_projects"); u != nil {
		k.writeProjects(w, "/users/"+u.id+"/projects", func(p *project) bool { return len(u.roles[p.Name]) > 0 })
	}
}

func (k *Keystone) showProject(w http.ResponseWriter, r *http.Request) {
	t := k.caller(w, r)
	if t == nil {
		return
	}
	p := k.findProject(reference{ID: r.PathValue("id")})
	switch {
	case !t.caller.Admin() && (p == nil || p != t.project):
		k.forbidden(w, r, "identity:get_project")
	case p == nil:
		k.notFound(w, r, "project", r.PathValue("id"))
	default:
		service.WriteJSON(w, http.StatusOK, map[string]any{"project": p})
	}
}

func (k *Keystone) createProject(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_project") == nil {
		return
	}
	var body struct {
		Project *struct{ Name, Description string } `json:"project"`
	}
	if err := service.ReadJSON(r, &body); err != nil || body.Project == nil || body.Project.Name == "" {
		k.badRequest(w, r, "name", "project")
		return
	}
	k.mu.Lock()
	if _, exists := k.projectIDs[body.Project.Name]; exists {
		k.mu.Unlock()
		k.Fail(w, r, http.StatusConflict, "Conflict occurred attempting to store project - it is not permitted to have two "+
			"projects with the same name in the same domain : "+body.Project.Name+".")
		return
	}
	p := k.addProject(body.Project.Name)
	p.Description = body.Project.Description
	k.mu.Unlock()
	service.WriteJSON(w, http.StatusCreated, map[string]any{"project": p})
}
