package workload_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/scenarios"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
	"github.com/deskstorm/deskstorm/xk6-vdi/workload"
)

func open(t *testing.T, deadline time.Duration) (*screen.Desktop, *spice.Session) {
	farm, err := screen.NewFarm(1, screen.Config{})
	require.NoError(t, err)
	t.Cleanup(farm.Close)
	d := farm.Desktops()[0]
	s, err := spice.Dial(t.Context(), spice.Config{Host: "127.0.0.1", Port: d.Addr().(*net.TCPAddr).Port, Deadline: deadline})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return d, s
}

func busy() scenarios.Profile {
	return scenarios.Profile{
		WPM: 1000, Vocabulary: []string{"one", "two", "three"},
		Activities: []scenarios.Activity{
			{Name: "type", Weight: 3, Words: scenarios.Range{Min: 1, Max: 4}, End: "enter",
				Think: scenarios.Think{Median: 5 * time.Millisecond, P95: 10 * time.Millisecond}},
			{Name: "click", Weight: 1, Moves: scenarios.Range{Min: 1, Max: 2}, Click: true,
				Think: scenarios.Think{Median: 5 * time.Millisecond, P95: 10 * time.Millisecond}},
		},
	}
}

// TestTheSameSeedDoesTheSameWork: what is typed depends on the seed alone,
// up to where the time is over.
func TestTheSameSeedDoesTheSameWork(t *testing.T) {
	t.Parallel()
	typed := func(seed uint64) string {
		d, s := open(t, 0)
		require.NoError(t, workload.Play(t.Context(), s, busy(), 600*time.Millisecond, seed, nil))
		require.GreaterOrEqual(t, len(d.Typed()), 20)
		return d.Typed()[:20]
	}
	require.Equal(t, typed(1), typed(1))
	require.NotEqual(t, typed(1), typed(2))
}

// TestProbesWhileWorking: round trips are measured although the profile types
// all the time, and none is lost on a desktop that answers.
func TestProbesWhileWorking(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 10 s: probes are 5 s apart")
	}
	_, s := open(t, 0)
	p := busy()
	p.WPM, p.ProbeEvery = 100, 5*time.Second
	var mu sync.Mutex
	seen := map[spice.Trip]int{}
	require.NoError(t, workload.Play(t.Context(), s, p, 12*time.Second, 1, func(x spice.Sample) {
		mu.Lock()
		defer mu.Unlock()
		require.NoError(t, x.Err, x.Trip)
		seen[x.Trip]++
	}))
	for _, trip := range []spice.Trip{spice.ServerTrip, spice.GuestTrip, spice.VisibleTrip} {
		require.Positive(t, seen[trip], trip)
	}
}

func TestPlayEnds(t *testing.T) {
	t.Parallel()
	t.Run("with the session", func(t *testing.T) {
		d, s := open(t, 0)
		time.AfterFunc(100*time.Millisecond, d.Kill)
		require.ErrorIs(t, workload.Play(t.Context(), s, busy(), time.Hour, 1, nil), spice.ErrServerGone)
	})
	t.Run("with the context", func(t *testing.T) {
		_, s := open(t, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, workload.Play(ctx, s, busy(), time.Hour, 1, nil), context.DeadlineExceeded)
	})
	t.Run("at once if the probes cannot keep their interval", func(t *testing.T) {
		_, s := open(t, 20*time.Second)
		p := busy()
		p.ProbeEvery = 15 * time.Second
		require.ErrorContains(t, workload.Play(t.Context(), s, p, time.Hour, 1, nil), "at least 21s")
	})
}
