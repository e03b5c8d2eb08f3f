package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/service"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/postgres"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// brokerVariable makes the test's own program a broker with that configuration.
const brokerVariable = "SERVICE_TEST_BROKER"

func TestMain(m *testing.M) {
	if file := os.Getenv(brokerVariable); file != "" {
		fmt.Fprintln(os.Stderr, serve(file))
		os.Exit(1) // it was to be killed
	}
	os.Exit(m.Run())
}

func serve(file string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	s, err := service.Open(context.Background(), c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	return s.Serve(context.Background())
}

// killsVariable is how often the broker is killed; continuous integration is content with few.
const killsVariable = "DESKSTORM_TEST_KILLS"

func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv(killsVariable))
	if os.Getenv(killsVariable) == "" {
		return 12
	}
	require.NoError(t, err)
	return n
}

// A broker that is killed at any moment, under load, loses no binding and leaks no desktop.
func TestKilledAtAnyMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; run make test")
	}
	t.Run("SQLite", func(t *testing.T) {
		killed(t, "sqlite://"+filepath.Join(t.TempDir(), "broker.db"))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		qemutest.RequireProgram(t, postgres.Program(), "postgresql")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		server, err := postgres.Start(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		killed(t, server.DSN)
	})
}

const (
	people  = 90
	leave   = 40 // of them, after their first login, without a logout: nobody will take their sessions over
	clients = 12 // at a time
)

func killed(t *testing.T, dsn string) {
	world := newWorld(t, dsn, sim.Config{})
	random := rand.New(rand.NewPCG(1, 2))
	broker := world.start()

	working, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var logins, refused atomic.Int64
	users := make(chan int, people) // those whose thin client is off
	for _, i := range random.Perm(people) {
		users <- i
	}
	for range clients {
		load.Go(func() {
			for working.Err() == nil {
				i := <-users
				if world.session(working, i) {
					logins.Add(1)
					if i < leave {
						continue
					}
				} else {
					refused.Add(1)
				}
				users <- i
			}
		})
	}
	for range kills(t) {
		time.Sleep(time.Duration(50+random.IntN(1200)) * time.Millisecond) // the moment is what is tested
		broker.Kill()
		broker = world.start()
	}
	// The last one works too, and a test without load tests nothing, on a slow machine as well.
	require.Eventually(t, func() bool { return logins.Load() > people }, 40*time.Second, 100*time.Millisecond)
	stop()
	load.Wait()
	t.Logf("%d kills, %d logins, %d cut short or refused", kills(t), logins.Load(), refused.Load())

	world.settles()
	broker.Kill()
}

// world is what a broker lives in, which does not die with it.
type world struct {
	t         testing.TB
	sim       *sim.Lab
	directory *directory.Server
	file, dsn string
	driver    *client.Broker

	mu    sync.Mutex
	owned map[string]string // desktops bound to users, as they were told
	users map[string]string // and the reverse
}

func newWorld(t testing.TB, dsn string, c sim.Config, settings ...string) *world {
	w := &world{t: t, dsn: dsn, owned: map[string]string{}, users: map[string]string{}}
	content := directory.Callcenter(people)
	var err error
	w.directory, err = directory.Start(content)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.directory.Close()) })
	c.Hosts = make([]sim.Host, 4+len(c.Servers)/100)
	c.Boot = func(r *rand.Rand) time.Duration { return time.Duration(50+r.IntN(200)) * time.Millisecond }
	w.sim, err = sim.Start(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.sim.Close()) })

	dir := t.TempDir()
	_, err = w.sim.WriteCloudsYAML(dir)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(content.ServicePassword), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dsn"), []byte(dsn), 0o600))
	w.file = filepath.Join(dir, "broker.yaml")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String() // each broker's, one after another
	require.NoError(t, listener.Close())
	require.NoError(t, os.WriteFile(w.file, fmt.Appendf(nil, `
listen: %s
operator_token: {file: secret}
database: {file: dsn}
lease: 3s
cloud: {name: sim, file: clouds.yaml, owner: killed}
directory:
  urls: [%s]
  bind_dn: %q
  bind_password: {file: secret}
  user_base: %q
  group_base: %q
pools:
  - {name: own, flavor: desktop.small, image: desktop, networks: [desktops], ready: 2, max: 20000, boots: 4, wait: 5s, check_every: 1s, after: keep}
  - {name: shared, flavor: desktop.small, image: desktop, networks: [desktops], ready: 4, max: 20, boots: 4, wait: 5s, check_every: 1s, after: replace}
allocators:
  - {name: sales, priority: 1, match: {group: [sales]}, pool: own, bind: user}
default: {pool: shared, bind: session}
%s
`, address, w.directory.URL, content.ServiceDN, content.BaseDN, content.GroupBase(), strings.Join(settings, "\n")), 0o600))
	w.driver = client.NewBroker(client.BrokerConfig{URL: "http://" + address, Timeout: 10 * time.Second})
	t.Cleanup(func() { require.NoError(t, w.driver.Close()) })
	return w
}

// start starts a broker of its own process.
func (w *world) start() *child.Process {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerVariable+"="+w.file)
	p, err := child.Start(cmd)
	require.NoError(w.t, err)
	w.t.Cleanup(p.Kill)
	return p
}

// session logs a person in and, most times, out again. Some thin clients lose their power instead.
func (w *world) session(ctx context.Context, i int) bool {
	name := fmt.Sprintf("agent%04d", i+1)
	s, err := w.driver.Login(ctx, client.Login{User: name, Password: directory.Password(name)})
	if err != nil {
		select {
		case <-time.After(20 * time.Millisecond): // the broker may be away
		case <-ctx.Done():
		}
		return false
	}
	if s.Desktop.Pool == "own" {
		w.own(name, s.Desktop.ID)
	}
	if i >= leave && rand.IntN(4) > 0 {
		_ = w.driver.Logout(ctx, s) // a broker that is killed meanwhile does not answer
	}
	return true
}

// own checks that a user has one desktop, always the same, and nobody else's.
func (w *world) own(user, desktop string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.owned[user]; before != "" && before != desktop {
		w.t.Errorf("%s had desktop %s and has %s now: the binding was lost", user, before, desktop)
	}
	if other := w.users[desktop]; other != "" && other != user {
		w.t.Errorf("desktop %s is %s's and was given to %s", desktop, other, user)
	}
	w.owned[user], w.users[desktop] = desktop, user
}

// settles waits until leases are over and pools are full, and compares the cloud with the records.
func (w *world) settles() {
	ctx := context.WithoutCancel(w.t.Context())
	records, err := store.Open(ctx, w.dsn)
	require.NoError(w.t, err)
	defer records.Close()
	var desktops []store.Desktop
	var sessions []store.Session
	count := func(pool string, state store.State) (n int) {
		for _, d := range desktops {
			if d.Pool == pool && (state == "" || d.State == state) {
				n++
			}
		}
		return n
	}
	require.Eventually(w.t, func() bool {
		if desktops, err = records.Desktops(ctx, "", ""); err != nil {
			return false
		}
		sessions, err = records.Sessions(ctx)
		return err == nil && len(sessions) == 0 && count("shared", "") == count("shared", store.Ready) && count("shared", store.Ready) >= 4 &&
			count("own", store.Ready)+count("own", store.Assigned) == count("own", "") && count("own", store.Ready) >= 2 && // what failed logins gave back is more
			len(w.ours()) == len(desktops)
	}, 30*time.Second, 100*time.Millisecond, "%d sessions; desktops: %+v; servers: %v", len(sessions), desktops, w.ours())

	servers := map[string]bool{}
	for _, id := range w.ours() {
		servers[id] = true
	}
	serverOf := map[string]string{}
	for _, d := range desktops {
		require.True(w.t, servers[d.ServerID], "desktop %s has server %s, which is none", d.ID, d.ServerID)
		serverOf[d.ID] = d.ServerID
	}
	bindings, err := records.Bindings(ctx, "", "")
	require.NoError(w.t, err)
	bound := map[string]string{}
	for _, b := range bindings {
		require.Equal(w.t, store.BindUser, b.Kind)
		bound[b.Key] = serverOf[b.DesktopID]
	}
	for user, desktop := range w.owned {
		require.Equal(w.t, desktop, bound[user], "%s was told of this desktop", user)
	}
}

// ours are the ids of the cloud's servers with the broker's mark.
func (w *world) ours() []string {
	var ids []string
	for _, s := range w.sim.Servers() {
		if s.Metadata[cloud.OwnerKey] == "killed" {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
