// Package keystone is an embedded OpenStack Identity API v3 for tests: logins by password, token and application
// credential for a project, a domain, the system or nothing, tokens that expire and are revoked, domains, projects, users, roles and
// their assignments, and the service catalog with its services, endpoints and regions. Users of one domain are asked of the
// embedding program, so that a directory can stand behind it as LDAP does in real clouds; they can only be read.
//
// Where the answers' forms matter to clients they are Keystone's, release Zed. It is simpler in this: there are no groups,
// trusts, federation, second factors and projects below projects (a parent is kept and means nothing); who is an administrator
// anywhere is one everywhere; tokens are random and kept in memory; users of the directory are known once they have logged in;
// a body that does not validate is answered with Keystone's first words, without the schema that it adds.
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
	Notifier      service.Notifier // of "identity.project.created" and the like; nil: nobody
}

// Keystone is an Identity API. Its methods may be called by many goroutines at once.
type Keystone struct {
	config Config
	router *service.Router

	mu          sync.RWMutex
	lifetime    time.Duration
	tokens      map[string]*token
	issued      []string // tokens, oldest first
	domains     map[string]*domain
	users       map[string]*user
	userIDs     map[scopedName]string
	projects    map[string]*project
	projectIDs  map[scopedName]string
	roles       map[string]*role
	assignments map[grant][]string // names of roles
	credentials map[string]*applicationCredential
	regions     map[string]*region
	services    []*registered
	endpoints   []*endpoint
	catalog     json.RawMessage // of the last three
}

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
	if c.Notifier == nil {
		c.Notifier = service.Silent{}
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	k := &Keystone{
		config:      c,
		lifetime:    c.Lifetime,
		tokens:      map[string]*token{},
		users:       map[string]*user{},
		userIDs:     map[scopedName]string{},
		projects:    map[string]*project{},
		projectIDs:  map[scopedName]string{},
		roles:       map[string]*role{},
		assignments: map[grant][]string{},
		credentials: map[string]*applicationCredential{},
		regions:     map[string]*region{},
		domains: map[string]*domain{
			defaultDomainID: {defaultDomainID, DefaultDomain, "The default domain", true},
			usersDomainID(): {usersDomainID(), UsersDomain, "", true},
		},
	}
	for _, name := range []string{"admin", "member", "reader"} {
		k.addRole(name)
	}
	for _, name := range c.Projects {
		k.keepProject(k.newProject(stableID("project", name), name, defaultDomainID))
	}
	for _, u := range c.Local {
		if err := k.addLocal(u); err != nil {
			return nil, err
		}
	}
	k.addCatalog()
	k.router = k.routes()
	return k, nil
}

// addLocal makes a user of the domain "Default". Who is an administrator somewhere is one of the whole system, as bootstrap's
// administrator is.
func (k *Keystone) addLocal(u LocalUser) error {
	added := &user{id: stableID("user", u.Name), name: u.Name, domain: defaultDomainID, password: u.Password, enabled: true}
	k.keepUser(added)
	for project, names := range u.Roles {
		p := k.projectNamed(defaultDomainID, project)
		if p == nil {
			return fmt.Errorf("user %s has roles in project %s, which is not among the projects", u.Name, project)
		}
		for _, name := range names {
			k.addRole(name)
			k.assign(grant{added.id, target{onProject, p.ID}}, name)
			if name == "admin" {
				k.assign(grant{added.id, wholeSystem}, name)
			}
		}
	}
	return nil
}

// addCatalog registers the services that there are from the start.
func (k *Keystone) addCatalog() {
	region := k.config.Region
	k.regions[region] = k.newRegion(region)
	for _, given := range append([]Endpoint{{"identity", "keystone", k.config.URL}}, k.config.Catalog...) {
		s := &registered{id: stableID("service", given.Name), kind: given.Type, name: given.Name, enabled: true}
		k.services = append(k.services, s)
		for _, name := range interfaces {
			e := k.newEndpoint(stableID("endpoint", given.Name+" "+name))
			e.Service, e.Interface, e.URL, e.RegionID, e.Region = s.id, name, given.URL, &region, &region
			k.endpoints = append(k.endpoints, e)
		}
	}
	k.renderCatalog()
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
	r.Handle("GET", "/v3/auth/domains", k.listOwnDomains)
	r.Handle("GET", "/v3/auth/system", k.showOwnSystem)
	for _, o := range []struct {
		path                               string
		list, create, show, update, delete http.HandlerFunc
	}{
		{"projects", k.listProjects, k.createProject, k.showProject, k.updateProject, k.deleteProject},
		{"domains", k.listDomains, k.createDomain, k.showDomain, k.updateDomain, k.deleteDomain},
		{"users", k.listUsers, k.createUser, k.showUser, k.updateUser, k.deleteUser},
		{"services", k.listServices, k.createService, k.showService, k.updateService, k.deleteService},
		{"endpoints", k.listEndpoints, k.createEndpoint, k.showEndpoint, k.updateEndpoint, k.deleteEndpoint},
	} {
		r.Handle("GET", "/v3/"+o.path, o.list)
		r.Handle("POST", "/v3/"+o.path, o.create)
		r.Handle("GET", "/v3/"+o.path+"/{id}", o.show)
		r.Handle("PATCH", "/v3/"+o.path+"/{id}", o.update)
		r.Handle("DELETE", "/v3/"+o.path+"/{id}", o.delete)
	}
	r.Handle("GET", "/v3/roles", k.listRoles)
	r.Handle("POST", "/v3/roles", k.createRole)
	r.Handle("GET", "/v3/roles/{id}", k.showRole)
	r.Handle("DELETE", "/v3/roles/{id}", k.deleteRole)
	r.Handle("GET", "/v3/regions", k.listRegions)
	r.Handle("POST", "/v3/regions", k.createRegion)
	r.Handle("GET", "/v3/regions/{id}", k.showRegion)
	r.Handle("DELETE", "/v3/regions/{id}", k.deleteRegion)
	r.Handle("GET", "/v3/role_assignments", k.listAssignments)
	for kind, path := range map[string]string{onProject: "/v3/projects/{id}", onDomain: "/v3/domains/{id}", onSystem: "/v3/system"} {
		r.Handle("GET", path+"/users/{user}/roles", k.listGrants(kind))
		r.Handle("GET", path+"/users/{user}/roles/{role}", k.checkGrant(kind)) // and HEAD
		r.Handle("PUT", path+"/users/{user}/roles/{role}", k.createGrant(kind))
		r.Handle("DELETE", path+"/users/{user}/roles/{role}", k.deleteGrant(kind))
	}
	r.Handle("GET", "/v3/groups", k.listGroups)
	r.Handle("GET", "/v3/users/{id}/groups", k.listGroups)
	r.Handle("GET", "/v3/users/{id}/projects", k.listUserProjects)
	r.Handle("POST", "/v3/users/{id}/password", k.changePassword)
	r.Handle("GET", "/v3/users/{id}/application_credentials", k.listCredentials)
	r.Handle("POST", "/v3/users/{id}/application_credentials", k.createCredential)
	r.Handle("GET", "/v3/users/{id}/application_credentials/{credential}", k.showCredential)
	r.Handle("DELETE", "/v3/users/{id}/application_credentials/{credential}", k.deleteCredential)
	return r
}
