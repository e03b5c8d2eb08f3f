package runner

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/history"
)

// An experiment that was interrupted still has its rollbacks before it, for longer than a claim lasts by itself.
func TestTheClaimIsKeptToTheEnd(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	r.claimTTL = 200 * time.Millisecond
	run := prepare(t, r, "- {type: action, name: long, provider: {type: process, path: sleep, arguments: \"60\"}}\n"+
		"rollbacks:\n- {type: action, name: back, provider: {type: process, path: sleep, arguments: \"2\"}}\n"+
		"runtime: {rollbacks: {strategy: always}}\n")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan error, 1)
	go func() { _, err := run.Do(ctx); ended <- err }()
	await := func(activity string) {
		require.Eventually(t, func() bool {
			all := run.Outline().Activities
			return len(all) > 0 && all[len(all)-1].Name == activity
		}, 10*time.Second, 5*time.Millisecond)
	}
	await("long")
	interrupt()
	await("back")
	time.Sleep(3 * r.claimTTL)
	require.Equal(t, "back", run.Outline().Activities[1].Name)
	_, err := r.History.Claim(t.Context(), "e", "other", time.Minute)
	require.ErrorAs(t, err, new(*history.HeldError))
	require.NoError(t, <-ended)
	_, err = r.History.Claim(t.Context(), "e", "other", time.Minute)
	require.NoError(t, err)
}

// A claim that ended because nobody could renew it is taken again, unless somebody has had it since.
func TestTheClaimIsTakenAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		other func(t *testing.T, r *Runner)
		lost  bool
	}{
		{"nobody had it", func(*testing.T, *Runner) {}, false},
		{"somebody has it", func(t *testing.T, r *Runner) {
			_, err := r.History.Claim(t.Context(), "e", "other", time.Minute)
			require.NoError(t, err)
		}, true},
		{"somebody had it", func(t *testing.T, r *Runner) {
			lease, err := r.History.Claim(t.Context(), "e", "other", time.Minute)
			require.NoError(t, err)
			require.NoError(t, lease.Release(t.Context()))
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := open(t, "")
			lease, err := r.History.Claim(t.Context(), "e", "run", time.Millisecond)
			require.NoError(t, err)
			time.Sleep(5 * time.Millisecond)
			test.other(t, r)
			c := &claim{store: r.History, experiment: "e", run: "run", ttl: time.Minute, lease: lease}
			err = c.renew(t.Context())
			require.Equal(t, test.lost, err != nil, "%v", err)
			if !test.lost {
				require.NoError(t, c.renew(t.Context()))
			}
		})
	}
}
