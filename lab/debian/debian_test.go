package debian_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/debian"
)

func TestOptions(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*debian.Options)
		says   string
	}{
		"relative folder":   {func(o *debian.Options) { o.Dir = "lab" }, "absolute"},
		"no loopback":       {func(o *debian.Options) { o.Address = "192.0.2.1" }, "127.0.0.0/8"},
		"IPv6":              {func(o *debian.Options) { o.Address = "::1" }, "127.0.0.0/8"},
		"no address":        {func(o *debian.Options) { o.Address = "here" }, "127.0.0.0/8"},
		"no users":          {func(o *debian.Options) { o.Users = 0 }, "no sense"},
		"more ready":        {func(o *debian.Options) { o.Ready = 4 }, "no sense"},
		"too many desktops": {func(o *debian.Options) { o.Desktops = 1000 }, "one machine"},
		"too many computes": {func(o *debian.Options) { o.Computes = 1000 }, "140 MB"},
		"another emulator":  {func(o *debian.Options) { o.VirtType = "xen" }, "qemu or kvm"},
		"no program":        {func(o *debian.Options) { o.Program = nil }, "broker"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "lab")
			o := options(dir)
			test.change(&o)
			_, err := debian.Up(t.Context(), o, func(string) {})
			require.ErrorContains(t, err, test.says)
			require.NoDirExists(t, dir)
		})
	}
}

func TestNone(t *testing.T) {
	_, err := debian.Open(t.TempDir())
	require.ErrorIs(t, err, debian.ErrNone)
	require.ErrorIs(t, debian.Down(t.Context(), t.TempDir(), func(string) {}), debian.ErrNone)
}

// TestOrdinaryUser: who is not root is told so, and nothing is changed.
func TestOrdinaryUser(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o777)) // they could write there
	self, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer self.Close()
	cmd := exec.Command("/proc/self/fd/3", "up", filepath.Join(dir, "lab")) // its folder is the builder's own
	cmd.ExtraFiles = []*os.File{self}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "%v: %s", err, said)
	require.Contains(t, string(said), "it needs root, and this is an ordinary user")
	require.Contains(t, string(said), "Nothing was changed")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// TestMissingError: each thing that is missing is named.
func TestMissingError(t *testing.T) {
	err := &debian.MissingError{Missing: []string{"one", "two"}}
	require.Contains(t, err.Error(), "one; two")
	require.Contains(t, err.Error(), "--sim")
}
