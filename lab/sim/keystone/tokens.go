package keystone

import (
	"net/http"
	"slices"
	"strings"
)

// caller is the valid token that a request came with; without one it answers 401 and returns nil.
func (k *Keystone) caller(w http.ResponseWriter, r *http.Request) *token {
	t := k.valid(r.Header.Get("X-Auth-Token"))
	if t == nil {
		k.refuse(w, r, sayUnauthorized)
	}
	return t
}

// admin is caller for what only administrators may do.
func (k *Keystone) admin(w http.ResponseWriter, r *http.Request, action string) *token {
	t := k.caller(w, r)
	if t == nil {
		return nil
	}
	if !slices.Contains(t.roles, "admin") {
		k.forbidden(w, r, action)
		return nil
	}
	return t
}

// subject is the token that a request is about. Everybody may ask about their own.
func (k *Keystone) subject(w http.ResponseWriter, r *http.Request, action string) *token {
	t := k.caller(w, r)
	if t == nil {
		return nil
	}
	id, q := r.Header.Get("X-Subject-Token"), r.URL.Query()
	s := k.valid(id)
	if s == nil && q.Has("allow_expired") && wantsTrue(q.Get("allow_expired")) {
		s = k.kept(id)
	}
	if s == nil {
		why := sayNoToken
		if id == "" {
			why = sayNoSubject
		} else if !strings.HasPrefix(id, tokenPrefix) {
			why = sayNoFernet
		}
		k.Fail(w, r, http.StatusNotFound, why)
		return nil
	}
	if s.user.id != t.user.id && !t.caller.Admin() {
		k.forbidden(w, r, action)
		return nil
	}
	return s
}

func (k *Keystone) showToken(w http.ResponseWriter, r *http.Request) {
	s := k.subject(w, r, "identity:validate_token")
	if s == nil {
		return
	}
	w.Header().Set("X-Subject-Token", s.id)
	k.writeToken(w, http.StatusOK, s, !r.URL.Query().Has("nocatalog"))
}

func (k *Keystone) revokeToken(w http.ResponseWriter, r *http.Request) {
	s := k.subject(w, r, "identity:revoke_token")
	if s == nil {
		return
	}
	k.revoke(s.id)
	w.WriteHeader(http.StatusNoContent)
}
