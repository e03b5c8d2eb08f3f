package roster

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	ics "github.com/arran4/golang-ical"

	"github.com/deskstorm/deskstorm/exporters/activeusers/table"
)

// countProperty says how many people a shift has. Without it its attendees are counted, and without those it has one.
const countProperty = "X-DESKSTORM-COUNT"

// line is a content line: physical lines joined.
type line struct {
	number int // of its first physical line
	text   []byte
}

// maxLine is the longest content line, in bytes.
const maxLine = 64 << 10

// lines joins lines that begin with white space to the one before (RFC 5545, 3.1).
func lines(data []byte, m *table.Mistakes) []line {
	var all []line
	number := 0
	for raw := range bytes.Lines(data) {
		number++
		raw = bytes.TrimRight(raw, "\r\n")
		folded := len(all) > 0 && len(raw) > 0 && (raw[0] == ' ' || raw[0] == '\t')
		switch {
		case len(raw) == 0:
			continue
		case folded:
			last := &all[len(all)-1]
			last.text = append(last.text, raw[1:]...)
		default:
			all = append(all, line{number, bytes.Clone(raw)})
		}
		if l := all[len(all)-1]; len(l.text) > maxLine {
			m.Add(l.number, "the line is longer than %d bytes", maxLine)
			return nil
		}
	}
	return all
}

// property is a content line, read.
type property struct {
	*ics.BaseProperty
	line int
}

func (p property) parameter(name string) string {
	if v := p.ICalParameters[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// event is a VEVENT's properties that matter here.
type event struct {
	line       int
	properties map[string][]property
}

func (e *event) first(name string) (property, bool) {
	if p := e.properties[name]; len(p) > 0 {
		return p[0], true
	}
	return property{}, false
}

func (e *event) text(name string) string {
	p, _ := e.first(name)
	if p.BaseProperty == nil {
		return ""
	}
	return strings.TrimSpace(ics.FromText(p.Value))
}

// calendar reads the file's components. Only events' own properties are kept, not their alarms'.
type calendar struct {
	File
	m      *table.Mistakes
	events []*event
}

func readICal(data []byte, f File, m *table.Mistakes, check func(site, department string) error) *Roster {
	r := &Roster{}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		m.Add(0, "not UTF-8")
		return r
	}
	zones := map[string]*time.Location{}
	for name, zone := range f.Zones {
		zones[name] = zone
	}
	f.Zones = zones
	c := &calendar{File: f, m: m}
	c.read(data)
	if m.Err() != nil {
		return r
	}
	overridden := map[string][]time.Time{} // by UID: occurrences that have an event of their own
	for _, e := range c.events {
		if p, ok := e.first("RECURRENCE-ID"); ok {
			w, zone, _, err := c.time(p, p.Value)
			if err == nil && p.parameter("RANGE") != "" {
				err = errors.New("RANGE is not understood; give each changed shift an event of its own")
			}
			if err != nil {
				m.Add(p.line, "RECURRENCE-ID: %s", err)
				continue
			}
			overridden[e.text("UID")] = append(overridden[e.text("UID")], moment(w, zone))
		}
	}
	for _, e := range c.events {
		if m.Enough() {
			break
		}
		c.add(r, e, overridden, check)
		if r.Len() > MaxShifts {
			m.Add(e.line, "more than %d shifts; split the file or drop the past", MaxShifts)
			break
		}
	}
	return r
}

func (c *calendar) read(data []byte) {
	var open []string // components, from the outermost
	var e *event
	var tzid string
	for _, l := range lines(data, c.m) {
		if c.m.Enough() {
			return
		}
		text := string(l.text)
		base, err := ics.ParseProperty(ics.ContentLine(text))
		if err != nil || base == nil || !strings.HasPrefix(text, base.IANAToken) {
			c.m.Add(l.number, "expected an iCalendar line (NAME:value)")
			return
		}
		p := property{base, l.number}
		name := strings.ToUpper(base.IANAToken)
		component := strings.ToUpper(strings.TrimSpace(base.Value))
		inside := ""
		if len(open) > 0 {
			inside = open[len(open)-1]
		}
		switch {
		case len(open) == 0 && (name != "BEGIN" || component != "VCALENDAR"):
			c.m.Add(l.number, "expected BEGIN:VCALENDAR")
			return
		case name == "BEGIN":
			if len(open) == 8 {
				c.m.Add(l.number, "too many components in each other")
				return
			}
			open = append(open, component)
			switch component {
			case "VEVENT":
				e = &event{line: l.number, properties: map[string][]property{}}
			case "VTIMEZONE":
				tzid = ""
			}
		case name == "END":
			if component != inside {
				c.m.Add(l.number, "expected END:%s, found END:%s", inside, component)
				return
			}
			open = open[:len(open)-1]
			if component == "VEVENT" {
				c.events = append(c.events, e)
			}
		case inside == "VEVENT":
			e.properties[name] = append(e.properties[name], p)
		case inside == "VTIMEZONE" && name == "TZID":
			tzid = base.Value
		case inside == "VTIMEZONE" && name == "X-LIC-LOCATION":
			if zone, err := LoadZone(base.Value); err == nil && c.Zones[tzid] == nil && tzid != "" {
				c.Zones[tzid] = zone
			}
		case inside == "VCALENDAR" && name == "X-WR-TIMEZONE":
			if zone, err := c.zone(strings.TrimSpace(base.Value)); err == nil {
				c.Zone = zone
			}
		}
	}
	if len(open) > 0 {
		c.m.Add(0, "the file ends before END:%s", open[len(open)-1])
	}
	if len(data) == 0 {
		c.m.Add(1, "expected BEGIN:VCALENDAR; found an empty file")
	}
}

// add puts an event into the roster.
func (c *calendar) add(r *Roster, e *event, overridden map[string][]time.Time, check func(site, department string) error) {
	if strings.EqualFold(e.text("STATUS"), "CANCELLED") {
		return
	}
	s := Shift{Site: e.text("LOCATION"), Department: c.Department}
	if s.Site == "" {
		s.Site = c.Site
	}
	if p, ok := e.first("CATEGORIES"); ok {
		category, _, _ := strings.Cut(p.Value, ",")
		s.Department = strings.TrimSpace(ics.FromText(category))
	}
	if err := check(s.Site, s.Department); err != nil {
		c.m.Add(e.line, "LOCATION, CATEGORIES: %s", err)
		return
	}
	var err error
	if s.Count, err = e.count(); err != nil {
		c.m.Add(e.line, "%s", err)
		return
	}
	rep, err := c.repeat(e, s)
	if err != nil {
		c.m.Add(e.line, "%s", err)
		return
	}
	if _, single := e.first("RECURRENCE-ID"); !single {
		for _, t := range overridden[e.text("UID")] {
			rep.except[t.Unix()] = true
		}
	}
	if rep.rule == nil && len(rep.dates) == 0 {
		if first := rep.shift(rep.start); !rep.excepted(rep.start) {
			r.shifts = append(r.shifts, first)
		}
		return
	}
	r.repeats = append(r.repeats, rep)
}

func (e *event) count() (int, error) {
	if s := e.text(countProperty); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > MaxCount {
			return 0, fmt.Errorf("%s: expected a whole number from 0 to %d, found %q", countProperty, MaxCount, s)
		}
		return n, nil
	}
	attendees := e.properties["ATTENDEE"]
	if len(attendees) == 0 {
		return 1, nil
	}
	n := 0
	for _, p := range attendees {
		if !strings.EqualFold(p.parameter("PARTSTAT"), "DECLINED") {
			n++
		}
	}
	return n, nil
}

// time reads one value of a property: a wall time, its zone, and whether it is a date.
func (c *calendar) time(p property, value string) (w wall, zone *time.Location, date bool, err error) {
	zone = c.Zone
	if name := p.parameter("TZID"); name != "" {
		if zone, err = c.zone(name); err != nil {
			return w, nil, false, fmt.Errorf("TZID: %w, or give the zone in the roster's zones", err)
		}
	}
	value = strings.TrimSpace(value)
	if w, err = time.Parse("20060102T150405Z", value); err == nil {
		return w, time.UTC, false, nil
	}
	if w, err = time.Parse("20060102T150405", value); err == nil {
		return w, zone, false, nil
	}
	if w, err = time.Parse("20060102", value); err == nil {
		return w, zone, true, nil
	}
	return w, nil, false, fmt.Errorf("expected a time such as 20261024T220000, found %q", value)
}
