package keystone

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// timeFormat has microseconds, as Keystone writes times.
const timeFormat = "2006-01-02T15:04:05.000000Z"

type reference struct {
	ID     string     `json:"id"`
	Name   string     `json:"name"`
	Domain *reference `json:"domain"`
}

type authRequest struct {
	Auth *struct {
		Identity *struct {
			Methods  []string `json:"methods"`
			Password *struct {
				User *struct {
					reference
					Password string `json:"password"` // without one it is a wrong one
				} `json:"user"`
			} `json:"password"`
			Token *struct {
				ID string `json:"id"`
			} `json:"token"`
			ApplicationCredential *struct {
				ID     string     `json:"id"`
				Name   string     `json:"name"`
				Secret string     `json:"secret"`
				User   *reference `json:"user"`
			} `json:"application_credential"`
		} `json:"identity"`
		Scope json.RawMessage `json:"scope"`
	} `json:"auth"`
}

// refusal is an answer of 401; its text is for insecure_debug.
type refusal string

func (r refusal) Error() string { return string(r) }

// malformed is an answer of 400.
type malformed struct{ attribute, target string }

func (m malformed) Error() string { return m.attribute + " is missing in " + m.target }

// answered is an error that is told as it is, whatever insecure_debug says.
type answered struct {
	status  int
	message string
	more    map[string]any // fields
}

func (a answered) Error() string { return a.message }

// authMethods are those that Keystone names, and more than there are here.
var authMethods = []string{"external", "password", "token", "oauth1", "mapped", "application_credential"}

func (k *Keystone) issueToken(w http.ResponseWriter, r *http.Request) {
	t, err := k.authenticate(r)
	if err != nil {
		var bad malformed
		var no refusal
		var known answered
		switch {
		case errors.As(err, &known):
			k.writeError(w, r, known.status, known.message, known.more)
		case errors.As(err, &bad):
			k.badRequest(w, r, bad.attribute, bad.target)
		case errors.As(err, &no):
			k.refuse(w, r, string(no))
		default:
			// Why is in Keystone's log only.
			k.Fail(w, r, http.StatusInternalServerError, sayUnexpected)
		}
		return
	}
	k.issue(t)
	w.Header().Set("X-Subject-Token", t.id)
	k.writeToken(w, http.StatusCreated, t, !r.URL.Query().Has("nocatalog"))
}

func (k *Keystone) authenticate(r *http.Request) (*token, error) {
	var request authRequest
	if err := service.ReadJSON(r, &request); err != nil {
		return nil, malformed{"valid JSON", "request body"}
	}
	if request.Auth == nil {
		return nil, malformed{"auth", "request body"}
	}
	identity := request.Auth.Identity
	switch {
	case identity == nil:
		return nil, answered{http.StatusBadRequest, "'identity' is a required property", nil}
	case identity.Methods == nil:
		return nil, answered{http.StatusBadRequest, "Invalid input for field 'identity': 'methods' is a required property", nil}
	case len(identity.Methods) != 1:
		return nil, malformed{"identity", "auth"}
	}
	t := &token{methods: identity.Methods}
	var err error
	switch method := identity.Methods[0]; {
	case method == "password" && identity.Password != nil && identity.Password.User != nil:
		u := identity.Password.User
		t.user, err = k.checkPassword(r.Context(), u.reference, u.Password)
	case method == "token" && identity.Token != nil:
		before := k.valid(identity.Token.ID)
		if before == nil {
			return nil, refusal(sayNoToken)
		}
		if before.credential != nil {
			return nil, answered{http.StatusForbidden, sayForbidden("Using a delegated token to create another token is not allowed."), nil}
		}
		// A token got with a token ends with it.
		t.user, t.expires = before.user, before.expires
		t.methods = before.methods
		if !slices.Contains(t.methods, method) {
			t.methods = append(slices.Clone(t.methods), method)
		}
		t.auditIDs = before.auditIDs[len(before.auditIDs)-1:]
	case method == "application_credential" && identity.ApplicationCredential != nil:
		c := identity.ApplicationCredential
		t.credential, err = k.checkCredential(c.ID, c.Name, c.Secret, c.User)
		if err != nil {
			return nil, err
		}
		if len(request.Auth.Scope) > 0 {
			return nil, answered{
				http.StatusUnauthorized, "Error authenticating with application credential: Application credentials cannot request a scope.",
				map[string]any{"identity": map[string]any{}},
			}
		}
		t.expires = t.credential.expires
		t.user, t.project, t.roles = t.credential.user, t.credential.project, t.credential.roles
		t.on = target{onProject, t.project.ID}
		return t, nil
	case method == "password" || method == "token" || method == "application_credential":
		return nil, malformed{method, "identity"}
	default:
		return nil, answered{
			http.StatusUnauthorized, sayNoMethod, map[string]any{"identity": map[string]any{"methods": authMethods}},
		}
	}
	if err != nil {
		return nil, err
	}
	return t, k.applyScope(t, request.Auth.Scope)
}

func (k *Keystone) checkPassword(ctx context.Context, ref reference, password string) (*user, error) {
	domain, name := "", ref.Name
	if ref.ID != "" {
		u := k.userByID(ref.ID)
		if u == nil {
			return nil, refusal("Could not find user: " + ref.ID + ".")
		}
		domain, name = u.domain, u.name
	} else if ref.Name == "" {
		return nil, malformed{"id or name", "user"}
	} else if ref.Domain == nil {
		return nil, malformed{"domain", "user"}
	} else {
		k.mu.RLock()
		domain = k.domainID(ref.Domain)
		k.mu.RUnlock()
		if domain == "" {
			return nil, refusal("Could not find domain: " + ref.Domain.ID + ref.Domain.Name + ".")
		}
	}
	if domain != usersDomainID() {
		u := k.userByName(domain, name)
		switch {
		case u == nil || u.password == "" || !samePassword(u.password, password):
			return nil, refusal("Invalid username or password")
		case !u.enabled:
			return nil, refusal("The account is disabled for user: " + u.id)
		}
		return u, nil
	}
	if k.config.Users == nil {
		return nil, refusal("Invalid username or password")
	}
	found, err := k.config.Users.Check(ctx, UsersDomain, name, password)
	switch {
	case errors.Is(err, ErrWrongPassword):
		return nil, refusal("Invalid username or password")
	case errors.Is(err, ErrLocked):
		return nil, refusal("The account is locked for user: " + publicID(domain, name) + ".")
	case err != nil:
		return nil, err
	}
	if found.Name == "" {
		found.Name = name
	}
	return k.rememberUser(domain, found), nil
}

func samePassword(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

type tokenView struct {
	Methods   []string `json:"methods"`
	User      userRef  `json:"user"`
	AuditIDs  []string `json:"audit_ids"`
	ExpiresAt string   `json:"expires_at"`
	IssuedAt  string   `json:"issued_at"`

	Project    *projectRef     `json:"project,omitempty"`
	Domain     *nameRef        `json:"domain,omitempty"`
	System     map[string]bool `json:"system,omitempty"`
	IsDomain   *bool           `json:"is_domain,omitempty"`
	Roles      []roleRef       `json:"roles,omitempty"`
	Catalog    json.RawMessage `json:"catalog,omitempty"`
	Credential *credentialRef  `json:"application_credential,omitempty"`
}

type nameRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type roleRef = nameRef

type userRef struct {
	Domain  nameRef `json:"domain"`
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Expires *string `json:"password_expires_at"` // never
}

type projectRef struct {
	Domain nameRef `json:"domain"`
	ID     string  `json:"id"`
	Name   string  `json:"name"`
}

type credentialRef struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Restricted bool   `json:"restricted"`
}

func (k *Keystone) writeToken(w http.ResponseWriter, status int, t *token, catalog bool) {
	k.mu.RLock()
	v := tokenView{
		Methods:   t.methods,
		User:      userRef{Domain: k.domainRef(t.user.domain), ID: t.user.id, Name: t.user.name},
		AuditIDs:  t.auditIDs,
		ExpiresAt: formatTime(t.expires),
		IssuedAt:  formatTime(t.issued),
	}
	for _, name := range t.roles {
		v.Roles = append(v.Roles, roleRef{ID: stableID("role", name), Name: name})
	}
	switch t.on.kind {
	case onProject:
		v.Project = &projectRef{Domain: k.domainRef(t.project.DomainID), ID: t.project.ID, Name: t.project.Name}
		v.IsDomain = new(bool)
	case onDomain:
		ref := k.domainRef(t.on.id)
		v.Domain = &ref
	case onSystem:
		v.System = map[string]bool{"all": true}
	}
	if catalog && t.on.kind != "" {
		v.Catalog = k.catalogOf(t)
	}
	k.mu.RUnlock()
	if c := t.credential; c != nil {
		v.Credential = &credentialRef{ID: c.id, Name: c.name, Restricted: !c.unrestricted}
	}
	service.WriteJSON(w, status, map[string]any{"token": v})
}

func formatTime(t time.Time) string { return t.UTC().Format(timeFormat) }
