package history_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/database"
	"github.com/deskstorm/deskstorm/internal/disktest"
	"github.com/deskstorm/deskstorm/runner/history"
)

// The database's server goes away during the run, and is back at the runner's next start.
func TestSpool(t *testing.T) {
	server := startPostgres(t)
	s := open(t, server.DSN)
	dir := filepath.Join(t.TempDir(), "state", "spool")
	ids, err := s.Drain(t.Context(), dir)
	require.NoError(t, err, "there is no spool yet")
	require.Empty(t, ids)
	require.NoError(t, server.Close())

	a, b := run(t, "a", evening), run(t, "b", evening)
	err = s.SaveOrSpool(t.Context(), dir, a, "passed", json.RawMessage(`{"x":1}`))
	var spooled *history.SpooledError
	require.ErrorAs(t, err, &spooled)
	require.Equal(t, filepath.Join(dir, "a.run.json"), spooled.Path)
	require.ErrorIs(t, err, database.ErrUnreachable)
	require.True(t, history.Away(err))
	require.ErrorContains(t, err, "the run is in "+spooled.Path+" and is saved at the next start")
	require.Error(t, s.SaveOrSpool(t.Context(), dir, b, "", nil))
	ids, err = s.Drain(t.Context(), dir)
	require.ErrorIs(t, err, database.ErrUnreachable)
	require.Empty(t, ids)

	// Files that are no runs do not keep the others from being saved.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a0.run.json"), []byte(`{"run":{"id":"a0"`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a1.run.json"), []byte(`{"run":{"id":"../x"}}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a2.run.json"),
		[]byte(`{"run":{"id":"a2"},"windows":[{"metric":"m","kind":"trend","packed":"AAAA"}]}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".spool-123"), []byte("half of one"), 0o600))
	s = open(t, "sqlite://"+filepath.Join(t.TempDir(), "history.db"))
	ids, err = s.Drain(t.Context(), dir)
	require.Equal(t, []string{"a", "b"}, ids)
	for _, name := range []string{"a0", "a1", "a2"} {
		require.ErrorContains(t, err, name+".run.json: the file is damaged; it is renamed")
		require.FileExists(t, filepath.Join(dir, name+".run.json.damaged"))
	}
	got, err := s.Run(t.Context(), "a")
	require.NoError(t, err)
	requireRun(t, a, got)
	require.Equal(t, "passed", got.Outcome)
	require.JSONEq(t, `{"x":1}`, string(got.Verdict))
	ids, err = s.Drain(t.Context(), dir)
	require.NoError(t, err, "nothing is tried again")
	require.Empty(t, ids)
}

func TestFullDisk(t *testing.T) {
	dir := disktest.New(t, "512k")
	s := open(t, "sqlite://"+filepath.Join(dir, "history.db"))
	require.NoError(t, s.Save(t.Context(), run(t, "small", evening), "passed", nil))
	large := run(t, "large", evening)
	large.Error = string(make([]byte, 1<<20))
	err := s.SaveOrSpool(t.Context(), filepath.Join(dir, "spool"), large, "", nil)
	require.ErrorIs(t, err, database.ErrFull)
	require.ErrorContains(t, err, "the run's results are lost")
	require.ErrorContains(t, err, "make room")
	var spooled *history.SpooledError
	require.False(t, errors.As(err, &spooled))
	files, err := os.ReadDir(filepath.Join(dir, "spool"))
	require.NoError(t, err)
	require.Empty(t, files, "nothing half done")

	elsewhere := t.TempDir()
	err = s.SaveOrSpool(t.Context(), elsewhere, large, "", nil)
	require.ErrorAs(t, err, &spooled)
	k, err := s.Run(t.Context(), "small")
	require.NoError(t, err)
	require.Equal(t, "passed", k.Outcome)
	_, err = s.Run(t.Context(), "large")
	require.ErrorIs(t, err, history.ErrNotFound)
}
