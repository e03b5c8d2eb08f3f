package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrClaimed says that another broker works on the database.
var ErrClaimed = errors.New("another broker works on this database")

// A broker that was killed a moment ago may still be being cleared away.
const (
	claimPatience = 5 * time.Second
	claimAgain    = 100 * time.Millisecond
)

// claimKey is that of PostgreSQL's advisory lock: any number that nobody else uses, here "deskstor" in ASCII.
const claimKey = 0x6465736b73746f72

// Claim makes this program the only broker of the database until Close, or until it dies: two of them would build twice what
// is missing. The error is ErrClaimed if there is one already.
func (s *Store) Claim(ctx context.Context) error {
	for begun := time.Now(); ; {
		err := s.claim(ctx)
		if err == nil || !errors.Is(err, ErrClaimed) || time.Since(begun) > claimPatience {
			return err
		}
		select {
		case <-time.After(claimAgain):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Store) claim(ctx context.Context) error {
	if s.db.File() != "" {
		return s.claimFile()
	}
	// The lock is the connection's, so that connection is kept.
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("claiming the database: %w", err)
	}
	var got bool
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, int64(claimKey)).Scan(&got); err != nil {
		return errors.Join(fmt.Errorf("claiming the database: %w", err), conn.Close())
	}
	if !got {
		return errors.Join(ErrClaimed, conn.Close())
	}
	s.claimed = conn.Close
	return nil
}

// claimFile locks a file beside the database: SQLite's own locks are on the database.
func (s *Store) claimFile() error {
	f, err := os.OpenFile(s.db.File()+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("claiming the database: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return errors.Join(fmt.Errorf("%w: %s", ErrClaimed, s.db.File()), f.Close())
	case err != nil:
		return errors.Join(fmt.Errorf("claiming the database: %w", err), f.Close())
	}
	s.claimed = f.Close
	return nil
}
