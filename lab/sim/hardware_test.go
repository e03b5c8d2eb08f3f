package sim_test

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// hardwareOf is a host of the lab as its model has it.
func hardwareOf(t *testing.T, lab *sim.Lab) (h physics.HostState) {
	t.Helper()
	require.NoError(t, lab.Hardware.Do(func(m *physics.Model) (err error) {
		h, err = m.Host("compute01")
		return err
	}))
	return h
}

// listens tells whether a server's SPICE server does.
func listens(lab *sim.Lab, id string) bool {
	s, _ := lab.Server(id)
	if s.Console == nil {
		return false
	}
	c, err := net.DialTimeout("tcp", net.JoinHostPort(s.Console.Host, strconv.Itoa(s.Console.Port)), time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// slowDisks is a host with room for 25 desktops on two SATA disks.
func slowDisks(speed float64) sim.Config {
	c := physics.Calibrated()
	c.Host.Disk = c.Slow
	return sim.Config{
		Hosts:   []sim.Host{{VCPUs: 48, MemoryMB: 128 << 10}},
		Physics: &sim.Physics{Speed: speed, Host: &c.Host, Work: physics.Profile{}},
	}
}

// storm creates servers all at once, and returns the median of their boots in the hardware's time.
func storm(t *testing.T, config sim.Config, n int) time.Duration {
	t.Helper()
	lab := startLab(t, config)
	c := compute(t, lab.Admin(), "2.93")
	create(t, lab, c, servers.CreateOpts{Name: "desktop", Min: n})
	var ids []string
	for _, s := range lab.Servers() {
		ids = append(ids, s.ID)
	}
	require.Len(t, ids, n)
	var boots []time.Duration
	for _, id := range ids {
		await(t, c, id, "ACTIVE")
		require.NoError(t, lab.Hardware.Do(func(m *physics.Model) error {
			d, err := m.Desktop(id)
			boots = append(boots, d.BootTime)
			return err
		}))
		require.True(t, listens(lab, id))
	}
	slices.Sort(boots)
	return boots[n/2]
}

// TestBootStormThroughTheAPI: 25 servers on one host at once take their 40 minutes, and two at a time 4.
func TestBootStormThroughTheAPI(t *testing.T) {
	config := slowDisks(1000)
	began := time.Now()
	together := storm(t, config, 25)
	require.Greater(t, time.Since(began).Minutes()*config.Physics.Speed, 35.0, "the API's users wait for it")
	require.InEpsilon(t, 42, together.Minutes(), 0.2)

	config.BootsPerHost = 2
	require.Less(t, storm(t, config, 8).Minutes(), 6.0)
}

func TestOOMThroughTheAPI(t *testing.T) {
	c := physics.Calibrated()
	lab := startLab(t, sim.Config{
		Hosts:   []sim.Host{{VCPUs: 2, MemoryMB: 1024, RAMRatio: 4}},
		Flavors: []sim.Flavor{{Name: "desktop.small", VCPUs: 1, RAM: 256, Disk: 20}},
		Physics: &sim.Physics{Speed: 100, Host: &c.MemoryHost, Desktop: &c.EqualGuest, Work: physics.Profile{}},
	})
	client := compute(t, lab.Admin(), "2.93")
	var ids []string
	for range 3 {
		ids = append(ids, create(t, lab, client, servers.CreateOpts{}))
		await(t, client, ids[len(ids)-1], "ACTIVE")
	}
	require.Zero(t, hardwareOf(t, lab).OOMKills)
	ids = append(ids, create(t, lab, client, servers.CreateOpts{}))
	victim := ""
	require.Eventually(t, func() bool {
		for _, id := range ids {
			if s, _ := lab.Server(id); s.Status == "SHUTOFF" {
				victim = id
			}
		}
		return victim != ""
	}, patience, time.Millisecond)
	require.Equal(t, 1, hardwareOf(t, lab).OOMKills)
	require.False(t, listens(lab, victim))
	for _, id := range ids {
		if id != victim {
			await(t, client, id, "ACTIVE")
			require.True(t, listens(lab, id))
		}
	}
	// One leaves, and there is room for it again.
	other := ids[slices.IndexFunc(ids, func(id string) bool { return id != victim })]
	require.NoError(t, servers.Delete(t.Context(), client, other).ExtractErr())
	gone(t, client, other)
	require.NoError(t, servers.Start(t.Context(), client, victim).ExtractErr())
	await(t, client, victim, "ACTIVE")
	require.True(t, listens(lab, victim))
	require.Equal(t, 1, hardwareOf(t, lab).OOMKills)
}

func stateOfService(t *testing.T, c *gophercloud.ServiceClient) string {
	t.Helper()
	pages, err := services.List(c, services.ListOpts{Binary: "nova-compute"}).AllPages(t.Context())
	require.NoError(t, err)
	all, err := services.ExtractServices(pages)
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0].State
}

func TestAHostThatDiesUnderNova(t *testing.T) {
	lab := startLab(t, sim.Config{
		Hosts: make([]sim.Host, 1), Physics: &sim.Physics{Speed: 600}, Servers: []sim.ServerSeed{{Name: "early"}},
	})
	client := compute(t, lab.Admin(), "2.93")
	id := create(t, lab, client, servers.CreateOpts{})
	await(t, client, id, "ACTIVE")
	early := lab.Servers()[0].ID
	require.Equal(t, 2, hardwareOf(t, lab).On)
	require.True(t, listens(lab, id))
	require.Equal(t, "up", stateOfService(t, client))

	require.NoError(t, lab.Hardware.Do(func(m *physics.Model) error { return m.Crash("compute01") }))
	require.Eventually(t, func() bool { return !listens(lab, id) }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return stateOfService(t, client) == "down" }, patience, time.Millisecond)
	await(t, client, id, "ACTIVE")
	require.NoError(t, lab.Hardware.Restart("compute01"))
	await(t, client, id, "SHUTOFF")
	await(t, client, early, "SHUTOFF")
	require.Equal(t, "up", stateOfService(t, client))
	require.NoError(t, servers.Start(t.Context(), client, id).ExtractErr())
	await(t, client, id, "ACTIVE")
	require.True(t, listens(lab, id))
}

// TestServersMoveOnTheHardware: by a live migration, and by an evacuation when the host has died.
func TestServersMoveOnTheHardware(t *testing.T) {
	lab := startLab(t, sim.Config{Hosts: make([]sim.Host, 2), Physics: &sim.Physics{Speed: 600}})
	client := compute(t, lab.Admin(), "2.93")
	id := create(t, lab, client, servers.CreateOpts{})
	await(t, client, id, "ACTIVE")
	place := func() (d physics.DesktopState) {
		err := lab.Hardware.Do(func(m *physics.Model) (err error) {
			d, err = m.Desktop(id)
			return err
		})
		if !errors.Is(err, physics.ErrNoDesktop) { // one that is evacuated is nowhere for a moment
			require.NoError(t, err)
		}
		return d
	}
	first := place().Host
	require.NoError(t, servers.LiveMigrate(t.Context(), client, id, servers.LiveMigrateOpts{BlockMigration: new(false)}).ExtractErr())
	require.Eventually(t, func() bool { return place().Host != "" && place().Host != first }, patience, time.Millisecond)
	await(t, client, id, "ACTIVE")
	require.Equal(t, physics.Running, place().State)
	require.True(t, listens(lab, id))

	second := place().Host
	old := compute(t, lab.Admin(), "2.13") // gophercloud asks as before 2.14
	require.NoError(t, lab.Hardware.Do(func(m *physics.Model) error { return m.Crash(second) }))
	require.Eventually(t, func() bool {
		return servers.Evacuate(t.Context(), old, id, servers.EvacuateOpts{}).Err == nil // refused until the service is down
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return place().Host == first && place().State == physics.Running }, patience, time.Millisecond)
	await(t, client, id, "ACTIVE")
	require.Eventually(t, func() bool { return listens(lab, id) }, patience, time.Millisecond)
}

// slowed remembers what its screens were told.
type slowed struct {
	*sim.Screens
	mu      sync.Mutex
	latency time.Duration
}

func (s *slowed) SetGuestLatency(id string, latency time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = latency
	return s.Screens.SetGuestLatency(id, latency)
}

func (s *slowed) last() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latency
}

func TestScreensAreAsSlowAsTheirHost(t *testing.T) {
	screens := &slowed{Screens: sim.NewScreens(sim.Config{}.Screen)}
	t.Cleanup(screens.Close)
	lab := startLab(t, sim.Config{
		Hosts: []sim.Host{{VCPUs: 2, CPURatio: 16}}, Desktops: screens,
		Physics: &sim.Physics{Speed: 2000, Work: physics.Profile{{Activity: 0.9}}},
	})
	client := compute(t, lab.Admin(), "2.93")
	await(t, client, create(t, lab, client, servers.CreateOpts{}), "ACTIVE")
	require.Eventually(t, func() bool { return screens.last() > 0 }, patience, time.Millisecond)
	alone := screens.last()
	for range 4 {
		create(t, lab, client, servers.CreateOpts{})
	}
	require.Eventually(t, func() bool { return screens.last() > 3*alone }, patience, time.Millisecond)
}

func TestPhysicsThatMakeNoHost(t *testing.T) {
	_, err := sim.Start(t.Context(), sim.Config{Physics: &sim.Physics{Speed: -1}})
	require.ErrorContains(t, err, "speed")
	_, err = sim.Start(t.Context(), sim.Config{Physics: &sim.Physics{Host: &physics.Host{}}})
	require.ErrorContains(t, err, "disk")
}
