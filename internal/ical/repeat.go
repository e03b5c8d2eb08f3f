package ical

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// repeat is all of an event's occurrences. Rules are followed on the wall clock and each occurrence is then
// looked up in the zone, so that 22:00 stays 22:00 all year.
type repeat struct {
	zone  *time.Location
	start wallclock.Time
	// The end: on the wall clock (DTEND), or after days on the wall clock and then exact time (DURATION; RFC 5545, 3.3.6).
	span   time.Duration
	days   int
	exact  time.Duration
	rule   *rrule.RRule     // nil: none
	dates  []wallclock.Time // RDATE
	except map[int64]bool
	// exceptDays are days without any occurrence, as "2006-01-02".
	exceptDays map[string]bool
	longest    time.Duration // Options.MaxLength
}

func (c *calendar) repeat(e *Event) (rep repeat, err error) {
	rep = repeat{longest: c.MaxLength, except: map[int64]bool{}, exceptDays: map[string]bool{}}
	p, ok := e.First("DTSTART")
	if !ok {
		return rep, errors.New("DTSTART is missing")
	}
	var whole bool
	if rep.start, rep.zone, whole, err = c.time(p, p.Value); err != nil {
		return rep, fmt.Errorf("DTSTART: %w", err)
	}
	if rep.start.Year() < 1970 {
		return rep, errors.New("DTSTART: the year is before 1970")
	}
	if err := rep.readEnd(c, e, whole); err != nil {
		return rep, err
	}
	if err := rep.checkLength(c.What); err != nil {
		return rep, err
	}
	for _, p := range e.properties["EXDATE"] {
		for value := range strings.SplitSeq(p.Value, ",") {
			w, zone, date, err := c.time(p, value)
			switch {
			case err != nil:
				return rep, fmt.Errorf("EXDATE: %w", err)
			case date:
				rep.exceptDays[w.Format(time.DateOnly)] = true
			default:
				rep.except[wallclock.Moment(w, zone).Unix()] = true
			}
		}
	}
	for _, p := range e.properties["RDATE"] {
		for value := range strings.SplitSeq(p.Value, ",") {
			w, zone, _, err := c.time(p, value)
			if err != nil {
				return rep, fmt.Errorf("RDATE: %w", err)
			}
			rep.dates = append(rep.dates, wallclock.On(wallclock.Moment(w, zone), rep.zone))
		}
	}
	rules := e.properties["RRULE"]
	if len(rules) > 1 || len(e.properties["EXRULE"]) > 0 {
		return rep, errors.New("an event has one RRULE at most, and no EXRULE")
	}
	if len(rules) == 1 {
		if rep.rule, err = newRule(rules[0].Value, rep.start, rep.zone, whole, c.What); err != nil {
			return rep, fmt.Errorf("RRULE: %w", err)
		}
	}
	return rep, nil
}

func (rep *repeat) readEnd(c *calendar, e *Event, whole bool) error {
	if p, ok := e.First("DTEND"); ok {
		w, zone, _, err := c.time(p, p.Value)
		if err != nil {
			return fmt.Errorf("DTEND: %w", err)
		}
		rep.span = wallclock.On(wallclock.Moment(w, zone), rep.zone).Sub(rep.start)
		return nil
	}
	if p, ok := e.First("DURATION"); ok {
		var err error
		if rep.days, rep.exact, err = duration(p.Value); err != nil {
			return fmt.Errorf("DURATION: %w", err)
		}
		return nil
	}
	if whole {
		rep.days = 1
		return nil
	}
	return errors.New("DTEND is missing, and DURATION too")
}

// durations are RFC 5545's (3.3.6), of which none goes back.
var durations = regexp.MustCompile(`^\+?P(?:(\d{1,4})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,6})S)?)?$`)

// duration returns nominal days and exact time.
func duration(s string) (days int, exact time.Duration, err error) {
	m := durations.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, 0, fmt.Errorf("expected a duration such as PT8H, found %q", s)
	}
	n := make([]int, len(m))
	for i, digits := range m[1:] {
		n[i], _ = strconv.Atoi(digits) // digits, or nothing at all
	}
	exact = time.Duration(n[2])*time.Hour + time.Duration(n[3])*time.Minute + time.Duration(n[4])*time.Second
	return 7*n[0] + n[1], exact, nil
}

// newRule reads a rule whose times are all on the wall clock. Rules by the hour and below would be very many.
func newRule(value string, start wallclock.Time, zone *time.Location, whole bool, what string) (*rrule.RRule, error) {
	o, err := rrule.StrToROption(strings.ToUpper(strings.TrimSpace(value)))
	if err != nil {
		return nil, err
	}
	if o.Freq > rrule.DAILY || len(o.Byhour)+len(o.Byminute)+len(o.Bysecond) > 0 {
		return nil, fmt.Errorf("a %s repeats by days, weeks, months or years", what)
	}
	if o.Count < 0 || o.Interval < 0 {
		return nil, errors.New("COUNT and INTERVAL are not negative")
	}
	if !o.Until.IsZero() {
		until := untilText(value)
		switch {
		case strings.HasSuffix(until, "Z"):
			o.Until = wallclock.On(o.Until, zone)
		case !strings.Contains(until, "T") && !whole:
			o.Until = o.Until.Add(24*time.Hour - time.Second) // a date means all of its day
		}
	}
	o.Dtstart = start
	rule, err := rrule.NewRRule(*o)
	if err != nil {
		return nil, err
	}
	// A series that was cut short may have none; 31 February is looked for until the year 9999, each time.
	if _, ok := rule.Iterator()(); !ok && o.Until.IsZero() {
		return nil, errors.New("the rule has no occurrence at all")
	}
	return rule, nil
}

func untilText(rule string) string {
	for part := range strings.SplitSeq(strings.ToUpper(rule), ";") {
		if until, ok := strings.CutPrefix(strings.TrimSpace(part), "UNTIL="); ok {
			return until
		}
	}
	return ""
}

// Span is an occurrence of an event.
type Span struct{ Start, End time.Time }

// spanFrom is the occurrence that starts then.
func (rep *repeat) spanFrom(start wallclock.Time) Span {
	return Span{
		Start: wallclock.Moment(start, rep.zone),
		End:   wallclock.Moment(start.AddDate(0, 0, rep.days).Add(rep.span), rep.zone).Add(rep.exact),
	}
}

func (rep *repeat) checkLength(what string) error {
	first := rep.spanFrom(rep.start)
	if !first.End.After(first.Start) {
		return fmt.Errorf("the %s ends before it starts", what)
	}
	if first.End.Sub(first.Start) > rep.longest+2*time.Hour { // the clocks may change within
		return fmt.Errorf("the %s is longer than %d days", what, int(rep.longest.Hours()/24))
	}
	return nil
}

func (rep *repeat) excepted(start wallclock.Time) bool {
	return rep.exceptDays[start.Format(time.DateOnly)] || rep.except[wallclock.Moment(start, rep.zone).Unix()]
}

// Occurrences are those that overlap the span from from, included, to to, not included. The time it takes grows with the occurrences
// since the event's first one.
func (e *Event) Occurrences(from, to time.Time) []Span {
	var all []Span
	rep := &e.repeat
	seen := map[int64]bool{}
	add := func(start wallclock.Time) {
		s := rep.spanFrom(start)
		if seen[s.Start.Unix()] || rep.excepted(start) || !s.Start.Before(to) || !s.End.After(from) || !s.End.After(s.Start) {
			return
		}
		seen[s.Start.Unix()] = true
		all = append(all, s)
	}
	// Whatever the clocks do, an occurrence that overlaps starts in this span of the wall clock.
	low, high := wallclock.On(from, rep.zone).Add(-rep.longest-24*time.Hour), wallclock.On(to, rep.zone).Add(24*time.Hour)
	if rep.rule == nil {
		add(rep.start)
	} else {
		for _, start := range rep.rule.Between(low, high, true) {
			add(start)
		}
	}
	for _, start := range rep.dates {
		add(start)
	}
	return all
}

// Only is the one occurrence of an event that does not repeat; false if there is none at all.
func (e *Event) Only() (Span, bool) {
	return e.repeat.spanFrom(e.repeat.start), !e.repeat.excepted(e.repeat.start)
}
