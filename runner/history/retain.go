package history

import (
	"context"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
)

// Retention says what is given up when. Runs that go on never are.
type Retention struct {
	// Windows is how long the windows of 10 s are kept, which are nearly all of the database; 0: for ever. Totals stay.
	Windows time.Duration
	Runs    time.Duration // how long runs are kept with all they have; 0: for ever
	Keep    int           // the last so many of each experiment are kept whole, whatever their age
}

// Removed is what Retain gave up.
type Removed struct {
	Runs    int64 // whole runs
	Windows int64 // runs that lost their windows only
}

// Retain gives up what is older than r says. SQLite uses the room again; its file does not get smaller.
func (s *Store) Retain(ctx context.Context, now time.Time, r Retention) (Removed, error) {
	var removed Removed
	err := s.db.TransactWithin(ctx, patience, func(tx *database.Tx) error {
		removed = Removed{}
		const old = ` IN (SELECT id FROM (SELECT id, began, running,
				ROW_NUMBER() OVER (PARTITION BY experiment ORDER BY began DESC, id DESC) AS age FROM runs) AS aged
			WHERE began < $1 AND age > $2 AND NOT running)`
		var err error
		if r.Runs > 0 {
			if removed.Runs, err = tx.Change(`DELETE FROM runs WHERE id`+old, database.Stamp(now.Add(-r.Runs)), r.Keep); err != nil {
				return err
			}
		}
		if r.Windows > 0 {
			before := database.Stamp(now.Add(-r.Windows))
			if err := tx.Row(`SELECT COUNT(DISTINCT run_id) FROM windows WHERE run_id`+old, before, r.Keep).Scan(&removed.Windows); err != nil {
				return err
			}
			return tx.Exec(`DELETE FROM windows WHERE run_id`+old, before, r.Keep)
		}
		return nil
	})
	if err != nil {
		return Removed{}, fmt.Errorf("giving up old runs: %w", err)
	}
	return removed, nil
}

// Delete forgets a run. The error is ErrNotFound if there is none.
func (s *Store) Delete(ctx context.Context, id string) error {
	err := s.db.TransactWithin(ctx, patience, func(tx *database.Tx) error {
		n, err := tx.Change(`DELETE FROM runs WHERE id = $1`, clean(id))
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting run %.120s: %w", clean(id), err)
	}
	return nil
}
