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

// user does not change; a new login of the same user may replace it.
type user struct {
	id       string
	name     string
	domain   string // its id
	roles    map[string][]string
	password string // of local users only
}

// publicID is the id of a user who is not Keystone's own: a SHA-256, as Keystone makes it for users from LDAP.
func publicID(domain, name string) string {
	sum := sha256.Sum256([]byte(domain + "user" + strings.ToLower(name)))
	return hex.EncodeToString(sum[:])
}

// rememberUser returns the user's one entry.
func (k *Keystone) rememberUser(domain string, found User, password string) *user {
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
	u := &user{id: found.ID, name: found.Name, domain: domain, roles: found.Roles, password: password}
	k.users[u.id], k.userIDs[userName{domain, u.name}] = u, u.id
	return u
}

func (k *Keystone) userByID(id string) *user {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.users[id]
}

func (k *Keystone) userByName(domain, name string) *user {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.users[k.userIDs[userName{domain, name}]]
}

func (k *Keystone) userView(u *user) map[string]any {
	return map[string]any{
		"id": u.id, "name": u.name, "domain_id": u.domain, "enabled": true, "password_expires_at": nil,
		"options": map[string]any{}, "links": map[string]string{"self": k.URL() + "/users/" + u.id},
	}
}

// listUsers knows local users, and of the others those who have logged in: a Users cannot be listed.
func (k *Keystone) listUsers(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:list_users") == nil {
		return
	}
	q := r.URL.Query()
	k.mu.RLock()
	var found []*user
	for _, u := range k.users {
		if (!q.Has("name") || q.Get("name") == u.name) && (!q.Has("domain_id") || q.Get("domain_id") == u.domain) {
			found = append(found, u)
		}
	}
	k.mu.RUnlock()
	slices.SortFunc(found, func(a, b *user) int { return strings.Compare(a.name, b.name) })
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
