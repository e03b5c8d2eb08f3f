package debian

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func written(t *testing.T) *Lab {
	t.Helper()
	dir := t.TempDir()
	l := newLab(Options{Dir: dir, Cache: dir, Address: "127.67.0.9", Computes: 1, Users: 5, Desktops: 2, VirtType: "qemu", Program: []string{"deskstorm"}})
	require.NoError(t, l.writeFiles(t.Context()))
	return l
}

// TestConfiguration: each template is filled in, in the place that the services' command lines name, and only its owner reads it.
func TestConfiguration(t *testing.T) {
	l := written(t)
	files := 0
	require.NoError(t, filepath.WalkDir(l.etc(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NotContains(t, string(text), "{{", path)
		require.NotContains(t, string(text), "<no value>", path)
		info, err := entry.Info()
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm(), path)
		return nil
	}))
	require.Greater(t, files, 15)
	for _, s := range l.services() {
		for _, argument := range s.command(l).Args {
			if name, ok := strings.CutPrefix(argument, l.etc()+"/"); ok && name != "nova-fake01.conf" { // made when it is started
				_, err := os.Stat(argument)
				require.NoError(t, err, s.name)
			}
		}
	}
	nova, err := os.ReadFile(l.etc("nova.conf"))
	require.NoError(t, err)
	require.Contains(t, string(nova), "transport_url = rabbit://openstack:"+l.secrets.Messages+"@127.67.0.9:5672/\n")
	require.Contains(t, string(nova), "username = nova\npassword = "+l.secrets.Service+"\n")
	require.NotContains(t, string(nova), "\nram_allocation_ratio")
}

// TestSecrets: they are made once, and no way of printing tells them.
func TestSecrets(t *testing.T) {
	l := written(t)
	again, err := Open(l.Dir)
	require.NoError(t, err)
	require.Equal(t, l.secrets, again.secrets)
	require.Equal(t, l.Options, again.Options)
	require.Equal(t, l.secrets.Search, again.people.ServicePassword)
	require.NotEqual(t, l.secrets.Admin, l.secrets.Service)
	require.NotContains(t, l.secrets.String()+l.secrets.GoString(), l.secrets.Admin)
	for _, s := range l.services() {
		for _, word := range append(s.command(l).Args, s.command(l).Env...) {
			for _, secret := range []string{l.secrets.Admin, l.secrets.Service, l.secrets.Database, l.secrets.Messages, l.secrets.Directory} {
				require.NotContains(t, word, secret, "%s's command line or environment", s.name)
			}
		}
	}
}

func TestPortTaken(t *testing.T) {
	l := written(t)
	taken := memcached()
	require.NoError(t, l.portsFree(t.Context(), taken))
	other, err := net.Listen("tcp", l.at(taken.ports[0]))
	require.NoError(t, err)
	defer other.Close()
	err = l.portsFree(t.Context(), taken)
	require.ErrorContains(t, err, "another program listens there")
	require.ErrorContains(t, err, "--address")
}

func TestRelease(t *testing.T) {
	file := filepath.Join(t.TempDir(), "os-release")
	require.NoError(t, os.WriteFile(file, []byte("PRETTY_NAME=\"Fedora Linux 39\"\nID=fedora\n\nVERSION_ID='39'\n"), 0o600))
	require.Equal(t, map[string]string{"PRETTY_NAME": "Fedora Linux 39", "ID": "fedora", "VERSION_ID": "39"}, release(file))
	require.Empty(t, release(filepath.Join(t.TempDir(), "none")))
}

func TestStatusOfNothing(t *testing.T) {
	l := written(t)
	require.False(t, l.Running())
	for _, s := range l.Status(t.Context()) {
		require.Equal(t, Stopped, s.Health, s.Name)
	}
}
