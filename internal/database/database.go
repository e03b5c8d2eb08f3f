// Package database opens the databases that deskstorm keeps things in: SQLite in a file, or PostgreSQL. Both are used with the
// same queries, written with PostgreSQL's parameters ($1); what differs is in here.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// Database is an open one. Its methods may be called by many goroutines at once.
type Database struct {
	writes  *sql.DB // for transactions
	reads   *sql.DB // for questions beside them; the same one, but for SQLite
	dialect dialect
	file    string // SQLite's; empty for PostgreSQL
}

// Open opens a database and brings its tables to the schema's version. The DSN is sqlite:///absolute/path, sqlite:relative/path or
// postgres://user@host/database; errors do not show it, because it may hold a password.
func Open(ctx context.Context, dsn string, schema Schema) (*Database, error) {
	d, source, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	db := &Database{dialect: d, file: fileOf(dsn, d)}
	failed := func(err error) (*Database, error) {
		err = withoutSecrets(err, dsn)
		if strings.HasPrefix(err.Error(), db.String()) {
			return nil, fmt.Errorf("opening %w", err)
		}
		return nil, fmt.Errorf("opening %s: %w", db, err)
	}
	if db.writes, err = sql.Open(d.driver, source); err != nil {
		return failed(err)
	}
	db.writes.SetMaxOpenConns(d.connections)
	db.writes.SetMaxIdleConns(d.connections)
	db.reads = db.writes
	if err := db.migrate(ctx, schema); err != nil {
		_ = db.writes.Close()
		return failed(err)
	}
	if d.readers > 0 {
		if db.reads, err = sql.Open(d.driver, strings.Replace(source, "_txlock=immediate", "_pragma=query_only(1)", 1)); err != nil {
			_ = db.writes.Close()
			return failed(err)
		}
		db.reads.SetMaxOpenConns(d.readers)
		db.reads.SetMaxIdleConns(d.readers)
	}
	return db, nil
}

// Close closes the database.
func (d *Database) Close() error {
	var err error
	if d.reads != d.writes {
		err = d.reads.Close()
	}
	return errors.Join(err, d.writes.Close())
}

// Check says whether the database answers.
func (d *Database) Check(ctx context.Context) error {
	if err := d.writes.PingContext(ctx); err != nil {
		return fmt.Errorf("asking the database: %w", d.explain(err))
	}
	return nil
}

// File is a SQLite database's path; empty for PostgreSQL.
func (d *Database) File() string { return d.file }

// String says which database it is, without anything secret.
func (d *Database) String() string {
	return strings.TrimSpace("the " + d.dialect.name + " database " + d.file)
}

// Conn is a connection of its own, for what belongs to a connection: PostgreSQL's session locks.
func (d *Database) Conn(ctx context.Context) (*sql.Conn, error) { return d.writes.Conn(ctx) }

// Query asks for rows beside all transactions.
func (d *Database) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := d.reads.QueryContext(ctx, d.query(query), args...)
	return rows, d.explain(err)
}

// Row asks for a row beside all transactions.
func (d *Database) Row(ctx context.Context, query string, args ...any) *sql.Row {
	return d.reads.QueryRowContext(ctx, d.query(query), args...)
}

// dialect is where the two databases differ.
type dialect struct {
	name, driver string
	connections  int
	readers      int                // connections that only read, beside those; 0: none
	snapshot     sql.IsolationLevel // of a transaction that sees one moment
	now          string             // microseconds since 1970 by the database's clock
	lockKey      string             // locks a text until the transaction ends
	forUpdate    string             // locks the rows that were read
	skipLocked   string             // and leaves out those that somebody else has locked
}

// fileOf is a SQLite database's path.
func fileOf(dsn string, d dialect) string {
	if d.driver != "sqlite" {
		return ""
	}
	return filepath.Clean(strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite:"), "//"))
}

// parse says which database it is and what its driver takes.
func parse(dsn string) (dialect, string, error) {
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		path := strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite:"), "//")
		if path == "" {
			return dialect{}, "", errors.New("the database's DSN names no file: sqlite:///var/lib/deskstorm/NAME.db")
		}
		path = filepath.Clean(path)
		// One connection that writes: SQLite has one writer at a time, and waiting for it in Go is fair where its own busy handler
		// is not. Full synchronisation, because what was promised must hold after a power cut: a desktop handed out, a run kept.
		source := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_txlock=immediate&_pragma=busy_timeout(10000)" +
			"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
		return dialect{name: "SQLite", driver: "sqlite", connections: 1, readers: 4,
			now: `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`}, source, nil
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return dialect{name: "PostgreSQL", driver: "pgx", connections: 16, snapshot: sql.LevelRepeatableRead,
			now:     `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`,
			lockKey: `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, forUpdate: " FOR UPDATE", skipLocked: " FOR UPDATE SKIP LOCKED"}, dsn, nil
	}
	return dialect{}, "", errors.New("the database's DSN must begin with sqlite: or postgres://")
}

// withoutSecrets takes the DSN and its password out of an error's text; drivers quote what they cannot read.
func withoutSecrets(err error, dsn string) error {
	text := err.Error()
	hidden := strings.ReplaceAll(text, dsn, "(DSN)")
	if u, e := url.Parse(dsn); e == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" {
			hidden = strings.ReplaceAll(hidden, password, "(password)")
		}
	}
	if hidden == text {
		return err
	}
	return errors.New(hidden)
}

// query adapts a query's parameters, written as PostgreSQL's $1.
func (d *Database) query(q string) string {
	if d.dialect.driver == "sqlite" {
		return strings.ReplaceAll(q, "$", "?")
	}
	return q
}

// Scanner is a row, or the one that a question is at.
type Scanner interface{ Scan(...any) error }

// Collect reads all rows and closes them. What they are is for errors: "the desktops".
func Collect[T any](rows *sql.Rows, scan func(Scanner) (T, error), what string) ([]T, error) {
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return all, nil
}

// Stamp is a time as the databases keep it: microseconds since 1970, 0 for none.
func Stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is what a stamp stands for.
func Time(stamp int64) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	return time.UnixMicro(stamp).UTC()
}

// ScanTime is a time to be read from the database.
type ScanTime time.Time

// Scan implements sql.Scanner.
func (t *ScanTime) Scan(value any) error {
	stamp, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a time is kept as %T", value)
	}
	*t = ScanTime(Time(stamp))
	return nil
}
