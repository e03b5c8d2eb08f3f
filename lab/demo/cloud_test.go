package demo

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/spice"
)

// startedCloud is a cloud whose pool has three desktops ready.
func startedCloud(t *testing.T) *desktopCloud {
	t.Helper()
	c, err := openDoors(t.Context(), Options{Clients: 10, Duration: MinDuration, Path: PathBroker, Seed: 1, Out: io.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.close()) })
	return c
}

// sit has somebody work at each of so many desktops.
func sit(t *testing.T, c *desktopCloud, n int) map[string]*spice.Session {
	t.Helper()
	sessions := map[string]*spice.Session{}
	for _, one := range c.screens()[:n] {
		addr := one.screen.Addr().(*net.TCPAddr)
		s, err := spice.Dial(t.Context(), spice.Config{Host: addr.IP.String(), Port: addr.Port})
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		sessions[one.server] = s
	}
	return sessions
}

// requireEnded waits until so many of the sessions have ended.
func requireEnded(t *testing.T, sessions map[string]*spice.Session, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		ended := 0
		for _, s := range sessions {
			if s.Err() != nil {
				ended++
			}
		}
		return ended == n
	}, 10*time.Second, 10*time.Millisecond)
}

func TestFaultsByTheNumberOfPeople(t *testing.T) {
	kinds := func(c *desktopCloud, people int) (all []faultKind) {
		for _, f := range c.faults(people, time.Minute) {
			require.Greater(t, f.after, time.Duration(0))
			require.Less(t, f.after+f.lasts, time.Minute)
			all = append(all, f.kind)
		}
		return all
	}
	simulated := &desktopCloud{}
	require.Equal(t, []faultKind{hangFault}, kinds(simulated, 1))
	require.Equal(t, []faultKind{hangFault, evictFault}, kinds(simulated, 2))
	require.Equal(t, []faultKind{hangFault, evictFault, killedFault}, kinds(simulated, 19))
	require.Equal(t, []faultKind{errorFault, slowFault, hangFault, evictFault, killedFault}, kinds(simulated, 20))
	require.Equal(t, []faultKind{killedFault}, kinds(&desktopCloud{qemu: true}, 4))
	require.Equal(t, "a host dies: 3 desktops hang for 10 s", simulated.faults(30, time.Minute)[2].what)
}

func TestFaultsOfDesktops(t *testing.T) {
	c := startedCloud(t)
	faults := c.faults(10, time.Minute)
	for _, f := range faults {
		_, err := f.inject(t.Context())
		require.ErrorIs(t, err, errNobody, f.what)
	}
	sessions := sit(t, c, 3)

	undo, err := faults[0].inject(t.Context())
	require.NoError(t, err)
	require.Len(t, c.inUse(3), 2, "one of them hangs")
	undo()
	require.Len(t, c.inUse(3), 3)

	_, err = faults[1].inject(t.Context())
	require.NoError(t, err)
	requireEnded(t, sessions, 1)
	require.Len(t, c.inUse(3), 2, "the second client's is left alone")

	_, err = faults[2].inject(t.Context())
	require.NoError(t, err)
	requireEnded(t, sessions, 2)
}

func TestFaultsOfTheWay(t *testing.T) {
	c := startedCloud(t)
	broker := client.NewBroker(client.BrokerConfig{URL: c.cloud.Broker, Timeout: time.Minute})
	defer broker.Close()
	u := c.cloud.Users[0]
	login := func() error {
		s, err := broker.Login(t.Context(), client.Login{User: u.Name, Password: u.Password})
		if err != nil {
			return err
		}
		return broker.Logout(t.Context(), s)
	}
	require.NoError(t, login())

	faults := c.faults(manyPeople, time.Minute)
	undo, err := faults[1].inject(t.Context())
	require.NoError(t, err)
	begin := time.Now()
	require.NoError(t, login())
	require.Greater(t, time.Since(begin), directoryDelay)
	undo()

	undo, err = faults[0].inject(t.Context())
	require.NoError(t, err)
	var failed *client.Error
	for range 100 { // one in five
		if err := login(); err != nil {
			require.ErrorAs(t, err, &failed)
			break
		}
	}
	require.NotNil(t, failed)
	require.Equal(t, client.CloudFailed, failed.Class)
	require.Equal(t, client.StepConsole, failed.Step)
	undo()
	require.NoError(t, login())
}

func TestBootTime(t *testing.T) {
	require.Equal(t, 2400*time.Millisecond, bootTime(200, 75*time.Second))
	require.Equal(t, 2500*time.Millisecond, bootTime(20, 75*time.Second))
	require.Equal(t, 96*time.Millisecond, bootTime(5000, 75*time.Second), "more people need more desktops in the same time")
}

func TestPoolAsTheBrokerSays(t *testing.T) {
	c := startedCloud(t)
	s, err := c.pool(t.Context())
	require.NoError(t, err)
	require.Equal(t, poolState{Ready: 3}, s)
}

func TestKeysReceived(t *testing.T) {
	c := startedCloud(t)
	for server, s := range sit(t, c, 1) {
		require.NoError(t, s.Type(t.Context(), "ab", spice.Typist{}))
		require.Eventually(t, func() bool {
			n, known := c.keysReceived()
			return known && n == 2
		}, 10*time.Second, 10*time.Millisecond)
		_, err := c.cloud.Sim.KillDesktop(server)
		require.NoError(t, err)
		n, _ := c.keysReceived()
		require.Equal(t, int64(2), n, "of desktops that are gone too")
	}
}
