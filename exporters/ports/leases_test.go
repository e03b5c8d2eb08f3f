package ports

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

func TestWithoutLease(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	old, young := now.Add(-time.Hour), now.Add(-time.Minute)
	leases := map[string]time.Time{"fa:16:3e:00:00:01": now.Add(time.Hour), "fa:16:3e:00:00:02": now.Add(-time.Second), "fa:16:3e:00:00:06": dhcp.Never}
	active, without := withoutLease([]Desktop{
		{"leased", "FA:16:3E:00:00:01", old},
		{"expired", "fa:16:3e:00:00:02", old},
		{"none", "fa:16:3e:00:00:03", old},
		{"booting", "fa:16:3e:00:00:04", young},
		{"two ports", "fa:16:3e:00:00:01", old}, {"two ports", "fa:16:3e:00:00:05", old}, {"two ports", "fa:16:3e:00:00:02", old},
		{"for ever", "fa:16:3e:00:00:06", old},
	}, leases, now, 5*time.Minute)
	require.Equal(t, 5, active)
	require.Equal(t, map[string]int{noLease: 2, expiredLease: 1}, without)
}

// A cloud in which two desktops lose their lease: the file is what dnsmasq would have written.
func TestLeasesInTheSimulatedCloud(t *testing.T) {
	config := sim.Config{}
	for i := range 20 {
		config.Servers = append(config.Servers, sim.ServerSeed{Name: fmt.Sprintf("desk-%d", i)})
	}
	config.Servers = append(config.Servers, sim.ServerSeed{Name: "off", Status: "SHUTOFF"})
	lab, err := sim.Start(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	dir := t.TempDir()
	clouds, err := lab.WriteCloudsYAML(dir)
	require.NoError(t, err)
	network := lab.NetworkID("desktops")
	require.NoError(t, os.Mkdir(filepath.Join(dir, network), 0o700))
	file := filepath.Join(dir, network, "leases")
	write := func(missing int) {
		leases, _ := lab.Leases()
		var lines strings.Builder
		for _, l := range leases[missing:] {
			fmt.Fprintf(&lines, "%d %s %s host *\n", time.Now().Add(time.Hour).Unix(), l.MAC, l.Address)
		}
		require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
	}
	c := Config{Database: none, Cloud: &access.Cloud{Name: sim.AdminCloud, File: clouds}, LeaseFiles: []string{filepath.Join(dir, "*", "leases")},
		Grace: time.Nanosecond}
	sources, err := Connect(c)
	require.NoError(t, err)
	e := newExporter(t, c, sources)
	for _, missing := range []int{0, 2} {
		write(missing)
		values, err := ask(t, e, "leases")
		require.NoError(t, err)
		require.Equal(t, map[string]float64{"": 20}, values[activeDesktops])
		require.Equal(t, map[string]float64{noLease: float64(missing), expiredLease: 0}, values[leaseless])
	}
	networks, err := sources.Networks(t.Context())
	require.NoError(t, err)
	require.Len(t, networks, 21)
	for _, id := range networks {
		require.Equal(t, network, id)
	}
	undo, err := lab.Inject(sim.Fault{Service: "nova", Status: 500})
	require.NoError(t, err)
	defer undo()
	values, err := ask(t, e, "leases")
	require.ErrorContains(t, err, "listing the ACTIVE desktops")
	require.Empty(t, values)
}
