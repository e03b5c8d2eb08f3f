// Package store keeps what the broker knows of its desktops, bindings and sessions in a database: SQLite in a file, or
// PostgreSQL. Each method is one transaction, so that a broker killed between any two leaves nothing half done, and two
// logins at once never get the same desktop.
package store

import (
	"context"
	"errors"

	"github.com/deskstorm/deskstorm/internal/database"
)

// Errors that callers decide on.
var (
	ErrNotFound  = errors.New("no such entry")
	ErrPoolEmpty = errors.New("no desktop of the pool is ready")
	ErrBusy      = errors.New("the desktop has another binding")
)

// Store is an open database. Its methods may be called by many goroutines at once.
type Store struct {
	db      *database.Database
	claimed func() error
}

// Open opens a database and makes its tables if it has none. The DSN is sqlite:///absolute/path, sqlite:relative/path or
// postgres://user@host/database; errors do not show it, because it may hold a password.
func Open(ctx context.Context, dsn string) (*Store, error) {
	db, err := database.Open(ctx, dsn, schema)
	if err != nil {
		return nil, err
	}
	return &Store{db: db, claimed: func() error { return nil }}, nil
}

// Close closes the database.
func (s *Store) Close() error { return errors.Join(s.claimed(), s.db.Close()) }

// Check says whether the database answers.
func (s *Store) Check(ctx context.Context) error { return s.db.Check(ctx) }
