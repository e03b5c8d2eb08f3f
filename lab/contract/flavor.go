package contract

import (
	"context"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/stretchr/testify/require"
)

// hugeFlavor makes a flavor that no host has room for.
func (s *suite) hugeFlavor(t *testing.T) string {
	t.Helper()
	disk := max(s.flavor.Disk, 1) // without a disk it would be for administrators only
	f, err := flavors.Create(t.Context(), s.admin.compute, flavors.CreateOpts{
		Name: s.prefix + "huge", RAM: 1 << 30, VCPUs: 1, Disk: &disk,
	}).Extract()
	require.NoError(t, err)
	cleanup(t, "flavor "+f.Name, func(ctx context.Context) error { return flavors.Delete(ctx, s.home.compute, f.ID).ExtractErr() })
	return f.ID
}
