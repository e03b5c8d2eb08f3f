package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
)

// Want is a login that needs a desktop.
type Want struct {
	Session Session // its DesktopID is what Allocate finds
	Pool    string
	Kind    BindingKind
	Key     string // of the binding

	// BoundOnly leaves the ready desktops to those who wait for one already.
	BoundOnly bool
}

// Allocation is a desktop that a login has got.
type Allocation struct {
	Desktop
	Fresh  bool    // it was bound only now: nobody has used it
	Before Session // what the desktop had until now; its ID is empty if there was none
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
			if w.BoundOnly {
				return ErrPoolEmpty
			}
			d, err = tx.take(w, now)
		}
		if err != nil {
			return err
		}
		given = Allocation{Desktop: d, Fresh: fresh}
		if given.Before, err = tx.sessionOf(d.ID); err != nil {
			return err
		}
		return tx.begin(w.Session, d.ID)
	})
	if err != nil {
		return Allocation{}, fmt.Errorf("allocating a desktop of pool %s: %w", w.Pool, err)
	}
	return given, nil
}

// Undo takes back what Allocate gave to a login that failed after all: a fresh desktop is ready again, and a session that
// the desktop had before goes on. The error is ErrNotFound if the login's session has ended meanwhile; then nothing is changed.
func (s *Store) Undo(ctx context.Context, sessionID string, given Allocation, now time.Time) error {
	err := s.transact(ctx, func(tx *transaction) error {
		d, err := tx.desktop(given.ID)
		if err != nil {
			return err
		}
		ended, err := tx.Change(`DELETE FROM sessions WHERE id = $1`, sessionID)
		switch {
		case err != nil:
			return err
		case ended == 0:
			return ErrNotFound
		case given.Fresh:
			// It goes to the end of the line: something was wrong with it, and the next login should have another one.
			if err := tx.Exec(`UPDATE desktops SET ready = $2 WHERE id = $1`, d.ID, database.Stamp(now)); err != nil {
				return err
			}
			return tx.free(d, Ready, now)
		case given.Before.ID != "":
			return tx.begin(given.Before, d.ID)
		case d.Draining: // since then
			return tx.free(d, Deleting, now)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("taking back desktop %s: %w", given.ID, err)
	}
	return nil
}

// bound finds the desktop that a key is bound to, and locks it. Everything else locks a desktop before it changes its
// binding, so the binding is not locked but read again once the desktop is: a desktop whose binding ends at the same moment
// may be somebody else's the next. The key is locked first, or two logins of one user would both take a new desktop.
func (t *transaction) bound(w Want) (Desktop, error) {
	if err := t.Lock(w.Pool + "/" + string(w.Kind) + "/" + w.Key); err != nil {
		return Desktop{}, err
	}
	for {
		id, err := t.boundID(w)
		if err != nil {
			return Desktop{}, err
		}
		d, err := t.desktop(id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Desktop{}, err
		}
		switch again, err := t.boundID(w); {
		case err != nil:
			return Desktop{}, err
		case again == id:
			return d, nil
		}
	}
}

// boundID is the desktop that a key is bound to at this moment.
func (t *transaction) boundID(w Want) (string, error) {
	var id string
	err := t.Row(`SELECT desktop_id FROM bindings WHERE pool = $1 AND kind = $2 AND key = $3`, w.Pool, w.Kind, w.Key).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	return id, err
}

// take binds the desktop that has been ready for longest.
func (t *transaction) take(w Want, now time.Time) (Desktop, error) {
	d, err := scanDesktop(t.Row(`UPDATE desktops SET state = $1, changed = $2 WHERE id = (
		SELECT id FROM desktops WHERE pool = $3 AND state = $4 ORDER BY ready LIMIT 1`+t.SkipLocked()+`)
		RETURNING `+desktopColumns, Assigned, database.Stamp(now), w.Pool, Ready))
	if errors.Is(err, ErrNotFound) {
		return d, ErrPoolEmpty
	}
	if err != nil {
		return d, err
	}
	return d, t.bind(Binding{Kind: w.Kind, Key: w.Key, Pool: w.Pool, DesktopID: d.ID, Created: now})
}

func (t *transaction) bind(b Binding) error {
	return t.Exec(`INSERT INTO bindings (pool, kind, key, desktop_id, created) VALUES ($1, $2, $3, $4, $5)`,
		b.Pool, b.Kind, b.Key, b.DesktopID, database.Stamp(b.Created))
}

// sessionOf is the session of a desktop; the zero one if it has none.
func (t *transaction) sessionOf(desktopID string) (Session, error) {
	s, err := scanSession(t.Row(`SELECT `+sessionColumns+` FROM sessions s WHERE s.desktop_id = $1`, desktopID))
	if errors.Is(err, ErrNotFound) {
		return Session{}, nil
	}
	return s, err
}

func (t *transaction) begin(s Session, desktopID string) error {
	if err := t.Exec(`DELETE FROM sessions WHERE desktop_id = $1`, desktopID); err != nil {
		return err
	}
	return t.Exec(`INSERT INTO sessions (id, user_name, seat, thin_client, site, desktop_id, allocator, began)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, s.ID, s.User, s.Seat, s.ThinClient, s.Site, desktopID, s.Allocator, database.Stamp(s.Began))
}
