package up_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
)

// post is a login by plain HTTP, as of a thin client that loses its power: nobody cleans up after it.
func (c *cell) post(ctx context.Context, u up.User) error {
	body, err := json.Marshal(map[string]string{"user": u.Name, "password": u.Password, "seat": u.Seat, "site": u.Site})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Broker+"/v1/sessions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err == nil {
		_ = response.Body.Close()
	}
	return err
}

const gone client.Class = "client-gone"

// TestHangUp: a thin client goes while the broker is at some step.
func TestHangUp(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 8, Desktops: 2, Ready: 2, Wait: patience})
	for _, test := range []struct {
		name   string
		inject func(t *testing.T) (heal func())
		there  func(t *testing.T) bool // the step is under way
	}{
		{"auth",
			func(*testing.T) func() { c.Directory.Slow(patience); return func() { c.Directory.Slow(0) } },
			func(t *testing.T) bool { return c.metric(t, "deskstorm_broker_logins_in_flight") == 1 }},
		{"boot",
			func(t *testing.T) func() {
				a, b := c.in(t, viaBroker, c.user(2)), c.in(t, viaBroker, c.user(3))
				return func() { c.out(t, viaBroker, a, b) }
			},
			func(t *testing.T) bool { return c.metric(t, `deskstorm_broker_logins_waiting{pool="standard"}`) == 1 }},
		{"console",
			func(t *testing.T) func() {
				return c.inject(t, sim.Fault{Service: "nova", Path: "/v2.1/servers/*/remote-consoles", Hang: true})
			},
			func(t *testing.T) bool { return c.metric(t, "deskstorm_broker_sessions") == 1 }},
		{"console's token",
			func(t *testing.T) func() {
				return c.inject(t, sim.Fault{Service: "nova", Path: "/v2.1/os-console-auth-tokens/*", Hang: true})
			},
			func(t *testing.T) bool { return c.metric(t, "deskstorm_broker_sessions") == 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := c.counted(t, gone)
			heal := test.inject(t)
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			ended := make(chan error, 1)
			go func() { ended <- c.post(ctx, c.user(1)) }()
			await(t, "the step", func() bool { return test.there(t) })
			hangUp()
			require.ErrorIs(t, <-ended, context.Canceled)
			await(t, "it is counted", func() bool { return c.counted(t, gone) == before+1 })
			heal()
			c.settle(t)
			c.out(t, viaBroker, c.eventually(t, viaBroker, c.user(1)))
			c.settle(t)
		})
	}
}

// TestCancel: a caller gives a login up, without a broker between.
func TestCancel(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 4})
	nova := func(method, path string) func(*testing.T) func() {
		return func(t *testing.T) func() {
			return c.inject(t, sim.Fault{Service: "nova", Method: method, Path: "/v2.1/" + path, Delay: 300 * time.Millisecond})
		}
	}
	for _, test := range []struct {
		name   string
		inject func(t *testing.T) (heal func())
	}{
		{"auth", func(*testing.T) func() { c.Directory.Slow(patience); return func() { c.Directory.Slow(0) } }},
		{"match", nova("GET", "servers/detail")},
		{"allocate, tag", nova("PUT", "servers/*/tags/*")},
		{"allocate, metadata", nova("", "servers/*/metadata")},
		{"boot", nova("GET", "servers/*-*-*-*-*")},
		{"console", nova("POST", "servers/*/remote-consoles")},
		{"console's token", nova("GET", "os-console-auth-tokens/*")},
	} {
		t.Run(test.name, func(t *testing.T) {
			heal := test.inject(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			time.AfterFunc(100*time.Millisecond, cancel)
			_, err := c.drivers[viaCloud].Login(ctx, login(c.user(2)))
			require.ErrorIs(t, err, context.Canceled)
			var failed *client.Error
			require.NotErrorAs(t, err, &failed, "it is nobody's failure")
			heal()
			c.settle(t)
			c.out(t, viaCloud, c.in(t, viaCloud, c.user(2)))
			c.settle(t)
		})
	}
}

// TestCancelAnywhere: whenever a login is given up, nothing is left of it.
func TestCancelAnywhere(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 4, Desktops: 4, Ready: 2})
	logins := map[string]func(context.Context) error{
		viaBroker: func(ctx context.Context) error { return c.post(ctx, c.user(2)) },
		viaCloud: func(ctx context.Context) error {
			s, err := c.drivers[viaCloud].Login(ctx, login(c.user(2)))
			if err == nil {
				c.out(t, viaCloud, s)
			}
			return err
		},
	}
	for driver, logIn := range logins {
		t.Run(driver, func(t *testing.T) {
			for after := range 30 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration(after)*time.Millisecond, cancel)
				err := logIn(ctx)
				cancel()
				if err == nil {
					continue
				}
				require.ErrorIs(t, err, context.Canceled)
			}
			// Those that were faster than their end are there still: the next login takes them over.
			c.out(t, driver, c.in(t, driver, c.user(2)))
			c.settle(t)
		})
	}
}
