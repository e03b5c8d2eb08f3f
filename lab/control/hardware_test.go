package control_test

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// views are what the parts of the lab think of a server: Nova, the hardware, who connects to its console, and dnsmasq.
type views struct {
	Nova                 string
	Runs, Listens, Lease bool
	Renews               bool // its DHCP client is there
	Port                 string
}

func (l *lab) views(t *testing.T, id string) views {
	t.Helper()
	s, _ := l.Server(id)
	v := views{Nova: s.Status + s.Task, Runs: l.Hardware.Runs(id), Port: l.portStatus(t, id)}
	if s.Console != nil {
		if c, err := net.DialTimeout("tcp", net.JoinHostPort(s.Console.Host, strconv.Itoa(s.Console.Port)), time.Second); err == nil {
			v.Listens = c.Close() == nil
		}
	}
	leases, _ := l.Leases()
	for _, of := range leases {
		if of.Server == id {
			v.Lease, v.Renews = true, of.Running
		}
	}
	return v
}

// TestHostFaultsOnHardware: a host's end and its return are the same for Nova, the hardware, consoles and leases.
func TestHostFaultsOnHardware(t *testing.T) {
	for _, resumes := range []bool{false, true} {
		for _, kind := range []string{"host.down", "host.reboot_without_ports"} {
			t.Run(fmt.Sprint(kind, ", resumed: ", resumes), func(t *testing.T) {
				t.Parallel()
				l := start(t, sim.Config{
					Servers: seeds(5), Hosts: make([]sim.Host, 2), ResumeGuests: resumes,
					Physics: &sim.Physics{Speed: 2000, Work: physics.Profile{}},
				})
				all := l.Servers()
				for _, s := range all[:4] { // to the fifth nobody has connected yet
					require.NoError(t, l.open(t, s.ID))
				}
				stopped := all[0].ID
				require.NoError(t, servers.Stop(t.Context(), l.nova(t), stopped).ExtractErr())
				require.Eventually(t, func() bool { s, _ := l.Server(stopped); return s.Status == "SHUTOFF" }, patience, time.Millisecond)

				f := l.inject(t, `{"type": "`+kind+`", "host": "compute01", "id": "f"`+map[string]string{
					"host.reboot_without_ports": `, "outage": "1h"`,
				}[kind]+`}`)
				onHost := func(s sim.Server) bool { return s.Host == "compute01" }
				require.True(t, slices.ContainsFunc(all, onHost))
				portOf := map[bool]string{true: "ACTIVE", false: "DOWN"}[kind == "host.down"]
				for _, s := range all {
					want := views{Nova: "ACTIVE", Runs: true, Listens: s.ID != all[4].ID, Lease: true, Renews: true, Port: "ACTIVE"}
					switch {
					case s.ID == stopped:
						want = l.views(t, s.ID)
						require.False(t, want.Runs || want.Listens || want.Renews)
						require.Equal(t, "SHUTOFF", want.Nova)
					case onHost(s):
						want = views{Nova: "ACTIVE", Lease: true, Port: portOf} // the lease runs out by and by
					}
					require.Equal(t, want, l.views(t, s.ID), s.Name)
				}
				require.Equal(t, "down", l.hostState(t, "compute01"))

				l.undo(t, f)
				require.Equal(t, "up", l.hostState(t, "compute01"))
				for _, s := range all {
					want := views{Nova: "ACTIVE", Runs: true, Listens: onHost(s) || s.ID != all[4].ID, Lease: true, Renews: true, Port: "ACTIVE"}
					if s.ID == stopped || onHost(s) && !resumes {
						want = views{Nova: "SHUTOFF", Lease: true, Port: l.portStatus(t, s.ID)}
					}
					require.Eventually(t, func() bool { return l.views(t, s.ID) == want }, patience, 5*time.Millisecond,
						"%s: wanted %+v, found %+v before", s.Name, want, l.views(t, s.ID))
				}
				// It stays so, and a server can be started as ever.
				for _, s := range all {
					if now, _ := l.Server(s.ID); now.Status == "SHUTOFF" {
						require.NoError(t, servers.Start(t.Context(), l.nova(t), s.ID).ExtractErr())
					}
				}
				for _, s := range all {
					require.Eventually(t, func() bool { v := l.views(t, s.ID); return v.Nova == "ACTIVE" && v.Runs && v.Renews }, patience,
						5*time.Millisecond)
					require.NoError(t, l.open(t, s.ID))
				}
			})
		}
	}
}

// TestRebootOnHardware: the desktops are back before the fault is undone, without their ports.
func TestRebootOnHardware(t *testing.T) {
	l := start(t, sim.Config{Servers: seeds(2), Hosts: make([]sim.Host, 1), ResumeGuests: true, Physics: &sim.Physics{Speed: 2000}})
	id := l.Servers()[0].ID
	require.NoError(t, l.open(t, id))
	f := l.inject(t, `{"type": "host.reboot_without_ports", "host": "compute01"}`)
	require.Eventually(t, func() bool { return l.open(t, id) == nil }, patience, 5*time.Millisecond)
	require.Equal(t, views{Nova: "ACTIVE", Runs: true, Listens: true, Lease: true, Renews: true, Port: "DOWN"}, l.views(t, id))
	l.undo(t, f)
	require.Equal(t, "ACTIVE", l.views(t, id).Port)
}

// TestHostFaultsRace: a host fails and returns again and again while servers are started, stopped and made there; in the end all agree.
func TestHostFaultsRace(t *testing.T) {
	l := start(t, sim.Config{Servers: seeds(6), Hosts: make([]sim.Host, 1), ResumeGuests: true,
		Physics: &sim.Physics{Speed: 5000, Work: physics.Profile{}}})
	c := l.nova(t)
	ended := make(chan struct{})
	var users sync.WaitGroup
	for _, s := range l.Servers() {
		users.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				// Refused where it does not fit.
				_ = servers.Stop(t.Context(), c, s.ID).ExtractErr()
				_ = servers.Start(t.Context(), c, s.ID).ExtractErr()
				_ = servers.Reboot(t.Context(), c, s.ID, servers.RebootOpts{Type: servers.HardReboot}).ExtractErr()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	for i := range 12 {
		l.create(t, fmt.Sprint("new", i))
		f := l.inject(t, `{"type": "host.down", "host": "compute01"}`)
		l.undo(t, f)
	}
	close(ended)
	users.Wait()
	for _, s := range l.Servers() {
		require.Eventually(t, func() bool {
			switch v := l.views(t, s.ID); v.Nova {
			case "ACTIVE":
				return v.Runs && v.Listens && v.Lease && v.Renews
			case "SHUTOFF", "ERROR":
				return !v.Runs && !v.Listens && !v.Renews
			}
			return false
		}, patience, 5*time.Millisecond, "%+v", l.views(t, s.ID))
	}
}
