package bootstorm

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
)

// badNova is a cloud that does not answer for one server.
type badNova struct {
	servers  []cloud.Server
	actions  map[string]cloud.Action
	bad      string
	now      func() time.Time
	since    []time.Time // of each list
	askedBad int
}

func (n *badNova) Server(_ context.Context, id string) (cloud.Server, error) {
	for _, s := range n.servers {
		if s.ID == id {
			return s, nil
		}
	}
	return cloud.Server{}, cloud.ErrNotFound
}

func (n *badNova) ServersAt(_ context.Context, filter cloud.Filter) (changed []cloud.Server, at time.Time, _ error) {
	n.since = append(n.since, filter.ChangesSince)
	for _, s := range n.servers {
		if !filter.ChangesSince.IsZero() && !s.Updated.Before(filter.ChangesSince) {
			changed = append(changed, s)
		}
	}
	return changed, n.now(), nil
}

func (n *badNova) ServerActions(_ context.Context, id string) ([]cloud.Action, error) {
	if id == n.bad {
		n.askedBad++
		return nil, errors.New("its cell is away")
	}
	return []cloud.Action{n.actions[id]}, nil
}

func (n *badNova) ServerAction(_ context.Context, id, _ string) (cloud.Action, error) {
	return n.actions[id], nil
}

// TestUnansweredServer: one server that Nova does not answer for does not have all that changed since asked for again and again,
// and is not forgotten either. The cloud's clock is ten minutes late, which must not matter.
func TestUnansweredServer(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	counts := newCounters()
	account := boots.New(boots.Config{LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: counts})
	theirs := func() time.Time { return now.Add(-10 * time.Minute) }
	n := &badNova{actions: map[string]cloud.Action{}, now: theirs}
	p := newPoller(func(context.Context) (nova, error) { return n, nil }, account, true, "")
	p.now = func() time.Time { return now }
	require.NoError(t, p.poll(t.Context()))

	now = now.Add(15 * time.Second)
	n.bad = "b"
	for _, id := range []string{"a", "b"} {
		began := theirs().Add(-5 * time.Second)
		n.servers = append(n.servers, cloud.Server{ID: id, Status: "ACTIVE", Updated: theirs()})
		n.actions[id] = cloud.Action{Name: "start", RequestID: "req-" + id, Started: began, Updated: theirs(), Events: []cloud.ActionEvent{
			{Name: "compute_start_instance", Host: "node1", Started: began, Finished: theirs()},
		}}
	}
	for range 8 {
		require.ErrorContains(t, p.poll(t.Context()), "1 questions failed; the first: its cell is away")
		now = now.Add(15 * time.Second)
	}
	require.Equal(t, 8, n.askedBad)
	require.Equal(t, theirs().Add(-30*time.Second-overlap), n.since[len(n.since)-1], "the list goes on")

	n.bad = ""
	require.NoError(t, p.poll(t.Context()))
	require.Empty(t, p.again)
	require.EqualValues(t, 2, testutil.ToFloat64(counts.ended.WithLabelValues("start", "completed")))

	n.bad = "a"
	n.servers[0].Updated = theirs()
	require.Error(t, p.poll(t.Context()))
	now = now.Add(askAgainFor + time.Second)
	require.Error(t, p.poll(t.Context()), "for the last time")
	require.NoError(t, p.poll(t.Context()))
}
