package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// timing is when a job's occurrences are.
//
// A cron line is about the clock on the wall, which leaves hours out and repeats others. As in crontab(5) of Debian, a job
// with a time of day is neither lost nor doubled by that:
//
//   - A time that the clock leaves out is at the moment when the clock goes on; several of them are one.
//   - A time that the clock shows twice is the first of the two.
//   - A job in every hour is a rhythm, not a time of day: it is at each moment when the clock shows its minutes, so that a run
//
// each 15
//
//	minutes stays that. So is one whose minutes begin with *, in a doubled hour.
type timing struct {
	zone  *time.Location
	spec  *cron.SpecSchedule // on the wall clock; nil: every
	every time.Duration      // counted from 1970-01-01T00:00:00Z, so that it is the same for all runners and after restarts

	everyHour  bool // nothing is moved out of the missing hour
	everyStep  bool // the doubled hour counts twice
	definition string
}

// Limits of @every.
const (
	minEvery = time.Minute
	maxEvery = 366 * 24 * time.Hour
)

const allHours = 1<<24 - 1

// parseTiming reads a cron line of five fields, or one of its short forms: @hourly, @daily, @weekly, @monthly, @yearly, @every
// 90m.
func parseTiming(text string, zone *time.Location) (timing, error) {
	t := timing{zone: zone, definition: text + " in " + zone.String()}
	text = strings.TrimSpace(text)
	if strings.Contains(text, "TZ=") {
		return t, errors.New("the zone has a key of its own: timezone")
	}
	fields := strings.Fields(text)
	if !strings.HasPrefix(text, "@") && len(fields) != 5 {
		return t, fmt.Errorf("expected five fields (minute, hour, day of the month, month, day of the week; seconds are not taken) "+
			"or @hourly, @daily, @weekly, @monthly, @yearly, @every 90m; found %d fields", len(fields))
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		return t, err
	}
	switch s := parsed.(type) {
	case cron.ConstantDelaySchedule:
		if t.every = s.Delay; t.every < minEvery || t.every > maxEvery {
			return t, fmt.Errorf("expected @every with at least %s and at most a year", minEvery)
		}
		return t, nil
	case *cron.SpecSchedule:
		t.spec = s
	default:
		return t, fmt.Errorf("no cron line: %T", parsed)
	}
	t.spec.Location = time.UTC // of wall times; see next
	for i, bits := range []uint64{t.spec.Minute, t.spec.Hour, t.spec.Dom, t.spec.Month, t.spec.Dow} {
		if bits<<1 == 0 { // the highest bit says that it was a star
			return t, fmt.Errorf("expected a value in each field, found %q", fields[i])
		}
	}
	t.everyHour = t.spec.Hour&allHours == allHours
	t.everyStep = t.everyHour || strings.ContainsAny(fields[0][:1], "*?")
	return t, nil
}

// shortest is the shortest time between two occurrences, as far as a hundred show it; 0: there are none. The zone's changes of
// the clock are left out, so that it is the same all year.
func (t timing) shortest() time.Duration {
	t.zone = time.UTC
	at := t.next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	var shortest time.Duration
	for range 100 {
		next := t.next(at)
		if next.IsZero() {
			break
		}
		if d := next.Sub(at); shortest == 0 || d < shortest {
			shortest = d
		}
		at = next
	}
	return shortest
}

// next is the first occurrence after a moment; zero if there is none in the next five years.
func (t timing) next(after time.Time) time.Time {
	if t.every > 0 {
		n := int64(t.every / time.Second)
		return time.Unix((after.Unix()/n+1)*n, 0).In(t.zone)
	}
	from := wallclock.On(after, t.zone) // the wall time behind which to look
	for at := after.In(t.zone); ; {
		// In each span between two changes of the clock, wall time and time run alike.
		start, end := at.ZoneBounds()
		offset := wallclock.Offset(at, t.zone)
		if !start.IsZero() && !t.everyStep {
			// What the clock showed before the change is over, though it shows it again.
			if shown := start.Add(wallclock.Offset(start.Add(-1), t.zone)).UTC().Add(-time.Second); shown.After(from) {
				from = shown
			}
		}
		next := t.spec.Next(from)
		if next.IsZero() {
			return time.Time{}
		}
		if moment := next.Add(-offset); end.IsZero() || moment.Before(end) {
			return moment.In(t.zone)
		}
		before, behind := end.Add(offset).UTC(), end.Add(wallclock.Offset(end, t.zone)).UTC()
		if !t.everyHour && behind.After(before) {
			if missing := t.spec.Next(before.Add(-time.Second)); missing.Before(behind) {
				return end.In(t.zone)
			}
		}
		from, at = behind.Add(-time.Second), end
	}
}
