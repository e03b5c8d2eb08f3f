package activeusers

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/activeusers/roster"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/activity"
)

// Reports, scrapes and files that change come at once, as the race detector sees.
func TestAllAtOnce(t *testing.T) {
	c := testConfig(t)
	dir := t.TempDir()
	c.History = filepath.Join(dir, "gaps")
	c.Inventory = write(t, filepath.Join(dir, "clients.csv"), "client,site,department\ntc-*,N1,sales\n")
	c.Rosters = []roster.File{{Path: write(t, filepath.Join(dir, "roster.csv"), "site,department,start,end\n"+
		time.Now().UTC().Format("N1,sales,2006-01-02T00:00:00Z,")+time.Now().UTC().AddDate(0, 0, 1).Format("2006-01-02T00:00:00Z\n"))}}
	e, err := newExporter(c, nil, time.Now)
	require.NoError(t, err)
	served := e.exporter([]string{secret})
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(collector.NewSet([]collector.Exporter{served}, slog.New(slog.DiscardHandler))))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- served.Run(ctx) }()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := range uint64(200) {
				now := time.Now()
				r := activity.Report{
					Client: fmt.Sprintf("tc-%d", worker), Run: "a", Sequence: n/2 + 1, From: now, To: now, Events: 1,
					State: &activity.State{Version: "1"},
				}
				e.clients.take(&r, now)
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			_, err := registry.Gather()
			require.NoError(t, err)
		}
	})
	wg.Go(func() {
		for range 20 {
			inv, err := loadInventory(c.Inventory, e.places)
			require.NoError(t, err)
			e.clients.setInventory(inv)
		}
	})
	wg.Wait()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.FileExists(t, c.History)
	s := e.clients.snapshot(time.Now())
	require.Equal(t, uint64(400), s.results[activity.Accepted])
	require.Equal(t, uint64(400), s.results[activity.Duplicate])
	at := e.places.at("N1", "sales")
	require.Equal(t, 4, s.places[at].active)
	require.Equal(t, uint64(400), s.places[at].events)
}
