package database

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

// Tx is a transaction.
type Tx struct {
	ctx      context.Context
	tx       *sql.Tx
	database *Database
}

// Transact runs a function in a transaction, again if another one was in its way. It takes 20 s at most.
func (d *Database) Transact(ctx context.Context, f func(*Tx) error) error {
	return d.TransactWithin(ctx, patience, f)
}

// TransactWithin is Transact for what may take longer.
func (d *Database) TransactWithin(ctx context.Context, longest time.Duration, f func(*Tx) error) error {
	var err error
	for range attempts {
		if err = attempt(ctx, d.writes, nil, longest, d, f); err == nil || !conflict(err) {
			return d.explain(err)
		}
	}
	return fmt.Errorf("the database refused %d times because of other transactions: %w", attempts, err)
}

// View runs a function that only reads, and sees the database as it is at one moment.
func (d *Database) View(ctx context.Context, longest time.Duration, f func(*Tx) error) error {
	return d.explain(attempt(ctx, d.reads, &sql.TxOptions{ReadOnly: true, Isolation: d.dialect.snapshot}, longest, d, f))
}

func attempt(ctx context.Context, db *sql.DB, options *sql.TxOptions, longest time.Duration, d *Database, f func(*Tx) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, errSilent)
	defer cancel()
	err := func() error {
		tx, err := db.BeginTx(ctx, options)
		if err != nil {
			return err
		}
		if err := f(&Tx{ctx: ctx, tx: tx, database: d}); err != nil {
			_ = tx.Rollback()
			return err
		}
		return tx.Commit()
	}()
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return fmt.Errorf("%w within %s: %w", errSilent, longest, err)
	}
	return err
}

// Exec executes a query.
func (t *Tx) Exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, t.database.query(query), args...)
	return err
}

// Change executes a query and says how many rows it changed.
func (t *Tx) Change(query string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(t.ctx, t.database.query(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Row asks for a row.
func (t *Tx) Row(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, t.database.query(query), args...)
}

// Query asks for rows.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, t.database.query(query), args...)
}

// Lock makes transactions that lock the same text wait for each other. SQLite's have one writer anyway.
func (t *Tx) Lock(key string) error {
	if t.database.dialect.lockKey == "" {
		return nil
	}
	return t.Exec(t.database.dialect.lockKey, key)
}

// ForUpdate ends a query that locks the rows it reads.
func (t *Tx) ForUpdate() string { return t.database.dialect.forUpdate }

// SkipLocked ends a query that locks the rows it reads, and leaves out those that somebody else has locked.
func (t *Tx) SkipLocked() string { return t.database.dialect.skipLocked }

// Now is the expression for microseconds since 1970 by the database's clock, which all its users share.
func (t *Tx) Now() string { return t.database.dialect.now }

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
