package history_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/postgres"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
)

// databases runs a test on an empty database of each kind. Open opens the same one again, as another runner would.
func databases(t *testing.T, test func(t *testing.T, open func() *history.Store)) {
	t.Run("SQLite", func(t *testing.T) {
		dsn := "sqlite://" + filepath.Join(t.TempDir(), "history.db")
		test(t, func() *history.Store { return open(t, dsn) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := startPostgres(t).DSN
		test(t, func() *history.Store { return open(t, dsn) })
	})
}

func startPostgres(t testing.TB) *postgres.Server {
	t.Helper()
	qemutest.RequireProgram(t, postgres.Program(), "postgresql")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := postgres.Start(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

func open(t testing.TB, dsn string) *history.Store {
	t.Helper()
	s, err := history.OpenDSN(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

var evening = time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)

// run is one with a bit of everything.
func run(t testing.TB, id string, began time.Time) record.Run {
	t.Helper()
	met := false
	r := record.Run{
		ID: id, Experiment: "boot-storm", Title: "Boots\x00 a host's desktops", Tags: []string{"boot"}, Trigger: "schedule",
		Began: began, Ended: began.Add(time.Hour), Status: record.Completed, Deviated: true,
		Activities: []record.Activity{
			{Phase: "hypothesis-before", Name: "people can log in", Began: began, Ended: began.Add(time.Second), Status: "succeeded",
				ToleranceMet: &met, Output: json.RawMessage(`{"a":1}`)},
			{Phase: "method", Name: "boot", Began: began, Ended: began.Add(time.Minute), Status: "failed", Error: "no\x00thing \xff booted"},
		},
		Faults: []record.Fault{{ID: "f1", Fault: "net.loss", What: "5 % are lost", Targets: []string{"broker-net"},
			Injected: began, Undone: began.Add(time.Minute), UndoneBy: "watchdog"}},
		Generators: []record.Generator{{Activity: "boot", Segment: "0:1", ExitCode: 99, Iterations: 3}},
		Versions:   map[string]string{"qemu": "7.2.4", "kernel": "6.1.0"},
		Journal:    json.RawMessage(`{"status":"completed"}`),
	}
	rng := rand.New(rand.NewPCG(1, uint64(began.Unix())))
	for w := range 24 { // two hours
		start := began.Add(time.Duration(w) * 5 * time.Minute)
		for _, series := range []results.Series{
			{Metric: "vdi_step_duration", Kind: results.Trend, Tags: results.Tags{Site: "north", Step: "login", Path: "spice"}},
			{Metric: "vdi_step_duration", Kind: results.Trend, Tags: results.Tags{Site: "south", Step: "login", Path: "spice"}},
			{Metric: "vdi_sessions", Kind: results.Gauge, Tags: results.Tags{Site: "north"}},
			{Metric: "vdi_logins", Kind: results.Counter},
			{Metric: "vdi_step_failed", Kind: results.Rate, Tags: results.Tags{Step: "login", Class: "timeout"}},
		} {
			a := results.New(series, start, start.Add(10*time.Second))
			for range 5 {
				value := 200 + 800*rng.ExpFloat64()
				if series.Kind == results.Rate {
					value = float64(rng.IntN(2))
				}
				require.NoError(t, a.Add(value, start.Add(time.Second)))
			}
			r.Windows = append(r.Windows, a)
		}
	}
	slices.SortFunc(r.Windows, results.Compare)
	return r
}

// lines are aggregates as texts, which can be compared.
func lines(t testing.TB, aggregates []*results.Aggregate) []string {
	t.Helper()
	var all []string
	for _, a := range aggregates {
		text := fmt.Sprintf("%+v %v %v %d %v %v %v %v %v %v", a.Series, a.Start, a.End, a.Count, a.Sum, a.Min, a.Max, a.Clamped, a.Last, a.LastAt)
		for value, count := range a.Buckets() {
			text += fmt.Sprintf(" %v:%d", value, count)
		}
		all = append(all, text)
	}
	return all
}

func requireRun(t *testing.T, want record.Run, got history.Kept) {
	t.Helper()
	require.Equal(t, lines(t, want.Windows), lines(t, got.Windows))
	require.JSONEq(t, string(want.Journal), string(got.Journal))
	totals, err := results.Totals(want.Windows)
	require.NoError(t, err)
	require.Equal(t, lines(t, totals), lines(t, got.Totals))
	wantText, err := json.Marshal(want)
	require.NoError(t, err)
	gotText, err := json.Marshal(got.Run)
	require.NoError(t, err)
	require.JSONEq(t, string(wantText), string(gotText))
}

func TestSaveAndRead(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		s := open()
		first, second := run(t, "20261121T220000-a", evening), run(t, "20261122T220000-b", evening.Add(24*time.Hour))
		require.NoError(t, s.Begin(t.Context(), first))
		all, err := s.List(t.Context(), history.Filter{})
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.True(t, all[0].Running)
		require.Empty(t, all[0].Status)

		for range 2 { // the second time replaces the first
			require.NoError(t, s.Save(t.Context(), first, "deviated", json.RawMessage(`{"outcome":"deviated"}`)))
		}
		require.NoError(t, s.Save(t.Context(), second, "passed", nil))
		got, err := s.Run(t.Context(), first.ID)
		require.NoError(t, err)
		requireRun(t, first, got)
		require.False(t, got.Running)
		require.Equal(t, "deviated", got.Outcome)
		require.JSONEq(t, `{"outcome":"deviated"}`, string(got.Verdict))

		_, err = s.Run(t.Context(), "nobody")
		require.ErrorIs(t, err, history.ErrNotFound)
		require.ErrorContains(t, err, "reading run nobody")

		ids := func(f history.Filter) []string {
			all, err := s.List(t.Context(), f)
			require.NoError(t, err)
			var ids []string
			for _, k := range all {
				ids = append(ids, k.ID)
			}
			return ids
		}
		require.Equal(t, []string{second.ID, first.ID}, ids(history.Filter{}))
		require.Equal(t, []string{second.ID}, ids(history.Filter{Limit: 1}))
		require.Equal(t, []string{second.ID}, ids(history.Filter{Since: second.Began}))
		require.Equal(t, []string{first.ID}, ids(history.Filter{Before: second.Began}))
		require.Equal(t, []string{first.ID}, ids(history.Filter{Outcome: "deviated", Experiment: "boot-storm", Trigger: "schedule"}))
		require.Empty(t, ids(history.Filter{Experiment: "' OR 1=1 --\x00"}))

		totals, err := s.Totals(t.Context(), first.ID, second.ID, "nobody")
		require.NoError(t, err)
		require.Len(t, totals, 2)
		require.Len(t, totals[first.ID], 5)
		none, err := s.Totals(t.Context())
		require.NoError(t, err)
		require.Empty(t, none)

		require.NoError(t, s.Delete(t.Context(), first.ID))
		require.ErrorIs(t, s.Delete(t.Context(), first.ID), history.ErrNotFound)
		_, err = s.Run(t.Context(), first.ID)
		require.ErrorIs(t, err, history.ErrNotFound)
	})
}

func TestSaveRefuses(t *testing.T) {
	s := open(t, "sqlite://"+filepath.Join(t.TempDir(), "history.db"))
	for _, id := range []string{"", "../../etc/passwd", "a b", "-x", "a\x00"} {
		r := run(t, id, evening)
		require.ErrorIs(t, s.Save(t.Context(), r, "", nil), history.ErrID)
		require.ErrorIs(t, s.Begin(t.Context(), r), history.ErrID)
		_, err := history.Spool(t.TempDir(), r, "", nil)
		require.ErrorIs(t, err, history.ErrID)
	}
	require.ErrorContains(t, s.Save(t.Context(), run(t, "a", evening), "", json.RawMessage("{")), "its verdict is no JSON")
	bad := run(t, "a", evening)
	bad.Activities[0].Output = json.RawMessage("{")
	require.ErrorContains(t, s.Save(t.Context(), bad, "", nil), "keeping run a")
}

// Two runners save the same run, as when a spool is drained twice.
func TestSavedByTwo(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		stores := []*history.Store{open(), open(), open()}
		r := run(t, "a", evening)
		var wg sync.WaitGroup
		for _, s := range stores {
			for range 3 {
				wg.Go(func() {
					if err := s.Save(t.Context(), r, "passed", nil); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		got, err := stores[0].Run(t.Context(), "a")
		require.NoError(t, err)
		requireRun(t, r, got)
	})
}

func TestNights(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		s := open()
		save := func(id string, began time.Time, outcome string, change func(*record.Run)) {
			r := run(t, id, began)
			r.Windows = r.Windows[:10]
			if change != nil {
				change(&r)
			}
			require.NoError(t, s.Save(t.Context(), r, outcome, json.RawMessage(`{"figures":[]}`)))
		}
		day := 24 * time.Hour
		for i := range 9 {
			save(fmt.Sprintf("night-%d", i), evening.Add(time.Duration(i)*day), "passed", nil)
		}
		save("again-8", evening.Add(8*day+5*time.Hour), "deviated", nil) // after midnight, the same night
		save("dry", evening.Add(8*day+6*time.Hour), "passed", func(r *record.Run) { r.DryRun = true })
		save("aborted", evening.Add(8*day+6*time.Hour), "passed", func(r *record.Run) { r.Status = record.Aborted })
		save("harness", evening.Add(8*day+6*time.Hour), "no-verdict", nil)
		save("no verdict", evening.Add(8*day+6*time.Hour), "", func(r *record.Run) { r.ID = "none" })
		save("other", evening.Add(8*day+6*time.Hour), "passed", func(r *record.Run) { r.Experiment = "amqp-idle" })
		save("other-configuration", evening.Add(8*day+6*time.Hour+time.Minute), "passed", func(r *record.Run) { r.Fingerprint = "0123" })
		require.NoError(t, s.Begin(t.Context(), run(t, "goes-on", evening.Add(8*day+7*time.Hour))))

		nights := func(l history.Like) []string {
			l.Experiment = "boot-storm"
			all, err := s.Nights(t.Context(), l)
			require.NoError(t, err)
			var ids []string
			for _, k := range all {
				require.NotEmpty(t, k.Totals)
				require.Empty(t, k.Windows)
				require.JSONEq(t, `{"figures":[]}`, string(k.Verdict))
				ids = append(ids, k.ID)
			}
			return ids
		}
		later := evening.Add(9 * day)
		require.Equal(t, []string{"other-configuration"}, nights(history.Like{Before: later, Fingerprint: "0123"}))
		require.Equal(t, []string{"other-configuration"}, nights(history.Like{Before: later, Since: evening.Add(8*day + 6*time.Hour)}))
		later = evening.Add(8*day + 6*time.Hour)
		require.Equal(t, []string{"again-8", "night-8", "night-7"}, nights(history.Like{Before: later, N: 3}))
		require.Equal(t, []string{"again-8", "night-7", "night-6"}, nights(history.Like{Before: later, N: 3, Night: time.UTC}))
		require.Equal(t, []string{"night-8", "night-7"}, nights(history.Like{Before: later, N: 2, Night: time.UTC, Outcomes: []string{"passed"}}))
		require.Equal(t, []string{"night-1", "night-0"}, nights(history.Like{Before: evening.Add(2 * day)}))
		require.Len(t, nights(history.Like{Before: later}), 7)
	})
}

func TestRetain(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		s := open()
		day := 24 * time.Hour
		for i := range 10 {
			r := run(t, fmt.Sprintf("r%d", i), evening.Add(time.Duration(i)*day))
			r.Windows = r.Windows[:10]
			if i == 3 {
				r.Experiment = "rare"
			}
			require.NoError(t, s.Save(t.Context(), r, "passed", nil))
		}
		require.NoError(t, s.Begin(t.Context(), run(t, "goes-on", evening.Add(-100*day))))
		now := evening.Add(10 * day)
		removed, err := s.Retain(t.Context(), now, history.Retention{Keep: 1})
		require.NoError(t, err)
		require.Zero(t, removed)

		policy := history.Retention{Windows: 4*day + time.Hour, Runs: 6*day + time.Hour, Keep: 1}
		removed, err = s.Retain(t.Context(), now, policy)
		require.NoError(t, err)
		require.Equal(t, history.Removed{Runs: 3, Windows: 2}, removed, "r0 to r2; r4 and r5")
		for id, windows := range map[string]int{"r3": 10, "r4": 0, "r5": 0, "r6": 10, "r9": 10} {
			k, err := s.Run(t.Context(), id)
			require.NoError(t, err)
			require.Len(t, k.Windows, windows, id)
			require.NotEmpty(t, k.Totals)
		}
		all, err := s.List(t.Context(), history.Filter{})
		require.NoError(t, err)
		require.Len(t, all, 8)
		removed, err = s.Retain(t.Context(), now, policy)
		require.NoError(t, err)
		require.Zero(t, removed, "nothing is left to do")
	})
}

func TestState(t *testing.T) {
	databases(t, func(t *testing.T, open func() *history.Store) {
		s, other := open(), open()
		_, err := s.Get(t.Context(), "notified")
		require.ErrorIs(t, err, history.ErrNotFound)
		for _, value := range []string{"one", "two\x00"} {
			require.NoError(t, s.Put(t.Context(), "notified", []byte(value)))
			got, err := other.Get(t.Context(), "notified")
			require.NoError(t, err)
			require.Equal(t, value, string(got))
		}
		require.NoError(t, other.Put(t.Context(), "notified", nil))
		_, err = s.Get(t.Context(), "notified")
		require.ErrorIs(t, err, history.ErrNotFound)
	})
}
