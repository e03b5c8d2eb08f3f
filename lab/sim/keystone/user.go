package keystone

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// user does not change; an update, or a new login of a user from the directory, replaces it.
type user struct {
	id             string
	name           string
	domain         string              // its id
	roles          map[string][]string // that the directory says, by the names of projects in the domain "Default"
	password       string              // of Keystone's own users only; empty: none will do
	enabled        bool
	defaultProject string
	extra          map[string]string // description, email
}

// publicID is the id of a user who is not Keystone's own: a SHA-256, as Keystone makes it for users from LDAP.
func publicID(domain, name string) string {
	sum := sha256.Sum256([]byte(domain + "user" + strings.ToLower(name)))
	return hex.EncodeToString(sum[:])
}

// rememberUser returns the one entry of a user from the directory.
func (k *Keystone) rememberUser(domain string, found User) *user {
	if found.ID == "" {
		found.ID = publicID(domain, found.Name)
	}
	if found.Roles == nil {
		found.Roles = k.config.UserRoles
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if u := k.users[found.ID]; u != nil && u.name == found.Name && reflect.DeepEqual(u.roles, found.Roles) {
		return u
	}
	for _, names := range found.Roles {
		for _, name := range names {
			k.addRole(name)
		}
	}
	u := &user{id: found.ID, name: found.Name, domain: domain, roles: found.Roles, enabled: true}
	k.keepUser(u)
	return u
}

// keepUser is called with the lock held, or before the Keystone is used.
func (k *Keystone) keepUser(u *user) {
	if old := k.users[u.id]; old != nil {
		delete(k.userIDs, scopedName{old.domain, old.name})
	}
	k.users[u.id], k.userIDs[scopedName{u.domain, u.name}] = u, u.id
}

// forgetUser is called with the lock held.
func (k *Keystone) forgetUser(u *user) {
	delete(k.users, u.id)
	delete(k.userIDs, scopedName{u.domain, u.name})
	for at := range k.assignments {
		if at.user == u.id {
			delete(k.assignments, at)
		}
	}
	for id, c := range k.credentials {
		if c.user.id == u.id {
			delete(k.credentials, id)
		}
	}
	k.dropTokens(func(t *token) bool { return t.user.id == u.id })
}

func (k *Keystone) userByID(id string) *user {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.users[id]
}

func (k *Keystone) userByName(domain, name string) *user {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.users[k.userIDs[scopedName{domain, name}]]
}

func (k *Keystone) userView(u *user) map[string]any {
	v := map[string]any{
		"id": u.id, "name": u.name, "domain_id": u.domain, "enabled": u.enabled, "password_expires_at": nil,
		"options": map[string]any{}, "links": map[string]string{"self": k.URL() + "/users/" + u.id},
	}
	for field, value := range u.extra {
		v[field] = value
	}
	if u.defaultProject != "" {
		v["default_project_id"] = u.defaultProject
	}
	return v
}

// listUsers knows Keystone's own users, and of the others those who have logged in: a Users cannot be listed.
func (k *Keystone) listUsers(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_users") == nil {
		return
	}
	q := service.Query{Values: r.URL.Query()}
	k.mu.RLock()
	var found []*user
	for _, u := range k.users {
		if q.Allows("name", u.name) && q.Allows("domain_id", u.domain) && allowsEnabled(q, u.enabled) {
			found = append(found, u)
		}
	}
	k.mu.RUnlock()
	slices.SortFunc(found, func(a, b *user) int { return strings.Compare(a.name+a.id, b.name+b.id) })
	list := []any{}
	for _, u := range found {
		list = append(list, k.userView(u))
	}
	service.WriteJSON(w, http.StatusOK, map[string]any{"users": list, "links": k.selfLink("/users")})
}

// ownOrAnyUser is the user of the path: the caller's own, or for administrators any.
func (k *Keystone) ownOrAnyUser(w http.ResponseWriter, r *http.Request, action string) *user {
	t := k.caller(w, r)
	if t == nil {
		return nil
	}
	id := r.PathValue("id")
	if id != t.user.id && !t.caller.Admin() {
		k.forbidden(w, r, action)
		return nil
	}
	u := k.userByID(id)
	if u == nil {
		k.notFound(w, r, "user", id)
	}
	return u
}

func (k *Keystone) showUser(w http.ResponseWriter, r *http.Request) {
	if u := k.ownOrAnyUser(w, r, "identity:get_user"); u != nil {
		service.WriteJSON(w, http.StatusOK, map[string]any{"user": k.userView(u)})
	}
}

// listGroups has none: there are no groups.
func (k *Keystone) listGroups(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_groups") != nil {
		path := strings.TrimPrefix(r.URL.Path, "/v3")
		service.WriteJSON(w, http.StatusOK, map[string]any{"groups": []any{}, "links": k.selfLink(path)})
	}
}

type userBody struct {
	User struct {
		Name           *string `json:"name"`
		Password       *string `json:"password"`
		Original       *string `json:"original_password"` // of a change by the user
		DomainID       *string `json:"domain_id"`
		DefaultProject *string `json:"default_project_id"`
		Enabled        *bool   `json:"enabled"`
		Description    *string `json:"description"`
		Email          *string `json:"email"`
	} `json:"user"`
}

func (b *userBody) apply(u *user) {
	set(&u.name, b.User.Name)
	set(&u.password, b.User.Password)
	set(&u.defaultProject, b.User.DefaultProject)
	set(&u.enabled, b.User.Enabled)
	extra := map[string]string{}
	for field, value := range u.extra {
		extra[field] = value
	}
	for field, value := range map[string]*string{"description": b.User.Description, "email": b.User.Email} {
		if value != nil {
			extra[field] = *value
		}
	}
	u.extra = extra
}

func (k *Keystone) createUser(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_user") == nil {
		return
	}
	var body userBody
	if !k.read(w, r, &body) || !k.named(w, r, body.User.Name, true) {
		return
	}
	u := &user{id: newID(), domain: defaultDomainID, enabled: true}
	set(&u.domain, body.User.DomainID)
	k.mu.RLock()
	there := k.domains[u.domain] != nil
	k.mu.RUnlock()
	if !there {
		k.notFound(w, r, "domain", u.domain)
		return
	}
	body.apply(u)
	if k.writable(w, r, u) && k.storeUser(w, r, u) {
		k.tell("created", "user", u.id)
		service.WriteJSON(w, http.StatusCreated, map[string]any{"user": k.userView(u)})
	}
}

// writable tells whether a user is Keystone's own; those of the directory can only be read.
func (k *Keystone) writable(w http.ResponseWriter, r *http.Request, u *user) bool {
	if u.domain == usersDomainID() {
		k.Fail(w, r, http.StatusForbidden, "LDAP does not support write operations")
		return false
	}
	return true
}

// storeUser keeps a user, unless another one has the name.
func (k *Keystone) storeUser(w http.ResponseWriter, r *http.Request, u *user) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id, ok := k.userIDs[scopedName{u.domain, u.name}]; ok && id != u.id {
		k.conflict(w, r, "user - Duplicate entry found with name "+u.name+" at domain ID "+u.domain+".")
		return false
	}
	k.keepUser(u)
	return true
}

func (k *Keystone) updateUser(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:update_user") == nil {
		return
	}
	u := k.ownOrAnyUser(w, r, "identity:update_user")
	var body userBody
	if u == nil || !k.read(w, r, &body) || !k.named(w, r, body.User.Name, false) || !k.writable(w, r, u) {
		return
	}
	updated := *u
	body.apply(&updated)
	if !k.storeUser(w, r, &updated) {
		return
	}
	if body.User.Password != nil || !updated.enabled {
		k.mu.Lock()
		k.dropTokens(func(t *token) bool { return t.user.id == u.id })
		k.mu.Unlock()
	}
	k.tell("updated", "user", u.id)
	v := k.userView(&updated)
	v["extra"] = updated.extra
	service.WriteJSON(w, http.StatusOK, map[string]any{"user": v})
}

func (k *Keystone) deleteUser(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:delete_user") == nil {
		return
	}
	u := k.ownOrAnyUser(w, r, "identity:delete_user")
	if u == nil || !k.writable(w, r, u) {
		return
	}
	k.mu.Lock()
	k.forgetUser(u)
	k.mu.Unlock()
	k.tell("deleted", "user", u.id)
	w.WriteHeader(http.StatusNoContent)
}

// changePassword is asked by the user, with the old password instead of a token.
func (k *Keystone) changePassword(w http.ResponseWriter, r *http.Request) {
	u := k.userByID(r.PathValue("id"))
	var body userBody
	if !k.read(w, r, &body) {
		return
	}
	for name, value := range map[string]*string{"original_password": body.User.Original, "password": body.User.Password} {
		if value == nil {
			k.Fail(w, r, http.StatusBadRequest, "'"+name+"' is a required property")
			return
		}
	}
	if u == nil || u.password == "" || !samePassword(u.password, *body.User.Original) {
		k.refuse(w, r, "Invalid username or password")
		return
	}
	updated := *u
	updated.password = *body.User.Password
	k.mu.Lock()
	k.keepUser(&updated)
	k.dropTokens(func(t *token) bool { return t.user.id == u.id })
	k.mu.Unlock()
	k.tell("updated", "user", u.id)
	w.WriteHeader(http.StatusNoContent)
}
