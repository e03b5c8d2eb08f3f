package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/target"
)

// The history of a run whose runner was killed has its faults, and who ended them.
func TestRecoverTellsTheHistory(t *testing.T) {
	t.Parallel()
	r := open(t, "targets: {here: {local: {}}}\n")
	for _, id := range []string{"dead", "elsewhere"} {
		require.NoError(t, r.History.Begin(t.Context(), record.Run{ID: id, Experiment: id, Began: time.Now()}))
	}
	file := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	plan := fault.Plan{Fault: "test", ID: "f1", For: time.Hour, Touches: fault.Touches{What: "all is broken", Targets: []string{"here"}},
		Undo: []target.Step{{Target: "here", Command: &target.Command{Argv: []string{"rm", "-f", file}}}}}
	require.NoError(t, os.MkdirAll(r.Dir("dead"), 0o700))
	var journal []byte
	for _, entry := range []any{map[string]any{"at": time.Now(), "inject": plan}, map[string]any{"at": time.Now(), "applied": "f1"}} {
		line, err := json.Marshal(entry)
		require.NoError(t, err)
		journal = append(append(journal, line...), '\n')
	}
	require.NoError(t, os.WriteFile(filepath.Join(r.Dir("dead"), "undo.jsonl"), journal, 0o600))

	_, err := r.Recover(t.Context())
	require.NoError(t, err)
	require.NoFileExists(t, file)
	kept, err := r.History.Run(t.Context(), "dead")
	require.NoError(t, err)
	require.Equal(t, record.Interrupted, kept.Status)
	require.Len(t, kept.Faults, 1)
	require.Equal(t, "all is broken", kept.Faults[0].What)
	require.Equal(t, "recover", kept.Faults[0].UndoneBy)
	require.NoError(t, os.RemoveAll(r.Dir("dead"))) // as seen from another machine
	shown, err := r.Report(t.Context(), kept)
	require.NoError(t, err)
	require.Len(t, shown.Run.Faults, 1)
	kept, err = r.History.Run(t.Context(), "elsewhere")
	require.NoError(t, err)
	require.Equal(t, record.Interrupted, kept.Status)
	require.Empty(t, kept.Faults)
}
