package up_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
)

// mistyped is what somebody types who has forgotten the password.
const mistyped = "not-the-password"

// outcome is how a login ends while something is wrong. The zero one is a login that works all the same.
type outcome struct {
	class client.Class
	step  client.Step
	says  string // a part of the message
}

// failure is something that goes wrong, and what a login of the second person says of it by each driver. That person's seat
// has no desktop of its own.
type failure struct {
	name   string
	typed  func(*client.Login)
	inject func(t *testing.T, c *cell, driver string) (heal func())
	limit  time.Duration // of the login; 0: patience
	alone  bool          // in a cell of its own: a pool whose builds failed pauses, one that gave desktops up keeps the next
	broker *outcome      // nil: it cannot happen there
	cloud  *outcome
}

// works is a login that the failure does not reach.
func works() *outcome { return &outcome{} }

func ends(class client.Class, step client.Step, says string) *outcome {
	return &outcome{class, step, says}
}

// fault is a failure of the cloud's APIs.
func fault(f sim.Fault) func(*testing.T, *cell, string) func() {
	return func(t *testing.T, c *cell, _ string) func() { return c.inject(t, f) }
}

// full lets others log in until no desktop is left.
func full(t *testing.T, c *cell, driver string) (empty func()) {
	var others []*client.Session
	n := c.idle
	if driver == viaBroker {
		pools, err := up.Pools(t.Context(), c.Broker, c.Dir)
		require.NoError(t, err)
		n = pools[slices.IndexFunc(pools, func(p up.PoolStatus) bool { return p.Name == "standard" })].Max
	}
	for i := range n {
		others = append(others, c.in(t, driver, c.user(11+i))) // whose seats have no desktops either
	}
	return func() { c.out(t, driver, others...) }
}

// drained lets others log in until no desktop is ready, when the cloud does not build new ones any more.
func drained(broken func(t *testing.T, c *cell) (heal func())) func(*testing.T, *cell, string) func() {
	return func(t *testing.T, c *cell, driver string) func() {
		heal := broken(t, c)
		var others []*client.Session
		for i := range c.desktops(t, "standard", store.Ready) {
			others = append(others, c.in(t, driver, c.user(11+i)))
		}
		return func() {
			heal()
			c.out(t, driver, others...)
		}
	}
}

func bad() []failure {
	const (
		servers  = "/v2.1/servers"
		consoles = "/v2.1/servers/*/remote-consoles"
	)
	refuses := func(status int) func(*testing.T, *cell, string) func() {
		return func(_ *testing.T, c *cell, _ string) func() { return c.Sim.RefuseConsoles("", status) }
	}
	return []failure{
		{name: "wrong password", typed: func(l *client.Login) { l.Password = mistyped },
			broker: ends(client.WrongPassword, client.StepAuth, "wrong user name or password"),
			cloud:  ends(client.WrongPassword, client.StepAuth, "password")},
		{name: "no such user", typed: func(l *client.Login) { l.User = "nobody" },
			broker: ends(client.WrongPassword, client.StepAuth, "wrong user name or password"),
			cloud:  ends(client.WrongPassword, client.StepAuth, "password")},
		{name: "locked account",
			inject: func(t *testing.T, c *cell, _ string) func() {
				require.NoError(t, c.Directory.Lock(c.user(2).Name, true))
				return func() { require.NoError(t, c.Directory.Lock(c.user(2).Name, false)) }
			},
			broker: ends(client.AccountLocked, client.StepAuth, "locked"),
			// Keystone tells nobody, lest passwords be guessed.
			cloud: ends(client.WrongPassword, client.StepAuth, "locked")},
		{name: "LDAP down",
			inject: func(t *testing.T, c *cell, _ string) func() {
				require.NoError(t, c.Directory.Down(true))
				return func() { require.NoError(t, c.Directory.Down(false)) }
			},
			broker: ends(client.DirectoryDown, client.StepAuth, "directory"),
			cloud:  ends(client.DirectoryDown, client.StepAuth, "500")},
		{name: "LDAP slow",
			inject: func(_ *testing.T, c *cell, driver string) func() {
				c.Directory.Slow(patience)
				return func() { c.Directory.Slow(0) }
			},
			limit:  1500 * time.Millisecond,
			broker: ends(client.DirectorySlow, client.StepAuth, "in time"),
			cloud:  ends(client.DirectorySlow, client.StepAuth, "in time")},
		{name: "Keystone down", inject: fault(sim.Fault{Service: "keystone", Status: 500}),
			broker: works(), // it has a token
			cloud:  ends(client.DirectoryDown, client.StepAuth, "500")},
		{name: "no allocator",
			inject: func(t *testing.T, c *cell, _ string) func() {
				before, _ := c.Directory.User(c.user(2).Name)
				require.NoError(t, c.Directory.SetGroups(before.Name))
				return func() { require.NoError(t, c.Directory.SetGroups(before.Name, before.Groups...)) }
			},
			broker: ends(client.NoAllocator, client.StepMatch, "no allocator matches"), cloud: works()},

		{name: "empty pool", inject: full,
			broker: ends(client.PoolEmpty, client.StepBoot, "all 7 desktops"),
			cloud:  ends(client.PoolEmpty, client.StepAllocate, "no idle desktop is left")},
		{name: "Nova answers 500, nothing is ready", alone: true,
			inject: drained(func(t *testing.T, c *cell) func() {
				return c.inject(t, sim.Fault{Service: "nova", Method: "POST", Path: servers, Status: 500})
			}),
			broker: ends(client.CloudFailed, client.StepBoot, "creating server")},
		{name: "no host has room, nothing is ready", alone: true,
			inject: drained(func(t *testing.T, c *cell) func() {
				return c.inject(t, sim.Fault{Service: "nova", Method: "POST", Path: servers, Status: 403})
			}),
			broker: ends(client.CloudFailed, client.StepBoot, "creating server")},
		{name: "Nova never finishes a build, nothing is ready", alone: true,
			inject: drained(func(t *testing.T, c *cell) func() {
				undo, err := c.Sim.LoseBuilds("", 0)
				require.NoError(t, err)
				return func() {
					undo()
					for _, d := range c.desktops(t, "", store.Building) {
						status, _ := c.operate(t, "POST", "/v1/desktops/"+d.ID+"/report-broken", map[string]string{"reason": "it never boots"})
						require.Equal(t, http.StatusNoContent, status)
					}
				}
			}),
			broker: ends(client.BuildTimeout, client.StepBoot, "being built")},

		{name: "Nova answers 500, listing", inject: fault(sim.Fault{Service: "nova", Path: servers + "/detail", Status: 500}),
			broker: works(), cloud: ends(client.CloudFailed, client.StepMatch, "listing servers")},
		{name: "Nova answers 500, tagging", inject: fault(sim.Fault{Service: "nova", Path: "/v2.1/servers/*/tags/*", Method: "PUT", Status: 500}),
			broker: works(), cloud: ends(client.CloudFailed, client.StepAllocate, "tagging server")},
		{name: "Nova answers 500, marking", inject: fault(sim.Fault{Service: "nova", Path: "/v2.1/servers/*/metadata", Status: 500, Times: 1}),
			broker: works(), cloud: ends(client.CloudFailed, client.StepAllocate, "writing metadata")},
		{name: "Nova answers 500, reading", inject: fault(sim.Fault{Service: "nova", Method: "GET", Path: "/v2.1/servers/*-*-*-*-*", Status: 500}),
			cloud: ends(client.CloudFailed, client.StepBoot, "reading server")},
		{name: "Nova answers 500, console", inject: fault(sim.Fault{Service: "nova", Path: consoles, Status: 500}),
			broker: ends(client.CloudFailed, client.StepConsole, "console of server"),
			cloud:  ends(client.CloudFailed, client.StepConsole, "console of server")},
		{name: "Nova answers 500, the console's token", inject: fault(sim.Fault{Service: "nova", Path: "/v2.1/os-console-auth-tokens/*", Status: 500}),
			broker: ends(client.CloudFailed, client.StepConsole, "console of server"),
			cloud:  ends(client.CloudFailed, client.StepConsole, "console of server")},

		{name: "console refuses, 400", inject: refuses(400),
			broker: ends(client.ConsoleRefused, client.StepConsole, "console"), cloud: ends(client.ConsoleRefused, client.StepConsole, "console")},
		{name: "console refuses, 403", inject: refuses(403),
			broker: ends(client.ConsoleRefused, client.StepConsole, "console"), cloud: ends(client.ConsoleRefused, client.StepConsole, "console")},
		{name: "console refuses, 404", inject: refuses(404),
			broker: ends(client.ConsoleRefused, client.StepConsole, "console"), cloud: ends(client.ConsoleRefused, client.StepConsole, "console")},
		{name: "console refuses, 409", inject: refuses(409),
			broker: ends(client.ConsoleRefused, client.StepConsole, "console"), cloud: ends(client.ConsoleRefused, client.StepConsole, "console")},
		{name: "console refuses, 501", inject: refuses(501),
			broker: ends(client.ConsoleRefused, client.StepConsole, "console"), cloud: ends(client.ConsoleRefused, client.StepConsole, "console")},
		{name: "console of one desktop refuses", alone: true,
			inject: func(t *testing.T, c *cell, _ string) func() {
				return c.Sim.RefuseConsoles(c.desktops(t, "standard", store.Ready)[0].ServerID, 400)
			},
			broker: works()},

		{name: "a desktop dies while it is handed out", alone: true, inject: dead(1), broker: works()},
		{name: "desktop after desktop dies", alone: true, inject: dead(4),
			broker: ends(client.DesktopDied, client.StepConsole, "console")},
	}
}

// dead kills so many ready desktops behind Nova's back.
func dead(n int) func(*testing.T, *cell, string) func() {
	return func(t *testing.T, c *cell, _ string) func() {
		for _, d := range c.desktops(t, "standard", store.Ready)[:n] {
			_, err := c.Sim.KillDesktop(d.ServerID)
			require.NoError(t, err)
		}
		return func() {}
	}
}

func TestBadInput(t *testing.T) {
	for _, driver := range []string{viaBroker, viaCloud} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			size := up.Options{Users: 24, Desktops: 7, Ready: 4}
			c := startCell(t, size)
			for _, f := range bad() {
				want := map[string]*outcome{viaBroker: f.broker, viaCloud: f.cloud}[driver]
				if want == nil {
					continue
				}
				t.Run(f.name, func(t *testing.T) {
					c := c
					if f.alone {
						t.Parallel()
						c = startCell(t, size)
					}
					f.test(t, c, driver, *want)
				})
			}
		})
	}
}

func (f failure) test(t *testing.T, c *cell, driver string, want outcome) {
	u := c.user(2)
	l := login(u)
	heal := func() {}
	t.Cleanup(func() { heal() })
	if f.typed != nil {
		f.typed(&l)
	}
	if f.inject != nil {
		heal = sync.OnceFunc(f.inject(t, c, driver))
	}
	limit := f.limit
	if limit == 0 {
		limit = patience
	}
	before := c.counted(t, want.class)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := c.drivers[driver].Login(ctx, l)
	if want.class == "" {
		require.NoError(t, err)
		heal()
		c.out(t, driver, s)
		c.trim(t)
		return
	}
	failed := c.requireFailure(t, err, want.class, want.step)
	require.Contains(t, failed.Message, want.says)
	if driver == viaBroker {
		require.NotEmpty(t, failed.RequestID)
		// The answer may come first.
		await(t, "one more login counted as "+string(want.class), func() bool { return c.counted(t, want.class) == before+1 })
	}
	heal()
	c.out(t, driver, c.eventually(t, driver, u))
	c.trim(t)
}

// trim has as many desktops ready as the pool keeps, like at the start.
func (c *cell) trim(t *testing.T) {
	t.Helper()
	c.settle(t)
	pools, err := up.Pools(t.Context(), c.Broker, c.Dir)
	require.NoError(t, err)
	for _, p := range pools {
		for _, d := range c.desktops(t, p.Name, store.Ready)[p.Ready:] {
			status, _ := c.operate(t, "POST", "/v1/desktops/"+d.ID+"/drain", nil)
			require.Equal(t, http.StatusNoContent, status)
		}
	}
	c.settle(t)
}

// TestMistypedName: somebody types the password where the name belongs. No log has it, unless it is for debugging.
func TestMistypedName(t *testing.T) {
	t.Parallel()
	log := &journal{}
	o := quick(up.Options{Users: 1, Desktops: 1})
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	c := start(t, o)
	for _, broken := range []bool{false, true} {
		require.NoError(t, c.Directory.Down(broken))
		_, err := client.NewBroker(client.BrokerConfig{URL: c.Broker}).Login(t.Context(), client.Login{User: mistyped, Password: "any"})
		require.Error(t, err)
		require.NotContains(t, err.Error(), mistyped)
	}
	await(t, "both are logged", func() bool {
		return strings.Contains(log.String(), "class=wrong-password") && strings.Contains(log.String(), "class=directory-down")
	})
	require.NotContains(t, log.String(), mistyped)
}
