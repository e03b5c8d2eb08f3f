package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
	"github.com/deskstorm/deskstorm/runner/record"
)

// ErrLost says that a lease ended and somebody else has taken it since, or may have.
var ErrLost = errors.New("the lease is lost")

// HeldError says who has the lease that was asked for.
type HeldError struct {
	Name   string        // of the lease
	Holder string        // host and process
	RunID  string        // of a claim: the run
	Left   time.Duration // until it ends, unless it is renewed
}

func (e *HeldError) Error() string {
	as := ""
	if e.RunID != "" {
		as = " as run " + e.RunID
	}
	return fmt.Sprintf("%s is held by %s%s; that ends in %s unless it is renewed", e.Name, e.Holder, as, e.Left.Round(time.Second))
}

// Lease is the right to do something that one does at a time. It is kept by the database's clock, so that machines whose clocks differ
// agree on it. PostgreSQL's clock is its server's; SQLite's is this machine's, which has all who use the file. A Lease
// is used by one goroutine at a time.
type Lease struct {
	Name string
	// Token grows each time the lease changes hands. See PutAs.
	Token int64
	// Until is the time of this machine, with its monotonic clock, at which the lease has ended if it was not renewed.
	Until time.Time

	store *Store
	runID string
	ttl   time.Duration
}

// Lead makes this program the only one that leads in something: its Store is the holder. Called again before the lease ends it renews
// it. The error is a *HeldError if somebody else leads.
func (s *Store) Lead(ctx context.Context, name string, ttl time.Duration) (*Lease, error) {
	return s.lease(ctx, "leader "+name, "", ttl)
}

// Claim makes a run the only one of its experiment, until it is released or its owner no longer renews it. The error is a *HeldError,
// which says who runs it, if there is one. A run whose claim had ended is marked as dead, as by MarkDead.
func (s *Store) Claim(ctx context.Context, experiment, runID string, ttl time.Duration) (*Lease, error) {
	return s.lease(ctx, "experiment "+experiment, runID, ttl)
}

// row is a lease in the database.
type row struct {
	holder, runID              string
	token, renewed, until, now int64
}

func (s *Store) lease(ctx context.Context, name, runID string, ttl time.Duration) (*Lease, error) {
	asked := time.Now()
	var token int64
	err := s.db.Transact(ctx, func(tx *database.Tx) error {
		had, err := readLease(tx, name)
		if err != nil {
			return err
		}
		mine := had.holder == s.holder && had.runID == runID
		if had.until > had.now && !mine {
			return &HeldError{Name: name, Holder: had.holder, RunID: had.runID, Left: time.Duration(had.until-had.now) * time.Microsecond}
		}
		token = had.token
		if !mine || had.until <= had.now {
			token++
			if err := bury(tx, had.runID, had.renewed); err != nil {
				return err
			}
		}
		return tx.Exec(`INSERT INTO leases (name, holder, run_id, token, renewed, until) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (name) DO UPDATE SET holder = $2, run_id = $3, token = $4, renewed = $5, until = $6`,
			clean(name), s.holder, clean(runID), token, had.now, had.now+ttl.Microseconds())
	})
	if err != nil {
		return nil, fmt.Errorf("taking %s: %w", name, err)
	}
	return &Lease{Name: name, Token: token, Until: asked.Add(ttl), store: s, runID: runID, ttl: ttl}, nil
}

// readLease locks a lease and reads it; one that never was is one that has ended.
func readLease(tx *database.Tx, name string) (row, error) {
	if err := tx.Lock("lease " + name); err != nil {
		return row{}, err
	}
	var r row
	err := tx.Row(`SELECT holder, run_id, token, renewed, until FROM leases WHERE name = $1`, clean(name)).
		Scan(&r.holder, &r.runID, &r.token, &r.renewed, &r.until)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return r, err
	}
	return r, tx.Row(`SELECT ` + tx.Now()).Scan(&r.now)
}

// Renew makes the lease last for its full time from now. The error is ErrLost if it had ended: what it was for must stop.
func (l *Lease) Renew(ctx context.Context) error {
	asked := time.Now()
	err := l.change(ctx, func(tx *database.Tx, r row) error {
		return tx.Exec(`UPDATE leases SET renewed = $2, until = $3 WHERE name = $1`, clean(l.Name), r.now, r.now+l.ttl.Microseconds())
	})
	if err != nil {
		return fmt.Errorf("renewing %s: %w", l.Name, err)
	}
	l.Until = asked.Add(l.ttl)
	return nil
}

// Release ends the lease. One that is lost is none of ours: that is no error.
func (l *Lease) Release(ctx context.Context) error {
	err := l.change(ctx, func(tx *database.Tx, r row) error {
		return tx.Exec(`UPDATE leases SET until = 0 WHERE name = $1`, clean(l.Name))
	})
	if err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("releasing %s: %w", l.Name, err)
	}
	return nil
}

func (l *Lease) change(ctx context.Context, f func(*database.Tx, row) error) error {
	return l.store.db.Transact(ctx, func(tx *database.Tx) error {
		r, err := l.held(tx)
		if err != nil {
			return err
		}
		return f(tx, r)
	})
}

// held reads the lease; the error is ErrLost if it is no longer this one.
func (l *Lease) held(tx *database.Tx) (row, error) {
	r, err := readLease(tx, l.Name)
	if err == nil && (r.holder != l.store.holder || r.token != l.Token || r.until <= r.now) {
		err = ErrLost
	}
	return r, err
}

// died is why a run that nobody saved has ended.
const died = "the runner died"

// MarkDead marks the runs that go on although nobody holds their claims: their runners died. A runner calls it when it starts. It
// returns their ids. Should one be alive after all, because it could not reach the database, its Save replaces the mark.
func (s *Store) MarkDead(ctx context.Context) ([]string, error) {
	var dead []string
	err := s.db.Transact(ctx, func(tx *database.Tx) error {
		dead = nil
		rows, err := tx.Query(`SELECT r.id, COALESCE((SELECT MAX(l.renewed) FROM leases l WHERE l.run_id = r.id), 0) FROM runs r
			WHERE r.running AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.run_id = r.id AND l.until > ` + tx.Now() + `) ORDER BY r.id`)
		if err != nil {
			return err
		}
		type last struct {
			id    string
			heard int64
		}
		all, err := database.Collect(rows, func(row database.Scanner) (last, error) {
			var l last
			err := row.Scan(&l.id, &l.heard)
			return l, err
		}, "the runs that go on")
		if err != nil {
			return err
		}
		for _, l := range all {
			if err := bury(tx, l.id, l.heard); err != nil {
				return err
			}
			dead = append(dead, l.id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for runs whose runner died: %w", err)
	}
	return dead, nil
}

// bury marks a run that goes on as interrupted when it was last heard of.
func bury(tx *database.Tx, id string, heard int64) error {
	k, err := scanRun(tx.Row(`SELECT running, outcome, run FROM runs WHERE id = $1 AND running`+tx.ForUpdate(), id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	r := k.Run
	r.Status, r.Error = record.Interrupted, died
	if r.Ended = database.Time(heard); r.Ended.Before(r.Began) {
		r.Ended = r.Began
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return tx.Exec(`UPDATE runs SET running = FALSE, status = $2, error = $3, ended = $4, run = $5 WHERE id = $1`,
		id, string(r.Status), r.Error, database.Stamp(r.Ended), string(text))
}
