package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/wallclock"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := wallclock.LoadZone(name)
	require.NoError(t, err)
	return z
}

// TestChangeOfClocks: what docs/serve.md says of the missing and of the doubled hour. Berlin's clocks go forward on 29 March
// 2026 from 02:00 to 03:00 (01:00 UTC), and back on 25 October from 03:00 to 02:00 (01:00 UTC).
func TestChangeOfClocks(t *testing.T) {
	const spring, autumn = "2026-03-28T23:00:00Z", "2026-10-24T22:00:00Z" // midnight in Berlin
	for _, c := range []struct {
		name, cron, zone, from string
		want                   []string // in UTC
	}{
		{"missing: when the clock goes on", "30 2 * * *", "Europe/Berlin", spring, []string{"29T01:00", "30T00:30", "31T00:30"}},
		{"missing, and then there: once", "0 2,3 * * *", "Europe/Berlin", spring, []string{"29T01:00", "30T00:00", "30T01:00"}},
		{"several missing: once", "0,20,40 2 * * *", "Europe/Berlin", spring, []string{"29T01:00", "30T00:00", "30T00:20"}},
		{"missing steps within an hour: once", "*/20 2 * * *", "Europe/Berlin", spring, []string{"29T01:00", "30T00:00"}},
		{"each hour: none is moved", "17 * * * *", "Europe/Berlin", spring, []string{"28T23:17", "29T00:17", "29T01:17", "29T02:17"}},
		{"each 15 minutes: none is moved", "*/30 * * * *", "Europe/Berlin", spring,
			[]string{"28T23:30", "29T00:00", "29T00:30", "29T01:00", "29T01:30"}},
		{"doubled: the first", "30 2 * * *", "Europe/Berlin", autumn, []string{"25T00:30", "26T01:30"}},
		{"doubled, several: the first of each", "0,30 2,3 * * *", "Europe/Berlin", autumn,
			[]string{"25T00:00", "25T00:30", "25T02:00", "25T02:30", "26T01:00"}},
		{"each hour: both", "17 * * * *", "Europe/Berlin", autumn, []string{"24T22:17", "24T23:17", "25T00:17", "25T01:17",
			"25T02:17"}},
		{"steps within an hour: both", "*/30 2 * * *", "Europe/Berlin", autumn,
			[]string{"25T00:00", "25T00:30", "25T01:00", "25T01:30", "26T01:00"}},
		{"@every knows no clock", "@every 6h", "Europe/Berlin", autumn, []string{"25T00:00", "25T06:00", "25T12:00"}},
		{"@daily", "@daily", "Europe/Berlin", spring, []string{"29T22:00", "30T22:00"}},
		{"@hourly in the doubled hour", "@hourly", "Europe/Berlin", autumn, []string{"24T23:00", "25T00:00", "25T01:00", "25T02:00"}},
		{"half an hour back", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T13:00:00Z", []string{"04T14:45", "05T15:15"}},
		{"half an hour forward", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T13:30:00Z", []string{"03T15:30", "04T15:15"}},
		{"midnight that is missing", "0 0 * * *", "America/Santiago", "2026-09-05T05:00:00Z", []string{"06T04:00", "07T03:00"}},
		{"a day that is missing", "0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", []string{"29T22:00", "30T10:00", "30T22:00"}},
		{"no zone changes", "0 12 * * 1-5", "Asia/Shanghai", "2026-10-30T00:00:00Z", []string{"30T04:00", "02T04:00"}},
		{"29 February", "0 0 29 2 *", "Europe/Berlin", "2026-01-01T00:00:00Z", []string{"28T23:00", "28T23:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			timing, err := parseTiming(c.cron, zone(t, c.zone))
			require.NoError(t, err)
			at, err := time.Parse(time.RFC3339, c.from)
			require.NoError(t, err)
			var got []string
			for range c.want {
				at = timing.next(at)
				got = append(got, at.UTC().Format("02T15:04"))
			}
			require.Equal(t, c.want, got)
		})
	}
}

// TestNextAgainstMinutes walks through each minute around all changes of a year, and compares with what the rules say of a
// wall clock.
func TestNextAgainstMinutes(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago",
		"Africa/Casablanca"} {
		at := zone(t, name)
		changes := 0
		for change := time.Date(2026, 1, 1, 0, 0, 0, 0, at); change.Year() < 2027; {
			if _, change = change.ZoneBounds(); change.IsZero() {
				break
			}
			changes++
			for _, cron := range []string{"30 2 * * *", "*/15 * * * *", "*/15 2 * * *", "0,30 0-3 * * *", "59 1,2 * * 0", "7 */2 * * *"} {
				timing, err := parseTiming(cron, at)
				require.NoError(t, err)
				from, to := change.Add(-26*time.Hour), change.Add(50*time.Hour)
				var got []int64
				for m := timing.next(from.Add(-time.Second)); m.Before(to); m = timing.next(m) {
					got = append(got, m.Unix())
				}
				require.Equal(t, timing.byMinutes(from, to), got, "%s in %s about %s", cron, name, change)
			}
		}
		require.GreaterOrEqual(t, changes, 2, name)
	}
}

// byMinutes are the occurrences from from to to, by a look at the clock each minute.
func (t timing) byMinutes(from, to time.Time) (all []int64) {
	highest := wallclock.On(from, t.zone).Add(-time.Minute) // that the clock has shown
	for m := from; m.Before(to); m = m.Add(time.Minute) {
		wall := wallclock.On(m, t.zone)
		due := t.matches(wall) && (t.everyStep || wall.After(highest))
		for w := highest.Add(time.Minute); w.Before(wall) && !t.everyHour; w = w.Add(time.Minute) {
			due = due || t.matches(w) // left out
		}
		if due {
			all = append(all, m.Unix())
		}
		if wall.After(highest) {
			highest = wall
		}
	}
	return all
}

// matches says whether the cron line is about a wall time, by asking what comes after the second before.
func (t timing) matches(wall wallclock.Time) bool {
	return t.spec.Next(wall.Add(-time.Second)).Equal(wall)
}

func TestMistakesOfCron(t *testing.T) {
	for cron, want := range map[string]string{
		"":                         "expected five fields",
		"0 0 2 * * *":              "seconds are not taken",
		"* * * *":                  "found 4 fields",
		"61 * * * *":               "above maximum (59)",
		"0 24 * * *":               "above maximum (23)",
		"0 0 * * 7":                "above maximum (6)",
		"0 0 0 * *":                "below minimum (1)",
		"a * * * *":                "failed to parse int",
		"0 , * * *":                `expected a value in each field, found ","`,
		"@often":                   "unrecognized descriptor",
		"@every 10s":               "at least 1m0s",
		"@every -5m":               "at least 1m0s",
		"@every 9000h":             "at most a year",
		"TZ=Europe/Berlin 0 0 * *": "the zone has a key of its own: timezone",
		"CRON_TZ=x":                "the zone has a key of its own: timezone",
		"*/0 * * * *":              "positive number",
	} {
		_, err := parseTiming(cron, time.UTC)
		require.ErrorContains(t, err, want, cron)
	}
}

func FuzzTiming(f *testing.F) {
	f.Add("30 2 * * *", int64(1e9))
	f.Add("*/15 2-4,7 1/3 feb sun", int64(1772000000))
	f.Add("@every 90m", int64(0))
	f.Add(", , , , ,", int64(0))
	f.Fuzz(func(t *testing.T, cron string, unix int64) {
		timing, err := parseTiming(cron, zone(t, "Europe/Berlin"))
		if err != nil {
			return
		}
		from := time.Unix(unix%4e9, 0)
		if next := timing.next(from); !next.IsZero() {
			require.True(t, next.After(from))
		}
	})
}
