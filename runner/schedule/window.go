package schedule

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// Window is a span of each day, or of some days of the week, on the wall clock of the job's zone.
type Window struct {
	text string
	days [7]bool // on which it begins, by time.Weekday
	from int     // minute of the day, included
	to   int     // not included; not above from: on the next day
}

func (w Window) String() string { return w.text }

const minutesOfDay = 24 * 60

var (
	windows  = regexp.MustCompile(`^(?:([A-Za-z,-]+))?(?:(?:^| +)(\d\d:\d\d)-(\d\d:\d\d))?$`)
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

const windowForm = `a window such as "08:00-18:00", "Mon-Fri 22:00-06:00" or "Sat,Sun"`

// parseWindow reads "[DAYS] [HH:MM-HH:MM]".
func parseWindow(text string) (Window, error) {
	w := Window{text: text, to: minutesOfDay}
	m := windows.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || strings.TrimSpace(text) == "" {
		return w, fmt.Errorf("expected %s, found %q", windowForm, text)
	}
	if m[1] == "" {
		w.days = [7]bool{true, true, true, true, true, true, true}
	} else {
		for part := range strings.SplitSeq(strings.ToLower(m[1]), ",") {
			first, last, ranged := strings.Cut(part, "-")
			if !ranged {
				last = first
			}
			a, b := slices.Index(weekdays, first), slices.Index(weekdays, last)
			if a < 0 || b < 0 {
				return w, fmt.Errorf("expected days such as Mon-Fri or Sat,Sun, found %q", m[1])
			}
			for d := a; ; d = (d + 1) % 7 {
				w.days[d] = true
				if d == b {
					break
				}
			}
		}
	}
	if m[2] == "" {
		return w, nil
	}
	var ok, okTo bool
	w.from, ok = clock(m[2])
	w.to, okTo = clock(m[3])
	switch {
	case !ok || !okTo || w.from == minutesOfDay:
		return w, fmt.Errorf("expected times from 00:00 to 24:00, found %q", text)
	case w.from == w.to:
		return w, fmt.Errorf("the window %q has no length; all of a day is 00:00-24:00", text)
	}
	return w, nil
}

// clock reads a time of day as minutes; 24:00 is one.
func clock(text string) (minutes int, ok bool) {
	hour, minute, found := strings.Cut(text, ":")
	if !found || len(hour) != 2 || len(minute) != 2 {
		return 0, false
	}
	h, err := strconv.Atoi(hour)
	m, errMinute := strconv.Atoi(minute)
	minutes = h*60 + m
	return minutes, err == nil && errMinute == nil && h >= 0 && m >= 0 && m < 60 && minutes <= minutesOfDay
}

// contains says whether a wall time is in the window.
func (w Window) contains(wall wallclock.Time) bool {
	minute, day := wall.Hour()*60+wall.Minute(), wall.Weekday()
	if w.from < w.to {
		return w.days[day] && minute >= w.from && minute < w.to
	}
	return w.days[day] && minute >= w.from || w.days[(day+6)%7] && minute < w.to
}

// in returns the first window that a moment is in.
func in(all []Window, t time.Time, zone *time.Location) (Window, bool) {
	wall := wallclock.On(t, zone)
	for _, w := range all {
		if w.contains(wall) {
			return w, true
		}
	}
	return Window{}, false
}
