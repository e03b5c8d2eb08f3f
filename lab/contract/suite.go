package contract

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/stretchr/testify/require"
)

// suite is a run of the contract on a cloud.
type suite struct {
	Cloud
	prefix string // of the names of all that this run makes

	home  *session // the administrator, in the project that the Cloud names
	admin *session // the administrator, in the run's own project
	user  *session // the ordinary user, there too

	made                         atomic.Int32 // servers, for their hosts
	flavor                       flavors.Flavor
	imageID, networkID, memberID string
}

func begin(t *testing.T, c Cloud) *suite {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	s := &suite{Cloud: c, prefix: "contract-" + hex.EncodeToString(random[:]) + "-"}
	require.GreaterOrEqual(t, len(c.Hosts), 2, "a cloud's Hosts")
	require.NotNil(t, c.Admin.Scope, "the administrator's scope")
	s.home = login(t, c, c.Admin)
	person := login(t, c, c.User)
	s.memberID = s.role(t, "member")
	project := s.project(t, "project")
	unlimited := -1
	_, err := quotasets.Update(t.Context(), s.home.compute, project, quotasets.UpdateOpts{
		Instances: &unlimited, Cores: &unlimited, RAM: &unlimited,
	}).Extract()
	require.NoError(t, err)
	s.grant(t, project, person.userID, "member")
	s.admin, s.user = login(t, c, in(c.Admin, project)), login(t, c, in(c.User, project))

	pages, err := flavors.ListDetail(s.admin.compute, nil).AllPages(t.Context())
	require.NoError(t, err)
	all, err := flavors.ExtractFlavors(pages)
	require.NoError(t, err)
	for _, f := range all {
		if f.Name == c.Flavor {
			s.flavor = f
		}
	}
	require.NotEmpty(t, s.flavor.ID, "flavor %s", c.Flavor)
	pages, err = images.List(s.admin.image, images.ListOpts{Name: c.Image, Status: images.ImageStatusActive}).AllPages(t.Context())
	require.NoError(t, err)
	found, err := images.ExtractImages(pages)
	require.NoError(t, err)
	require.NotEmpty(t, found, "image %s", c.Image)
	s.imageID = found[0].ID
	pages, err = networks.List(s.admin.network, networks.ListOpts{Name: c.Network}).AllPages(t.Context())
	require.NoError(t, err)
	nets, err := networks.ExtractNetworks(pages)
	require.NoError(t, err)
	require.Len(t, nets, 1, "network %s", c.Network)
	s.networkID = nets[0].ID
	return s
}

// cleanupTimeout bounds one request that removes what a test made.
const cleanupTimeout = 30 * time.Second

// cleanup removes what a test made when the test ends, also a failed one; a failure to do so is one of the test.
func cleanup(t *testing.T, what string, remove func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout) // t.Context() has ended
		defer cancel()
		if err := remove(ctx); err != nil && !gophercloud.ResponseCodeIs(err, 404) {
			t.Errorf("removing %s: %v", what, err)
		}
	})
}

// in is who somebody is in another project, by its id.
func in(auth gophercloud.AuthOptions, project string) gophercloud.AuthOptions {
	auth.Scope = &gophercloud.AuthScope{ProjectID: project}
	auth.TenantID, auth.TenantName = "", ""
	return auth
}

// project makes a project whose administrator is the suite's.
func (s *suite) project(t *testing.T, name string) string {
	t.Helper()
	p, err := projects.Create(t.Context(), s.home.identity, projects.CreateOpts{Name: s.prefix + name, DomainID: "default"}).Extract()
	require.NoError(t, err)
	cleanup(t, "project "+p.Name, func(ctx context.Context) error {
		_ = quotasets.Delete(ctx, s.home.compute, p.ID).Err // where it has quotas of its own
		return projects.Delete(ctx, s.home.identity, p.ID).ExtractErr()
	})
	for _, role := range []string{"admin", "member"} {
		s.grant(t, p.ID, s.home.userID, role)
	}
	return p.ID
}

func (s *suite) role(t *testing.T, name string) string {
	t.Helper()
	pages, err := roles.List(s.home.identity, roles.ListOpts{Name: name}).AllPages(t.Context())
	require.NoError(t, err)
	found, err := roles.ExtractRoles(pages)
	require.NoError(t, err)
	require.Len(t, found, 1, "role %s", name)
	return found[0].ID
}

func (s *suite) grant(t *testing.T, project, user, role string) {
	t.Helper()
	opts := roles.AssignOpts{UserID: user, ProjectID: project}
	require.NoError(t, roles.Assign(t.Context(), s.home.identity, s.role(t, role), opts).ExtractErr())
}

// await asks again and again, at growing intervals, until an answer is yes.
func await(t *testing.T, timeout time.Duration, what string, ask func() bool) {
	t.Helper()
	const longest = 500 * time.Millisecond
	deadline := time.Now().Add(timeout)
	for pause := 5 * time.Millisecond; !ask(); pause = min(pause*3/2, longest) {
		require.True(t, time.Now().Before(deadline), "%s: not within %s", what, timeout)
		time.Sleep(pause)
	}
}
