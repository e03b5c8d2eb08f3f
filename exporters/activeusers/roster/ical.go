package roster

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/deskstorm/deskstorm/internal/ical"
	"github.com/deskstorm/deskstorm/internal/linefile"
)

// countProperty says how many people a shift has. Without it its attendees are counted, and without those it has one.
const countProperty = "X-DESKSTORM-COUNT"

// repeat is an event that is a shift again and again.
type repeat struct {
	of    Shift // without times
	event *ical.Event
}

func readICal(data []byte, f File, m *linefile.Mistakes, check func(site, department string) error) *Roster {
	r := &Roster{}
	for _, e := range ical.Read(data, ical.Options{What: "shift", Zone: f.Zone, Zones: f.Zones, MaxLength: MaxLength}, m) {
		if m.Enough() {
			break
		}
		f.add(r, e, m, check)
		if r.Len() > MaxShifts {
			m.Add(e.Line, "more than %d shifts; split the file or drop the past", MaxShifts)
			break
		}
	}
	return r
}

// add puts an event into the roster.
func (f *File) add(r *Roster, e *ical.Event, m *linefile.Mistakes, check func(site, department string) error) {
	s := Shift{Site: e.Text("LOCATION"), Department: f.Department}
	if s.Site == "" {
		s.Site = f.Site
	}
	if p, ok := e.First("CATEGORIES"); ok {
		category, _, _ := strings.Cut(p.Value, ",")
		s.Department = strings.TrimSpace(ics.FromText(category))
	}
	if err := check(s.Site, s.Department); err != nil {
		m.Add(e.Line, "LOCATION, CATEGORIES: %s", err)
		return
	}
	var err error
	if s.Count, err = count(e); err != nil {
		m.Add(e.Line, "%s", err)
		return
	}
	if e.Repeats() {
		r.repeats = append(r.repeats, repeat{s, e})
		return
	}
	if only, ok := e.Only(); ok {
		s.Start, s.End = only.Start, only.End
		r.shifts = append(r.shifts, s)
	}
}

func count(e *ical.Event) (int, error) {
	if s := e.Text(countProperty); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > MaxCount {
			return 0, fmt.Errorf("%s: expected a whole number from 0 to %d, found %q", countProperty, MaxCount, s)
		}
		return n, nil
	}
	attendees := e.All("ATTENDEE")
	if len(attendees) == 0 {
		return 1, nil
	}
	n := 0
	for _, p := range attendees {
		if !strings.EqualFold(p.Parameter("PARTSTAT"), "DECLINED") {
			n++
		}
	}
	return n, nil
}

// appendShifts appends the occurrences that overlap the span.
func (rep *repeat) appendShifts(all []Shift, from, to time.Time) []Shift {
	for _, o := range rep.event.Occurrences(from, to) {
		s := rep.of
		s.Start, s.End = o.Start, o.End
		all = append(all, s)
	}
	return all
}
