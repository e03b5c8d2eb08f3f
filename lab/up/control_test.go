package up_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/lab/up"
)

// TestControl: faults that are injected over HTTP reach the broker's clients, and the files of the leases follow.
func TestControl(t *testing.T) {
	t.Parallel()
	c := start(t, up.Options{Users: 4, Desktops: 4, Ready: 1})
	require.Contains(t, c.Environment(), "DESKSTORM_LAB="+c.Control)
	inject := func(fault string) {
		response, err := http.Post(c.Control+"/v1/faults", "application/json", strings.NewReader(fault))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusCreated, response.StatusCode)
	}
	file := filepath.Join(c.Dir, "dhcp", c.Sim.NetworkID("desktops"), "leases")
	lines := func() int {
		text, _ := os.ReadFile(file)
		return strings.Count(string(text), "\n")
	}
	require.Eventually(t, func() bool { return lines() == len(c.Sim.Servers()) && lines() > 4 }, 20*time.Second, 10*time.Millisecond)
	before := lines()
	inject(`{"type": "desktop.no_lease", "count": 2}`)
	require.Eventually(t, func() bool { return lines() == before-2 }, 20*time.Second, 10*time.Millisecond)

	inject(`{"type": "ldap.down", "duration": "1h"}`)
	_, err := drivers(t, c)["broker"].Login(t.Context(), login(c.Users[0]))
	var failed *client.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, client.DirectoryDown, failed.Class)
}

func TestLeaseFilesGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := up.Sim(t.Context(), up.Options{Users: 1, Desktops: 1, Dir: dir})
	require.NoError(t, err)
	leases := filepath.Join(dir, "dhcp")
	require.Eventually(t, func() bool { _, err := os.Stat(leases); return err == nil }, 20*time.Second, time.Millisecond)
	require.NoError(t, c.Close())
	require.NoDirExists(t, leases, "they would be of desktops that are gone")
}
