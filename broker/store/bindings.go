package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
)

// Bindings returns those of a kind and a key, in the order of their keys; of all kinds or keys if empty.
func (s *Store) Bindings(ctx context.Context, kind BindingKind, key string) ([]Binding, error) {
	rows, err := s.db.Query(ctx, `SELECT pool, kind, key, desktop_id, created FROM bindings
		WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR key = $2) ORDER BY kind, key, pool`, string(kind), key)
	if err != nil {
		return nil, fmt.Errorf("reading the bindings: %w", err)
	}
	return database.Collect(rows, func(row database.Scanner) (Binding, error) {
		var (
			b       Binding
			created int64
		)
		err := row.Scan(&b.Pool, &b.Kind, &b.Key, &b.DesktopID, &created)
		b.Created = database.Time(created)
		return b, err
	}, "the bindings")
}

// Rebind gives a key another desktop of its pool from its next login on. The desktop that it had is freed when its session
// ends, at once if it has none. The error is ErrBusy if the new one is bound to another key, or is not a ready one of the
// pool.
func (s *Store) Rebind(ctx context.Context, b Binding, after func(pool string) State, now time.Time) (Binding, error) {
	err := s.transact(ctx, func(tx *transaction) error {
		old, err := tx.bound(Want{Pool: b.Pool, Kind: b.Kind, Key: b.Key})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		had := err == nil
		if had && old.ID == b.DesktopID {
			return tx.Row(`SELECT created FROM bindings WHERE desktop_id = $1`, b.DesktopID).Scan((*database.ScanTime)(&b.Created))
		}
		d, err := tx.desktop(b.DesktopID)
		if err != nil {
			return err
		}
		if d.State != Ready || b.Pool != d.Pool {
			return ErrBusy
		}
		if had {
			if err := tx.unbind(old, after(old.Pool), now); err != nil {
				return err
			}
		}
		if err := tx.Exec(`UPDATE desktops SET state = $2, changed = $3 WHERE id = $1`, d.ID, Assigned, database.Stamp(now)); err != nil {
			return err
		}
		b.Created = now
		return tx.bind(b)
	})
	if err != nil {
		return b, fmt.Errorf("binding a %s to desktop %s: %w", b.Kind, b.DesktopID, err)
	}
	return b, nil
}

// unbind ends a desktop's binding. Whoever works at it goes on until the session ends, which frees it.
func (t *transaction) unbind(d Desktop, to State, now time.Time) error {
	inUse, err := t.inSession(d.ID)
	if err != nil || !inUse {
		if err != nil {
			return err
		}
		return t.free(d, to, now)
	}
	return t.Exec(`DELETE FROM bindings WHERE desktop_id = $1`, d.ID)
}

// Unbind ends a key's binding in a pool. Its desktop is freed when its session ends, at once if it has none. The error is
// ErrNotFound if there is no such binding.
func (s *Store) Unbind(ctx context.Context, pool string, kind BindingKind, key string, after func(pool string) State, now time.Time) error {
	err := s.transact(ctx, func(tx *transaction) error {
		d, err := tx.bound(Want{Pool: pool, Kind: kind, Key: key})
		if err != nil {
			return err
		}
		return tx.unbind(d, after(pool), now)
	})
	if err != nil {
		return fmt.Errorf("ending the binding of a %s in pool %s: %w", kind, pool, err)
	}
	return nil
}
