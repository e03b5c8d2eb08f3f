package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
)

const sessionColumns = `s.id, s.user_name, s.seat, s.thin_client, s.site, s.desktop_id, s.allocator, s.began`

func scanSession(row database.Scanner) (Session, error) {
	var (
		s     Session
		began int64
	)
	err := row.Scan(&s.ID, &s.User, &s.Seat, &s.ThinClient, &s.Site, &s.DesktopID, &s.Allocator, &began)
	if errors.Is(err, sql.ErrNoRows) {
		return s, ErrNotFound
	}
	s.Began = database.Time(began)
	return s, err
}

// Session returns one.
func (s *Store) Session(ctx context.Context, id string) (Session, error) {
	one, err := scanSession(s.db.Row(ctx, `SELECT `+sessionColumns+` FROM sessions s WHERE s.id = $1`, id))
	if err != nil {
		return one, fmt.Errorf("reading the session: %w", err)
	}
	return one, nil
}

// Sessions returns all of them, the oldest first.
func (s *Store) Sessions(ctx context.Context) ([]Session, error) {
	rows, err := s.db.Query(ctx, `SELECT `+sessionColumns+` FROM sessions s ORDER BY s.began, s.id`)
	if err != nil {
		return nil, fmt.Errorf("reading the sessions: %w", err)
	}
	return database.Collect(rows, scanSession, "the sessions")
}

// CountSessions counts them.
func (s *Store) CountSessions(ctx context.Context) (int, error) {
	var n int
	if err := s.db.Row(ctx, `SELECT COUNT(*) FROM sessions`).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting the sessions: %w", err)
	}
	return n, nil
}

// EndSession ends a session. A desktop that was bound for the session only, is bound no more, or is drained, is freed; after
// says what becomes of the desktops of a pool: Ready or Deleting. The error is ErrNotFound if there is no such session.
func (s *Store) EndSession(ctx context.Context, id string, after func(pool string) State, now time.Time) (Desktop, error) {
	var of Desktop
	err := s.transact(ctx, func(tx *transaction) error {
		var desktopID string
		err := tx.Row(`SELECT desktop_id FROM sessions WHERE id = $1`, id).Scan(&desktopID)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		of, err = tx.desktop(desktopID)
		if err != nil {
			return err
		}
		// Another login may have taken the desktop over before its row was locked.
		ended, err := tx.Change(`DELETE FROM sessions WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if ended == 0 {
			return ErrNotFound
		}
		var kind BindingKind
		err = tx.Row(`SELECT kind FROM bindings WHERE desktop_id = $1`, of.ID).Scan(&kind)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if kind == BindSession || kind == "" || of.Draining {
			return tx.free(of, after(of.Pool), now)
		}
		return nil
	})
	if err != nil {
		return of, fmt.Errorf("ending the session: %w", err)
	}
	return of, nil
}
