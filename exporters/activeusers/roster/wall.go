package roster

import (
	"fmt"
	"time"
)

// wall is a time on a wall clock: its fields are those of a time.Time in UTC.
type wall = time.Time

// onWall is what the clock shows at a moment.
func onWall(t time.Time, at *time.Location) wall {
	t = t.In(at)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// moment is when the clock shows w: the first time, if it shows it twice; by the offset before, if it never does. time.Date
// leaves open which it takes.
func moment(w wall, at *time.Location) time.Time {
	// No offset is above 14 hours, and no zone changes twice in two days.
	before, after := offset(w.Add(-24*time.Hour), at), offset(w.Add(24*time.Hour), at)
	byBefore, byAfter := w.Add(-before), w.Add(-after)
	if offset(byBefore, at) != before && offset(byAfter, at) == after {
		return byAfter.In(at)
	}
	return byBefore.In(at)
}

func offset(t time.Time, at *time.Location) time.Duration {
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

// zone finds what a file calls a zone.
func (f *File) zone(name string) (*time.Location, error) {
	if zone, ok := f.Zones[name]; ok {
		return zone, nil
	}
	return LoadZone(name)
}
