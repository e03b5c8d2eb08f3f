package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/activity"
)

func numbered(n uint64) activity.Report {
	return activity.Report{Sequence: n, State: &activity.State{}}
}

func sequences(reports []activity.Report) (all []uint64) {
	for _, r := range reports {
		all = append(all, r.Sequence)
	}
	return all
}

// The oldest are lost, and the newest says how many.
func TestQueueIsBounded(t *testing.T) {
	q := &queue{limit: 3}
	for n := range uint64(10) {
		q.add(numbered(n + 1))
	}
	require.Equal(t, []uint64{8, 9, 10}, sequences(q.head(5)))
	var lost uint64
	for _, r := range q.head(5) {
		lost += r.State.Dropped
	}
	require.Equal(t, uint64(7), lost)
}

func TestSettle(t *testing.T) {
	q := &queue{limit: 4}
	for n := range uint64(4) {
		q.add(numbered(n + 1))
	}
	sent := q.head(4)
	q.add(numbered(5)) // while they are under way
	left := q.settle(sent, []activity.Result{activity.Accepted, activity.Late, activity.Unknown, activity.Duplicate})
	require.Equal(t, 1, left)
	require.Equal(t, []uint64{3, 5}, sequences(q.head(4)))
}

// faulty fails as it is told, and notes when it was asked.
type faulty struct {
	fails []error
	asked []time.Time
	got   []uint64
}

func (f *faulty) Send(_ context.Context, reports []activity.Report) ([]activity.Result, error) {
	f.asked = append(f.asked, time.Now())
	if len(f.fails) > 0 {
		err := f.fails[0]
		f.fails = f.fails[1:]
		if err != nil {
			return nil, err
		}
	}
	f.got = append(f.got, sequences(reports)...)
	results := make([]activity.Result, len(reports))
	for i := range results {
		results[i] = activity.Accepted
	}
	return results, nil
}

// While the exporter is away it is asked less and less often, and nothing is lost or sent twice.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		to := &faulty{}
		for range 12 {
			to.fails = append(to.fails, down)
		}
		to.fails = append(to.fails, &activity.RefusedError{Status: 503, After: 2 * time.Minute}, nil)
		q := &queue{limit: 1000}
		s := &sender{queue: q, to: to, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		for n := range uint64(250) {
			q.add(numbered(n + 1))
		}
		s.poke()
		s.poke()
		time.Sleep(time.Hour)
		require.Zero(t, q.len())
		require.Len(t, to.got, 250)
		for i, n := range to.got {
			require.Equal(t, uint64(i+1), n)
		}
		pause := time.Second
		for i := 1; i <= 12; i++ {
			waited := to.asked[i].Sub(to.asked[i-1])
			require.GreaterOrEqual(t, waited, pause/2)
			require.Less(t, waited, pause)
			pause = min(2*pause, time.Minute)
		}
		require.GreaterOrEqual(t, to.asked[13].Sub(to.asked[12]), 2*time.Minute)
		require.Len(t, to.asked, 12+1+3) // three batches at last
		cancel()
		<-done
	})
}

// A token that is put right later loses nothing.
func TestRefusedReportsWait(t *testing.T) {
	q := &queue{limit: 10}
	q.add(numbered(1))
	s := &sender{queue: q, to: answers{activity.Forged}}
	require.ErrorIs(t, s.send(t.Context()), errUnsettled)
	require.Equal(t, 1, q.len())
	s.to = answers{activity.Accepted}
	require.NoError(t, s.send(t.Context()))
	require.Zero(t, q.len())
}

type answers []activity.Result

func (a answers) Send(context.Context, []activity.Report) ([]activity.Result, error) { return a, nil }

// An agent reports each interval, and says goodbye.
func TestRun(t *testing.T) {
	c := Default()
	c.Client, c.InputDir, c.Version = "tc-1", t.TempDir(), "1.2.3"
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		to := &kept{}
		done := make(chan error)
		go func() { done <- Run(ctx, c, to, slog.New(slog.DiscardHandler)) }()
		time.Sleep(65 * time.Second)
		cancel()
		require.NoError(t, <-done)
		n := len(to.reports)
		require.Contains(t, []int{7, 8}, n)
		for i, r := range to.reports {
			require.NoError(t, r.Validate())
			require.Equal(t, uint64(i+1), r.Sequence)
			require.Equal(t, i == n-1, r.Leaving)
			require.Equal(t, i != n-1, *r.Connected)
			require.Equal(t, "1.2.3", r.State.Version)
			if i > 0 {
				require.Equal(t, to.reports[i-1].To, r.From)
				require.Equal(t, to.reports[0].Run, r.Run)
			}
		}
	})
	for _, wrong := range []func(*Config){
		func(c *Config) { c.Client = "a b" },
		func(c *Config) { c.Interval = time.Millisecond },
		func(c *Config) { c.Queue = 0 },
		func(c *Config) { c.DisplayLog, c.DisplayErrors = "x", nil },
	} {
		bad := c
		wrong(&bad)
		require.Error(t, Run(t.Context(), bad, &kept{}, nil))
	}
}

// A clock that jumps makes no report that is refused.
func TestClockJumps(t *testing.T) {
	for _, from := range []time.Duration{-48 * time.Hour, time.Hour} {
		c := Default()
		c.Client, c.InputDir = "tc-1", t.TempDir()
		a := &agent{
			config: c, run: "run", from: time.Now().Add(from), inputs: newInputs(c.InputDir, nil), display: &display{},
			queue: &queue{limit: 10},
		}
		a.report(false)
		r := a.queue.head(1)[0]
		require.NoError(t, r.Validate())
	}
}
