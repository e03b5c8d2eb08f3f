// Package store keeps what the broker knows of its desktops, bindings and sessions in a database: SQLite in a file, or
// PostgreSQL. Each method is one transaction, so that a broker killed between any two leaves nothing half done, and two
// logins at once never get the same desktop.
package store

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

// Errors that callers decide on.
var (
	ErrNotFound  = errors.New("no such entry")
	ErrPoolEmpty = errors.New("no desktop of the pool is ready")
	ErrBusy      = errors.New("the desktop has another binding")
)

// Store is an open database. Its methods may be called by many goroutines at once.
type Store struct {
	db      *sql.DB // for transactions
	reads   *sql.DB // for questions beside them; the same one, but for SQLite
	dialect dialect
	file    string // SQLite's; empty for PostgreSQL
	claimed func() error
}

// Open opens a database and makes its tables if it has none. The DSN is sqlite:///absolute/path, sqlite:relative/path or
// postgres://user@host/database; errors do not show it, because it may hold a password.
func Open(ctx context.Context, dsn string) (*Store, error) {
	d, source, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(d.driver, source)
	if err != nil {
		return nil, fmt.Errorf("opening the %s database: %w", d.name, withoutSecrets(err, dsn))
	}
	db.SetMaxOpenConns(d.connections)
	db.SetMaxIdleConns(d.connections)
	s := &Store{db: db, reads: db, dialect: d, file: fileOf(dsn, d), claimed: func() error { return nil }}
	if err := s.migrate(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the %s database %s: %w", d.name, s.file, withoutSecrets(err, dsn))
	}
	if d.readers > 0 {
		if s.reads, err = sql.Open(d.driver, source+"&_pragma=query_only(1)"); err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("opening the %s database: %w", d.name, withoutSecrets(err, dsn))
		}
		s.reads.SetMaxOpenConns(d.readers)
		s.reads.SetMaxIdleConns(d.readers)
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error {
	errs := []error{s.claimed()}
	if s.reads != s.db {
		errs = append(errs, s.reads.Close())
	}
	return errors.Join(append(errs, s.db.Close())...)
}

// Check says whether the database answers.
func (s *Store) Check(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return fmt.Errorf("asking the database: %w", err)
	}
	return nil
}

// dialect is where the two databases differ.
type dialect struct {
	name, driver string
	connections  int
	readers      int    // connections that only read, beside those; 0: none
	lockKey      string // locks a text until the transaction ends
	forUpdate    string // locks the rows that were read
	skipLocked   string // and leaves out those that somebody else has locked
}

// fileOf is a SQLite database's path.
func fileOf(dsn string, d dialect) string {
	if d.driver != "sqlite" {
		return ""
	}
	return filepath.Clean(strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite:"), "//"))
}

// parseDSN says which database it is and what its driver takes.
func parseDSN(dsn string) (dialect, string, error) {
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		path := strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite:"), "//")
		if path == "" {
			return dialect{}, "", errors.New("the database's DSN names no file: sqlite:///var/lib/deskstorm/broker.db")
		}
		path = filepath.Clean(path)
		// One connection that writes: SQLite has one writer at a time, and waiting for it in Go is fair where its own busy handler
		// is not. Full synchronisation, because a desktop must not be handed out twice after a power cut.
		source := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_txlock=immediate&_pragma=busy_timeout(10000)" +
			"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
		return dialect{name: "SQLite", driver: "sqlite", connections: 1, readers: 4}, source, nil
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return dialect{name: "PostgreSQL", driver: "pgx", connections: 16,
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
func (s *Store) query(q string) string {
	if s.dialect.driver == "sqlite" {
		return strings.ReplaceAll(q, "$", "?")
	}
	return q
}

// stamp is a time as the database keeps it: microseconds since 1970, 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// scanTime is a time to be read from the database.
type scanTime time.Time

// Scan implements sql.Scanner.
func (t *scanTime) Scan(value any) error {
	stamp, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a time is kept as %T", value)
	}
	*t = scanTime(timeOf(stamp))
	return nil
}

func timeOf(stamp int64) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	return time.UnixMicro(stamp).UTC()
}
