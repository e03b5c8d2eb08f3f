package libvirt_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
)

const deadline = time.Minute

func TestDesktopsOutliveTheDaemonButNotTheNamespace(t *testing.T) {
	libvirttest.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	daemon, err := libvirt.Start(ctx, libvirt.Config{})
	require.NoError(t, err)
	defer daemon.Close()
	id, err := daemon.Boot(ctx, "n2-117", libvirt.Graphics)
	require.NoError(t, err)
	require.Len(t, processesOf(t, id), 1)

	require.NoError(t, daemon.Kill())
	require.Len(t, processesOf(t, id), 1, "QEMU runs without libvirtd")
	_, err = daemon.Description(ctx, id)
	require.Error(t, err)
	require.NoError(t, daemon.Restart(ctx))
	description, err := daemon.Description(ctx, id)
	require.NoError(t, err)
	require.Contains(t, description, "<name>n2-117</name>")

	dir := filepath.Dir(filepath.Dir(filepath.Dir(daemon.Socket)))
	require.NotEmpty(t, processesOf(t, dir))
	require.NoError(t, daemon.Close())
	require.Empty(t, processesOf(t, id))
	require.Empty(t, processesOf(t, dir))
	require.NoDirExists(t, dir)
	require.NoError(t, daemon.Close())
}

func TestDefine(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	id, err := daemon.Define(t.Context(), "n2-118", libvirt.Graphics)
	require.NoError(t, err)
	require.Empty(t, processesOf(t, id))
	description, err := daemon.Description(t.Context(), id)
	require.NoError(t, err)
	require.Contains(t, description, id)
	_, err = daemon.Define(t.Context(), "n2-118", libvirt.Graphics)
	require.ErrorContains(t, err, "defining desktop n2-118")
	_, err = daemon.Boot(t.Context(), "n2-119", `<graphics type='no such'/>`)
	require.ErrorContains(t, err, "booting desktop n2-119")
}

// TestNothingOutlivesItsParent runs this test binary again, as a parent that starts a daemon and a desktop and is killed.
func TestNothingOutlivesItsParent(t *testing.T) {
	const role = "DESKSTORM_TEST_PARENT"
	if os.Getenv(role) != "" {
		daemon, err := libvirt.Start(t.Context(), libvirt.Config{})
		require.NoError(t, err)
		_, err = daemon.Boot(t.Context(), "n2-117", libvirt.Graphics)
		require.NoError(t, err)
		fmt.Println("booted")
		select {}
	}
	libvirttest.Require(t)
	dir, err := os.MkdirTemp("", "deskstorm-") // shorter than t.TempDir's: a socket's path has 107 bytes at most
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	parent := exec.Command(os.Args[0], "-test.run=^TestNothingOutlivesItsParent$", "-test.timeout=1m")
	parent.Env = append(os.Environ(), role+"=1", "TMPDIR="+dir)
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	booted := false
	for lines := bufio.NewScanner(out); !booted && lines.Scan(); {
		booted = lines.Text() == "booted"
	}
	before := processesOf(t, dir)
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait() // killed
	require.True(t, booted, "the parent booted no desktop")
	require.NotEmpty(t, before)
	require.Eventually(t, func() bool { return len(processesOf(t, dir)) == 0 }, deadline, 10*time.Millisecond)
}

func TestStartEndsWithItsContext(t *testing.T) {
	libvirttest.Require(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := libvirt.Start(ctx, libvirt.Config{})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, processesOf(t, dir))
}

func TestStartSaysWhatTheDaemonSaid(t *testing.T) {
	libvirttest.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := libvirt.Start(ctx, libvirt.Config{TLSDir: "/nowhere"})
	require.ErrorContains(t, err, "/nowhere/cacert.pem")
}

// processesOf returns the processes whose command lines name something.
func processesOf(t *testing.T, something string) (commands []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), something) { // a process may have ended since
			commands = append(commands, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return commands
}
