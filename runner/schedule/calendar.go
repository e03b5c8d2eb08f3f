package schedule

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/internal/ical"
	"github.com/deskstorm/deskstorm/internal/linefile"
)

// Calendar is an iCalendar file of maintenance, in which nothing is started. It may be used by many goroutines at once.
type Calendar struct {
	Path string
	Zone *time.Location // of times that name none
	// Zones are places for zone names that are not IANA's, such as Outlook's "W. Europe Standard Time".
	Zones map[string]*time.Location

	mutex   sync.Mutex
	modTime time.Time
	size    int64
	events  []*ical.Event
	known   map[int64][]maintenance // of chunks of time, by their numbers
}

type maintenance struct {
	ical.Span
	summary string
}

// maxMaintenance is the longest event.
const maxMaintenance = 92 * 24 * time.Hour

// chunk is the time whose occurrences are looked up at once: rules are followed from their beginning each time.
const chunk = 32 * 24 * time.Hour

// maxChunks are kept.
const maxChunks = 64

// Load reads the file if it has changed since it was read last. What was read before stays where it cannot be read.
func (c *Calendar) Load() error {
	info, err := os.Stat(c.Path)
	if err != nil {
		return fmt.Errorf("reading a calendar: %w", err)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.known != nil && info.ModTime().Equal(c.modTime) && info.Size() == c.size {
		return nil
	}
	data, err := linefile.ReadFile(c.Path)
	if err != nil {
		return fmt.Errorf("reading a calendar: %w", err)
	}
	m := &linefile.Mistakes{File: c.Path}
	events := ical.Read(data, ical.Options{What: "maintenance", Zone: c.Zone, Zones: c.Zones, MaxLength: maxMaintenance}, m)
	if err := m.Err(); err != nil {
		return err
	}
	c.events, c.known = events, map[int64][]maintenance{}
	c.modTime, c.size = info.ModTime(), info.Size()
	return nil
}

// At returns what is maintained at a moment.
func (c *Calendar) At(t time.Time) (summary string, ok bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	number := t.Unix() / int64(chunk/time.Second)
	all, known := c.known[number]
	if !known {
		from := time.Unix(number*int64(chunk/time.Second), 0)
		for _, e := range c.events {
			for _, span := range e.Occurrences(from, from.Add(chunk)) {
				all = append(all, maintenance{span, e.Text("SUMMARY")})
			}
		}
		slices.SortStableFunc(all, func(a, b maintenance) int { return a.Start.Compare(b.Start) })
		if len(c.known) >= maxChunks {
			clear(c.known)
		}
		if c.known != nil {
			c.known[number] = all
		}
	}
	for _, m := range all {
		if !m.Start.After(t) && m.End.After(t) {
			if m.summary == "" {
				return "maintenance", true
			}
			return m.summary, true
		}
	}
	return "", false
}
