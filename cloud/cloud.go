package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// Cloud is a user who is logged in to a project of a cloud. Its methods may be called by many goroutines at once. There is
// nothing to close.
type Cloud struct {
	config  Config
	session *session

	compute   *gophercloud.ServiceClient // nil: not in the catalog; never after Connect
	image     *gophercloud.ServiceClient // nil: not in the catalog
	network   *gophercloud.ServiceClient // nil: not in the catalog
	placement *gophercloud.ServiceClient // nil: not in the catalog

	catalog *tokens.ServiceCatalog // while connecting
}

// Connect logs in: one request, and one more for the first of a Config, which asks what the compute service speaks.
// An expired token is renewed at the first request that the cloud refuses for it. A wrong password is ErrUnauthorized,
// a compute service older than Pike ErrNotOffered.
func Connect(ctx context.Context, config Config) (*Cloud, error) {
	c, err := login(ctx, config)
	if err != nil {
		return nil, err
	}
	if c.compute != nil {
		c.compute.Microversion, err = config.shared.microversion(ctx, c.session, c.compute.Endpoint)
	} else {
		_, err = c.service(c.catalog, "compute", "v2.1")
	}
	if err != nil {
		return nil, failure(ctx, "connecting to", config.auth().IdentityEndpoint, err, c.session.secrets())
	}
	c.catalog = nil
	return c, nil
}

// Login is Connect without the compute service, for those who ask whether that one is there at all. The Cloud has Canaries,
// Agents, Ports and what is Placement's.
func Login(ctx context.Context, config Config) (*Cloud, error) {
	c, err := login(ctx, config)
	if err != nil {
		return nil, err
	}
	c.catalog = nil
	return c, nil
}

func login(ctx context.Context, config Config) (*Cloud, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	s := newSession(config)
	catalog, err := s.login(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cloud{config: config, session: s, catalog: catalog}
	// Most users of a cloud never ask for all of these; who does is told that there is none.
	c.compute, _ = c.service(catalog, "compute", "v2.1")
	c.image, _ = c.service(catalog, "image", "v2")
	c.network, _ = c.service(catalog, "network", "v2.0")
	if c.placement, _ = c.service(catalog, "placement", ""); c.placement != nil {
		c.placement.Microversion = placementMicroversion
	}
	return c, nil
}

// ComputeMicroversion is what was negotiated with the compute service, such as "2.93": at least 2.52, at most 2.99.
func (c *Cloud) ComputeMicroversion() string { return c.compute.Microversion }

// String says who is logged in where.
func (c Cloud) String() string { return c.config.String() }

// service finds an endpoint in the catalog. It does not look at what it offers: every user would pay for that. The version is
// empty for a service without versions in its paths.
func (c *Cloud) service(catalog *tokens.ServiceCatalog, kind, version string) (*gophercloud.ServiceClient, error) {
	opts := gophercloud.EndpointOpts{Region: c.config.Region, Availability: c.config.Interface}
	opts.ApplyDefaults(kind)
	endpoint, err := openstack.V3Endpoint(context.Background(), nil, catalog, opts)
	if err != nil {
		return nil, fmt.Errorf("%w: the catalog has no %s %s endpoint%s", ErrNotOffered, opts.Availability, kind,
			whereElse(catalog, opts))
	}
	base, err := versioned(endpoint, version)
	if err != nil {
		return nil, fmt.Errorf("the catalog's %s endpoint: %w", kind, err)
	}
	return client(c.session, kind, base), nil
}

// whereElse tells people who mistyped a region which ones there are.
func whereElse(catalog *tokens.ServiceCatalog, opts gophercloud.EndpointOpts) string {
	if opts.Region == "" {
		return ""
	}
	regions := map[string]bool{}
	for _, entry := range catalog.Entries {
		for _, endpoint := range entry.Endpoints {
			regions[endpoint.Region] = true
		}
	}
	return fmt.Sprintf(" in region %q; it has regions: %s", opts.Region, strings.Join(slices.Sorted(maps.Keys(regions)), ", "))
}

func (c *Cloud) call(ctx context.Context, op, resource string, f func(context.Context) error, secrets ...string) error {
	return c.session.call(ctx, op, resource, f, secrets...)
}

// segment is an ID, tag or key as a part of a path: what is empty or a dot would name something else.
func segment(what, s string) (string, error) {
	if s == "" || s == "." || s == ".." {
		return "", errors.New(what + " is empty or dots")
	}
	return url.PathEscape(s), nil
}
