package sim_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
)

func TestHosts(t *testing.T) {
	lab := startLab(t, sim.Config{Hosts: []sim.Host{{}, {Name: "big", VCPUs: 8, MemoryMB: 1024, RAMRatio: 2}}})
	require.NoError(t, lab.Nova.SetHostDown("big", true))
	require.Equal(t, []sim.HostState{
		{"compute01", false, sim.Amount{Capacity: 1024, Total: 64}, sim.Amount{Capacity: 785664, Total: 524288}},
		{"big", true, sim.Amount{Capacity: 128, Total: 8}, sim.Amount{Capacity: 1024, Total: 1024}},
	}, lab.Hosts())
	require.NoError(t, lab.Nova.SetHostDown("big", false))
	require.False(t, lab.Hosts()[1].Down)
	require.ErrorContains(t, lab.Nova.SetHostDown("none", true), "host none: there is no such host")
	require.True(t, lab.Nova.HostDown("none"))
	_, err := lab.LoseBuilds("none", 0)
	require.ErrorContains(t, err, `no host "none"`)
}

func TestCut(t *testing.T) {
	lab := startLab(t, sim.Config{})
	undo := inject(t, lab, sim.Fault{Service: "nova", Cut: true})
	_, err := http.Get(base(lab) + "/compute/v2.1")
	require.ErrorContains(t, err, "EOF")
	require.Equal(t, 1, lab.Requests()[sim.Request{Service: "nova", Method: "GET"}], "without a status")
	undo()
	require.Equal(t, 200, do(t, "GET", base(lab)+"/compute/v2.1", "", "").status)
}

// TestLeases: those that run have leases, while they run.
func TestLeases(t *testing.T) {
	lab := startLab(t, sim.Config{Servers: []sim.ServerSeed{{Name: "a"}, {Name: "b", Status: "SHUTOFF"}, {Name: "c", Status: "BUILD"}}})
	leased := func() (names []string) {
		leases, missing := lab.Leases()
		require.Empty(t, missing)
		for _, l := range leases {
			s, _ := lab.Server(l.Server)
			require.Equal(t, s.Addresses, []string{l.Address})
			require.Equal(t, lab.NetworkID("desktops"), l.Network)
			names = append(names, s.Name)
		}
		return names
	}
	require.Eventually(t, func() bool { return len(leased()) == 2 }, patience, time.Millisecond)
	require.Equal(t, []string{"a", "c"}, leased())
	for _, s := range lab.Servers() {
		require.Equal(t, 204, do(t, "DELETE", base(lab)+"/compute/v2.1/servers/"+s.ID, adminToken(t, lab), "").status)
	}
	require.Eventually(t, func() bool { return len(leased()) == 0 }, patience, time.Millisecond)
	require.ErrorContains(t, lab.Neutron.SetDead("none", true), "server none has no port")
}

// TestLeasesWithoutAddress: a port may be a server's and have no address, and therefore no lease.
func TestLeasesWithoutAddress(t *testing.T) {
	lab := startLab(t, sim.Config{Servers: []sim.ServerSeed{{Name: "a"}}})
	body := fmt.Sprintf(`{"port":{"network_id":%q,"device_id":%q,"fixed_ips":[]}}`, lab.NetworkID("desktops"), lab.Servers()[0].ID)
	require.Equal(t, 201, do(t, "POST", base(lab)+"/network/v2.0/ports", adminToken(t, lab), body).status)
	leases, missing := lab.Leases()
	require.Len(t, leases, 1)
	require.Empty(t, missing)
}
