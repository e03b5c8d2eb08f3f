package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Kept is a run as the history has it.
type Kept struct {
	record.Run
	Running bool            `json:"running,omitempty"` // it goes on, or its runner died and nobody has noticed yet (MarkDead)
	Outcome string          `json:"outcome,omitempty"` // the verdict's; empty: none
	Verdict json.RawMessage `json:"verdict,omitempty"` // only where a method says so
	// Totals are a series' windows merged, over the whole run. Only where a method says so.
	Totals []*results.Aggregate `json:"-"`
}

// Filter chooses runs. What is zero chooses all.
type Filter struct {
	Experiment string
	Since      time.Time // they began then or later
	Before     time.Time // they began before
	Outcome    string
	Trigger    string
	Limit      int // the latest ones
}

// List returns runs without windows, totals, verdicts and journals, the latest first.
func (s *Store) List(ctx context.Context, f Filter) ([]Kept, error) {
	var all []Kept
	err := s.db.View(ctx, patience, func(tx *database.Tx) error {
		var err error
		all, err = list(tx, f, "")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the runs: %w", err)
	}
	return all, nil
}

func list(tx *database.Tx, f Filter, also string) ([]Kept, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 1 << 31
	}
	rows, err := tx.Query(`SELECT running, outcome, run FROM runs
		WHERE ($1 = '' OR experiment = $1) AND began >= $2 AND (CAST($3 AS BIGINT) = 0 OR began < $3) AND ($4 = '' OR outcome = $4)
			AND ($5 = '' OR triggered_by = $5)`+also+`
		ORDER BY began DESC, id DESC LIMIT $6`,
		clean(f.Experiment), database.Stamp(f.Since), database.Stamp(f.Before), clean(f.Outcome), clean(f.Trigger), limit)
	if err != nil {
		return nil, err
	}
	return database.Collect(rows, scanRun, "the runs")
}

func scanRun(row database.Scanner) (Kept, error) {
	var k Kept
	var text string
	if err := row.Scan(&k.Running, &k.Outcome, &text); err != nil {
		return k, err
	}
	if err := json.Unmarshal([]byte(text), &k.Run); err != nil {
		return k, fmt.Errorf("a run's JSON: %w", err)
	}
	return k, nil
}

// Run returns all that is known of a run. It has no windows where they were given up (Retain) while its totals were kept.
func (s *Store) Run(ctx context.Context, id string) (Kept, error) {
	var k Kept
	err := s.db.View(ctx, patience, func(tx *database.Tx) error {
		var err error
		k, err = scanRun(tx.Row(`SELECT running, outcome, run FROM runs WHERE id = $1`, clean(id)))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return k.read(tx)
	})
	if err != nil {
		return Kept{}, fmt.Errorf("reading run %.120s: %w", clean(id), err)
	}
	return k, nil
}

// read reads what List leaves out.
func (k *Kept) read(tx *database.Tx) error {
	if err := k.readVerdict(tx); err != nil {
		return err
	}
	var journal []byte
	switch err := tx.Row(`SELECT packed FROM journals WHERE run_id = $1`, k.ID).Scan(&journal); {
	case err == nil:
		if k.Journal, err = unpack(journal); err != nil {
			return fmt.Errorf("its journal: %w", err)
		}
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	totals, err := totals(tx, []string{k.ID})
	if err != nil {
		return err
	}
	k.Totals = totals[k.ID]
	rows, err := tx.Query(`SELECT t.run_id, t.metric, t.kind, t.site, t.step, t.profile, t.path, t.class, w.packed
		FROM windows w JOIN totals t ON t.run_id = w.run_id AND t.number = w.number
		WHERE w.run_id = $1 ORDER BY w.hour, w.number`, k.ID)
	if err != nil {
		return err
	}
	hours, err := database.Collect(rows, scanMeasured, "its windows")
	if err != nil {
		return err
	}
	for _, h := range hours {
		k.Windows = append(k.Windows, h.all...)
	}
	slices.SortFunc(k.Windows, results.Compare)
	return nil
}

func (k *Kept) readVerdict(tx *database.Tx) error {
	var verdict string
	err := tx.Row(`SELECT verdict FROM verdicts WHERE run_id = $1`, k.ID).Scan(&verdict)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil && verdict != "" {
		k.Verdict = json.RawMessage(verdict)
	}
	return err
}

// Totals returns what each run measured altogether, per series, by the run's id.
func (s *Store) Totals(ctx context.Context, ids ...string) (map[string][]*results.Aggregate, error) {
	var all map[string][]*results.Aggregate
	err := s.db.View(ctx, patience, func(tx *database.Tx) error {
		var err error
		all, err = totals(tx, ids)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading totals: %w", err)
	}
	return all, nil
}

// atOnce is how many runs are named in one query: a database takes tens of thousands of parameters, and no more.
const atOnce = 500

func totals(tx *database.Tx, ids []string) (map[string][]*results.Aggregate, error) {
	all := map[string][]*results.Aggregate{}
	for some := range slices.Chunk(ids, atOnce) {
		places := make([]string, len(some))
		args := make([]any, len(some))
		for i, id := range some {
			places[i], args[i] = fmt.Sprintf("$%d", i+1), clean(id)
		}
		rows, err := tx.Query(`SELECT run_id, metric, kind, site, step, profile, path, class, packed FROM totals
			WHERE run_id IN (`+strings.Join(places, ", ")+`) ORDER BY run_id, number`, args...)
		if err != nil {
			return nil, err
		}
		measured, err := database.Collect(rows, scanMeasured, "the totals")
		if err != nil {
			return nil, err
		}
		for _, m := range measured {
			all[m.run] = append(all[m.run], m.all...)
		}
	}
	return all, nil
}

// measured is a row of totals or windows.
type measured struct {
	run string
	all []*results.Aggregate
}

func scanMeasured(row database.Scanner) (measured, error) {
	var m measured
	var s results.Series
	var packed []byte
	t := &s.Tags
	err := row.Scan(&m.run, &s.Metric, &s.Kind, &t.Site, &t.Step, &t.Profile, &t.Path, &t.Class, &packed)
	if err != nil {
		return m, err
	}
	if m.all, err = unpackAggregates(s, packed); err != nil {
		return m, fmt.Errorf("run %s: %w", m.run, err)
	}
	return m, nil
}
