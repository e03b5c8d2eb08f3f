package undo

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/target"
	"github.com/deskstorm/deskstorm/runner/target/sshdtest"
)

// TestFaultCutsItsOwnWay: the machine that nobody can reach any more ends the fault by itself, and says so when it can be reached again.
func TestFaultCutsItsOwnWay(t *testing.T) {
	s := sshdtest.Start(t)
	way := sshdtest.Lay(t, s.Address)
	cut := s.Config
	cut.Address, cut.KnownHosts = way.Address, s.Known(t, way.Address, "ed25519")
	mark, dir := s.File("mark"), t.TempDir()
	r := open(t, dir, target.New(target.Config{"far": {SSH: &cut}}), Options{UndoTime: time.Second})
	p := fault.Plan{Fault: "test", ID: "a", For: 2 * time.Second}
	p.Apply = []target.Step{{Target: "far", Command: &target.Command{Argv: []string{"touch", mark}}}}
	p.Undo = []target.Step{{Target: "far", Command: &target.Command{Argv: []string{"rm", "-f", mark}}}}
	require.NoError(t, r.Inject(t.Context(), p))
	require.FileExists(t, mark)
	way.Cut()
	require.Error(t, r.Close())
	require.FileExists(t, mark)
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(s.Config.RunDir, "undo-a.fired"))
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	require.NoFileExists(t, mark)

	report, err := Recover(t.Context(), dir, target.New(target.Config{"far": {SSH: &s.Config}}), nil)
	require.NoError(t, err)
	require.Len(t, report.Undone, 1)
	require.Equal(t, byTarget, report.Undone[0].UndoneBy)
	left, err := filepath.Glob(filepath.Join(s.Config.RunDir, "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
