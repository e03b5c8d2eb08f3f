// Package ical reads iCalendar files (RFC 5545) as calendar programs write them: the events, their occurrences, and in which zone
// they are. What it does not understand is a mistake and not left out.
package ical

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	ics "github.com/arran4/golang-ical"

	"github.com/deskstorm/deskstorm/internal/linefile"
	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// Options are what a file does not say itself.
type Options struct {
	What string         // an event is, for mistakes: "shift"
	Zone *time.Location // of wall times that name none; required
	// Zones are places for zone names that are not IANA's, such as Outlook's "W. Europe Standard Time".
	Zones     map[string]*time.Location
	MaxLength time.Duration // of an event, on the wall clock; required
}

// Property is an event's.
type Property struct {
	Value      string // as it is written; see Event.Text
	parameters map[string][]string
	line       int
}

// Parameter is the first value of a parameter; empty if there is none.
func (p Property) Parameter(name string) string {
	if v := p.parameters[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Event is what happens once, or again and again.
type Event struct {
	Line       int // in the file, from 1
	properties map[string][]Property
	repeat     repeat
}

// All are the properties of a name.
func (e *Event) All(name string) []Property { return e.properties[name] }

// First is the first property of a name.
func (e *Event) First(name string) (Property, bool) {
	if p := e.properties[name]; len(p) > 0 {
		return p[0], true
	}
	return Property{}, false
}

// Text is the first property's text; empty if there is none.
func (e *Event) Text(name string) string {
	p, _ := e.First(name)
	return strings.TrimSpace(ics.FromText(p.Value))
}

// Repeats says whether there may be more than one occurrence.
func (e *Event) Repeats() bool { return e.repeat.rule != nil || len(e.repeat.dates) > 0 }

// line is a content line: physical lines joined.
type line struct {
	number int // of its first physical line
	text   []byte
}

// maxLine is the longest content line, in bytes.
const maxLine = 64 << 10

// lines joins lines that begin with white space to the one before (RFC 5545, 3.1).
func lines(data []byte, m *linefile.Mistakes) []line {
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

// calendar reads the file's components. Only events' own properties are kept, not their alarms'.
type calendar struct {
	Options
	m      *linefile.Mistakes
	events []*Event
}

// Read reads a file's events that are not cancelled. Mistakes are added to m; there are no events then.
func Read(data []byte, o Options, m *linefile.Mistakes) []*Event {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		m.Add(0, "not UTF-8")
		return nil
	}
	zones := map[string]*time.Location{}
	for name, zone := range o.Zones {
		zones[name] = zone
	}
	o.Zones = zones
	c := &calendar{Options: o, m: m}
	c.read(data)
	if m.Err() != nil {
		return nil
	}
	overridden := map[string][]time.Time{} // by UID: occurrences that have an event of their own
	for _, e := range c.events {
		if p, ok := e.First("RECURRENCE-ID"); ok {
			w, zone, _, err := c.time(p, p.Value)
			if err == nil && p.Parameter("RANGE") != "" {
				err = fmt.Errorf("RANGE is not understood; give each changed %s an event of its own", o.What)
			}
			if err != nil {
				m.Add(p.line, "RECURRENCE-ID: %s", err)
				continue
			}
			overridden[e.Text("UID")] = append(overridden[e.Text("UID")], wallclock.Moment(w, zone))
		}
	}
	events := c.events[:0]
	for _, e := range c.events {
		if m.Enough() {
			break
		}
		if strings.EqualFold(e.Text("STATUS"), "CANCELLED") {
			continue
		}
		var err error
		if e.repeat, err = c.repeat(e); err != nil {
			m.Add(e.Line, "%s", err)
			continue
		}
		if _, single := e.First("RECURRENCE-ID"); !single {
			for _, t := range overridden[e.Text("UID")] {
				e.repeat.except[t.Unix()] = true
			}
		}
		events = append(events, e)
	}
	if m.Err() != nil {
		return nil
	}
	return events
}

func (c *calendar) read(data []byte) {
	var open []string // components, from the outermost
	var e *Event
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
		p := Property{Value: base.Value, parameters: base.ICalParameters, line: l.number}
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
				e = &Event{Line: l.number, properties: map[string][]Property{}}
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
			if zone, err := wallclock.LoadZone(base.Value); err == nil && c.Zones[tzid] == nil && tzid != "" {
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

// time reads one value of a property: a wall time, its zone, and whether it is a date.
func (c *calendar) time(p Property, value string) (w wallclock.Time, zone *time.Location, date bool, err error) {
	zone = c.Zone
	if name := p.Parameter("TZID"); name != "" {
		if zone, err = c.zone(name); err != nil {
			return w, nil, false, fmt.Errorf("TZID: %w, or give the zone in the configuration's zones", err)
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

// zone finds what a file calls a zone.
func (o *Options) zone(name string) (*time.Location, error) {
	if zone, ok := o.Zones[name]; ok {
		return zone, nil
	}
	return wallclock.LoadZone(name)
}
