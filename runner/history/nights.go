package history

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/internal/database"
)

// Like chooses the runs that a run may be compared with.
type Like struct {
	Experiment string
	Before     time.Time // they began before
	Since      time.Time // they began then or later; zero: whenever
	N          int       // the last so many; 0: 7
	// Fingerprint is that of the runs (record.Run); empty: any.
	Fingerprint string
	// Outcomes are the verdicts that count; none: Sound. A dry run, and a run that was not completed, never count.
	Outcomes []string
	// Night is where nights are reckoned from noon to noon: of each, its last run counts. Nil: every run counts.
	Night *time.Location
}

// Sound are the outcomes of runs whose measurements can be relied on: those of package verdict that are a verdict.
func Sound() []string { return []string{"passed", "deviated"} }

// Nights returns comparable runs, the latest first, with their totals and verdicts and without windows and journals.
func (s *Store) Nights(ctx context.Context, l Like) ([]Kept, error) {
	if l.N <= 0 {
		l.N = 7
	}
	if len(l.Outcomes) == 0 {
		l.Outcomes = Sound()
	}
	var nights []Kept
	err := s.db.View(ctx, patience, func(tx *database.Tx) error {
		var err error
		if nights, err = l.choose(tx); err != nil {
			return err
		}
		ids := make([]string, len(nights))
		for i, k := range nights {
			ids[i] = k.ID
		}
		all, err := totals(tx, ids)
		if err != nil {
			return err
		}
		for i := range nights {
			nights[i].Totals = all[nights[i].ID]
			if err := nights[i].readVerdict(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the last runs of %s: %w", l.Experiment, err)
	}
	return nights, nil
}

// page is how many runs are looked at at once: some hours of an experiment that runs every few minutes.
const page = 100

func (l Like) choose(tx *database.Tx) ([]Kept, error) {
	const comparable = ` AND NOT running AND NOT dry_run AND status = 'completed'`
	var nights []Kept
	night := ""
	for before := l.Before; ; {
		some, err := list(tx, Filter{Experiment: l.Experiment, Since: l.Since, Before: before, Limit: page}, comparable)
		if err != nil {
			return nil, err
		}
		for _, k := range some {
			if !slices.Contains(l.Outcomes, k.Outcome) || l.Fingerprint != "" && k.Fingerprint != l.Fingerprint {
				continue
			}
			if l.Night != nil {
				of := k.Began.In(l.Night).Add(-12 * time.Hour).Format(time.DateOnly)
				if of == night {
					continue
				}
				night = of
			}
			if nights = append(nights, k); len(nights) == l.N {
				return nights, nil
			}
		}
		if len(some) < page {
			return nights, nil
		}
		before = some[page-1].Began // runs of one experiment do not begin in the same microsecond: one has the claim
	}
}
