package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
)

// desktopColumns are in scanDesktop's order.
const desktopColumns = `id, pool, spec, server_id, state, draining, broken, reason, created, ready, changed`

func scanDesktop(row database.Scanner) (Desktop, error) {
	var (
		d                               Desktop
		broken, created, ready, changed int64
	)
	err := row.Scan(&d.ID, &d.Pool, &d.Spec, &d.ServerID, &d.State, &d.Draining, &broken, &d.Reason, &created, &ready, &changed)
	if errors.Is(err, sql.ErrNoRows) {
		return d, ErrNotFound
	}
	d.Broken, d.Created, d.Ready, d.Changed = database.Time(broken), database.Time(created), database.Time(ready), database.Time(changed)
	return d, err
}

// AddDesktops records desktops that are about to be built, before the cloud is asked for them: a broker that dies in
// between knows what to look for. It adds as many of the ids as the pool may still have, and returns how many.
func (s *Store) AddDesktops(ctx context.Context, pool, spec string, limit int, ids []string, now time.Time) (int, error) {
	var added int
	err := s.transact(ctx, func(tx *transaction) error {
		added = 0
		var have int
		if err := tx.Row(`SELECT COUNT(*) FROM desktops WHERE pool = $1`, pool).Scan(&have); err != nil {
			return err
		}
		for _, id := range ids[:max(0, min(len(ids), limit-have))] {
			err := tx.Exec(`INSERT INTO desktops (id, pool, spec, server_id, state, draining, broken, reason, created, ready, changed)
				VALUES ($1, $2, $3, '', $4, FALSE, 0, '', $5, 0, $5)`, id, pool, spec, Building, database.Stamp(now))
			if err != nil {
				return err
			}
			added++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("recording new desktops of pool %s: %w", pool, err)
	}
	return added, nil
}

// SetServer records which server the cloud made for a desktop.
func (s *Store) SetServer(ctx context.Context, id, serverID string) error {
	return s.desktop(ctx, id, "recording the server of", func(tx *transaction, _ Desktop) error {
		return tx.Exec(`UPDATE desktops SET server_id = $2 WHERE id = $1`, id, serverID)
	})
}

// SetReady makes a desktop that was being built one that can be handed out, or deletes it if it was drained or broken
// meanwhile. It returns what the desktop is now.
func (s *Store) SetReady(ctx context.Context, id string, now time.Time) (Desktop, error) {
	var after Desktop
	err := s.desktop(ctx, id, "recording as ready", func(tx *transaction, d Desktop) error {
		if after = d; d.State != Building {
			return nil
		}
		after.State, after.Ready, after.Changed = Ready, now, now
		if d.Draining || !d.Broken.IsZero() {
			after.State, after.Ready = Deleting, time.Time{}
		}
		return tx.Exec(`UPDATE desktops SET state = $2, ready = $3, changed = $4 WHERE id = $1`,
			id, after.State, database.Stamp(after.Ready), database.Stamp(now))
	})
	return after, err
}

// SetBroken says that a desktop cannot be used. Its binding and its session end, and it is to be deleted. If it is in another
// state than was by now, nothing is changed: what was found out of a ready desktop may not hold when somebody works at it.
// The empty state is any. It returns whether this was news.
func (s *Store) SetBroken(ctx context.Context, id string, was State, reason string, now time.Time) (news bool, err error) {
	err = s.desktop(ctx, id, "recording as broken", func(tx *transaction, d Desktop) error {
		if news = d.State != Deleting && (was == "" || d.State == was); !news {
			return nil
		}
		if err := tx.Exec(`UPDATE desktops SET broken = $2, reason = $3 WHERE id = $1`, id, database.Stamp(now), reason); err != nil {
			return err
		}
		return tx.free(d, Deleting, now)
	})
	return news, err
}

// Drain takes a desktop out of use: one without a session is to be deleted now, any other one when its session ends. As with
// SetBroken, nothing is changed if it is in another state than was.
func (s *Store) Drain(ctx context.Context, id string, was State, now time.Time) error {
	return s.desktop(ctx, id, "draining", func(tx *transaction, d Desktop) error {
		if was != "" && d.State != was {
			return nil
		}
		if err := tx.Exec(`UPDATE desktops SET draining = TRUE WHERE id = $1`, id); err != nil {
			return err
		}
		inUse, err := tx.inSession(id)
		if err != nil || inUse || d.State == Building {
			return err // One that is being built is deleted when the cloud has answered.
		}
		return tx.free(d, Deleting, now)
	})
}

// Release ends a desktop's binding and session. After says what becomes of the desktops of a pool: Ready or Deleting.
func (s *Store) Release(ctx context.Context, id string, after func(pool string) State, now time.Time) error {
	return s.desktop(ctx, id, "releasing", func(tx *transaction, d Desktop) error {
		if d.State != Assigned {
			return nil
		}
		return tx.free(d, after(d.Pool), now)
	})
}

// Remove forgets a desktop that is gone from the cloud. It must be one that was to be deleted.
func (s *Store) Remove(ctx context.Context, id string) error {
	err := s.transact(ctx, func(tx *transaction) error {
		return tx.Exec(`DELETE FROM desktops WHERE id = $1 AND state = $2`, id, Deleting)
	})
	if err != nil {
		return fmt.Errorf("forgetting desktop %s: %w", id, err)
	}
	return nil
}

// Desktop returns one, by its own id or by its server's, which is what thin clients are told.
func (s *Store) Desktop(ctx context.Context, id string) (Desktop, error) {
	d, err := scanDesktop(s.db.Row(ctx, `SELECT `+desktopColumns+` FROM desktops
		WHERE id = $1 OR (server_id = $1 AND server_id <> '')`, id))
	if err != nil {
		return d, fmt.Errorf("reading desktop %s: %w", id, err)
	}
	return d, nil
}

// Desktops returns those of a pool in a state, in the order of their creation; of all pools or states if empty.
func (s *Store) Desktops(ctx context.Context, pool string, state State) ([]Desktop, error) {
	rows, err := s.db.Query(ctx, `SELECT `+desktopColumns+` FROM desktops
		WHERE ($1 = '' OR pool = $1) AND ($2 = '' OR state = $2) ORDER BY created, id`, pool, string(state))
	if err != nil {
		return nil, fmt.Errorf("reading the desktops: %w", err)
	}
	return database.Collect(rows, scanDesktop, "the desktops")
}

// Pools returns the names of the pools that have desktops.
func (s *Store) Pools(ctx context.Context) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT DISTINCT pool FROM desktops ORDER BY pool`)
	if err != nil {
		return nil, fmt.Errorf("reading the pools: %w", err)
	}
	return database.Collect(rows, func(row database.Scanner) (string, error) {
		var name string
		err := row.Scan(&name)
		return name, err
	}, "the pools")
}

// Count is how many desktops are in a state.
type Count struct {
	State    State
	Draining bool
	Outdated bool // built from another specification
	Desktops int
}

// Counts counts the desktops of a pool with a specification.
func (s *Store) Counts(ctx context.Context, pool, spec string) ([]Count, error) {
	rows, err := s.db.Query(ctx, `SELECT state, draining, spec <> $2 AS outdated, COUNT(*) FROM desktops
		WHERE pool = $1 GROUP BY state, draining, outdated ORDER BY state, draining, outdated`, pool, spec)
	if err != nil {
		return nil, fmt.Errorf("counting the desktops: %w", err)
	}
	return database.Collect(rows, func(row database.Scanner) (Count, error) {
		var c Count
		err := row.Scan(&c.State, &c.Draining, &c.Outdated, &c.Desktops)
		return c, err
	}, "the counts")
}

// desktop runs a function in a transaction with a desktop that it has locked.
func (s *Store) desktop(ctx context.Context, id, doing string, f func(*transaction, Desktop) error) error {
	err := s.transact(ctx, func(tx *transaction) error {
		d, err := tx.desktop(id)
		if err != nil {
			return err
		}
		return f(tx, d)
	})
	if err != nil {
		return fmt.Errorf("%s desktop %s: %w", doing, id, err)
	}
	return nil
}

// desktop reads one and locks it.
func (t *transaction) desktop(id string) (Desktop, error) {
	return scanDesktop(t.Row(`SELECT `+desktopColumns+` FROM desktops WHERE id = $1`+t.ForUpdate(), id))
}

// inSession says whether a desktop has a session.
func (t *transaction) inSession(desktopID string) (bool, error) {
	var n int
	err := t.Row(`SELECT COUNT(*) FROM sessions WHERE desktop_id = $1`, desktopID).Scan(&n)
	return n > 0, err
}

// free ends what a desktop has of binding and session. A desktop that is drained is deleted in any case.
func (t *transaction) free(d Desktop, to State, now time.Time) error {
	if err := t.Exec(`DELETE FROM sessions WHERE desktop_id = $1`, d.ID); err != nil {
		return err
	}
	if err := t.Exec(`DELETE FROM bindings WHERE desktop_id = $1`, d.ID); err != nil {
		return err
	}
	return t.Exec(`UPDATE desktops SET state = CASE WHEN draining THEN $2 ELSE $3 END, changed = $4 WHERE id = $1`,
		d.ID, Deleting, to, database.Stamp(now))
}
