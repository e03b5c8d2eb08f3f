package up_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/spice"
)

func start(t *testing.T, o up.Options) *up.Cloud {
	t.Helper()
	c, err := up.Sim(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// drivers are both ways to a desktop.
func drivers(t *testing.T, c *up.Cloud) map[string]client.Driver {
	t.Helper()
	config, err := cloud.LoadFile(c.Dir+"/clouds.yaml", "sim")
	require.NoError(t, err)
	direct, err := openstack.New(t.Context(), openstack.Config{Cloud: config, Domain: "users",
		Consoles: func(c *cloud.Cloud) console.Finder {
			return console.First(console.SpiceDirect(c), console.SpiceHTML5(c))
		}})
	require.NoError(t, err)
	return map[string]client.Driver{
		"broker": client.NewBroker(client.BrokerConfig{URL: c.Broker, Timeout: time.Minute}),
		"cloud":  direct,
	}
}

func login(u up.User) client.Login {
	return client.Login{User: u.Name, Password: u.Password, Seat: u.Seat, Site: u.Site, ThinClient: "tc-" + u.Name}
}

func TestBothWaysToADesktop(t *testing.T) {
	c := start(t, up.Options{Users: 6, Desktops: 6, Ready: 2})
	for name, driver := range drivers(t, c) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			seen := map[string]string{}
			var sessions []*client.Session
			for _, u := range c.Users {
				s, err := driver.Login(ctx, login(u))
				require.NoError(t, err)
				require.Empty(t, seen[s.Desktop.ID], "%s has the desktop of %s", u.Name, seen[s.Desktop.ID])
				seen[s.Desktop.ID] = u.Name

				var explained time.Duration
				for _, step := range s.Steps {
					require.Positive(t, step.Took, step.Step)
					explained += step.Took
				}
				require.Equal(t, client.StepAuth, s.Steps[0].Step)
				require.Equal(t, client.StepConsole, s.Steps[len(s.Steps)-1].Step)
				if name == "broker" {
					require.GreaterOrEqual(t, s.Elapsed, explained)
				}

				session, err := spice.Dial(ctx, spice.Config{Host: s.Console.Host, Port: s.Console.Port, Ticket: s.Console.Ticket})
				require.NoError(t, err)
				_, err = session.RoundTrip(ctx, spice.GuestTrip)
				require.NoError(t, err)
				session.Close()

				again, err := driver.Login(ctx, login(u))
				require.NoError(t, err)
				require.Equal(t, s.Desktop.ID, again.Desktop.ID, "the same desktop for the same user, seat or both")
				sessions = append(sessions, again)
			}
			for _, s := range sessions {
				require.NoError(t, driver.Logout(ctx, s))
			}
			require.NoError(t, driver.Close())
		})
	}
}

func TestWrongPassword(t *testing.T) {
	c := start(t, up.Options{Users: 1, Desktops: 1})
	for name, driver := range drivers(t, c) {
		t.Run(name, func(t *testing.T) {
			l := login(c.Users[0])
			l.Password = "wrong"
			_, err := driver.Login(t.Context(), l)
			var failed *client.Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, client.WrongPassword, failed.Class)
			require.Equal(t, client.StepAuth, failed.Step)
			require.NotContains(t, err.Error(), "wrong\"")
		})
	}
}

// TestHostsThatRunShort: the pool's desktops boot as long as their host lets them, and people get them.
func TestHostsThatRunShort(t *testing.T) {
	c := start(t, up.Options{Users: 2, Desktops: 2, Ready: 2, Speed: 600})
	require.NotNil(t, c.Sim.Hardware)
	began := time.Now()
	require.NoError(t, c.Await(t.Context(), func(int, int) {}))
	require.Less(t, time.Since(began), time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, driver := range drivers(t, c) {
		s, err := driver.Login(ctx, login(c.Users[0]))
		require.NoError(t, err, name)
		require.NoError(t, driver.Logout(ctx, s), name)
	}
}

func TestSpeedThatMakesNoSense(t *testing.T) {
	_, err := up.Sim(t.Context(), up.Options{Users: 1, Desktops: 1, Speed: -1})
	require.ErrorContains(t, err, "speed")
}
