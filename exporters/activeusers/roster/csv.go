package roster

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/deskstorm/deskstorm/exporters/activeusers/table"
	"github.com/deskstorm/deskstorm/internal/linefile"
	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// readCSV reads a shift a line: of one person, or of count people. Columns that name people are taken and forgotten.
func readCSV(data []byte, f File, m *linefile.Mistakes, check func(site, department string) error) *Roster {
	required := []string{"start", "end"}
	optional := []string{"count", "zone", "person", "seat", "client", "note"}
	for _, c := range []struct{ column, given string }{{"site", f.Site}, {"department", f.Department}} {
		if c.given == "" {
			required = append(required, c.column)
		} else {
			optional = append(optional, c.column)
		}
	}
	r := &Roster{}
	table.Read(data, m, required, optional, func(row table.Row) {
		s, err := f.csvShift(row)
		if err == nil {
			err = check(s.Site, s.Department)
		}
		if err == nil && len(r.shifts) == MaxShifts {
			err = fmt.Errorf("more than %d shifts; split the file or drop the past", MaxShifts)
		}
		if err != nil {
			m.Add(row.Line, "%s", err)
			return
		}
		r.shifts = append(r.shifts, s)
	})
	return r
}

func (f *File) csvShift(row table.Row) (s Shift, err error) {
	s = Shift{Site: row.Get("site"), Department: row.Get("department"), Count: 1}
	if s.Site == "" {
		s.Site = f.Site
	}
	if s.Department == "" {
		s.Department = f.Department
	}
	if c := row.Get("count"); c != "" {
		s.Count, err = strconv.Atoi(c)
		if err != nil || s.Count < 0 || s.Count > MaxCount {
			return s, fmt.Errorf("count: expected a whole number from 0 to %d, found %q", MaxCount, c)
		}
	}
	zone := f.Zone
	if z := row.Get("zone"); z != "" {
		if zone, err = f.zone(z); err != nil {
			return s, fmt.Errorf("zone: %w", err)
		}
	}
	if s.Start, err = csvTime(row.Get("start"), zone); err != nil {
		return s, fmt.Errorf("start: %w", err)
	}
	end := row.Get("end")
	if clock, ok := csvClock(end); ok {
		s.End = clockAfter(s.Start, clock, zone)
	} else if s.End, err = csvTime(end, zone); err != nil {
		return s, fmt.Errorf("end: %w, or a time of day", err)
	}
	return s, s.valid()
}

func (s *Shift) valid() error {
	if !s.End.After(s.Start) {
		return errors.New("the shift ends before it starts")
	}
	if s.End.Sub(s.Start) > MaxLength+2*time.Hour { // the clocks may change within
		return fmt.Errorf("the shift is longer than %d days", int(MaxLength.Hours()/24))
	}
	return nil
}

// csvTime reads a wall time, or one with its offset.
func csvTime(s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if w, err := time.Parse(layout, s); err == nil {
			return wallclock.Moment(w, zone), nil
		}
	}
	return time.Time{}, fmt.Errorf("expected a time such as 2026-10-24 22:00 or 2026-10-24T22:00:00+02:00, found %q", s)
}

// csvClock reads a time of day; 24:00 is midnight at the day's end.
func csvClock(s string) (time.Duration, bool) {
	if s == "24:00" {
		return 0, true
	}
	t, err := time.Parse("15:04", s)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err == nil
}

// clockAfter is when the clock next shows the time of day: on the same day, or on the next one for a shift overnight.
func clockAfter(start time.Time, clock time.Duration, zone *time.Location) time.Time {
	w := wallclock.On(start, zone)
	end := time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC).Add(clock)
	if !end.After(w) {
		end = end.AddDate(0, 0, 1)
	}
	return wallclock.Moment(end, zone)
}

// zone finds what a file calls a zone.
func (f *File) zone(name string) (*time.Location, error) {
	if zone, ok := f.Zones[name]; ok {
		return zone, nil
	}
	return wallclock.LoadZone(name)
}
