// Package roster reads shift rosters, CSV and iCalendar, and says how many people should be at work where and when.
//
// Shifts are written in the wall clock of their place (package wallclock). A shift ends when the clock on the wall says so: a night
// shift from 22:00 to 06:00 lasts 7 or 9 hours when the clocks change. In the doubled hour a time with an offset of its own
// (2026-10-25T02:30:00+01:00) names the second.
package roster

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/linefile"
)

// Limits of a roster.
const (
	MaxShifts = 1_000_000
	MaxCount  = 100_000            // people in one shift
	MaxLength = 7 * 24 * time.Hour // of a shift, on the wall clock
)

// File is a roster's file and what it does not say itself.
type File struct {
	Path       string // .csv or .ics
	Site       string // of shifts without one
	Department string
	Zone       *time.Location // of wall times that name none; nil: UTC
	// Zones are places for zone names that are not IANA's, such as Outlook's "W. Europe Standard Time".
	Zones map[string]*time.Location
}

// Shift is a span in which people should work.
type Shift struct {
	Site, Department string
	Start, End       time.Time
	Count            int
}

// Roster is what a file says. It does not change.
type Roster struct {
	shifts  []Shift  // with given times, in the order of their starts
	repeats []repeat // by rules
}

// Load reads the file. Check says what is wrong with a site and department. An error joins *linefile.Errors.
func Load(f File, check func(site, department string) error) (*Roster, error) {
	data, err := linefile.ReadFile(f.Path)
	if err != nil {
		return nil, fmt.Errorf("reading a roster: %w", err)
	}
	if f.Zone == nil {
		f.Zone = time.UTC
	}
	var r *Roster
	m := &linefile.Mistakes{File: f.Path}
	switch ext := strings.ToLower(filepath.Ext(f.Path)); ext {
	case ".csv":
		r = readCSV(data, f, m, check)
	case ".ics":
		r = readICal(data, f, m, check)
	default:
		return nil, &linefile.Error{File: f.Path, Message: fmt.Sprintf("a roster's name ends in .csv or .ics, not in %q", ext)}
	}
	if err := m.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(r.shifts, func(a, b Shift) int { return a.Start.Compare(b.Start) })
	return r, nil
}

// Len is how many shifts are written in the file; one that repeats counts once.
func (r *Roster) Len() int { return len(r.shifts) + len(r.repeats) }

// Shifts are those that overlap the span.
func (r *Roster) Shifts(from, to time.Time) []Shift {
	var all []Shift
	for _, s := range r.shifts {
		if s.Start.Before(to) && s.End.After(from) {
			all = append(all, s)
		}
	}
	for i := range r.repeats {
		all = r.repeats[i].appendShifts(all, from, to)
	}
	return all
}

// Cell is a department at a site.
type Cell struct{ Site, Department string }

// Timeline is how many people are expected at every moment of a span. It does not change.
type Timeline struct {
	From, To time.Time
	steps    map[Cell][]step
	cells    []Cell
}

// step is a level that holds from a second (Unix) to the next step.
type step struct {
	at    int64
	level int
}

// NewTimeline adds the shifts up. What is outside of the span is not known.
func NewTimeline(from, to time.Time, rosters ...*Roster) *Timeline {
	t := &Timeline{From: from, To: to, steps: map[Cell][]step{}}
	for _, r := range rosters {
		for _, s := range r.Shifts(from, to) {
			c := Cell{s.Site, s.Department}
			t.steps[c] = append(t.steps[c], step{s.Start.Unix(), s.Count}, step{s.End.Unix(), -s.Count})
		}
	}
	for c, changes := range t.steps {
		slices.SortFunc(changes, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		level := 0
		levels := changes[:0]
		for _, change := range changes {
			level += change.level
			if n := len(levels); n > 0 && levels[n-1].at == change.at {
				levels[n-1].level = level
				continue
			}
			levels = append(levels, step{change.at, level})
		}
		t.steps[c] = slices.Clip(levels)
		t.cells = append(t.cells, c)
	}
	return t
}

// Cells are the departments that have a shift in the span.
func (t *Timeline) Cells() []Cell { return t.cells }

// Expected is how many people should be at work then.
func (t *Timeline) Expected(c Cell, now time.Time) int {
	steps := t.steps[c]
	i, found := slices.BinarySearchFunc(steps, now.Unix(), func(s step, at int64) int { return cmp.Compare(s.at, at) })
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return steps[i].level
}
