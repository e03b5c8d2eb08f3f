package up_test

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
)

// logIn is Keystone's, for a fault.
func logIn(status, skip int) sim.Fault {
	return sim.Fault{Service: "keystone", Method: "POST", Path: "/v3/auth/tokens", Status: status, Skip: skip}
}

// TestTokenExpires: a token of the cloud ends between two steps.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 6, Desktops: 5, Ready: 2, CheckEvery: time.Hour}) // the broker asks nothing of its own accord
	for _, test := range []struct {
		name   string
		inject func(t *testing.T) (heal func())
		want   map[string]*outcome
	}{
		{"renewed silently",
			func(*testing.T) func() { c.Sim.ExpireTokens(); return func() {} },
			map[string]*outcome{viaBroker: works(), viaCloud: works()}},
		{"the user's, between Keystone and Nova, renewed silently",
			func(t *testing.T) func() {
				return c.inject(t, sim.Fault{Service: "nova", Method: "GET", Path: "/v2.1/servers/*-*-*-*-*", Status: 401, Times: 1})
			},
			map[string]*outcome{viaCloud: works()}},
		{"the user's, between Keystone and Nova, each time",
			func(*testing.T) func() { return c.Sim.SetTokenLifetime(0) },
			map[string]*outcome{viaCloud: ends(client.TokenExpired, client.StepBoot, "user's token")}},
		{"the password of the service account was changed",
			func(t *testing.T) func() { c.Sim.ExpireTokens(); return c.inject(t, logIn(401, 0)) },
			map[string]*outcome{viaBroker: ends(client.TokenExpired, client.StepConsole, "credentials")}},
		{"the password of the service account was changed, the user's was not",
			func(t *testing.T) func() { c.Sim.ExpireTokens(); return c.inject(t, logIn(401, 1)) },
			map[string]*outcome{viaCloud: ends(client.TokenExpired, client.StepMatch, "logging in as")}},
		// Keystone being down is the cloud's failure: nobody needs to look after credentials.
		{"Keystone is down",
			func(t *testing.T) func() { c.Sim.ExpireTokens(); return c.inject(t, logIn(500, 0)) },
			map[string]*outcome{viaBroker: ends(client.CloudFailed, client.StepConsole, "500 logging in as")}},
		{"Keystone goes down",
			func(t *testing.T) func() { c.Sim.ExpireTokens(); return c.inject(t, logIn(500, 1)) },
			map[string]*outcome{viaCloud: ends(client.CloudFailed, client.StepMatch, "500 logging in as")}},
	} {
		for driver, want := range test.want {
			t.Run(test.name+"/"+driver, func(t *testing.T) {
				failure{inject: func(t *testing.T, _ *cell, _ string) func() { return test.inject(t) }}.test(t, c, driver, *want)
			})
		}
	}
}

// TestConsoleAgain: where the desktop was at the login is no longer true; the driver's Console says where it is now.
func TestConsoleAgain(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 2, Desktops: 2, Ready: 1})
	reach := func(at client.Console) error {
		conn, err := net.Dial("tcp", net.JoinHostPort(at.Host, strconv.Itoa(at.Port)))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	for driver, d := range c.drivers {
		t.Run(driver, func(t *testing.T) {
			s := c.in(t, driver, c.user(2))
			require.NoError(t, reach(s.Console))
			restart, err := c.Sim.KillDesktop(s.Desktop.ID)
			require.NoError(t, err)
			require.Error(t, reach(s.Console))
			require.NoError(t, restart(t.Context()))
			c.Sim.ExpireTokens() // of the cloud; nobody notices
			at, err := d.Console(t.Context(), s)
			require.NoError(t, err)
			require.NotEqual(t, s.Console.Port, at.Port)
			require.NoError(t, reach(at))

			heal := c.Sim.RefuseConsoles(s.Desktop.ID, http.StatusNotFound)
			_, err = d.Console(t.Context(), s)
			var failed *client.Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, client.ConsoleRefused, failed.Class)
			require.Equal(t, client.StepConsole, failed.Step)
			heal()
			_, err = d.Console(t.Context(), s)
			require.NoError(t, err, "the session is still there")

			c.out(t, driver, s)
			_, err = c.drivers[viaBroker].Console(context.WithoutCancel(t.Context()), s)
			require.ErrorAs(t, err, &failed)
			require.Equal(t, client.SessionNotFound, failed.Class)
			c.settle(t)
		})
	}
}
