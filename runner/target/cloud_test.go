package target_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/runner/target"
)

func TestServers(t *testing.T) {
	lab, err := sim.Start(t.Context(), sim.Config{
		Boot:    func(*rand.Rand) time.Duration { return 0 },
		Servers: []sim.ServerSeed{{Name: "desk-1"}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	file, err := lab.WriteCloudsYAML(t.TempDir())
	require.NoError(t, err)
	do := target.New(target.Config{"stack": {Cloud: &access.Cloud{Name: sim.AdminCloud, File: file}}})
	id := lab.Servers()[0].ID
	act := func(action string) error {
		_, err := do.Do(t.Context(), target.Step{Target: "stack", Server: &target.Server{ID: id, Action: action}})
		return err
	}
	is := func(status string) {
		t.Helper()
		require.Eventually(t, func() bool { s, _ := lab.Server(id); return s.Status == status }, 20*time.Second, time.Millisecond)
	}
	for _, step := range []struct{ action, status string }{
		{"start", "ACTIVE"}, {"stop", "SHUTOFF"}, {"stop", "SHUTOFF"}, {"start", "ACTIVE"}, {"reboot", "ACTIVE"},
	} {
		require.NoError(t, act(step.action), step.action)
		is(step.status)
	}
	// An undo may come while the fault is just being done.
	require.NoError(t, act("stop"))
	require.NoError(t, act("start"))
	is("ACTIVE")
	require.NoError(t, act("delete"))
	require.Eventually(t, func() bool { _, there := lab.Server(id); return !there }, 20*time.Second, time.Millisecond)
	require.NoError(t, act("delete"))
	for _, action := range []string{"start", "stop", "reboot"} {
		require.ErrorIs(t, act(action), target.ErrGone)
	}

	_, err = do.Do(t.Context(), target.Step{Target: "stack", Command: &target.Command{Argv: []string{"true"}}})
	require.ErrorContains(t, err, "neither of the kind local nor ssh")
	do = target.New(target.Config{"stack": {Cloud: &access.Cloud{Name: "none", File: file}}})
	require.ErrorContains(t, act("start"), `reading cloud "none"`)
}
