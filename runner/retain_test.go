package runner

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
)

func TestOldFolders(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	now := time.Now()
	old := now.Add(-r.Config.History.Retention.Windows - time.Hour)
	const gone, totals, whole, stuck, young, notes = "20260101T000000-aaaaaa", "20260101T000000-bbbbbb", "20260101T000000-cccccc",
		"20260101T000000-dddddd", "20260101T000000-eeeeee", "notes"
	run := record.Run{ID: totals, Experiment: "e", Began: old, Ended: old}
	require.NoError(t, r.History.Save(t.Context(), run, "passed", nil))
	window := results.New(results.Series{Metric: "vdi_arrivals", Kind: results.Counter}, old, old.Add(10*time.Second))
	require.NoError(t, window.Add(1, old))
	run.ID, run.Windows = whole, []*results.Aggregate{window}
	require.NoError(t, r.History.Save(t.Context(), run, "passed", nil))
	for _, name := range []string{gone, totals, whole, stuck, young, notes} {
		require.NoError(t, os.Mkdir(r.Dir(name), 0o700))
		if name == stuck {
			injected := `{"at":"2026-01-01T00:00:00Z","inject":{"id":"f1","fault":"net.loss","for":60000000000}}` + "\n"
			require.NoError(t, os.WriteFile(filepath.Join(r.Dir(name), "undo.jsonl"), []byte(injected), 0o600))
		}
		if name != young {
			require.NoError(t, os.Chtimes(r.Dir(name), old, old))
		}
	}
	require.NoError(t, r.removeOld(t.Context(), now))
	require.NoDirExists(t, r.Dir(gone))
	require.NoDirExists(t, r.Dir(totals), "its reports are made anew")
	for _, name := range []string{whole, stuck, young, notes} {
		require.DirExists(t, r.Dir(name))
	}
}
