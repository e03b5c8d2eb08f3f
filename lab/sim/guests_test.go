package sim_test

import (
	"context"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/spice"
)

func TestGuestsUnderQEMU(t *testing.T) {
	qemutest.Require(t)
	guests := sim.NewGuests(qemu.Config{})
	lab := startLab(t, sim.Config{Desktops: guests})
	c := compute(t, lab.Admin(), "2.93")
	id := create(t, lab, c, servers.CreateOpts{})
	require.Eventually(t, func() bool {
		s, ok := lab.Server(id)
		require.True(t, ok)
		require.Empty(t, s.Fault)
		return s.Status == "ACTIVE"
	}, time.Minute, 50*time.Millisecond)
	s, _ := lab.Server(id)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := spice.Dial(ctx, spice.Config{Host: s.Console.Host, Port: s.Console.Port})
	require.NoError(t, err)
	require.NoError(t, session.Close())
	require.NoError(t, servers.Delete(t.Context(), c, id).ExtractErr())
	gone(t, c, id)
	require.Nil(t, guests.Desktop(id))
	require.NoError(t, guests.Err())
}
