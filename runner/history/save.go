package history

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Begin records a run that begins, so that it is known as one that died should nobody Save it. Whoever calls it holds the Claim on
// its experiment.
func (s *Store) Begin(ctx context.Context, run record.Run) error {
	run.Status, run.Ended, run.Windows, run.Journal = "", time.Time{}, nil, nil
	return s.put(ctx, "recording the beginning of", entry{run: run, running: true})
}

// Save keeps a run that has ended, all of it or nothing. Saving it again replaces it. The outcome is the verdict's; both are empty if
// there is none.
func (s *Store) Save(ctx context.Context, run record.Run, outcome string, verdict json.RawMessage) error {
	return s.put(ctx, "keeping", entry{run: run, outcome: outcome, verdict: verdict})
}

// entry is what is known of a run.
type entry struct {
	run     record.Run
	running bool
	outcome string
	verdict json.RawMessage
}

// packedEntry is it as rows, made before the transaction begins: others wait for that one.
type packedEntry struct {
	entry
	text    []byte
	totals  []*results.Aggregate
	number  map[results.Series]int
	total   [][]byte
	chunks  []chunk
	chunk   [][]byte
	journal []byte
}

func (s *Store) put(ctx context.Context, doing string, e entry) error {
	failed := func(err error) error { return fmt.Errorf("%s run %s: %w", doing, e.run.ID, err) }
	if err := checkID(e.run.ID); err != nil {
		return fmt.Errorf("%s a run: %w", doing, err)
	}
	if len(e.verdict) > 0 && !json.Valid(e.verdict) {
		return failed(fmt.Errorf("its verdict is no JSON"))
	}
	packed, err := packEntry(e)
	if err != nil {
		return failed(err)
	}
	if err := s.db.TransactWithin(ctx, patience, packed.insert); err != nil {
		return failed(err)
	}
	return nil
}

func packEntry(e entry) (*packedEntry, error) {
	p := packedEntry{entry: e, number: map[results.Series]int{}, chunks: chunks(e.run.Windows)}
	var err error
	if p.text, err = json.Marshal(e.run); err != nil {
		return nil, err
	}
	if p.totals, err = results.Totals(e.run.Windows); err != nil {
		return nil, err
	}
	var packer packer
	for i, a := range p.totals {
		p.number[a.Series] = i
		b, err := packer.pack(results.Pack([]*results.Aggregate{a}))
		if err != nil {
			return nil, err
		}
		p.total = append(p.total, b)
	}
	for _, c := range p.chunks {
		b, err := packer.pack(results.Pack(c.all))
		if err != nil {
			return nil, err
		}
		p.chunk = append(p.chunk, b)
	}
	if len(e.run.Journal) > 0 {
		p.journal, err = packer.pack(e.run.Journal)
	}
	return &p, err
}

func (p *packedEntry) insert(tx *database.Tx) error {
	if err := tx.Exec(`DELETE FROM runs WHERE id = $1`, p.run.ID); err != nil {
		return err
	}
	r := p.run
	err := tx.Exec(`INSERT INTO runs (id, experiment, title, triggered_by, began, ended, running, status, deviated, dry_run, outcome, error, run)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		r.ID, clean(r.Experiment), clean(r.Title), clean(r.Trigger), database.Stamp(r.Began), database.Stamp(r.Ended), p.running,
		string(r.Status), r.Deviated, r.DryRun, clean(p.outcome), clean(r.Error), string(p.text))
	if err != nil {
		return err
	}
	for _, insert := range []func(*database.Tx) error{p.insertSteps, p.insertVersions, p.insertMeasured, p.insertTexts} {
		if err := insert(tx); err != nil {
			return err
		}
	}
	return nil
}

func (p *packedEntry) insertSteps(tx *database.Tx) error {
	for i, a := range p.run.Activities {
		err := tx.Exec(`INSERT INTO steps (run_id, number, phase, name, began, ended, status, tolerance_met, error)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, p.run.ID, i, clean(a.Phase), clean(a.Name), database.Stamp(a.Began),
			database.Stamp(a.Ended), clean(a.Status), a.ToleranceMet, clean(a.Error))
		if err != nil {
			return err
		}
	}
	for i, f := range p.run.Faults {
		err := tx.Exec(`INSERT INTO faults (run_id, number, id, fault, what, injected, undone, undone_by, error)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, p.run.ID, i, clean(f.ID), clean(f.Fault), clean(f.What),
			database.Stamp(f.Injected), database.Stamp(f.Undone), clean(f.UndoneBy), clean(f.Error))
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *packedEntry) insertVersions(tx *database.Tx) error {
	for _, name := range slices.Sorted(maps.Keys(p.run.Versions)) {
		err := tx.Exec(`INSERT INTO versions (run_id, name, version) VALUES ($1, $2, $3)`, p.run.ID, clean(name), clean(p.run.Versions[name]))
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *packedEntry) insertMeasured(tx *database.Tx) error {
	for i, a := range p.totals {
		t := a.Tags
		err := tx.Exec(`INSERT INTO totals (run_id, number, metric, kind, site, step, profile, path, class, count, sum, p50, p95, p99, packed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, p.run.ID, i, clean(a.Metric), string(a.Kind),
			clean(t.Site), clean(t.Step), clean(t.Profile), clean(t.Path), clean(t.Class), a.Count, a.Sum,
			number(a.Quantile(0.5)), number(a.Quantile(0.95)), number(a.Quantile(0.99)), p.total[i])
		if err != nil {
			return err
		}
	}
	for i, c := range p.chunks {
		err := tx.Exec(`INSERT INTO windows (run_id, number, hour, windows, packed) VALUES ($1, $2, $3, $4, $5)`,
			p.run.ID, p.number[c.series], database.Stamp(c.hour), len(c.all), p.chunk[i])
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *packedEntry) insertTexts(tx *database.Tx) error {
	if p.outcome != "" || len(p.verdict) > 0 {
		if err := tx.Exec(`INSERT INTO verdicts (run_id, outcome, verdict) VALUES ($1, $2, $3)`,
			p.run.ID, clean(p.outcome), string(p.verdict)); err != nil {
			return err
		}
	}
	if p.journal == nil {
		return nil
	}
	return tx.Exec(`INSERT INTO journals (run_id, packed) VALUES ($1, $2)`, p.run.ID, p.journal)
}

// number is NULL if it is none.
func number(v float64) any {
	if math.IsNaN(v) {
		return nil
	}
	return v
}
