package hardware_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/hardware"
	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// patience bounds what a test waits for.
const patience = 20 * time.Second

// cloud hears what becomes of servers.
type cloud struct {
	mu      sync.Mutex
	told    []string
	replies map[string]time.Duration
}

func (c *cloud) tell(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, what)
}

func (c *cloud) Killed(id string)                   { c.tell("killed " + id) }
func (c *cloud) Noticed(id string)                  { c.tell("noticed " + id) }
func (c *cloud) HostDown(host string, ids []string) { c.tell(fmt.Sprint("down ", host, ids)) }
func (c *cloud) HostUp(host string)                 { c.tell("up " + host) }
func (c *cloud) Reply(id string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replies != nil {
		c.replies[id] = d
	}
}

func (c *cloud) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.told...)
}

func (c *cloud) reply(id string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replies[id]
}

func start(t *testing.T, host physics.Host, work physics.Profile, speed float64) (*hardware.Hardware, *cloud) {
	t.Helper()
	c := &cloud{replies: map[string]time.Duration{}}
	h, err := hardware.Start(hardware.Config{Hosts: map[string]physics.Host{"host": host}, Work: work, Speed: speed, Cloud: c})
	require.NoError(t, err)
	t.Cleanup(h.Close)
	return h, c
}

func TestBootsTakeTheModelsTime(t *testing.T) {
	c := physics.Calibrated()
	const speed = 1000
	h, _ := start(t, c.Host, nil, speed)
	began := time.Now()
	require.NoError(t, h.Boot(t.Context(), "server", "host", c.Pooled))
	took := time.Since(began)
	var d physics.DesktopState
	require.NoError(t, h.Do(func(m *physics.Model) (err error) {
		d, err = m.Desktop("server")
		return err
	}))
	require.True(t, h.Runs("server"))
	require.GreaterOrEqual(t, took*speed, d.BootTime)
	require.Greater(t, d.BootTime, time.Minute)
	h.Halt("server")
	h.Halt("server")
	require.False(t, h.Runs("server"))
}

func TestTheOOMKillerIsNoticed(t *testing.T) {
	c := physics.Calibrated()
	h, cloud := start(t, c.MemoryHost, nil, 1000)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() { require.NoError(t, h.Boot(t.Context(), fmt.Sprint("server", i), "host", c.EqualGuest)) })
	}
	all.Wait()
	require.Eventually(t, func() bool { return len(cloud.all()) == 2 }, patience, time.Millisecond)
	var victim string
	_, err := fmt.Sscanf(cloud.all()[0], "killed %s", &victim)
	require.NoError(t, err)
	require.Equal(t, "noticed "+victim, cloud.all()[1])
	require.False(t, h.Runs(victim))
}

func TestAHostThatDies(t *testing.T) {
	c := physics.Calibrated()
	h, cloud := start(t, c.Host, nil, 1000)
	require.NoError(t, h.Resume("runs", "host", c.Pooled))
	require.True(t, h.Runs("runs"))
	require.NoError(t, h.Crash("host"))
	require.Equal(t, []string{"down host[runs]"}, cloud.all(), "the cloud knows")
	require.NoError(t, h.Crash("host"))
	late := make(chan error)
	go func() { late <- h.Boot(t.Context(), "late", "host", c.Pooled) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, h.Boot(ctx, "impatient", "host", c.Pooled), context.DeadlineExceeded, "nobody takes the message")
	require.Eventually(t, func() bool {
		var err error
		_ = h.Do(func(m *physics.Model) error { _, err = m.Desktop("late"); return nil })
		return err == nil
	}, patience, time.Millisecond)
	require.NoError(t, h.Restart("host"))
	require.NoError(t, h.Restart("host"))
	require.Equal(t, []string{"down host[runs]", "up host", "up host"}, cloud.all())
	require.NoError(t, <-late)
	require.True(t, h.Runs("late"))
	require.False(t, h.Runs("runs"), "that is for the cloud to start")

	// One that boots while the host dies is booted again.
	again := make(chan error)
	go func() { again <- h.Boot(t.Context(), "again", "host", c.Pooled) }()
	require.Eventually(t, func() bool {
		var d physics.DesktopState
		_ = h.Do(func(m *physics.Model) (err error) { d, err = m.Desktop("again"); return err })
		return d.State == physics.Booting
	}, patience, time.Millisecond)
	require.NoError(t, h.Crash("host"))
	require.NoError(t, h.Restart("host"))
	require.NoError(t, <-again)
	require.True(t, h.Runs("again"))
}

func TestMove(t *testing.T) {
	c := physics.Calibrated()
	h, err := hardware.Start(hardware.Config{Hosts: map[string]physics.Host{"one": c.Host, "two": c.Host}, Speed: 1, Cloud: &cloud{}})
	require.NoError(t, err)
	t.Cleanup(h.Close)
	require.NoError(t, h.Resume("server", "one", c.Pooled))
	require.NoError(t, h.Move("server", "two"))
	require.NoError(t, h.Do(func(m *physics.Model) error { return m.Crash("one") }))
	require.True(t, h.Runs("server"))
	require.ErrorIs(t, h.Move("server", "one"), physics.ErrHostDown)
}

func TestRepliesFollowTheCPUs(t *testing.T) {
	c := physics.Calibrated()
	c.Host.CPUs = 1
	h, cloud := start(t, c.Host, physics.Profile{{Activity: 1}}, 1)
	require.NoError(t, h.Resume("first", "host", c.Pooled))
	require.Eventually(t, func() bool { return cloud.reply("first") > 0 }, patience, time.Millisecond)
	alone := cloud.reply("first")
	for i := range 8 {
		require.NoError(t, h.Resume(fmt.Sprint("another", i), "host", c.Pooled))
	}
	require.Eventually(t, func() bool { return cloud.reply("first") > 5*alone }, patience, time.Millisecond)
	for i := range 8 {
		h.Halt(fmt.Sprint("another", i))
	}
	require.Eventually(t, func() bool { return cloud.reply("first") == alone }, patience, time.Millisecond)
}

func TestWhatEndsABoot(t *testing.T) {
	c := physics.Calibrated()
	h, _ := start(t, c.Host, nil, 1)
	booting := func(id string) chan error {
		failed := make(chan error)
		go func() { failed <- h.Boot(t.Context(), id, "host", c.Pooled) }()
		require.Eventually(t, func() bool {
			var d physics.DesktopState
			_ = h.Do(func(m *physics.Model) (err error) { d, err = m.Desktop(id); return err })
			return d.State == physics.Booting
		}, patience, time.Millisecond)
		return failed
	}
	ended := booting("ended")
	h.Halt("ended")
	require.ErrorContains(t, <-ended, "ended while it booted")
	closed := booting("closed")
	h.Close()
	require.ErrorContains(t, <-closed, "being closed")

	require.ErrorIs(t, h.Boot(t.Context(), "server", "nowhere", c.Pooled), physics.ErrNoHost)
	require.ErrorIs(t, h.Resume("server", "nowhere", c.Pooled), physics.ErrNoHost)
	require.ErrorContains(t, h.Restart("host"), "being closed")
	require.ErrorIs(t, h.Crash("nowhere"), physics.ErrNoHost)
	open, _ := start(t, c.Host, nil, 1)
	require.ErrorIs(t, open.Restart("nowhere"), physics.ErrNoHost)
	_, err := hardware.Start(hardware.Config{})
	require.ErrorContains(t, err, "speed")
	_, err = hardware.Start(hardware.Config{Speed: 1, Hosts: map[string]physics.Host{"host": {}}})
	require.ErrorContains(t, err, "host")
}
