package pool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/store"
)

// fakeCloud is a cloud of machines that boot in a time of the fake clock.
type fakeCloud struct {
	mu       sync.Mutex
	machines map[string]*fakeMachine
	asked    int
	booting  int
	most     int // booting at once
	boot     time.Duration
	refuse   error         // of Build
	lost     bool          // builds are accepted and never done
	fail     bool          // builds end in ERROR
	answer   time.Duration // of Build
	unlisted bool          // All leaves everything out
}

type fakeMachine struct {
	Machine
	dead bool // its console
}

func newCloud() *fakeCloud {
	return &fakeCloud{machines: map[string]*fakeMachine{}, boot: 30 * time.Second, answer: 100 * time.Millisecond}
}

func (c *fakeCloud) Build(ctx context.Context, desktopID string, _ Spec) (string, error) {
	c.mu.Lock()
	if c.refuse != nil {
		defer c.mu.Unlock()
		return "", c.refuse
	}
	c.asked++
	m := &fakeMachine{Machine: Machine{ServerID: fmt.Sprintf("server-%d", c.asked), DesktopID: desktopID, Status: Build}}
	c.machines[m.ServerID] = m
	c.booting++
	c.most = max(c.most, c.booting)
	time.AfterFunc(c.boot, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.booting--
		switch {
		case c.lost:
		case c.fail:
			m.Status, m.Fault = Failed, "No valid host was found."
		default:
			m.Status = Active
		}
	})
	c.mu.Unlock()
	// The server is there before the answer is: a broker that dies now has asked and does not know it.
	select {
	case <-time.After(c.answer):
		return m.ServerID, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *fakeCloud) State(_ context.Context, serverID string) (Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.machines[serverID]
	if !ok {
		return Machine{}, ErrGone
	}
	return m.Machine, nil
}

func (c *fakeCloud) All(context.Context, string) ([]Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Machine
	for _, m := range c.machines {
		if c.unlisted {
			continue
		}
		all = append(all, m.Machine)
	}
	return all, nil
}

func (c *fakeCloud) Delete(_ context.Context, serverID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.machines, serverID)
	return nil
}

func (c *fakeCloud) Answers(_ context.Context, m Machine) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, ok := c.machines[m.ServerID]; !ok || one.dead {
		return errors.New("connection refused")
	}
	return nil
}

// change changes the cloud under its lock.
func (c *fakeCloud) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

var spec = Spec{Name: "standard", Flavor: "small", Image: "windows", Ready: 5, Max: 12, Boots: 2,
	Wait: time.Minute, BuildTimeout: 5 * time.Minute, CheckEvery: 15 * time.Second}

// bench is a pool in a bubble of fake time (testing/synctest).
type bench struct {
	t       *testing.T
	cloud   *fakeCloud
	store   *store.Store
	metrics *Metrics
	pool    *Pool
	stop    func()
}

func start(t *testing.T, s Spec) *bench {
	return startOn(t, s, filepath.Join(t.TempDir(), "broker.db"))
}

func startOn(t *testing.T, s Spec, database string) *bench {
	db, err := store.Open(t.Context(), "sqlite://"+database)
	require.NoError(t, err)
	b := &bench{t: t, cloud: newCloud(), store: db, metrics: NewMetrics(prometheus.NewRegistry())}
	b.run(s)
	t.Cleanup(func() {
		b.stop()
		require.NoError(t, db.Close())
	})
	return b
}

// run starts a pool on what there is.
func (b *bench) run(s Spec) {
	b.pool = New(s, b.store, b.cloud, slog.New(slog.DiscardHandler), b.metrics)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.pool.Run(ctx)
	}()
	b.stop = func() {
		cancel()
		<-ended
	}
}

func (b *bench) count(state store.State) int {
	all, err := b.store.Desktops(context.Background(), "standard", state)
	require.NoError(b.t, err)
	return len(all)
}

// asks is how many servers the cloud was asked for.
func (c *fakeCloud) asks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// eventually waits on the fake clock.
func (b *bench) eventually(what string, within time.Duration, holds func() bool) {
	b.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(time.Second) {
		if holds() {
			return
		}
	}
	require.Fail(b.t, what+" did not happen within "+within.String())
}

func (b *bench) login(user string) store.Desktop {
	d, err := b.store.Allocate(context.Background(), store.Want{Session: store.Session{ID: "s-" + user, User: user},
		Pool: "standard", Kind: store.BindSession, Key: user}, time.Now())
	require.NoError(b.t, err)
	b.pool.Kick()
	return d.Desktop
}

func observed(t *testing.T, h *prometheus.HistogramVec) *dto.Histogram {
	var m dto.Metric
	require.NoError(t, h.WithLabelValues("standard").(prometheus.Histogram).Write(&m))
	return m.GetHistogram()
}

func TestFillsGently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, spec)
		b.eventually("five ready desktops", 3*time.Minute, func() bool { return b.count(store.Ready) == 5 })
		require.Equal(t, 2, b.cloud.most, "as many as may boot at once, and no more")
		time.Sleep(10 * time.Minute)
		require.Equal(t, 5, b.cloud.asks(), "and then it is content")
		ready := observed(t, b.metrics.ready)
		require.EqualValues(t, 5, ready.GetSampleCount())
		require.InDelta(t, 5*31, ready.GetSampleSum(), 10, "30 s of boot and a second until it is seen")

		// Each login is followed by a new desktop, to the limit of the pool.
		for i := range 5 {
			b.login(fmt.Sprint("u", i))
		}
		b.eventually("a second five", 3*time.Minute, func() bool { return b.count(store.Ready) == 5 })
		for i := range 5 {
			b.login(fmt.Sprint("v", i))
		}
		time.Sleep(10 * time.Minute)
		require.Equal(t, 2, b.count(store.Ready))
		require.Equal(t, 12, b.cloud.asks(), "the limit")
		require.Equal(t, 2, b.cloud.most)

		// A session's end makes room.
		_, err := b.store.EndSession(t.Context(), "s-u0", func(string) store.State { return store.Deleting }, time.Now())
		require.NoError(t, err)
		b.pool.Kick()
		b.eventually("a third", 2*time.Minute, func() bool { return b.count(store.Ready) == 3 && b.count("") == 12 })
		require.Len(t, b.cloud.machines, 12)
	})
}

func TestBuildsThatFail(t *testing.T) {
	for name, test := range map[string]struct {
		fault   func(*fakeCloud)
		heal    func(*fakeCloud)
		trouble error
		cause   cause
		most    int // servers asked for in 20 minutes
	}{
		"refused": {func(c *fakeCloud) { c.refuse = errors.New("500") }, func(c *fakeCloud) { c.refuse = nil }, ErrCloud, causeCloud, 0},
		"ERROR":   {func(c *fakeCloud) { c.fail = true }, func(c *fakeCloud) { c.fail = false }, ErrCloud, causeFailed, 60},
		"lost":    {func(c *fakeCloud) { c.lost = true }, func(c *fakeCloud) { c.lost = false }, ErrBuildTimeout, causeTimeout, 12},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, spec)
				b.cloud.change(func() { test.fault(b.cloud) })
				time.Sleep(20 * time.Minute)
				require.ErrorIs(t, b.pool.Trouble(time.Time{}), test.trouble)
				require.LessOrEqual(t, b.cloud.asks(), test.most, "a cloud that fails is not hammered")
				failed := testutil.ToFloat64(b.metrics.buildsFailed.WithLabelValues("standard", string(test.cause)))
				require.Greater(t, failed, 5.0)
				require.Less(t, failed, 60.0)
				require.Zero(t, b.count(store.Ready))
				b.cloud.change(func() { test.heal(b.cloud) })
				b.eventually("healing", 10*time.Minute, func() bool { return b.count(store.Ready) == 5 })
				require.NoError(t, b.pool.Trouble(time.Time{}))
				require.Len(t, b.cloud.machines, b.count(""), "what failed is deleted")
			})
		})
	}
}

func TestBrokenDesktopsAreReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(*bench, *fakeMachine)
		cause  cause
	}{
		"gone":            {func(b *bench, m *fakeMachine) { delete(b.cloud.machines, m.ServerID) }, causeGone},
		"ERROR":           {func(_ *bench, m *fakeMachine) { m.Status = Failed }, causeFailed},
		"stopped":         {func(_ *bench, m *fakeMachine) { m.Status = "SHUTOFF" }, causeStopped},
		"without console": {func(_ *bench, m *fakeMachine) { m.dead = true }, causeConsole},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, spec)
				b.eventually("five ready desktops", 3*time.Minute, func() bool { return b.count(store.Ready) == 5 })
				b.cloud.change(func() { test.damage(b, b.cloud.machines["server-1"]) })
				b.eventually("a sixth build", time.Minute, func() bool { return b.cloud.asks() == 6 })
				b.eventually("five again", Goal, func() bool { return b.count(store.Ready) == 5 && b.count("") == 5 })
				require.NotContains(t, b.cloud.machines, "server-1")
				require.EqualValues(t, 1, testutil.ToFloat64(b.metrics.broken.WithLabelValues("standard", string(test.cause))))
				replaced := observed(t, b.metrics.replaced)
				require.EqualValues(t, 1, replaced.GetSampleCount())
				require.InDelta(t, 31, replaced.GetSampleSum(), 3)
			})
		})
	}
}

func TestBrokenInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, spec)
		b.eventually("five ready desktops", 3*time.Minute, func() bool { return b.count(store.Ready) == 5 })
		mine := b.login("ada")
		b.cloud.change(func() { b.cloud.machines[mine.ServerID].Status = "SHUTOFF" })
		time.Sleep(5 * time.Minute)
		require.Equal(t, 1, b.count(store.Assigned), "a user may shut a desktop down")
		b.cloud.change(func() { delete(b.cloud.machines, mine.ServerID) })
		b.eventually("its end", time.Minute, func() bool { return b.count(store.Assigned) == 0 })
		require.NotEqual(t, mine.ID, b.login("ada").ID)
	})
}

func TestAnotherSpecification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, spec)
		b.eventually("five ready desktops", 3*time.Minute, func() bool { return b.count(store.Ready) == 5 })
		inUse := b.login("ada")
		b.eventually("a sixth", time.Minute, func() bool { return b.count(store.Ready) == 5 })
		b.stop()
		newer := spec
		newer.Image = "windows-12"
		b.run(newer)
		b.eventually("new desktops", 10*time.Minute, func() bool {
			ready, err := b.store.Desktops(t.Context(), "standard", store.Ready)
			require.NoError(t, err)
			require.NotEmpty(t, ready, "one after another")
			for _, d := range ready {
				if d.Spec != newer.ID() {
					return false
				}
			}
			return len(ready) == 5
		})
		d, err := b.store.Desktop(t.Context(), inUse.ID)
		require.NoError(t, err)
		require.Equal(t, store.Assigned, d.State, "who works is left alone")
	})
}

func TestOrphansAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, spec)
		b.cloud.change(func() {
			b.cloud.machines["lost"] = &fakeMachine{Machine: Machine{ServerID: "lost", DesktopID: "nobody's", Status: Active}}
		})
		b.eventually("its end", time.Minute, func() bool {
			b.cloud.mu.Lock()
			defer b.cloud.mu.Unlock()
			return b.cloud.machines["lost"] == nil
		})
		require.EqualValues(t, 1, testutil.ToFloat64(b.metrics.orphans.WithLabelValues("standard")))
	})
}

// What would delete all that people work with, if it were believed.
func TestWrongListsAreNotBelieved(t *testing.T) {
	for name, test := range map[string]struct {
		wrong func(*fakeCloud)
		most  int // desktops that may be given up
	}{
		"the list is empty":  {func(c *fakeCloud) { c.unlisted = true }, 0},
		"no console answers": {func(c *fakeCloud) { c.each(func(m *fakeMachine) { m.dead = true }) }, 3},
		"all are in ERROR":   {func(c *fakeCloud) { c.each(func(m *fakeMachine) { m.Status = Failed }) }, 3},
		"all are gone":       {func(c *fakeCloud) { clear(c.machines) }, 3},
		"all migrate":        {func(c *fakeCloud) { c.each(func(m *fakeMachine) { m.Status = "MIGRATING" }) }, 0},
		"another database made many": {func(c *fakeCloud) {
			for i := range 50 {
				id := fmt.Sprint("foreign-", i)
				c.machines[id] = &fakeMachine{Machine: Machine{ServerID: id, DesktopID: id, Status: Active}}
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				many := spec
				many.Ready = 8
				b := start(t, many)
				b.eventually("eight ready desktops", 5*time.Minute, func() bool { return b.count(store.Ready) == 8 })
				mine := b.login("ada")
				b.eventually("another one", time.Minute, func() bool { return b.count(store.Ready) == 8 })
				servers := 0
				b.cloud.change(func() {
					test.wrong(b.cloud)
					b.cloud.refuse = errors.New("no new ones") // whose answers would be heard
					servers = len(b.cloud.machines)
				})
				time.Sleep(4 * time.Minute)
				require.GreaterOrEqual(t, b.count(store.Ready), 8-test.most)
				b.cloud.change(func() { require.GreaterOrEqual(t, len(b.cloud.machines), servers-test.most) })
				if name != "all are gone" {
					d, err := b.store.Desktop(t.Context(), mine.ID)
					require.NoError(t, err)
					require.Equal(t, store.Assigned, d.State, "somebody works at it")
				}
			})
		})
	}
}

// each changes all machines.
func (c *fakeCloud) each(f func(*fakeMachine)) {
	for _, m := range c.machines {
		f(m)
	}
}

// A database that is away for a while strands no build.
func TestDatabaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dsn := filepath.Join(t.TempDir(), "broker.db")
		b := startOn(t, spec, dsn)
		time.Sleep(15 * time.Second) // two are being built
		other, err := sql.Open("sqlite", dsn)
		require.NoError(t, err)
		defer other.Close()
		_, err = other.Exec(`ALTER TABLE desktops RENAME TO away`)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = other.Exec(`ALTER TABLE away RENAME TO desktops`)
		require.NoError(t, err)
		b.eventually("five ready desktops", 10*time.Minute, func() bool { return b.count(store.Ready) == 5 && b.count("") == 5 })
	})
}

// Stopped desktops that logins start boot under the same limit as new ones.
func TestStartsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := spec
		none.Ready = 0
		b := start(t, none)
		var most, now atomic.Int64
		var logins sync.WaitGroup
		for range 10 {
			logins.Go(func() {
				done, err := b.pool.Boot(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(10 * time.Second)
				now.Add(-1)
			})
		}
		logins.Wait()
		require.EqualValues(t, 2, most.Load())
		require.Zero(t, b.pool.Boots())
	})
}

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		few := spec
		few.Ready = 0
		b := start(t, few)
		var mu sync.Mutex
		var served []int
		for i := range 6 {
			go func() {
				place := b.pool.Queue()
				defer place.Leave()
				for {
					require.NoError(t, place.Wait(context.Background()))
					user := fmt.Sprint("u", i)
					_, err := b.store.Allocate(context.Background(), store.Want{Session: store.Session{ID: "s-" + user, User: user},
						Pool: "standard", Kind: store.BindSession, Key: user}, time.Now())
					if err == nil {
						mu.Lock()
						served = append(served, i)
						mu.Unlock()
						return
					}
					require.ErrorIs(t, err, store.ErrPoolEmpty)
				}
			}()
			synctest.Wait() // the order of the queue
		}
		require.Equal(t, 6, b.pool.Waiting())
		b.eventually("all served", 3*time.Minute, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(served) == 6
		})
		for i, user := range served {
			require.Equal(t, i/2, user/2, "two at a time, the first come first: %v", served)
		}
		require.Equal(t, 6, b.cloud.asks(), "one for each who waits")
		require.Zero(t, b.pool.Waiting())

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		place := b.pool.Queue()
		require.ErrorIs(t, place.Wait(ctx), context.DeadlineExceeded)
		place.Leave()
		require.Zero(t, b.pool.Waiting())
	})
}

// A broker that ends at any moment, and is started again, loses and leaks nothing.
func TestEndedAtAnyMoment(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			roomy := spec
			roomy.Max = 100
			b := start(t, roomy)
			held := map[string]string{}
			for life := range 12 {
				time.Sleep(time.Duration(random.Int64N(int64(40 * time.Second))))
				if b.count(store.Ready) > 0 {
					user := fmt.Sprint("u", life)
					held[user] = b.login(user).ID
				}
				if life%3 == 2 {
					for user := range held {
						_, err := b.store.EndSession(t.Context(), "s-"+user, func(string) store.State { return store.Deleting }, time.Now())
						require.NoError(t, err)
						delete(held, user)
						b.pool.Kick()
						break
					}
				}
				b.stop()
				b.run(roomy)
			}
			b.eventually("rest", 10*time.Minute, func() bool {
				return b.count(store.Ready) == 5 && b.count(store.Assigned) == len(held) && b.count("") == 5+len(held)
			})
			time.Sleep(time.Minute)
			require.Len(t, b.cloud.machines, 5+len(held), "each server is a desktop's, seed %d", seed)
			bindings, err := b.store.Bindings(t.Context(), "", "")
			require.NoError(t, err)
			for _, binding := range bindings {
				require.Equal(t, held[binding.Key], binding.DesktopID)
			}
			require.Len(t, bindings, len(held))
		})
	}
}
