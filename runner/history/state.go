package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/deskstorm/deskstorm/internal/database"
)

// Get returns what was put under a key. The error is ErrNotFound if nothing was.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := s.db.View(ctx, brief, func(tx *database.Tx) error {
		return tx.Row(`SELECT value FROM state WHERE key = $1`, clean(key)).Scan(&value)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state %s: %w", key, err)
	}
	return value, nil
}

// Put keeps a value under a key, instead of what was there. A nil value removes it.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	return s.putState(ctx, key, value, func(*database.Tx) error { return nil })
}

// PutAs is Put by a leader: the error is ErrLost, and nothing is changed, if the lease has ended. So one that was stopped for longer
// than its lease, and does not know it yet, does not overwrite what the next one wrote.
func (s *Store) PutAs(ctx context.Context, l *Lease, key string, value []byte) error {
	return s.putState(ctx, key, value, func(tx *database.Tx) error {
		_, err := l.held(tx)
		return err
	})
}

func writeState(tx *database.Tx, key string, value []byte) error {
	if value == nil {
		return tx.Exec(`DELETE FROM state WHERE key = $1`, clean(key))
	}
	return tx.Exec(`INSERT INTO state (key, value, updated) VALUES ($1, $2, `+tx.Now()+`)
		ON CONFLICT (key) DO UPDATE SET value = $2, updated = `+tx.Now(), clean(key), value)
}

func (s *Store) putState(ctx context.Context, key string, value []byte, may func(*database.Tx) error) error {
	err := s.db.Transact(ctx, func(tx *database.Tx) error {
		if err := may(tx); err != nil {
			return err
		}
		return writeState(tx, key, value)
	})
	if err != nil {
		return fmt.Errorf("keeping the state %s: %w", key, err)
	}
	return nil
}
