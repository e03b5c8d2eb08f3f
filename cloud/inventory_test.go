package cloud_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/sim"
)

func TestInventory(t *testing.T) {
	config := sim.Config{
		Boot:  func(*rand.Rand) time.Duration { return 0 },
		Hosts: []sim.Host{{VCPUs: 1 << 12, MemoryMB: 1 << 30, DiskGB: 1 << 24}},
	}
	for i := range 1100 { // two pages
		config.Servers = append(config.Servers, sim.ServerSeed{Name: fmt.Sprintf("desk-%d", i)})
	}
	lab, c := startSim(t, config)
	ctx := t.Context()
	inventory := c.NewInventory(time.Hour)
	servers, err := inventory.Servers(ctx)
	require.NoError(t, err)
	require.Len(t, servers, 1100)
	lists := func() int {
		n := 0
		for request, times := range lab.Requests() {
			if request.Service == "nova" && request.Route == "/v2.1/servers/detail" {
				n += times
			}
		}
		return n
	}
	require.Equal(t, 2, lists())

	all := lab.Servers()
	require.NoError(t, c.StopServer(ctx, all[0].ID))
	require.NoError(t, c.DeleteServer(ctx, all[1].ID))
	require.Eventually(t, func() bool {
		servers, err = inventory.Servers(ctx)
		_, there := servers[all[1].ID]
		return err == nil && !there && servers[all[0].ID].Status == "SHUTOFF"
	}, 10*time.Second, 50*time.Millisecond)
	require.Len(t, servers, 1099)
	require.Equal(t, "ACTIVE", servers[all[2].ID].Status)
	require.Equal(t, 1, servers[all[2].ID].PowerState)
	require.NotEmpty(t, servers[all[2].ID].Host)

	undo, err := lab.Inject(sim.Fault{Service: "nova", Status: 500})
	require.NoError(t, err)
	_, err = inventory.Servers(ctx)
	require.Error(t, err)
	undo()
	servers, err = inventory.Servers(ctx)
	require.NoError(t, err)
	require.Len(t, servers, 1099)
}

func TestPorts(t *testing.T) {
	lab, c := startSim(t, sim.Config{Servers: []sim.ServerSeed{{Name: "a"}, {Name: "b"}}})
	ports, err := c.Ports(t.Context(), "")
	require.NoError(t, err)
	byServer := map[string]cloud.Port{}
	for _, p := range ports {
		byServer[p.ServerID] = p
	}
	for _, s := range lab.Servers() {
		p := byServer[s.ID]
		require.Equal(t, lab.NetworkID("desktops"), p.NetworkID)
		require.Equal(t, "compute:nova", p.Owner)
		require.Equal(t, s.Host, p.Host)
		require.Len(t, p.MAC, 17)
		onHost, err := c.Ports(t.Context(), s.Host)
		require.NoError(t, err)
		require.Contains(t, onHost, p)
	}
	none, err := c.Ports(t.Context(), "nowhere")
	require.NoError(t, err)
	require.Empty(t, none)
}
