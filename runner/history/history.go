// Package history keeps what runs left behind in a database: SQLite in a file, or PostgreSQL, which several runners can share. The
// runs themselves, their steps and faults, what was measured (in windows, and in total), verdicts, journals, and the versions of
// what was under test; besides, a small state for other parts of the runner, and leases, so that of several runners one leads and
// an experiment is not run twice at once.
package history

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
)

// Errors that callers decide on. What is wrong with the database as a whole is told by package internal/database's.
var (
	ErrNotFound = errors.New("the history has no such entry")
	ErrID       = errors.New("a run's id has letters, digits, '.', '_' and '-' only, begins with a letter or a digit, and has at most 100 of them")
)

// How long a transaction with a run's windows may take. A night's are some ten megabytes, and the network may be slow.
const patience = 5 * time.Minute

// brief is how long one that reads a row may take.
const brief = 20 * time.Second

// Store is an open history. Its methods may be called by many goroutines at once.
type Store struct {
	db     *database.Database
	holder string // who this is, in leases
}

// Open opens the history, and makes its tables if there are none or brings them up to date.
func Open(ctx context.Context, c Config) (*Store, error) {
	dsn, err := c.Database.Read()
	if err != nil {
		return nil, fmt.Errorf("opening the history: %w", err)
	}
	return OpenDSN(ctx, dsn)
}

// OpenDSN is Open by a DSN: sqlite:///absolute/path or postgres://user@host/database. Errors do not show it.
func OpenDSN(ctx context.Context, dsn string) (*Store, error) {
	db, err := database.Open(ctx, dsn, schema)
	if err != nil {
		return nil, fmt.Errorf("opening the history: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return &Store{
		db:     db,
		holder: fmt.Sprintf("%s (process %d, %s)", clean(host), os.Getpid(), strings.ToLower(rand.Text()[:8])),
	}, nil
}

// Close closes the history. Leases that are held end by themselves.
func (s *Store) Close() error { return s.db.Close() }

// Check says whether the database answers.
func (s *Store) Check(ctx context.Context) error { return s.db.Check(ctx) }

func checkID(id string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`).MatchString(id) {
		return fmt.Errorf("run %.120q: %w", id, ErrID)
	}
	return nil
}

// clean makes a text one that PostgreSQL takes: UTF-8 without NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
