package physics_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// events is an observer that keeps what it is told.
type events struct {
	booted, killed, down []string
}

func (e *events) Booted(id string, _ time.Duration) { e.booted = append(e.booted, id) }
func (e *events) Killed(id, _ string)               { e.killed = append(e.killed, id) }
func (e *events) HostDown(name string, _ []string)  { e.down = append(e.down, name) }

// overcommit is the experiment with a 1 GiB host: guests of 256 MiB start one after another.
type overcommit struct {
	started, alive, kills int
	firstKill             int     // when starting which guest; 0: never
	used                  float64 // MiB, at the end
	saved                 float64
}

// runOvercommit starts up to n guests and ends at the second kill, as the experiment did.
func runOvercommit(t *testing.T, ksm bool, guest physics.Desktop, n int) (*physics.Model, overcommit) {
	t.Helper()
	c := physics.Calibrated()
	c.MemoryHost.KSM = ksm
	m, err := physics.New(physics.Config{})
	require.NoError(t, err)
	require.NoError(t, m.AddHost("host", c.MemoryHost))
	var o overcommit
	for i := 1; i <= n && o.kills < 2; i++ {
		id := fmt.Sprint("guest", i)
		require.NoError(t, m.Place(id, "host", guest))
		require.NoError(t, m.Boot(id))
		for range 60 {
			m.Advance(m.Now() + 100*time.Millisecond)
			h := host(t, m)
			if h.OOMKills == 0 {
				require.Zero(t, h.MemoryPressure, "nothing is seen of it before the first kill")
			} else if o.firstKill == 0 {
				o.firstKill = i
			}
			o.kills = h.OOMKills
		}
		o.started++
	}
	o.read(t, m)
	return m, o
}

func (o *overcommit) read(t *testing.T, m *physics.Model) {
	h := host(t, m)
	o.alive, o.kills, o.used, o.saved = h.On, h.OOMKills, h.Used, h.Saved
	require.True(t, h.Alive, "a cgroup's limit kills no host")
}

func host(t *testing.T, m *physics.Model) physics.HostState {
	t.Helper()
	h, err := m.Host("host")
	require.NoError(t, err)
	return h
}

func TestOvercommitOfTheExperiment(t *testing.T) {
	c := physics.Calibrated()
	t.Run("no KSM", func(t *testing.T) {
		_, o := runOvercommit(t, false, c.EqualGuest, 8)
		require.Equal(t, 4, o.firstKill, "100 %% committed")
		require.Equal(t, 3, o.alive)
		require.InEpsilon(t, 769, o.used, 0.05) // measured
	})
	t.Run("equal pages", func(t *testing.T) {
		_, o := runOvercommit(t, true, c.EqualGuest, 8)
		require.Zero(t, o.kills)
		require.Equal(t, 8, o.alive, "200 %% committed")
		require.InEpsilon(t, 1859, o.saved, 0.1)
	})
	t.Run("unequal pages", func(t *testing.T) {
		_, o := runOvercommit(t, true, c.UnequalGuest, 8)
		require.Equal(t, 5, o.firstKill)
		require.Equal(t, 4, o.alive)
		require.InEpsilon(t, 1002, o.used, 0.05)
	})
	t.Run("un-merged", func(t *testing.T) {
		m, o := runOvercommit(t, true, c.EqualGuest, 6)
		require.Zero(t, o.kills)
		require.InEpsilon(t, 89, o.used, 0.15)
		h := host(t, m)
		require.Greater(t, h.Exposure, h.Limit, "the sign that there was")
		require.NoError(t, m.Unmerge("host"))
		o.read(t, m)
		require.Equal(t, 2, o.kills, "at once")
		require.Equal(t, 4, o.alive)
		require.InEpsilon(t, 1004, o.used, 0.05)
		require.InDelta(t, 0, o.saved, 1e-6)
	})
	t.Run("rewritten by guests", func(t *testing.T) {
		m, _ := runOvercommit(t, true, c.EqualGuest, 6)
		require.NoError(t, m.Rewrite("host", 1))
		require.Equal(t, 2, host(t, m).OOMKills)
		m.Advance(m.Now() + time.Minute)
		require.Greater(t, host(t, m).Saved, 900.0, "ksmd merges again what is left")
	})
}

// shift is a working day on one host: all boot, work, and who is killed gets a desktop again after 5 minutes.
type shift struct {
	model   *physics.Model
	profile physics.Profile
	killed  []string
	kills   []time.Duration
	died    time.Duration // 0: it lives
}

func (s *shift) Booted(id string, _ time.Duration) {
	if err := s.model.Login(id, s.profile); err != nil {
		panic(err)
	}
}

func (s *shift) Killed(id, _ string) {
	s.killed, s.kills = append(s.killed, id), append(s.kills, s.model.Now())
}
func (s *shift) HostDown(string, []string) { s.died = s.model.Now() }

const (
	restart = 5 * time.Minute // after a fault the user has a desktop again (production)
	look    = 5 * time.Minute // between two looks at a host
)

type shiftResult struct {
	swapped, died, firstKill time.Duration // 0: never
	kills                    int
	used, swap               float64 // at most, MiB
	slowest                  time.Duration
}

// runShift lets n desktops work on a host of production for a day.
func runShift(t *testing.T, seed uint64, spec physics.Host, n int) shiftResult {
	t.Helper()
	c := physics.Calibrated()
	s := &shift{profile: c.Shift}
	m, err := physics.New(physics.Config{Seed: seed, Observer: s})
	require.NoError(t, err)
	s.model = m
	require.NoError(t, m.AddHost("host", spec))
	for i := range n {
		id := fmt.Sprint("desktop", i)
		require.NoError(t, m.Place(id, "host", c.Pooled))
		require.NoError(t, m.Boot(id))
	}
	var r shiftResult
	for again := 0; m.Now() < 9*time.Hour && s.died == 0; {
		m.Advance(m.Now() + time.Minute)
		for again < len(s.killed) && s.kills[again] <= m.Now()-restart && s.died == 0 {
			require.NoError(t, m.Boot(s.killed[again]))
			again++
		}
		if m.Now()%look != 0 {
			continue
		}
		h := host(t, m)
		if h.SwapUsed > 0 && r.swapped == 0 {
			r.swapped = m.Now()
		}
		r.used, r.swap = max(r.used, h.Used), max(r.swap, h.SwapUsed)
		d, err := m.Desktop("desktop0")
		require.NoError(t, err)
		r.slowest = max(r.slowest, d.Reply)
	}
	r.died, r.kills = s.died, len(s.kills)
	if r.kills > 0 {
		r.firstKill = s.kills[0]
	}
	return r
}

// desktopsAt is how many desktops Placement lets on a host at an allocation ratio.
func desktopsAt(ratio float64) int {
	c := physics.Calibrated()
	return int(c.Host.Memory * ratio / c.Pooled.Memory)
}

func TestMemoryRatiosOfProduction(t *testing.T) {
	c := physics.Calibrated()
	for _, ratio := range []float64{1, 1.1, 1.2, 1.3, 1.4, 1.5} {
		t.Run(fmt.Sprint("1:", ratio), func(t *testing.T) {
			for seed := range uint64(3) {
				r := runShift(t, seed, c.Host, desktopsAt(ratio))
				if ratio <= 1.2 {
					require.Zero(t, r.kills, "seed %d", seed)
					require.Zero(t, r.died, "seed %d", seed)
					continue
				}
				require.NotZero(t, r.died, "seed %d", seed)
				require.NotZero(t, r.swapped, "seed %d", seed)
				require.LessOrEqual(t, r.swapped-look, r.firstKill, "swap comes before the OOM killer")
				require.LessOrEqual(t, r.firstKill, r.died, "the OOM killer comes before the end")
			}
		})
	}
	t.Run("1:1.2 without KSM", func(t *testing.T) {
		c.Host.KSM = false
		require.NotZero(t, runShift(t, 1, c.Host, desktopsAt(1.2)).died)
	})
}

func TestSwapSlowsDown(t *testing.T) {
	c := physics.Calibrated()
	c.Host.Swap *= 8 // there is no end of it
	r := runShift(t, 1, c.Host, desktopsAt(1.3))
	require.Zero(t, r.kills)
	require.NotZero(t, r.swap)
	c.Host.Memory *= 2
	require.Greater(t, r.slowest, runShift(t, 1, c.Host, desktopsAt(1.3)).slowest*5/4)
}

// TestKSMTakesItsTime: pages are merged by and by, and those that people write to are not.
func TestKSMTakesItsTime(t *testing.T) {
	c := physics.Calibrated()
	e := &events{}
	m, err := physics.New(physics.Config{Observer: e})
	require.NoError(t, err)
	c.Host.KSM = false
	require.NoError(t, m.AddHost("host", c.Host))
	for i := range 20 {
		require.NoError(t, m.Place(fmt.Sprint("desktop", i), "host", c.Pooled))
		require.NoError(t, m.Boot(fmt.Sprint("desktop", i)))
	}
	m.Advance(time.Hour)
	require.Len(t, e.booted, 20)
	require.Zero(t, host(t, m).Saved)
	require.NoError(t, m.SetKSM("host", true))
	require.Zero(t, host(t, m).Saved)
	m.Advance(m.Now() + time.Minute)
	early := host(t, m).Saved
	require.Positive(t, early)
	m.Advance(m.Now() + time.Hour)
	all := host(t, m).Saved
	require.Greater(t, all, 1.5*early)

	used := host(t, m).Used
	for _, id := range e.booted {
		require.NoError(t, m.Login(id, physics.Profile{{Activity: 1}}))
	}
	require.InEpsilon(t, all*(1-c.Pooled.Rewritten), host(t, m).Saved, 1e-6)
	require.Greater(t, host(t, m).Used, used)
	for _, id := range e.booted {
		require.NoError(t, m.Logout(id))
	}
	m.Advance(m.Now() + time.Hour)
	require.InEpsilon(t, all, host(t, m).Saved, 1e-6)
	require.NoError(t, m.SetKSM("host", false))
	m.Advance(m.Now() + time.Hour)
	require.InEpsilon(t, all, host(t, m).Saved, 1e-6, "stopping to scan un-merges nothing")
}
