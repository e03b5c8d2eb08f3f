package physics_test

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// cloud is one working day of a large cloud: desktops boot before their shifts, ever two at once on a host, people work, some
// desktops reboot, updates rewrite memory, a host loses its power.
type cloud struct {
	model   *physics.Model
	profile physics.Profile
	waiting map[string][]string // by host
	hosts   map[string]string   // by desktop
	booted  int
	killed  int
	down    int
	outcome interface{ Write([]byte) (int, error) }
}

func (c *cloud) next(host string) {
	for len(c.waiting[host]) > 0 {
		id := c.waiting[host][0]
		c.waiting[host] = c.waiting[host][1:]
		if c.model.Boot(id) == nil {
			return
		}
	}
}

func (c *cloud) Booted(id string, took time.Duration) {
	c.booted++
	fmt.Fprintln(c.outcome, "booted", id, c.model.Now(), took)
	if err := c.model.Login(id, c.profile); err != nil {
		panic(err)
	}
	c.next(c.hosts[id])
}

func (c *cloud) Killed(id, host string) {
	c.killed++
	fmt.Fprintln(c.outcome, "killed", id, host, c.model.Now())
}

func (c *cloud) HostDown(host string, _ []string) {
	c.down++
	fmt.Fprintln(c.outcome, "down", host, c.model.Now())
}

type dayResult struct {
	booted, killed, down int
	digest               string
	took                 time.Duration
	memory               uint64 // of the heap, bytes
}

func runDay(tb testing.TB, seed uint64, hosts, perHost int) dayResult {
	tb.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	digest := fnv.New64a()
	calibration := physics.Calibrated()
	c := &cloud{profile: calibration.Shift, waiting: map[string][]string{}, hosts: map[string]string{}, outcome: digest}
	m, err := physics.New(physics.Config{Seed: seed, Observer: c})
	require.NoError(tb, err)
	c.model = m
	random := rand.New(rand.NewPCG(seed, 1))
	type action struct {
		at time.Duration
		do func() error
	}
	var actions []action
	at := func(when time.Duration, do func() error) { actions = append(actions, action{when, do}) }
	for i := range hosts {
		name := fmt.Sprintf("compute%03d", i)
		require.NoError(tb, m.AddHost(name, calibration.Host))
		for j := range perHost {
			id := fmt.Sprintf("desktop%03d-%03d", i, j)
			require.NoError(tb, m.Place(id, name, calibration.Pooled))
			c.hosts[id] = name
			c.waiting[name] = append(c.waiting[name], id)
			if j%10 == 0 {
				at(time.Duration(3+random.IntN(6))*time.Hour, func() error {
					if err := m.Stop(id); err != nil {
						return err
					}
					c.waiting[name] = append(c.waiting[name], id)
					c.next(name)
					return nil
				})
			}
		}
		start := time.Duration(random.IntN(3600)) * time.Second
		for range 2 {
			at(start, func() error { c.next(name); return nil })
		}
		at(13*time.Hour, func() error { return m.Rewrite(name, 0.3) })
	}
	at(10*time.Hour, func() error { return m.Crash("compute000") })
	slices.SortStableFunc(actions, func(a, b action) int { return int(a.at - b.at) })
	for _, a := range actions {
		m.Advance(a.at)
		require.NoError(tb, a.do())
	}
	m.Advance(24 * time.Hour)
	for id := range hosts {
		s, err := m.Host(fmt.Sprintf("compute%03d", id))
		require.NoError(tb, err)
		fmt.Fprintln(digest, s)
	}
	r := dayResult{booted: c.booted, killed: c.killed, down: c.down, digest: hex.EncodeToString(digest.Sum(nil)), took: time.Since(began)}
	runtime.ReadMemStats(&after)
	r.memory = after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
	runtime.KeepAlive(m)
	return r
}

// TestADayOfALargeCloud is 400 hosts and 10,000 desktops. The bound is far above what it takes, for slow machines that have other things
// to do; BenchmarkDay says what it takes.
func TestADayOfALargeCloud(t *testing.T) {
	if raced {
		t.Skip("its time is the race detector's")
	}
	r := runDay(t, 1, 400, 25)
	require.GreaterOrEqual(t, r.booted, 10_000)
	require.Zero(t, r.killed)
	require.Equal(t, 1, r.down)
	require.Less(t, r.took, 2*time.Minute)
	require.Less(t, r.memory, uint64(1<<30))
	t.Logf("%v, %d MiB, %d boots", r.took, r.memory>>20, r.booted)
}

func TestSameSeedSameDay(t *testing.T) {
	first := runDay(t, 7, 5, 41)
	require.NotZero(t, first.killed)
	again := runDay(t, 7, 5, 41)
	require.Equal(t, first.digest, again.digest)
	require.NotEqual(t, first.digest, runDay(t, 8, 5, 41).digest)
}

func BenchmarkDay(b *testing.B) {
	for b.Loop() {
		r := runDay(b, 1, 400, 25)
		b.ReportMetric(float64(r.memory)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(r.booted), "boots")
	}
}
