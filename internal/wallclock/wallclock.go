// Package wallclock is about times on a wall clock and when they are. A wall time that a change of the clocks leaves out is taken with
// the offset before it (02:30 is then 03:30 of the new time), and one that it repeats is the first of the two, as RFC 5545 (3.3.5) has
// it.
package wallclock

import (
	"fmt"
	"time"
	_ "time/tzdata" // a host without a zone database must not shift what is planned
)

// Time is a time on a wall clock: its fields are those of a time.Time in UTC.
type Time = time.Time

// On is what the clock shows at a moment.
func On(t time.Time, at *time.Location) Time {
	t = t.In(at)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// Moment is when the clock shows w: the first time, if it shows it twice; by the offset before, if it never does. time.Date
// leaves open which it takes.
func Moment(w Time, at *time.Location) time.Time {
	// No offset is above 14 hours, and no zone changes twice in two days.
	before, after := Offset(w.Add(-24*time.Hour), at), Offset(w.Add(24*time.Hour), at)
	byBefore, byAfter := w.Add(-before), w.Add(-after)
	if Offset(byBefore, at) != before && Offset(byAfter, at) == after {
		return byAfter.In(at)
	}
	return byBefore.In(at)
}

// Offset is how far the clock is ahead of UTC at a moment.
func Offset(t time.Time, at *time.Location) time.Duration {
	_, seconds := t.In(at).Zone()
	return time.Duration(seconds) * time.Second
}

// LoadZone returns an IANA zone.
func LoadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone; write one such as Europe/Berlin", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone; write one such as Europe/Berlin", name)
	}
	return zone, nil
}
