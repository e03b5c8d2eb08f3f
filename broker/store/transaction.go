package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// attempts bounds how often a transaction that met another one is repeated. Each repetition sees what the other has
// done, so that more than a few mean something else is wrong.
const attempts = 8

// patience bounds a transaction: a database whose host has died says nothing, and TCP takes a quarter of an hour to notice.
const patience = 20 * time.Second

// transaction is one, with the queries of the store's dialect.
type transaction struct {
	ctx   context.Context
	tx    *sql.Tx
	store *Store
}

// transact runs a function in a transaction, again if another one was in its way.
func (s *Store) transact(ctx context.Context, f func(*transaction) error) error {
	var err error
	for range attempts {
		if err = s.attempt(ctx, f); err == nil || !conflict(err) {
			return err
		}
	}
	return fmt.Errorf("the database refused %d times because of other transactions: %w", attempts, err)
}

func (s *Store) attempt(ctx context.Context, f func(*transaction) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the database does not answer"))
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(&transaction{ctx: ctx, tx: tx, store: s}); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (t *transaction) exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, t.store.query(query), args...)
	return err
}

// change executes a query and says how many rows it changed.
func (t *transaction) change(query string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(t.ctx, t.store.query(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *transaction) row(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, t.store.query(query), args...)
}

// conflict says whether an error means that another transaction was in the way.
func conflict(err error) bool {
	var postgres *pgconn.PgError
	if errors.As(err, &postgres) {
		switch postgres.Code {
		// PostgreSQL's error codes, appendix A: serialization_failure, deadlock_detected, unique_violation. The last one
		// is a conflict because nobody chooses keys: two logins at once made the same binding.
		case "40001", "40P01", "23505":
			return true
		}
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		// SQLITE_BUSY and its extended codes (sqlite.org/rescode.html).
		return lite.Code()&0xff == 5
	}
	return false
}
