package daemon

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func start(t *testing.T, f Folder, script string) Record {
	t.Helper()
	log := filepath.Join(string(f), "it.log")
	r, err := f.Start("it", exec.Command("sh", "-c", script), log)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Stop(canceled(), "it") })
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(log)
		return err == nil && string(text) == "ready\n"
	}, 10*time.Second, time.Millisecond)
	return r
}

// canceled is for daemons that are to be killed at once.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestStop(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		ctx    context.Context
	}{
		"SIGTERM":             {"echo ready; exec sleep 1000", context.Background()},
		"not by SIGTERM":      {"trap '' TERM; echo ready; while :; do sleep 1; done", canceled()},
		"with a child":        {"sleep 1000 & echo ready; exec sleep 1000", context.Background()},
		"leaving a child":     {"trap 'exit 0' TERM; sleep 1000 & echo ready; wait", context.Background()},
		"that ended before":   {"echo ready", context.Background()},
		"with an orphan only": {"sleep 1000 & echo ready", context.Background()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := Folder(t.TempDir())
			r := start(t, f, test.script)
			require.NoError(t, f.Stop(test.ctx, "it"))
			require.False(t, r.Alive())
			require.Eventually(t, func() bool {
				left, err := r.session()
				return err == nil && len(left) == 0
			}, 10*time.Second, time.Millisecond)
			_, err := f.Find("it")
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NoError(t, f.Stop(context.Background(), "it"), "a second time")
		})
	}
}

func TestFind(t *testing.T) {
	f := Folder(t.TempDir())
	_, err := f.Find("it")
	require.ErrorIs(t, err, fs.ErrNotExist)
	r := start(t, f, "echo ready; exec sleep 1000")
	found, err := f.Find("it")
	require.NoError(t, err)
	require.Equal(t, r.PID, found.PID)
	require.True(t, found.Alive())
	all, err := f.All()
	require.NoError(t, err)
	require.Len(t, all, 1)
	memory, err := found.Memory()
	require.NoError(t, err)
	require.Positive(t, memory)
	_, err = f.Start("it", exec.Command("true"), filepath.Join(string(f), "other.log"))
	require.ErrorContains(t, err, "runs already")
}

// TestAnotherProcess: a number that the kernel has given to another program is not the daemon's.
func TestAnotherProcess(t *testing.T) {
	f := Folder(t.TempDir())
	r := start(t, f, "echo ready; exec sleep 1000")
	other := r
	other.Ticks--
	require.NoError(t, f.write(other))
	require.False(t, other.Alive())
	require.NoError(t, f.Stop(t.Context(), "it"))
	require.True(t, r.Alive(), "another's process was killed")

	other = r
	other.Boot = "another"
	require.NoError(t, f.write(other))
	require.False(t, other.Alive())
	require.NoError(t, f.Stop(t.Context(), "it"))
	require.True(t, r.Alive(), "a process of another boot was killed")
	require.NoError(t, f.write(r))
	require.True(t, r.Alive())
}

func TestStartFails(t *testing.T) {
	f := Folder(t.TempDir())
	_, err := f.Start("it", exec.Command(filepath.Join(string(f), "no-such-program")), filepath.Join(string(f), "log"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	all, err := f.All()
	require.NoError(t, err)
	require.Empty(t, all)
}
