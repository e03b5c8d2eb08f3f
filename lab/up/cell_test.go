package up_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	gopheropenstack "github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
)

// The drivers of a cell.
const (
	viaBroker = "broker"
	viaCloud  = "cloud"
)

// patience bounds what a test waits for.
const patience = 20 * time.Second

// cell is a cloud with all that a test wants to see of it.
type cell struct {
	*up.Cloud
	drivers map[string]client.Driver
	admin   *cloud.Cloud
	records *store.Store // the broker's own database
	idle    int          // desktops for clients without a broker that no seat has
	log     *journal
}

// journal is the broker's log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// quick are options whose time-outs suit tests.
func quick(o up.Options) up.Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Wait, 1500*time.Millisecond)
	set(&o.CheckEvery, time.Second)
	set(&o.DirectoryTimeout, time.Second)
	return o
}

func startCell(t *testing.T, o up.Options) *cell {
	t.Helper()
	c := &cell{log: &journal{}}
	o = quick(o)
	o.Log = slog.New(slog.NewJSONHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Cloud = start(t, o)
	t.Cleanup(func() { requireNoSecrets(t, c, c.log.String()) })
	config, err := cloud.LoadFile(c.Dir+"/clouds.yaml", "sim")
	require.NoError(t, err)
	c.admin, err = cloud.Connect(t.Context(), config)
	require.NoError(t, err)
	direct, err := openstack.New(t.Context(), openstack.Config{Cloud: config, Domain: "users", BootTimeout: 2 * time.Second,
		Consoles: func(c *cloud.Cloud) console.Finder {
			return console.First(console.SpiceDirect(c), console.SpiceHTML5(c))
		}})
	require.NoError(t, err)
	c.drivers = map[string]client.Driver{
		viaBroker: client.NewBroker(client.BrokerConfig{URL: c.Broker, Timeout: patience}),
		viaCloud:  direct,
	}
	t.Cleanup(func() {
		for _, d := range c.drivers {
			require.NoError(t, d.Close())
		}
	})
	c.records, err = store.Open(t.Context(), "sqlite://"+c.Dir+"/broker.db")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.records.Close()) })
	for _, s := range c.Sim.Servers() {
		if s.Metadata[openstack.DesktopKey] == openstack.Idle {
			c.idle++
		}
	}
	c.settle(t)
	return c
}

// user is the n-th person, from 1.
func (c *cell) user(n int) up.User { return c.Users[n-1] }

// in logs somebody in.
func (c *cell) in(t *testing.T, driver string, u up.User) *client.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := c.drivers[driver].Login(ctx, login(u))
	require.NoError(t, err, "%s logs in by the %s", u.Name, driver)
	return s
}

// eventually logs somebody in as soon as it goes: a pool that met failures pauses before it builds again.
func (c *cell) eventually(t *testing.T, driver string, u up.User) *client.Session {
	t.Helper()
	var s *client.Session
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var err error
		s, err = c.drivers[driver].Login(ctx, login(u))
		require.NoError(t, err)
	}, patience, 50*time.Millisecond)
	return s
}

func (c *cell) out(t *testing.T, driver string, sessions ...*client.Session) {
	t.Helper()
	for _, s := range sessions {
		require.NoError(t, c.drivers[driver].Logout(context.WithoutCancel(t.Context()), s))
	}
}

// settle waits until nothing is left of any session, and the pools have what they are to keep: each desktop of the
// broker's is a server, each of its servers a desktop.
func (c *cell) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	var left string
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if left = c.left(t, ctx); left == "" {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.Fail(t, "something is left", "%s\n%s", left, c.log)
		}
	}
}

// left is what is not as it is when nobody is logged in; empty: nothing.
func (c *cell) left(t *testing.T, ctx context.Context) string {
	t.Helper()
	sessions, err := c.records.Sessions(context.WithoutCancel(ctx))
	require.NoError(t, err)
	bindings, err := c.records.Bindings(context.WithoutCancel(ctx), store.BindSession, "")
	require.NoError(t, err)
	desktops, err := c.records.Desktops(context.WithoutCancel(ctx), "", "")
	require.NoError(t, err)
	ready := map[string]int{}
	known := map[string]bool{}
	for _, d := range desktops {
		if d.State != store.Ready && d.State != store.Assigned {
			return fmt.Sprintf("desktop %s is %s", d.ID, d.State)
		}
		ready[d.Pool]++
		known[d.ServerID] = true
	}
	servers, taken := 0, 0
	for _, s := range c.Sim.Servers() {
		switch {
		case slices.Contains(s.Tags, cloud.OwnerTag+"=lab"):
			if servers++; !known[s.ID] {
				return fmt.Sprintf("server %s is no desktop's", s.Name)
			}
		case s.Metadata[openstack.DesktopKey] == openstack.Idle && len(s.Tags) == 0 && s.Metadata[openstack.SeatKey] == "":
		case s.Metadata[openstack.DesktopKey] == openstack.Taken && len(s.Tags) == 0 && s.Metadata[openstack.SeatKey] != "":
			taken++
		default:
			return fmt.Sprintf("server %s is neither idle nor a seat's: %v %v", s.Name, s.Metadata, s.Tags)
		}
	}
	switch idle := len(c.Sim.Servers()) - servers - taken; {
	case len(sessions) > 0:
		return fmt.Sprintf("%d sessions", len(sessions))
	case len(bindings) > 0:
		return fmt.Sprintf("%d bindings for sessions", len(bindings))
	case servers != len(desktops):
		return fmt.Sprintf("%d desktops and %d servers", len(desktops), servers)
	case idle != c.idle:
		return fmt.Sprintf("%d idle desktops instead of %d", idle, c.idle)
	}
	pools, err := up.Pools(ctx, c.Broker, c.Dir)
	if err != nil {
		return err.Error()
	}
	for _, p := range pools {
		if ready[p.Name] < p.Ready {
			return fmt.Sprintf("%d ready desktops of %d in pool %s", ready[p.Name], p.Ready, p.Name)
		}
	}
	return ""
}

// metric is a counter or gauge of the broker's, such as `deskstorm_broker_logins_total{class="ok"}`.
func (c *cell) metric(t *testing.T, series string) int {
	t.Helper()
	response, err := http.Get(c.Broker + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(t, err)
			return int(f)
		}
	}
	return 0
}

func (c *cell) counted(t *testing.T, class client.Class) int {
	t.Helper()
	return c.metric(t, fmt.Sprintf("deskstorm_broker_logins_total{class=%q}", class))
}

// operate asks the operators' API for something and returns the answer's status and object.
func (c *cell) operate(t *testing.T, method, path string, body any) (int, map[string]any) {
	t.Helper()
	token, err := os.ReadFile(c.Dir + "/operator-token")
	require.NoError(t, err)
	return c.ask(t, strings.TrimSpace(string(token)), method, path, body)
}

func (c *cell) ask(t *testing.T, token, method, path string, body any) (int, map[string]any) {
	t.Helper()
	text := []byte{}
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		require.NoError(t, err)
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, c.Broker+path, bytes.NewReader(text))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	answer := map[string]any{}
	if response.StatusCode != http.StatusNoContent {
		require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	}
	return response.StatusCode, answer
}

// desktops are the broker's in a state.
func (c *cell) desktops(t *testing.T, pool string, state store.State) []store.Desktop {
	t.Helper()
	all, err := c.records.Desktops(context.WithoutCancel(t.Context()), pool, state)
	require.NoError(t, err)
	return all
}

// desktopOf is the broker's record of a session's desktop.
func (c *cell) desktopOf(t *testing.T, s *client.Session) store.Desktop {
	t.Helper()
	all := c.desktops(t, "", "")
	i := slices.IndexFunc(all, func(d store.Desktop) bool { return d.ServerID == s.Desktop.ID })
	require.GreaterOrEqual(t, i, 0, "no record of the desktop")
	return all[i]
}

// inject makes requests of the cloud go wrong.
func (c *cell) inject(t *testing.T, f sim.Fault) (heal func()) {
	t.Helper()
	heal, err := c.Sim.Inject(f)
	require.NoError(t, err)
	t.Cleanup(heal)
	return heal
}

// shutOff shuts a server down and waits until it is.
func (c *cell) shutOff(t *testing.T, serverID string) {
	t.Helper()
	require.NoError(t, c.admin.StopServer(t.Context(), serverID))
	await(t, "the server is shut off", func() bool {
		s, ok := c.Sim.Server(serverID)
		return ok && s.Status == "SHUTOFF"
	})
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}

// tokens are Keystone's.
var tokens = regexp.MustCompile(`gAAAAAB[A-Za-z0-9_-]+`)

// requireNoSecrets: no password and no token of the cloud is in a text that people may see.
func requireNoSecrets(t *testing.T, c *cell, text string) {
	t.Helper()
	for _, u := range c.Users {
		require.NotContains(t, text, u.Password)
	}
	require.NotContains(t, text, "service-of-the-broker")
	require.NotContains(t, text, mistyped)
	require.Empty(t, tokens.FindString(text), "a token")
}

// requireFailure: it is this class at this step, it says something for people, tells no secret, and has the times so far.
func (c *cell) requireFailure(t *testing.T, err error, class client.Class, step client.Step) *client.Error {
	t.Helper()
	var failed *client.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, class, failed.Class, "%v", err)
	require.Equal(t, step, failed.Step, "%v", err)
	require.NotEmpty(t, failed.Message)
	requireNoSecrets(t, c, fmt.Sprintf("%v %+v %#v", err, *failed, failed.Message))

	require.NotEmpty(t, failed.Steps)
	order := []client.Step{client.StepAuth, client.StepMatch, client.StepAllocate, client.StepBoot, client.StepConsole}
	seen := map[client.Step]bool{}
	for _, s := range failed.Steps {
		require.Contains(t, order, s.Step)
		require.False(t, seen[s.Step], "%s twice", s.Step)
		require.Positive(t, s.Took)
		seen[s.Step] = true
	}
	require.Equal(t, client.StepAuth, failed.Steps[0].Step)
	require.True(t, seen[failed.Step], "the step that failed has a time")
	return failed
}

// setState is what operators do by `openstack server set --state`, as administrators.
func (c *cell) setState(t *testing.T, serverID, state string) {
	t.Helper()
	provider, err := gopheropenstack.AuthenticatedClient(t.Context(), c.Sim.Admin())
	require.NoError(t, err)
	compute, err := gopheropenstack.NewComputeV2(provider, gophercloud.EndpointOpts{Region: sim.Region})
	require.NoError(t, err)
	require.NoError(t, servers.ResetState(t.Context(), compute, serverID, servers.ServerState(state)).ExtractErr())
}
