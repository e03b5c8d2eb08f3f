package bootstorm

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
)

func TestSeverity(t *testing.T) {
	h := &host{slow: 50 * time.Millisecond, drowning: 200 * time.Millisecond}
	unknown := math.NaN()
	for name, test := range map[string]struct {
		booting              int
		latency, utilisation float64
		want                 float64
	}{
		"nothing boots":                 {0, 0.001, 0.01, 0},
		"slow, but nothing boots":       {0, 0.5, 1, 0},
		"the disks bear it":             {10, 0.01, 0.5, 1},
		"nothing is asked of the disks": {10, unknown, 0, 1},
		"slow":                          {10, 0.112, unknown, 2},
		"an array that is never idle":   {10, 0.01, 1, 2},
		"drowning":                      {10, 0.2, unknown, 3},
		"slow and never idle":           {10, 0.06, 1, 3},
		"nothing completes":             {10, unknown, 1, 3},
	} {
		got := h.severity(test.booting, storage.Reading{Latency: test.latency, Utilisation: test.utilisation})
		require.Equal(t, test.want, got, name)
	}
}

// disk is a Reader whose counters go on from one look to the next.
type disk struct {
	looks []storage.Counters
	err   error
}

func (d *disk) Read(context.Context) (storage.Counters, error) {
	if len(d.looks) == 0 {
		return nil, d.err
	}
	c := d.looks[0]
	d.looks = d.looks[1:]
	return c, d.err
}

func TestHost(t *testing.T) {
	counts := newCounters()
	account := boots.New(boots.Config{LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: counts})
	now := time.Now()
	account.See(boots.Sighting{Server: "s", Kind: boots.Create, What: boots.HasBegun, At: now, Host: "node7"}, now)
	look := func(reads uint64, took, busy time.Duration) storage.Counters {
		return storage.Counters{"sda": {Reads: reads, Timed: true, ReadTime: took, QueueTime: took, Host: true, BusyTime: busy}}
	}
	d := &disk{looks: []storage.Counters{look(1000, time.Minute, time.Minute), look(2000, time.Minute+250*time.Second, time.Minute+10*time.Second)}}
	h := &host{name: "node7", reader: d, account: account, slow: 50 * time.Millisecond, drowning: 200 * time.Millisecond, now: func() time.Time { return now }}
	var told []prometheus.Metric
	emit := func(m prometheus.Metric) { told = append(told, m) }
	require.NoError(t, h.update(t.Context(), emit))
	require.ElementsMatch(t, []prometheus.Metric{hostBoots.Value(1, "node7")}, told, "the first look shows no rate")
	told, now = nil, now.Add(10*time.Second)
	require.NoError(t, h.update(t.Context(), emit))
	require.ElementsMatch(t, []prometheus.Metric{
		hostBoots.Value(1, "node7"), hostRate.Value(100, "node7", "read"), hostRate.Value(0, "node7", "write"),
		hostLatency.Value(0.25, "node7", "read"), hostUtilisation.Value(1, "node7"), hostQueue.Value(25, "node7"),
		hostInFlight.Value(0, "node7"), severity.Value(3, "node7"),
	}, told)
	d.err = errors.New("the host is away")
	require.ErrorIs(t, h.update(t.Context(), emit), d.err)
}
