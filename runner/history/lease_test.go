package history_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
)

// short is a lease that a test waits out.
const short = time.Second

func TestOneLeads(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		a, b := open(), open()
		first, err := a.Lead(t.Context(), "schedule", time.Minute)
		require.NoError(t, err)
		again, err := a.Lead(t.Context(), "schedule", time.Minute)
		require.NoError(t, err)
		require.Equal(t, first.Token, again.Token, "it is renewed")
		_, err = b.Lead(t.Context(), "schedule", time.Minute)
		var held *history.HeldError
		require.ErrorAs(t, err, &held)
		require.Contains(t, held.Holder, "process ")
		require.InDelta(t, time.Minute.Seconds(), held.Left.Seconds(), 5)
		_, err = b.Lead(t.Context(), "something else", time.Minute)
		require.NoError(t, err)

		require.NoError(t, first.Renew(t.Context()))
		require.NoError(t, a.PutAs(t.Context(), first, "next", []byte("a")))
		require.NoError(t, first.Release(t.Context()))
		require.NoError(t, first.Release(t.Context()))
		require.ErrorIs(t, first.Renew(t.Context()), history.ErrLost)
		second, err := b.Lead(t.Context(), "schedule", short)
		require.NoError(t, err)
		require.Greater(t, second.Token, first.Token)
		require.NoError(t, b.PutAs(t.Context(), second, "next", []byte("b")))
		require.ErrorIs(t, a.PutAs(t.Context(), first, "next", []byte("a")), history.ErrLost)

		// b says nothing any more.
		require.Eventually(t, func() bool {
			_, err := a.Lead(t.Context(), "schedule", time.Minute)
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
		require.ErrorIs(t, second.Renew(t.Context()), history.ErrLost)
		require.True(t, time.Now().After(second.Until), "b knew it without asking")
		require.NoError(t, second.Release(t.Context()), "it was none of b's")
		_, err = b.Lead(t.Context(), "schedule", time.Minute)
		require.ErrorAs(t, err, &held)
		next, err := b.Get(t.Context(), "next")
		require.NoError(t, err)
		require.Equal(t, "b", string(next))
	})
}

// Of many that want to lead at once one does.
func TestManyWantToLead(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		var stores []*history.Store
		for range 5 {
			stores = append(stores, open())
		}
		var lead atomic.Int32
		var wg sync.WaitGroup
		for _, s := range stores {
			wg.Go(func() {
				var held *history.HeldError
				switch _, err := s.Lead(t.Context(), "schedule", time.Minute); {
				case err == nil:
					lead.Add(1)
				case !errors.As(err, &held):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, lead.Load())
	})
}

func TestTwoRunnersOnOneExperiment(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		a, b := open(), open()
		r := run(t, "a-1", time.Now().UTC().Truncate(time.Microsecond))
		claim, err := a.Claim(t.Context(), r.Experiment, r.ID, short)
		require.NoError(t, err)
		require.NoError(t, a.Begin(t.Context(), r))
		_, err = b.Claim(t.Context(), r.Experiment, "b-1", time.Minute)
		require.ErrorContains(t, err, "taking experiment boot-storm: experiment boot-storm is held by ")
		require.ErrorContains(t, err, " as run a-1; that ends in ")
		_, err = a.Claim(t.Context(), r.Experiment, "a-2", time.Minute)
		require.Error(t, err, "nor does the same runner run it twice")
		dead, err := b.MarkDead(t.Context())
		require.NoError(t, err)
		require.Empty(t, dead)

		// a dies.
		require.Eventually(t, func() bool {
			_, err := b.Claim(t.Context(), r.Experiment, "b-1", time.Minute)
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
		k, err := b.Run(t.Context(), r.ID)
		require.NoError(t, err)
		require.False(t, k.Running)
		require.Equal(t, record.Interrupted, k.Status)
		require.Equal(t, "the runner died", k.Error)
		require.False(t, k.Ended.IsZero())

		// It was alive after all: what it measured is kept.
		require.ErrorIs(t, claim.Renew(t.Context()), history.ErrLost)
		require.NoError(t, a.Save(t.Context(), r, "passed", nil))
		k, err = b.Run(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, record.Completed, k.Status)
		require.NotEmpty(t, k.Windows)
	})
}

func TestMarkDead(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		a, b := open(), open()
		for _, id := range []string{"dead", "alive", "released", "unclaimed"} {
			r := run(t, id, evening)
			r.Experiment = id
			if id != "unclaimed" {
				ttl := time.Minute
				if id == "dead" {
					ttl = time.Microsecond
				}
				lease, err := a.Claim(t.Context(), id, id, ttl)
				require.NoError(t, err)
				if id == "released" {
					require.NoError(t, lease.Release(t.Context()))
				}
			}
			require.NoError(t, a.Begin(t.Context(), r))
		}
		dead, err := b.MarkDead(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"dead", "released", "unclaimed"}, dead)
		again, err := b.MarkDead(t.Context())
		require.NoError(t, err)
		require.Empty(t, again)
		k, err := b.Run(t.Context(), "dead")
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), k.Ended, time.Minute, "when it was last heard of")
		k, err = b.Run(t.Context(), "unclaimed")
		require.NoError(t, err)
		require.Equal(t, k.Began, k.Ended)
		k, err = b.Run(t.Context(), "alive")
		require.NoError(t, err)
		require.True(t, k.Running)
	})
}
