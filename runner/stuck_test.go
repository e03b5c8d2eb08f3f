package runner

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStuck: a fault that a watchdog has ended after its run is stuck no more.
func TestStuck(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	journal := filepath.Join(r.Dir("r1"), "undo.jsonl")
	require.NoError(t, os.Mkdir(r.Dir("r1"), 0o700))
	injected := `{"at":"2026-11-26T02:15:00Z","inject":{"id":"f1","fault":"net.loss","for":60000000000}}` + "\n" +
		`{"at":"2026-11-26T02:15:01Z","applied":"f1"}` + "\n"
	require.NoError(t, os.WriteFile(journal, []byte(injected), 0o600))
	require.Zero(t, r.counted().FaultsStuck)
	require.NoError(t, r.counts.stuck.look(r.runs()))
	require.Equal(t, 1, r.counted().FaultsStuck)
	require.Equal(t, 1, r.counted().FaultsStuck)
	undone := `{"at":"2026-11-26T02:16:00Z","undone":"f1","by":"watchdog"}` + "\n"
	require.NoError(t, os.WriteFile(journal, []byte(injected+undone), 0o600))
	require.Zero(t, r.counted().FaultsStuck)
}
