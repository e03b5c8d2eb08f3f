// Package keystone is an embedded OpenStack Identity API v3 for tests: logins by password, token and application
// credential, scopes, the service catalog, tokens that expire when they are told to. Users are asked of the embedding
// program, so that a directory can stand behind a domain as LDAP does in real clouds.
//
// Where the answers' forms matter to clients they are Keystone's, release Zed. It is simpler in this: a user has roles in
// projects only (no groups, no domain or system scope, no inheritance), tokens are random and kept in memory, and what can
// be created are projects and application credentials.
package keystone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// DefaultLifetime of tokens is Keystone's own ([token] expiration = 3600).
const DefaultLifetime = time.Hour

// The domains that there always are.
const (
	DefaultDomain = "Default" // its id is "default"
	UsersDomain   = "users"   // of the users that Config.Users knows
)

// Users knows users and their passwords. Its methods may be called by many goroutines at once.
type Users interface {
	// Check answers who name is if the password is right. Else the error is ErrWrongPassword, also for a user who does not
	// exist, or ErrLocked for one who may not log in. Any other error means that nobody could say: Keystone answers 500.
	Check(ctx context.Context, domain, name, password string) (User, error)
}

// What Users answer when a user may not log in.
var (
	ErrWrongPassword = errors.New("no such user, or not the user's password")
	ErrLocked        = errors.New("the account is locked, disabled or expired")
)

// User is a user who gave the right password.
type User struct {
	ID    string              // empty: Keystone makes one from domain and name, as it does for users from LDAP
	Name  string              // as the directory spells it; empty: as it was given
	Roles map[string][]string // roles by the project's name; nil: Config.UserRoles
}

// LocalUser is a user of the domain "Default", whom Keystone knows itself.
type LocalUser struct {
	Name     string
	Password string
	Roles    map[string][]string // by the project's name
}

// String does not tell the password.
func (u LocalUser) String() string { return u.Name }

// GoString does not either.
func (u LocalUser) GoString() string { return fmt.Sprintf("keystone.LocalUser{Name:%q}", u.Name) }

// Endpoint is a service of the catalog.
type Endpoint struct {
	Type, Name string // such as "compute", "nova"
	URL        string
}

// Config is how a Keystone begins.
type Config struct {
	URL      string      // its own, without /v3: "http://127.0.0.1:5000"
	Region   string      // "RegionOne" if empty
	Projects []string    // names, in the domain "Default"
	Local    []LocalUser // of the domain "Default"
	Users    Users       // of the domain "users"; nil: that domain has none
	// UserRoles are what a user of Users has, unless it says other roles itself: by the project's name.
	UserRoles map[string][]string
	Catalog   []Endpoint    // Keystone's own is added
	Lifetime  time.Duration // of tokens; DefaultLifetime if 0
	Now       func() time.Time
	// InsecureDebug is Keystone's option of this name: answers of 401 say why.
	InsecureDebug bool
}

// Keystone is an Identity API. Its methods may be called by many goroutines at once.
type Keystone struct {
	config  Config
	router  *service.Router
	catalog json.RawMessage

	mu          sync.RWMutex
	lifetime    time.Duration
	tokens      map[string]*token
	issued      []string // tokens, oldest first
	users       map[string]*user
	userIDs     map[userName]string
	projects    map[string]*project
	projectIDs  map[string]string // by name
	credentials map[string]*applicationCredential
}

type userName struct{ domain, name string } // the domain's id

// New makes a Keystone.
func New(c Config) (*Keystone, error) {
	if c.Region == "" {
		c.Region = "RegionOne"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Lifetime == 0 {
		c.Lifetime = DefaultLifetime
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	k := &Keystone{
		config:      c,
		lifetime:    c.Lifetime,
		tokens:      map[string]*token{},
		users:       map[string]*user{},
		userIDs:     map[userName]string{},
		projects:    map[string]*project{},
		projectIDs:  map[string]string{},
		credentials: map[string]*applicationCredential{},
	}
	for _, name := range c.Projects {
		k.addProject(name)
	}
	for _, u := range c.Local {
		for name := range u.Roles {
			if _, ok := k.projectIDs[name]; !ok {
				return nil, fmt.Errorf("user %s has roles in project %s, which is not among the projects", u.Name, name)
			}
		}
		k.rememberUser(defaultDomainID, User{ID: stableID("user", u.Name), Name: u.Name, Roles: u.Roles}, u.Password)
	}
	var err error
	if k.catalog, err = k.renderCatalog(); err != nil {
		return nil, err
	}
	k.router = k.routes()
	return k, nil
}

// URL of the API, as clouds.yaml has it.
func (k *Keystone) URL() string { return k.config.URL + "/v3" }

// Route is the template that a request's path matches, such as "GET /v2.1/servers/{id}".
func (k *Keystone) Route(req *http.Request) string { return k.router.Route(req) }

func (k *Keystone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "X-Auth-Token")
	w.Header().Set("X-Openstack-Request-Id", "req-"+uuid.NewString())
	k.router.ServeHTTP(w, r)
}

func (k *Keystone) routes() *service.Router {
	r := service.NewRouter(k.Fail)
	r.Handle("GET", "/{$}", k.versions)
	r.Handle("GET", "/v3", k.version)
	r.Handle("GET", "/v3/{$}", k.version)
	r.Handle("POST", "/v3/auth/tokens", k.issueToken)
	r.Handle("GET", "/v3/auth/tokens", k.showToken) // and HEAD
	r.Handle("DELETE", "/v3/auth/tokens", k.revokeToken)
	r.Handle("GET", "/v3/auth/catalog", k.showCatalog)
	r.Handle("GET", "/v3/auth/projects", k.listOwnProjects)
	r.Handle("GET", "/v3/projects", k.listProjects)
	r.Handle("POST", "/v3/projects", k.createProject)
	r.Handle("GET", "/v3/projects/{id}", k.showProject)
	r.Handle("GET", "/v3/domains", k.listDomains)
	r.Handle("GET", "/v3/domains/{id}", k.showDomain)
	r.Handle("GET", "/v3/users", k.listUsers)
	r.Handle("GET", "/v3/users/{id}", k.showUser)
	r.Handle("GET", "/v3/users/{id}/projects", k.listUserProjects)
	r.Handle("GET", "/v3/users/{id}/application_credentials", k.listCredentials)
	r.Handle("POST", "/v3/users/{id}/application_credentials", k.createCredential)
	r.Handle("GET", "/v3/users/{id}/application_credentials/{credential}", k.showCredential)
	r.Handle("DELETE", "/v3/users/{id}/application_credentials/{credential}", k.deleteCredential)
	return r
}
