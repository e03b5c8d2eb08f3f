package cloud_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/sim"
)

func TestServerActions(t *testing.T) {
	lab, c := startSim(t, sim.Config{})
	flavor, image, network := lab.FlavorID("desktop.small"), lab.ImageID("desktop"), lab.NetworkID("desktops")
	build := func() string {
		s, err := c.CreateServer(t.Context(), cloud.ServerSpec{Name: "desk", FlavorID: flavor, ImageID: image, Networks: []string{network}})
		require.NoError(t, err)
		return s.ID
	}
	only := func(id string) cloud.Action {
		list, err := c.ServerActions(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, list, 1)
		a, err := c.ServerAction(t.Context(), id, list[0].RequestID)
		require.NoError(t, err)
		return a
	}
	begin := time.Now()
	id := build()
	var s cloud.Server
	require.Eventually(t, func() bool {
		var err error
		s, err = c.Server(t.Context(), id)
		require.NoError(t, err)
		return s.Status == "ACTIVE"
	}, 20*time.Second, 5*time.Millisecond)
	require.Len(t, s.Addresses, 1)
	require.Regexp(t, `^fa:16:3e(:[0-9a-f]{2}){3}$`, s.Addresses[0].MAC)
	require.NotEmpty(t, s.Addresses[0].IP)

	a := only(id)
	require.Equal(t, "create", a.Name)
	require.False(t, a.Failed)
	require.Len(t, a.Events, 1)
	require.Equal(t, "compute__do_build_and_run_instance", a.Events[0].Name)
	require.Equal(t, s.Host, a.Events[0].Host)
	require.False(t, a.Events[0].Failed)
	require.False(t, a.Events[0].Finished.Before(a.Events[0].Started))
	require.WithinRange(t, a.Started, begin.Add(-time.Second), time.Now().Add(time.Second))

	_, err := lab.LoseBuilds("", 1)
	require.NoError(t, err)
	lost := build()
	a = only(lost)
	require.Equal(t, "create", a.Name)
	require.Empty(t, a.Events, "nobody has begun")

	_, err = c.ServerActions(t.Context(), "../flavors")
	require.Error(t, err)
	_, err = c.ServerAction(t.Context(), id, "req-00000000-0000-0000-0000-000000000000")
	require.ErrorIs(t, err, cloud.ErrNotFound)
}
