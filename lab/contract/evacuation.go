package contract

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// testEvacuation: a server is made anew on another host than the one that is down.
func testEvacuation(t *testing.T, s *suite) {
	from, to := s.Hosts[0], s.Hosts[1]
	restored := func(ctx context.Context) error {
		if err := s.Can.RestartCompute(ctx, from); err != nil {
			return err
		}
		_, err := s.updateService(ctx, from, serviceChange{"forced_down": false})
		return err
	}
	// One that was never on the host that it goes to: Nova's fake driver forgets none that left it.
	id := s.server(t, s.admin, "evacuated", boot{"host": from}).ID
	t.Cleanup(func() { // also after a failure
		if err := restored(context.Background()); err != nil {
			t.Errorf("restoring %s: %v", from, err)
		}
	})
	_, err := s.updateService(t.Context(), from, serviceChange{"forced_down": true})
	require.NoError(t, err)
	a := s.admin.act(t, id, object{"evacuate": object{"host": to}})
	require.Equal(t, http.StatusOK, a.status, a.body)
	s.watch(t, s.admin, id, "REBUILD rebuilding", "REBUILD rebuild_block_device_mapping", "REBUILD rebuild_spawning", "ACTIVE")
	require.Equal(t, to, s.settle(t, s.admin, id, "ACTIVE").Host)
	require.Equal(t, []string{"evacuate", "create"}, s.actionNames(t, s.admin, id))

	_, err = s.updateService(t.Context(), from, serviceChange{"forced_down": false})
	early := refused(t, err, http.StatusBadRequest)
	require.Contains(t, early.text(t, "badRequest", "message"),
		"Unable to force up host "+from+" as `done` evacuation migration records remain associated with the host.")
	require.NoError(t, restored(t.Context()))
	require.Equal(t, to, s.settle(t, s.admin, id, "ACTIVE").Host, "it stays where it went")
	s.server(t, s.admin, "returned", boot{"host": from})
}
