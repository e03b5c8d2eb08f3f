package cloud

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// DefaultRetryFor is how long one call goes on retrying when the Config does not say.
const DefaultRetryFor = 15 * time.Second

// Config says which cloud, and as whom. Load and New make one; the zero value is of no use. Copies of a Config, and what As
// makes of it, share connections, discovered versions and the budget for retries. Printing one prints no secret.
type Config struct {
	// Region is the catalog's; empty: the first that has the service.
	Region string
	// Interface is which of a service's endpoints is used: public (the default), internal or admin.
	Interface gophercloud.Availability

	// Owner and Run are written on everything that is made: who answers for it, and which run it belongs to. Either may be
	// empty. Nova's tags take no "/" and no ",", and at most 60 characters, of which Owner's prefix takes 16 and Run's 14.
	Owner, Run string

	// RetryFor is how long one call may go on retrying before it fails, 0: DefaultRetryFor, negative: it never retries.
	RetryFor time.Duration

	// Transport makes the connections. Set its DialContext to have them made elsewhere; Load has set its TLS.
	Transport *http.Transport

	auth   func() gophercloud.AuthOptions // a function, because no way of formatting looks into one
	shared *shared
}

// New makes a Config for a program that has its credentials from elsewhere. The project is auth's Scope, or its tenant.
func New(auth gophercloud.AuthOptions) (Config, error) {
	return newConfig(auth, fieldNames{
		url: "IdentityEndpoint", user: "Username (or UserID)", password: "Password", domain: "DomainName (or DomainID)",
		project: "Scope (or TenantID, or TenantName)", projectDomain: "Scope.DomainName (or Scope.DomainID)",
		secret: "ApplicationCredentialSecret",
	})
}

func newConfig(auth gophercloud.AuthOptions, names fieldNames) (Config, error) {
	if auth.UserID != "" { // it implies name and domain, and Keystone refuses to be told twice
		auth.Username, auth.DomainID, auth.DomainName = "", "", ""
	}
	if auth.DomainID != "" {
		auth.DomainName = ""
	}
	// Settles the project while the user is the one whose domain it may default to: As changes the user.
	scope, err := auth.ToTokenV3ScopeMap()
	if err != nil && !missesProjectDomain(&auth) {
		return Config{}, fmt.Errorf("what the token is for: %w", err)
	}
	if missing := names.missing(&auth); len(missing) > 0 {
		return Config{}, fmt.Errorf("missing: %s", strings.Join(missing, ", "))
	}
	if _, err := auth.ToTokenV3CreateMap(scope); err != nil {
		return Config{}, fmt.Errorf("the credentials do not fit together: %w", err)
	}
	address, err := url.Parse(auth.IdentityEndpoint)
	if err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") {
		// Without the address itself: it may hold a password.
		return Config{}, fmt.Errorf("%s is not an address such as https://cloud.example:5000/v3", names.url)
	}
	if address.User != nil {
		return Config{}, fmt.Errorf("%s contains a user name or password; give them apart", names.url)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = idleConnections
	return Config{
		Interface: gophercloud.AvailabilityPublic,
		Transport: transport,
		auth:      func() gophercloud.AuthOptions { return auth },
		shared:    newShared(),
	}, nil
}

// idleConnections to a host stay open between calls. Go keeps 2, and a morning's logins would each begin with a handshake.
const idleConnections = 256

// As is the same cloud and project as another user. The domain is the user's, by name; empty: that of the Config's user.
// Each thin client of the old path logs in to Keystone so.
func (c Config) As(user, password, domain string) Config {
	if c.auth == nil {
		return c // Connect says it
	}
	own := c.auth()
	auth := gophercloud.AuthOptions{
		IdentityEndpoint: own.IdentityEndpoint,
		Username:         user,
		Password:         password,
		DomainID:         own.DomainID,
		DomainName:       own.DomainName,
		Scope:            own.Scope,
	}
	switch {
	case domain != "":
		auth.DomainID, auth.DomainName = "", domain
	case auth.DomainID == "" && auth.DomainName == "":
		auth.DomainID = "default" // Keystone's own first domain
	}
	c.auth = func() gophercloud.AuthOptions { return auth }
	return c
}

// String says who logs in where.
func (c Config) String() string {
	if c.auth == nil {
		return "no cloud"
	}
	auth := c.auth()
	return fmt.Sprintf("%s at %s", user(auth), auth.IdentityEndpoint)
}

func (c Config) check() error {
	if c.auth == nil || c.shared == nil || c.Transport == nil {
		return errors.New("the configuration of the cloud is empty: make it with Load or New")
	}
	switch c.Interface {
	case "", gophercloud.AvailabilityPublic, gophercloud.AvailabilityInternal, gophercloud.AvailabilityAdmin:
	default:
		return fmt.Errorf("interface %q is none of public, internal and admin", c.Interface)
	}
	return c.checkMarks()
}

// user is what error texts call who logs in.
func user(auth gophercloud.AuthOptions) string {
	for _, name := range []string{auth.Username, auth.UserID, auth.ApplicationCredentialName, auth.ApplicationCredentialID} {
		if name != "" {
			return name
		}
	}
	return "the bearer of a token"
}

// fieldNames is what a source of credentials calls them, so that an error names what its reader can set.
type fieldNames struct{ url, user, password, domain, project, projectDomain, secret string }

func (n fieldNames) missing(auth *gophercloud.AuthOptions) []string {
	var missing []string
	need := func(there bool, name string) {
		if !there {
			missing = append(missing, name)
		}
	}
	hasUser := auth.Username != "" || auth.UserID != ""
	hasDomain := auth.Username == "" || auth.DomainID != "" || auth.DomainName != ""
	need(auth.IdentityEndpoint != "", n.url)
	if auth.ApplicationCredentialID != "" || auth.ApplicationCredentialName != "" {
		need(auth.ApplicationCredentialSecret != "", n.secret)
		need(auth.ApplicationCredentialID != "" || hasUser, n.user)
		need(auth.ApplicationCredentialID != "" || hasDomain, n.domain)
		return missing // it implies the project
	}
	if auth.Password != "" || auth.Passcode != "" || auth.TokenID == "" {
		need(hasUser, n.user)
		need(auth.Password != "" || auth.Passcode != "", n.password)
		need(hasDomain, n.domain)
	}
	// Without a project there is no catalog, and everything else would fail with something less clear.
	need(auth.Scope != nil && *auth.Scope != gophercloud.AuthScope{}, n.project)
	need(!missesProjectDomain(auth), n.projectDomain)
	return missing
}

func missesProjectDomain(auth *gophercloud.AuthOptions) bool {
	s := auth.Scope
	return s != nil && s.ProjectName != "" && s.DomainID == "" && s.DomainName == ""
}
