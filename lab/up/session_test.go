package up_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
)

func requireClass(t *testing.T, err error, class client.Class) {
	t.Helper()
	var failed *client.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, class, failed.Class, "%v", err)
}

// TestLeaseIsOver: a thin client lost its power. One that renews its session keeps it.
func TestLeaseIsOver(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 4, Ready: 2, Lease: 1200 * time.Millisecond})
	broker := c.drivers[viaBroker]
	dead, alive := c.in(t, viaBroker, c.user(1)), c.in(t, viaBroker, c.user(2))
	require.Equal(t, 1200*time.Millisecond, dead.Lease)
	await(t, "the session ends", func() bool {
		require.NoError(t, broker.Renew(t.Context(), alive))
		sessions, err := c.records.Sessions(t.Context())
		require.NoError(t, err)
		return len(sessions) == 1
	})
	require.Equal(t, store.Ready, c.desktopOf(t, dead).State)
	require.Equal(t, store.Assigned, c.desktopOf(t, alive).State)
	requireClass(t, broker.Renew(t.Context(), dead), client.SessionNotFound)
	c.out(t, viaBroker, dead, alive) // no error for one that has ended
	c.settle(t)
	require.Zero(t, c.metric(t, "deskstorm_broker_sessions"))
}

// TestLoggedInTwice: the same person logs in at two thin clients. The second one takes the desktop over.
func TestLoggedInTwice(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 4, Ready: 2})
	for driver, d := range c.drivers {
		t.Run(driver, func(t *testing.T) {
			for _, u := range []up.User{c.user(1), c.user(2)} { // in a cloud without a broker, the first one's seat has a desktop
				first, second := c.in(t, driver, u), c.in(t, driver, u)
				require.Equal(t, first.Desktop, second.Desktop)
				require.NotSame(t, first, second)
				if driver == viaBroker {
					requireClass(t, d.Renew(t.Context(), first), client.SessionNotFound)
					require.NoError(t, d.Renew(t.Context(), second))
					require.Equal(t, 1, c.metric(t, "deskstorm_broker_sessions"))
				}
				// The first thin client's logout is late, and nobody's any more.
				c.out(t, driver, first)
				other := c.in(t, driver, c.user(4))
				require.NotEqual(t, second.Desktop.ID, other.Desktop.ID, "two people got one desktop")
				c.out(t, driver, second)
				third := c.in(t, driver, u)
				c.out(t, driver, second, first) // once more
				require.NotEqual(t, third.Desktop.ID, c.in(t, driver, c.user(4)).Desktop.ID)
				c.out(t, driver, third, c.in(t, driver, c.user(4)), other)
				c.settle(t)
			}
		})
	}
}

// TestAtOnce: one person and one seat, logging in many times at the same moment.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 16, Ready: 4})
	for driver, d := range c.drivers {
		t.Run(driver, func(t *testing.T) {
			for _, u := range []up.User{c.user(1), c.user(2)} {
				var all sync.WaitGroup
				sessions := make([]*client.Session, 8)
				errs := make([]error, len(sessions))
				for i := range sessions {
					all.Go(func() { sessions[i], errs[i] = d.Login(t.Context(), login(u)) })
				}
				all.Wait()
				for i, err := range errs {
					require.NoError(t, err)
					if driver == viaBroker {
						require.Equal(t, sessions[0].Desktop, sessions[i].Desktop)
					}
				}
				if driver == viaBroker {
					require.Equal(t, 1, c.metric(t, "deskstorm_broker_sessions"))
				}
				c.out(t, driver, sessions...)
				c.settle(t)
			}
		})
	}
}

// TestFailedLoginEndsNothing: somebody who is logged in tries to log in elsewhere, which fails. The first session goes on.
func TestFailedLoginEndsNothing(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 4, Ready: 2})
	for driver, d := range c.drivers {
		t.Run(driver, func(t *testing.T) {
			first := c.in(t, driver, c.user(2))
			heal := c.inject(t, sim.Fault{Service: "nova", Path: "/v2.1/servers/*/remote-consoles", Status: 500})
			_, err := d.Login(t.Context(), login(c.user(2)))
			requireClass(t, err, client.CloudFailed)
			heal()
			require.NoError(t, d.Renew(t.Context(), first))
			_, err = d.Console(t.Context(), first)
			require.NoError(t, err)
			other := c.in(t, driver, c.user(4))
			require.NotEqual(t, first.Desktop.ID, other.Desktop.ID, "two people got one desktop")
			c.out(t, driver, first, other)
			c.settle(t)
		})
	}
}

// TestShutOff: a desktop that its user shut down is started at the next login, also if two thin clients want it at once.
func TestShutOff(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 4, Ready: 2})
	for driver, d := range c.drivers {
		t.Run(driver, func(t *testing.T) {
			u := c.user(1)
			before := c.in(t, driver, u)
			c.shutOff(t, before.Desktop.ID)
			var all sync.WaitGroup
			sessions, errs := make([]*client.Session, 3), make([]error, 3)
			for i := range sessions {
				all.Go(func() { sessions[i], errs[i] = d.Login(t.Context(), login(u)) })
			}
			all.Wait()
			longest := time.Duration(0)
			for i, err := range errs {
				require.NoError(t, err)
				require.Equal(t, before.Desktop, sessions[i].Desktop)
				for _, s := range sessions[i].Steps {
					if s.Step == client.StepBoot {
						longest = max(longest, s.Took)
					}
				}
			}
			// One of them at least: on a busy machine another may come when it runs already.
			require.Greater(t, longest, 10*time.Millisecond)
			server, _ := c.Sim.Server(before.Desktop.ID)
			require.Equal(t, "ACTIVE", server.Status)
			c.out(t, driver, sessions...)
			c.settle(t)
		})
	}
}

// TestNeverStarts: the desktop was shut down, and Nova does not start it.
func TestNeverStarts(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 2, Desktops: 2})
	s := c.in(t, viaCloud, c.user(1))
	c.shutOff(t, s.Desktop.ID)
	heal := c.inject(t, sim.Fault{Service: "nova", Path: "/v2.1/servers/*/action", Hang: true})
	_, err := c.drivers[viaCloud].Login(t.Context(), login(c.user(1)))
	c.requireFailure(t, err, client.BuildTimeout, client.StepBoot)
	heal()
	c.out(t, viaCloud, c.in(t, viaCloud, c.user(1)))
	c.settle(t)
}

// TestServerInError: the seat's own desktop is in ERROR, and nothing but an operator helps.
func TestServerInError(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 2, Desktops: 2})
	s := c.in(t, viaCloud, c.user(1))
	c.setState(t, s.Desktop.ID, "error")
	_, err := c.drivers[viaCloud].Login(t.Context(), login(c.user(1)))
	failed := c.requireFailure(t, err, client.DesktopDied, client.StepBoot)
	require.Contains(t, failed.Message, "ERROR")
	c.setState(t, s.Desktop.ID, "active")
	c.out(t, viaCloud, c.in(t, viaCloud, c.user(1)))
	c.settle(t)
}

// TestKilledInUse: a desktop dies under its user. The next login gets another one, whether the thin client has reported it
// or not.
func TestKilledInUse(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 6, Ready: 2})
	broker := c.drivers[viaBroker].(*client.Broker)
	for _, reported := range []bool{true, false} {
		t.Run(fmt.Sprintf("reported %v", reported), func(t *testing.T) {
			before := c.in(t, viaBroker, c.user(1))
			_, err := c.Sim.KillDesktop(before.Desktop.ID)
			require.NoError(t, err)
			if reported {
				require.NoError(t, broker.ReportBroken(t.Context(), before, "the picture is frozen"))
				requireClass(t, broker.Renew(t.Context(), before), client.SessionNotFound)
			} else {
				_, err := broker.Console(t.Context(), before)
				requireClass(t, err, client.DesktopDied)
				require.NoError(t, broker.Renew(t.Context(), before), "it may be the network")
			}
			after := c.in(t, viaBroker, c.user(1))
			require.NotEqual(t, before.Desktop.ID, after.Desktop.ID)
			await(t, "the dead desktop is deleted", func() bool {
				_, there := c.Sim.Server(before.Desktop.ID)
				return !there
			})
			c.out(t, viaBroker, before, after)
			c.settle(t)
		})
	}
}

// TestGoneInUse: somebody deletes a server by hand.
func TestGoneInUse(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 6, Ready: 2})
	for driver := range c.drivers {
		t.Run(driver, func(t *testing.T) {
			before := c.in(t, driver, c.user(2))
			require.NoError(t, c.admin.DeleteServer(t.Context(), before.Desktop.ID))
			await(t, "the server is gone", func() bool {
				_, there := c.Sim.Server(before.Desktop.ID)
				return !there
			})
			if driver == viaCloud {
				c.idle-- // nobody builds another one
			}
			after := c.in(t, driver, c.user(2))
			require.NotEqual(t, before.Desktop.ID, after.Desktop.ID)
			c.out(t, driver, before, after)
			c.settle(t)
		})
	}
}

// TestPowerLostWithoutBroker: a thin client never logs out. The next login at its seat gets the desktop and gives it back.
func TestPowerLostWithoutBroker(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 4})
	lost := c.in(t, viaCloud, c.user(2))
	server, _ := c.Sim.Server(lost.Desktop.ID)
	require.Equal(t, openstack.Taken, server.Metadata[openstack.DesktopKey])
	next := c.in(t, viaCloud, c.user(2))
	require.Equal(t, lost.Desktop, next.Desktop)
	c.out(t, viaCloud, next)
	c.settle(t)
}

// TestGroupsChange: who is promoted gets a supervisor's desktop at the next login, and loses it again.
func TestGroupsChange(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 20, Desktops: 20, Ready: 10})
	agent, supervisor := c.user(1), c.user(10)
	require.Equal(t, "agent0010", supervisor.Name)
	for _, step := range []struct {
		user   up.User
		groups []string
		pool   string
		rule   string
	}{
		{agent, nil, "standard", "agents"},
		{supervisor, nil, "supervisors", "supervisors"},
		{agent, []string{"sales", "supervisors"}, "supervisors", "supervisors"},
		{agent, []string{"billing"}, "standard", "agents"},
		{supervisor, []string{"sales"}, "standard", "agents"},
	} {
		if step.groups != nil {
			require.NoError(t, c.Directory.SetGroups(step.user.Name, step.groups...))
		}
		s := c.in(t, viaBroker, step.user)
		require.Equal(t, step.pool, s.Desktop.Pool)
		require.Equal(t, step.rule, s.Desktop.Allocator)
		c.out(t, viaBroker, s)
	}
	c.settle(t)
	require.NoError(t, c.Directory.SetGroups(agent.Name))
	_, err := c.drivers[viaBroker].Login(t.Context(), login(agent))
	c.requireFailure(t, err, client.NoAllocator, client.StepMatch)
}

// TestBrokerDown: it is not there any more.
func TestBrokerDown(t *testing.T) {
	t.Parallel()
	c, err := up.Sim(t.Context(), up.Options{Users: 1, Desktops: 1})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = client.NewBroker(client.BrokerConfig{URL: c.Broker}).Login(t.Context(), login(c.Users[0]))
	requireClass(t, err, client.BrokerDown)
}

// TestNoConsoleNoDeletion: as long as the cloud fails to say where consoles are, nobody knows that a desktop is broken.
func TestNoConsoleNoDeletion(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 2, Desktops: 4, Ready: 2})
	before := c.desktops(t, "standard", store.Ready)
	heal := c.inject(t, sim.Fault{Service: "nova", Path: "/v2.1/servers/*/remote-consoles", Status: http.StatusInternalServerError})
	const failed = `deskstorm_broker_inspections_failed_total{pool="standard"}`
	await(t, "two inspections", func() bool { return c.metric(t, failed) >= 2 })
	heal()
	require.Equal(t, before, c.desktops(t, "standard", store.Ready))
}

// TestConsolesRefuseForLong: whatever the reason, it is not that of each desktop. Most are kept.
func TestConsolesRefuseForLong(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 2, Desktops: 6, Ready: 6})
	heal := c.Sim.RefuseConsoles("", http.StatusForbidden)
	await(t, "four inspections", func() bool {
		return c.metric(t, `deskstorm_broker_desktops_spared_total{pool="standard"}`) >= 4*3
	})
	require.Equal(t, 3, c.metric(t, `deskstorm_broker_desktops_broken_total{cause="console",pool="standard"}`))
	heal()
	c.settle(t)
}
