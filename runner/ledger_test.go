package runner

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/runner/ledger"
)

// A runner that was killed leaves its servers to whoever recovers it, once.
func TestRecoverRemovesWhatDeadRunsHaveMade(t *testing.T) {
	t.Parallel()
	marks := func(run string) []string { return []string{"deskstorm-owner=deskstorm", "deskstorm-run=" + run} }
	lab, err := sim.Start(t.Context(), sim.Config{Servers: []sim.ServerSeed{
		{Name: "desk"}, {Name: "dead-1", Tags: marks("dead")}, {Name: "other-1", Tags: marks("other")},
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	file, err := lab.WriteCloudsYAML(t.TempDir())
	require.NoError(t, err)
	r := open(t, "cloud: {name: "+sim.AdminCloud+", file: "+file+"}\n")
	book, err := ledger.Open(r.Dir("dead"))
	require.NoError(t, err)
	require.NoError(t, book.Will(ledger.Resource{Target: "cloud", Kind: "server", Name: "dead-1"}))
	require.NoError(t, book.Close())

	_, err = Recover(t.Context(), r.Config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	left, err := r.Cleanup(t.Context(), ledger.Options{DryRun: true})
	require.NoError(t, err)
	require.Len(t, left.Removed, 1)
	require.Equal(t, "other-1", left.Removed[0].Name, "another machine's, which may live")
	require.NoError(t, lab.Close()) // nobody is asked again
	_, err = Recover(t.Context(), r.Config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
}
