package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/debian/daemon"
)

// A lab of real services is not ended by somebody who means a simulated one that has ended already.
func TestLabDownSparesTheLabOfRealServices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lab.json"), []byte("{}"), 0o600))
	daemons := filepath.Join(dir, "run", "daemons")
	require.NoError(t, os.MkdirAll(daemons, 0o700))
	service, err := daemon.Folder(daemons).Start("mariadb", exec.Command("sleep", "1h"), filepath.Join(dir, "log"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, daemon.Folder(daemons).Stop(t.Context(), "mariadb")) })
	_, stderr, code := run(t, deskstorm(t, "lab", "down", "--dir", dir))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "to end that one: deskstorm lab down --debian --dir "+dir)
	require.True(t, service.Alive())
}
