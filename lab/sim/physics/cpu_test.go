package physics_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// runCPU is a host with memory and disks for all, and desktops of people at work by a ratio of vCPUs to CPUs.
func runCPU(t *testing.T, ratio float64) (physics.HostState, physics.DesktopState) {
	t.Helper()
	c := physics.Calibrated()
	c.Host.Memory *= 8
	c.Host.Disk.IOPS, c.Host.Disk.Disks = 8*c.Host.Disk.IOPS, 8*c.Host.Disk.Disks
	s := &shift{profile: c.Shift}
	m, err := physics.New(physics.Config{Observer: s})
	require.NoError(t, err)
	s.model = m
	require.NoError(t, m.AddHost("host", c.Host))
	for i := range int(ratio * c.Host.CPUs / float64(c.Pooled.VCPUs)) {
		require.NoError(t, m.Place(fmt.Sprint("desktop", i), "host", c.Pooled))
		require.NoError(t, m.Boot(fmt.Sprint("desktop", i)))
	}
	m.Advance(2 * time.Hour)
	d, err := m.Desktop("desktop0")
	require.NoError(t, err)
	return host(t, m), d
}

// TestCPURatiosOfProduction: CPU is noticed from 1:2 on, and hosts survive. Noticed is a reply that takes 15 % longer than the best,
// as Login Enterprise takes for the end of a host's capacity.
func TestCPURatiosOfProduction(t *testing.T) {
	_, best := runCPU(t, 1)
	noticed := best.Reply * 115 / 100
	before := best.Reply
	for _, ratio := range []float64{1.25, 1.5, 1.75, 2, 3, 4} {
		h, d := runCPU(t, ratio)
		require.True(t, h.Alive)
		require.Zero(t, h.OOMKills)
		require.GreaterOrEqual(t, d.Reply, before, "1:%g", ratio)
		require.Equal(t, ratio >= 2, d.Reply > noticed, "1:%g: %v, at best %v", ratio, d.Reply, best.Reply)
		before = d.Reply
	}
}

// TestBootsTakeCPUFromPeople and people from boots.
func TestBootsTakeCPUFromPeople(t *testing.T) {
	c := physics.Calibrated()
	spec := c.Host
	spec.CPUs, spec.KSM = 4, false
	spec.Disk.IOPS, spec.Disk.Disks = 8*spec.Disk.IOPS, 8*spec.Disk.Disks
	e := &events{}
	m, err := physics.New(physics.Config{Observer: e})
	require.NoError(t, err)
	require.NoError(t, m.AddHost("host", spec))
	kind := c.Pooled
	kind.Boot.CPU, kind.Boot.Before = time.Minute, 0
	boot := func(id string) time.Duration {
		require.NoError(t, m.Place(id, "host", kind))
		require.NoError(t, m.Boot(id))
		m.Advance(m.Now() + time.Hour)
		d, err := m.Desktop(id)
		require.NoError(t, err)
		require.Equal(t, physics.Running, d.State)
		return d.BootTime
	}
	alone := boot("first")
	require.NoError(t, m.Login("first", physics.Profile{{Activity: 0.5}}))
	d, err := m.Desktop("first")
	require.NoError(t, err)
	for i := range 6 {
		require.NoError(t, m.Place(fmt.Sprint("other", i), "host", kind))
		require.NoError(t, m.Boot(fmt.Sprint("other", i)))
	}
	slow, err := m.Desktop("first")
	require.NoError(t, err)
	require.Greater(t, slow.Reply, d.Reply*3/2)
	m.Advance(m.Now() + time.Hour)
	for i := range 6 {
		require.NoError(t, m.Login(fmt.Sprint("other", i), physics.Profile{{Activity: 1}}))
	}
	require.Greater(t, boot("last"), alone*3/2)
}
