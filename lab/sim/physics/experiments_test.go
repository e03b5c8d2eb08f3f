package physics_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// gate boots desktops, a number of them at a time.
type gate struct {
	model   *physics.Model
	waiting []string
	booted  []string
	last    time.Duration
}

func (g *gate) next() {
	if len(g.waiting) == 0 {
		return
	}
	id := g.waiting[0]
	g.waiting = g.waiting[1:]
	if err := g.model.Boot(id); err != nil {
		panic(err)
	}
}

func (g *gate) Booted(id string, _ time.Duration) {
	g.booted, g.last = append(g.booted, id), g.model.Now()
	g.next()
}

func (*gate) Killed(string, string)     {}
func (*gate) HostDown(string, []string) {}

type storm struct {
	boot, latency, all time.Duration // medians, and until the last has booted
	slowest            time.Duration
	busiest            float64
}

// runStorm boots n desktops on one host, limit at a time; 0 is all at once.
func runStorm(t *testing.T, seed uint64, host physics.Host, guest physics.Desktop, n, limit int) storm {
	t.Helper()
	g := &gate{}
	m, err := physics.New(physics.Config{Seed: seed, Observer: g})
	require.NoError(t, err)
	g.model = m
	require.NoError(t, m.AddHost("host", host))
	for i := range n {
		id := fmt.Sprintf("guest%02d", i)
		g.waiting = append(g.waiting, id)
		require.NoError(t, m.Place(id, "host", guest))
	}
	if limit == 0 {
		limit = n
	}
	for range limit {
		g.next()
	}
	var s storm
	for {
		next, ok := m.Next()
		if !ok {
			break
		}
		m.Advance(next)
		h, err := m.Host("host")
		require.NoError(t, err)
		s.busiest = max(s.busiest, h.Utilisation)
	}
	require.Len(t, g.booted, n)
	var boots, latencies []time.Duration
	for _, id := range g.booted {
		d, err := m.Desktop(id)
		require.NoError(t, err)
		boots, latencies = append(boots, d.BootTime), append(latencies, d.BootLatency)
	}
	slices.Sort(boots)
	slices.Sort(latencies)
	s.boot, s.latency, s.slowest, s.all = boots[(n-1)/2], latencies[(n-1)/2], boots[n-1], g.last
	return s
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// The boot storm that was measured with 16 KVM guests on a disk of 100 reads a second, one run each.
var measuredStorms = []struct {
	limit              int // at a time; 0: all
	boot, latency, all time.Duration
}{
	{0, 100500 * time.Millisecond, 111700 * time.Microsecond, 101900 * time.Millisecond},
	{4, 24800 * time.Millisecond, 31900 * time.Microsecond, 99300 * time.Millisecond},
	{2, 9200 * time.Millisecond, 10 * time.Millisecond, 86800 * time.Millisecond},
}

// seeds is how many runs of the model a measured run is compared with.
const seeds = 41

// storms are the runs of one gate, and the medians over them.
func storms(t *testing.T, limit int) (runs []storm, middle storm) {
	t.Helper()
	c := physics.Calibrated()
	for seed := range uint64(seeds) {
		runs = append(runs, runStorm(t, seed, c.StormHost, c.StormGuest, 16, limit))
	}
	of := func(part func(storm) time.Duration) time.Duration {
		var values []time.Duration
		for _, r := range runs {
			values = append(values, part(r))
		}
		return median(values)
	}
	return runs, storm{
		boot: of(func(s storm) time.Duration { return s.boot }), latency: of(func(s storm) time.Duration { return s.latency }),
		all: of(func(s storm) time.Duration { return s.all }), slowest: of(func(s storm) time.Duration { return s.slowest }),
	}
}

// TestStormsOfTheExperiment holds the calibration to the shapes measured: within a quarter, but for the latency at a gate of 2, which is within 35 %. There
// the two guests of the measured run read in turn nearly always, 10.0 ms being the disk's time for one alone; in the model some
// runs' guests do and others' do not.
func TestStormsOfTheExperiment(t *testing.T) {
	for _, want := range measuredStorms {
		t.Run(fmt.Sprint("gate ", want.limit), func(t *testing.T) {
			runs, got := storms(t, want.limit)
			require.InEpsilon(t, want.boot.Seconds(), got.boot.Seconds(), 0.25, "boot")
			require.InEpsilon(t, want.all.Seconds(), got.all.Seconds(), 0.25, "all done")
			tolerance := 0.25
			if want.limit == 2 {
				tolerance = 0.35
				lowest := slices.MinFunc(runs, func(a, b storm) int { return cmp.Compare(a.latency, b.latency) })
				require.InEpsilon(t, want.latency.Seconds(), lowest.latency.Seconds(), 0.15, "latency in the run nearest to it")
			}
			require.InEpsilon(t, want.latency.Seconds(), got.latency.Seconds(), tolerance, "latency")
			require.InDelta(t, 1, runs[0].busiest, 0.001, "the disk is not busy")
		})
	}
}

func TestAGuestAlone(t *testing.T) {
	c := physics.Calibrated()
	s := runStorm(t, 1, c.StormHost, c.StormGuest, 1, 0)
	require.InEpsilon(t, 8.6, s.boot.Seconds(), 0.25) // measured
	require.InEpsilon(t, 0.0086, s.latency.Seconds(), 0.25)
}

// TestRequestsOfABoot: what a boot asks of a good disk when it is alone there (rule: 150 a second pooled, 400-450 personal).
func TestRequestsOfABoot(t *testing.T) {
	c := physics.Calibrated()
	for name, kind := range map[string]struct {
		desktop   physics.Desktop
		low, high float64
	}{"pooled": {c.Pooled, 145, 155}, "personal": {c.Personal, 400, 450}} {
		t.Run(name, func(t *testing.T) {
			m, err := physics.New(physics.Config{})
			require.NoError(t, err)
			require.NoError(t, m.AddHost("host", c.Host))
			require.NoError(t, m.Place("desktop", "host", kind.desktop))
			require.NoError(t, m.Boot("desktop"))
			m.Advance(time.Minute)
			h, err := m.Host("host")
			require.NoError(t, err)
			require.True(t, h.IOPS > kind.low && h.IOPS < kind.high, "%.0f requests a second", h.IOPS)
			require.Less(t, h.Utilisation, 0.5)
		})
	}
}

// extreme is the storm of production's extreme test: all desktops of a host at once on two SATA disks.
func extreme(t *testing.T, disk physics.Disk, limit int) storm {
	t.Helper()
	c := physics.Calibrated()
	c.Host.Disk = disk
	return runStorm(t, 1, c.Host, c.Pooled, 25, limit)
}

// TestExtremeStorm is production's: a boot took 40 minutes at 0.2 s a request, and the disk was 100 % busy.
func TestExtremeStorm(t *testing.T) {
	c := physics.Calibrated()
	s := extreme(t, c.Slow, 0)
	require.InEpsilon(t, 40, s.boot.Minutes(), 0.1)
	require.InEpsilon(t, 0.2, s.latency.Seconds(), 0.1)
	require.InDelta(t, 1, s.busiest, 0.001)

	gated := extreme(t, c.Slow, 2)
	require.Less(t, gated.boot, 5*time.Minute, "the cure: fewer at once")
	require.Less(t, extreme(t, c.Host.Disk, 0).boot, 5*time.Minute, "the cure: many disks")
}
