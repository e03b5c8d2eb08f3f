package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/record"
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

// TestReportOfADeadRun: what became of the faults of a run whose runner died is in their journal alone.
func TestReportOfADeadRun(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	run := record.Run{ID: "r1", Experiment: "e", Title: "Storm", Began: time.Now()}
	require.NoError(t, r.History.Begin(t.Context(), run))
	require.NoError(t, os.Mkdir(r.Dir("r1"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(r.Dir("r1"), "undo.jsonl"), []byte(`{"at":"2026-11-26T02:15:00Z",`+
		`"inject":{"id":"f1","fault":"net.loss","for":60000000000,"touches":{"what":"packets are lost"}}}`+"\n"+
		`{"at":"2026-11-26T02:15:01Z","applied":"f1"}`+"\n"+`{"at":"2026-11-26T02:15:02Z","undone":"f1","by":"watchdog"}`+"\n"), 0o600))
	text := func() string {
		kept, err := r.History.Run(t.Context(), "r1")
		require.NoError(t, err)
		shown, err := r.Report(t.Context(), kept)
		require.NoError(t, err)
		var b bytes.Buffer
		require.NoError(t, shown.Text(&b, false))
		return b.String()
	}
	require.Contains(t, text(), "GOES ON  Storm\n  the run has not ended\n")
	dead, err := r.History.MarkDead(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"r1"}, dead)
	require.Contains(t, text(), "NO VERDICT  Storm\n  the run was interrupted: the runner died\n")
	require.Regexp(t, "packets are lost: undone after [0-9.]+m?s by watchdog", text())
}
