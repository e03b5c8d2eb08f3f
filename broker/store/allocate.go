package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Want is a login that needs a desktop.
type Want struct {
	Session Session // its DesktopID is what Allocate finds
	Pool    string
	Kind    BindingKind
	Key     string // of the binding
}

// Allocation is a desktop that a login has got.
type Allocation struct {
	Desktop
	Fresh bool // it was bound only now: nobody has used it
}

// Allocate gives a login its desktop: the one that its key is bound to, else a ready one of the pool, which is bound from
// now on. A bound desktop that is broken or drained is given up for another one. The session that the desktop had before
// ends. ErrPoolEmpty means that nothing was changed and no desktop is ready.
func (s *Store) Allocate(ctx context.Context, w Want, now time.Time) (Allocation, error) {
	var given Allocation
	err := s.transact(ctx, func(tx *transaction) error {
		fresh := false
		d, err := tx.bound(w)
		if errors.Is(err, ErrNotFound) || err == nil && (d.Draining || d.State != Assigned) {
			if err == nil {
				if err := tx.free(d, Deleting, now); err != nil {
					return err
				}
			}
			fresh = true
			d, err = tx.take(w, now)
		}
		if err != nil {
			return err
		}
		given = Allocation{Desktop: d, Fresh: fresh}
		return tx.begin(w.Session, d.ID)
	})
	if err != nil {
		return Allocation{}, fmt.Errorf("allocating a desktop of pool %s: %w", w.Pool, err)
	}
	return given, nil
}

// bound finds the desktop that a login's key is bound to, and locks both: a desktop whose binding ends at the same moment
// may be somebody else's the next.
func (t *transaction) bound(w Want) (Desktop, error) {
	var desktopID string
	err := t.row(`SELECT desktop_id FROM bindings WHERE pool = $1 AND kind = $2 AND key = $3`+t.store.dialect.forUpdate,
		w.Pool, w.Kind, w.Key).Scan(&desktopID)
	if errors.Is(err, sql.ErrNoRows) {
		return Desktop{}, ErrNotFound
	}
	if err != nil {
		return Desktop{}, err
	}
	return t.desktop(desktopID)
}

// take binds the desktop that has been ready for longest.
func (t *transaction) take(w Want, now time.Time) (Desktop, error) {
	d, err := scanDesktop(t.row(`UPDATE desktops SET state = $1, changed = $2 WHERE id = (
		SELECT id FROM desktops WHERE pool = $3 AND state = $4 ORDER BY ready LIMIT 1`+t.store.dialect.skipLocked+`)
		RETURNING `+desktopColumns, Assigned, stamp(now), w.Pool, Ready))
	if errors.Is(err, ErrNotFound) {
		return d, ErrPoolEmpty
	}
	if err != nil {
		return d, err
	}
	return d, t.bind(Binding{Kind: w.Kind, Key: w.Key, Pool: w.Pool, DesktopID: d.ID, Created: now})
}

func (t *transaction) bind(b Binding) error {
	return t.exec(`INSERT INTO bindings (pool, kind, key, desktop_id, created) VALUES ($1, $2, $3, $4, $5)`,
		b.Pool, b.Kind, b.Key, b.DesktopID, stamp(b.Created))
}

func (t *transaction) begin(s Session, desktopID string) error {
	if err := t.exec(`DELETE FROM sessions WHERE desktop_id = $1`, desktopID); err != nil {
		return err
	}
	return t.exec(`INSERT INTO sessions (id, user_name, seat, thin_client, site, desktop_id, allocator, began)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, s.ID, s.User, s.Seat, s.ThinClient, s.Site, desktopID, s.Allocator, stamp(s.Began))
}
