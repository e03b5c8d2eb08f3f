package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bindings returns those of a kind and a key, in the order of their keys; of all kinds or keys if empty.
func (s *Store) Bindings(ctx context.Context, kind BindingKind, key string) ([]Binding, error) {
	rows, err := s.db.QueryContext(ctx, s.query(`SELECT pool, kind, key, desktop_id, created FROM bindings
		WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR key = $2) ORDER BY kind, key, pool`), string(kind), key)
	if err != nil {
		return nil, fmt.Errorf("reading the bindings: %w", err)
	}
	return collect(rows, func(row interface{ Scan(...any) error }) (Binding, error) {
		var (
			b       Binding
			created int64
		)
		err := row.Scan(&b.Pool, &b.Kind, &b.Key, &b.DesktopID, &created)
		b.Created = timeOf(created)
		return b, err
	}, "the bindings")
}

// Rebind gives a key another desktop of the same pool from its next login on. The desktop that it had is freed. The error
// is ErrBusy if the new one is bound to another key, or cannot be used.
func (s *Store) Rebind(ctx context.Context, b Binding, after func(pool string) State, now time.Time) (Binding, error) {
	err := s.transact(ctx, func(tx *transaction) error {
		d, err := tx.desktop(b.DesktopID)
		if err != nil {
			return err
		}
		old, err := tx.bound(Want{Pool: d.Pool, Kind: b.Kind, Key: b.Key})
		switch {
		case err == nil && old.ID == d.ID:
			return nil
		case err == nil:
			if err := tx.free(old, after(old.Pool), now); err != nil {
				return err
			}
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if d.State != Ready || b.Pool != d.Pool {
			return ErrBusy
		}
		if err := tx.exec(`UPDATE desktops SET state = $2, changed = $3 WHERE id = $1`, d.ID, Assigned, stamp(now)); err != nil {
			return err
		}
		b.Created = now
		return tx.bind(b)
	})
	if err != nil {
		return b, fmt.Errorf("binding %s %q to desktop %s: %w", b.Kind, b.Key, b.DesktopID, err)
	}
	return b, nil
}

// Unbind ends a key's binding in a pool, and the session of its desktop. The error is ErrNotFound if it has none.
func (s *Store) Unbind(ctx context.Context, pool string, kind BindingKind, key string, after func(pool string) State, now time.Time) error {
	err := s.transact(ctx, func(tx *transaction) error {
		d, err := tx.bound(Want{Pool: pool, Kind: kind, Key: key})
		if err != nil {
			return err
		}
		return tx.free(d, after(pool), now)
	})
	if err != nil {
		return fmt.Errorf("ending the binding of %s %q in pool %s: %w", kind, key, pool, err)
	}
	return nil
}
