package keystone

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// applicationCredential lets a program log in as its user, in one project, without the user's password.
type applicationCredential struct {
	id, name, description string
	secret                [sha256.Size]byte // its hash
	user                  *user
	project               *project
	roles                 []string
	expires               time.Time // zero: never
	unrestricted          bool      // it may make and remove others, and itself
}

func (k *Keystone) checkCredential(id, name, secret string, owner *reference) (*applicationCredential, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	c := k.credentials[id]
	if id == "" && owner != nil {
		ownerID := owner.ID
		if ownerID == "" {
			ownerID = k.userIDs[scopedName{k.domainID(owner.Domain), owner.Name}]
		}
		for _, other := range k.credentials {
			if other.name == name && other.user.id == ownerID {
				c = other
			}
		}
	}
	if c == nil {
		return nil, answered{http.StatusNotFound, sayNoCredential(id + name), nil}
	}
	hash := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(hash[:], c.secret[:]) != 1 || !c.expires.IsZero() && !k.config.Now().Before(c.expires) {
		return nil, refusal("Error authenticating with application credential: the secret is wrong, or it has expired.")
	}
	if u := k.users[c.user.id]; u == nil || !u.enabled || k.findProject(reference{ID: c.project.ID}) == nil {
		return nil, refusal("The user or the project of the application credential is disabled or gone.")
	}
	for _, name := range c.roles {
		if !slices.Contains(k.rolesOn(c.user, target{onProject, c.project.ID}), name) {
			return nil, refusal("The user has no longer the roles of the application credential.")
		}
	}
	return c, nil
}

func sayNoCredential(id string) string { return "Could not find Application Credential: " + id + "." }

// managesCredentials refuses to let credentials be made or removed with a restricted one.
func (k *Keystone) managesCredentials(w http.ResponseWriter, r *http.Request, t *token) bool {
	if t.credential != nil && !t.credential.unrestricted {
		k.forbidden(w, r, "Using method 'application_credential' is not allowed for managing additional application credentials.")
		return false
	}
	return true
}

// orphaned is the id of the credential that a token was got with and that is gone; empty: there is no such thing. It is called
// with the lock held.
func (k *Keystone) orphaned(t *token) string {
	if t != nil && t.credential != nil && k.credentials[t.credential.id] == nil {
		return t.credential.id
	}
	return ""
}

func (k *Keystone) credentialView(c *applicationCredential) map[string]any {
	roles := []roleRef{}
	for _, name := range c.roles {
		roles = append(roles, roleRef{ID: stableID("role", name), Name: name})
	}
	v := map[string]any{
		"id": c.id, "name": c.name, "description": c.description, "project_id": c.project.ID, "user_id": c.user.id, "roles": roles,
		"expires_at": nil, "unrestricted": c.unrestricted, "system": nil,
		"links": map[string]string{"self": k.URL() + "/users/" + c.user.id + "/application_credentials/" + c.id},
	}
	if !c.expires.IsZero() {
		v["expires_at"] = c.expires.UTC().Format("2006-01-02T15:04:05.000000")
	}
	return v
}

func (k *Keystone) createCredential(w http.ResponseWriter, r *http.Request) {
	t := k.caller(w, r)
	if t == nil {
		return
	}
	if !k.managesCredentials(w, r, t) {
		return
	}
	if r.PathValue("id") != t.user.id || t.project == nil {
		k.forbidden(w, r, "identity:create_application_credential")
		return
	}
	var body struct {
		Credential *struct {
			Name         string      `json:"name"`
			Description  string      `json:"description"`
			Secret       string      `json:"secret"`
			ExpiresAt    string      `json:"expires_at"`
			Roles        []reference `json:"roles"`
			Unrestricted bool        `json:"unrestricted"`
		} `json:"application_credential"`
	}
	if err := service.ReadJSON(r, &body); err != nil || body.Credential == nil || body.Credential.Name == "" {
		k.badRequest(w, r, "name", "application_credential")
		return
	}
	asked := body.Credential
	c := &applicationCredential{
		id: strings.ReplaceAll(uuid.NewString(), "-", ""), name: asked.Name, description: asked.Description,
		user: t.user, project: t.project, roles: t.roles,
		unrestricted: asked.Unrestricted,
	}
	if len(asked.Roles) > 0 {
		c.roles = nil
		for _, role := range asked.Roles {
			i := slices.IndexFunc(t.roles, func(name string) bool { return name == role.Name || stableID("role", name) == role.ID })
			if i < 0 {
				k.Fail(w, r, http.StatusBadRequest, "Invalid application credential: Cannot create an application credential with unassigned role")
				return
			}
			c.roles = append(c.roles, t.roles[i])
		}
	}
	if asked.ExpiresAt != "" {
		at, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(asked.ExpiresAt, "Z"))
		if err != nil {
			k.badRequest(w, r, "a time in expires_at", "application_credential")
			return
		}
		if !k.config.Now().Before(at) {
			k.Fail(w, r, http.StatusBadRequest, "The 'expires_at' must not be before now. The server could not comply with the request since "+
				"it is either malformed or otherwise incorrect. The client is assumed to be in error.")
			return
		}
		c.expires = at
	}
	if asked.Secret == "" {
		asked.Secret = randomText(64)
	}
	c.secret = sha256.Sum256([]byte(asked.Secret))
	k.mu.Lock()
	for _, other := range k.credentials {
		if other.user.id == c.user.id && other.name == c.name {
			k.mu.Unlock()
			k.Fail(w, r, http.StatusConflict, "Conflict occurred attempting to store application_credential - Duplicate entry found with name "+
				c.name+".")
			return
		}
	}
	k.credentials[c.id] = c
	k.mu.Unlock()
	view := k.credentialView(c)
	view["secret"] = asked.Secret // this once
	service.WriteJSON(w, http.StatusCreated, map[string]any{"application_credential": view})
}

func (k *Keystone) listCredentials(w http.ResponseWriter, r *http.Request) {
	u := k.ownOrAnyUser(w, r, "identity:list_application_credentials")
	if u == nil {
		return
	}
	list := []any{}
	k.mu.RLock()
	for _, c := range k.credentials {
		if name := r.URL.Query().Get("name"); c.user.id == u.id && (name == "" || name == c.name) {
			list = append(list, k.credentialView(c))
		}
	}
	k.mu.RUnlock()
	service.WriteJSON(w, http.StatusOK, map[string]any{
		"application_credentials": list, "links": k.selfLink("/users/" + u.id + "/application_credentials"),
	})
}

// credential is the one of the path.
func (k *Keystone) credential(w http.ResponseWriter, r *http.Request, action string) *applicationCredential {
	u := k.ownOrAnyUser(w, r, action)
	if u == nil {
		return nil
	}
	id := r.PathValue("credential")
	k.mu.RLock()
	c := k.credentials[id]
	k.mu.RUnlock()
	if c == nil || c.user.id != u.id {
		k.notFound(w, r, "Application Credential", id)
		return nil
	}
	return c
}

func (k *Keystone) showCredential(w http.ResponseWriter, r *http.Request) {
	if c := k.credential(w, r, "identity:get_application_credential"); c != nil {
		service.WriteJSON(w, http.StatusOK, map[string]any{"application_credential": k.credentialView(c)})
	}
}

func (k *Keystone) deleteCredential(w http.ResponseWriter, r *http.Request) {
	t := k.caller(w, r)
	if t == nil || !k.managesCredentials(w, r, t) {
		return
	}
	if c := k.credential(w, r, "identity:delete_application_credential"); c != nil {
		k.mu.Lock()
		delete(k.credentials, c.id)
		k.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}
