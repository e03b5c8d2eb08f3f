package schedule

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// jobs reads jobs as the configuration has them.
func jobs(t testing.TB, text string) []Job {
	t.Helper()
	r, n := configfile.Parse([]byte(text), filepath.Join(t.TempDir(), "deskstorm.yaml"), "the schedule")
	require.NoError(t, r.Err())
	c := Read(r, n)
	require.NoError(t, r.Err())
	for _, j := range c.Jobs {
		if j.Calendar != nil {
			require.NoError(t, j.Calendar.Load())
		}
	}
	return c.Jobs
}

// job reads one with a cron line and other keys.
func job(t testing.TB, cron string, keys ...string) *Job {
	t.Helper()
	text := "nightly:\n  experiment: boot-storm\n  cron: \"" + cron + "\"\n"
	for _, k := range keys {
		text += "  " + k + "\n"
	}
	return &jobs(t, text)[0]
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at
}

func state(j *Job, at time.Time) State { return State{Mark: Mark{At: at, Timing: j.definition()}} }

func TestDecide(t *testing.T) {
	const day = "2026-11-26T"
	for _, c := range []struct {
		name      string
		job       *Job
		mark, now string
		run       string // and why
		skipped   string
	}{
		{"not yet", job(t, "0 2 * * *"), day + "01:00:00Z", day + "01:59:59Z", "", ""},
		{"now", job(t, "0 2 * * *"), day + "01:00:00Z", day + "02:00:00Z", "02:00 schedule", ""},
		{"not again", job(t, "0 2 * * *"), day + "02:00:00Z", day + "02:00:01Z", "", ""},
		{"a little late", job(t, "0 2 * * *"), day + "01:00:00Z", day + "02:09:59Z", "02:00 schedule", ""},
		{"too late", job(t, "0 2 * * *"), day + "01:00:00Z", day + "02:11:00Z", "", "1 missed"},
		{"too late, caught up", job(t, "0 2 * * *", "catch_up: latest"), day + "01:00:00Z", day + "08:00:00Z", "02:00 catch-up", ""},
		{"a day asleep is one run", job(t, "*/15 * * * *"), "2026-11-25T02:00:00Z", day + "02:00:00Z", "02:00 schedule", "95 missed"},
		{"a day asleep is one caught up", job(t, "20 * * * *", "catch_up: latest"), "2026-11-25T02:00:00Z", day + "02:00:00Z",
			"01:20 catch-up", "23 missed"},
		{"blackout", job(t, "0 * * * *", `blackout: ["08:00-18:00"]`), day + "07:30:00Z", day + "08:00:00Z", "", "1 blackout"},
		{"its end", job(t, "0 * * * *", `blackout: ["08:00-18:00"]`), day + "17:30:00Z", day + "18:00:00Z", "18:00 schedule", ""},
		{"the latest that may", job(t, "0 2,12 * * *", "catch_up: latest", `blackout: ["08:00-18:00"]`), day + "00:00:00Z",
			day + "19:00:00Z",
			"02:00 catch-up", "1 blackout"},
		{"a little late, and into a blackout", job(t, "55 7 * * *", `blackout: ["08:00-18:00"]`), day + "07:00:00Z",
			day + "08:03:00Z", "", "1 blackout"},
		{"some seconds late, and into a blackout", job(t, "59 7 * * *", `blackout: ["08:00-18:00"]`), day + "07:00:00Z",
			day + "07:59:20Z", "07:59 schedule", ""},
		{"nothing is caught up in a blackout", job(t, "0 2 * * *", "catch_up: latest", `blackout: ["08:00-18:00"]`),
			day + "00:00:00Z", day + "09:00:00Z",
			"", "1 blackout"},
		{"the clock was set back", job(t, "*/15 * * * *"), day + "02:45:00Z", day + "02:00:00Z", "", ""},
		{"the clock had been years ahead", job(t, "*/15 * * * *"), "2036-01-01T00:00:00Z", day + "02:00:00Z", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(c.job, state(c.job, moment(t, c.mark)), moment(t, c.now))
			run, skipped := "", []string{}
			if d.Run != nil {
				run = d.Run.At.Format("15:04 ") + string(d.Trigger)
			}
			for _, s := range d.Skipped {
				skipped = append(skipped, fmt.Sprintf("%d %s", s.Count, s.Reason))
			}
			require.Equal(t, c.run, run)
			require.Equal(t, c.skipped, strings.Join(skipped, ", "))
			require.True(t, d.Wake.After(moment(t, c.now)))
		})
	}
	j := job(t, "0 2 * * *")
	now := moment(t, day+"12:00:00Z")
	require.Equal(t, Mark{now, j.definition()}, Decide(j, State{}, now).Mark, "a new job owes nothing")
	require.Empty(t, Decide(j, State{Mark: Mark{now.AddDate(0, 0, -9), "another"}}, now).Skipped, "nor does an edited one")
	require.True(t, Decide(j, state(j, now.AddDate(1, 0, 0)), now).Ahead)
	paused := state(j, now.AddDate(0, 0, -9))
	paused.Pause = &Pause{}
	require.Equal(t, []Skipped{{"nightly", moment(t, "2026-11-18T02:00:00Z"), moment(t, day+"02:00:00Z"), 9,
		Skip{Paused, "the job is paused"}}},
		Decide(j, paused, now).Skipped)
}

// TestYear: in each zone, over a year with its changes of the clock, each occurrence is run once or accounted as skipped,
// though the runner is away, the clock is set and jobs are paused, again and again.
func TestYear(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 2026))
	for _, name := range []string{"Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"} {
		for _, keys := range [][]string{
			{"0 2 * * *", "jitter: 30m", "catch_up: latest"},
			{"30 1,2,3 * * *", `blackout: ["Sat,Sun", "02:20-02:40"]`},
			{"*/40 * * * *", "jitter: 2m", `blackout: ["Mon-Fri 22:00-06:00"]`, "catch_up: latest"},
			{"@every 7h", "jitter: 6h"},
		} {
			j := job(t, keys[0], append(keys[1:], "timezone: "+name)...)
			from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			s := state(j, from)
			runs, skips, skipped := map[int64]int{}, map[int64]int{}, 0
			now := from
			for now.Before(from.AddDate(1, 0, 0)) {
				d := Decide(j, s, now)
				before := s.At
				s.Mark = d.Mark
				n := 0
				for o, ok := j.After(before); ok && !o.At.After(d.Mark.At); o, ok = j.After(o.At) {
					if d.Run == nil || !o.At.Equal(d.Run.At) {
						skips[o.At.Unix()]++
						n++
					}
				}
				for _, sk := range d.Skipped {
					n -= sk.Count
					skipped += sk.Count
				}
				require.Zero(t, n, "skipped ones are all named")
				if d.Run != nil {
					runs[d.Run.At.Unix()]++
					require.Nil(t, j.closed(now), "nothing runs in a blackout")
					require.False(t, d.Run.Due.After(now))
				}
				switch p := random.IntN(100); {
				case p < 90:
					now = d.Wake
				case p < 93:
					now = now.Add(time.Duration(random.IntN(48*3600)) * time.Second) // asleep
				case p < 96:
					now = now.Add(-time.Duration(random.IntN(5*3600)) * time.Second) // set back
				case p < 98:
					s.Pause = &Pause{}
				default:
					s.Pause = nil
				}
			}
			total := 0
			for o, ok := j.After(from); ok && !o.At.After(s.At); o, ok = j.After(o.At) {
				require.Equal(t, 1, runs[o.At.Unix()]+skips[o.At.Unix()], "%s %v %s", name, keys, o.At)
				total++
			}
			require.Len(t, runs, total-skipped)
			require.Greater(t, len(runs), total/20, "%s %v: %d skipped of %d", name, keys, skipped, total)
			require.Greater(t, skipped, 0)
		}
	}
}

// TestJitter: it is the same each time it is asked for, differs between jobs and occurrences, and spreads over all of its span.
func TestJitter(t *testing.T) {
	j, other := job(t, "0 2 * * *", "jitter: 10m"), job(t, "0 2 * * *", "jitter: 10m")
	other.Name = "other"
	counts, same := [10]int{}, 0
	at := moment(t, "2026-11-26T00:00:00Z")
	for range 1000 {
		o, ok := j.After(at)
		require.True(t, ok)
		again, _ := j.After(at)
		require.Equal(t, o, again)
		late := o.Due.Sub(o.At)
		require.True(t, late >= 0 && late < 10*time.Minute)
		counts[late/time.Minute]++
		if late == other.jitter(o.At) {
			same++
		}
		at = o.At
	}
	for _, n := range counts {
		require.InDelta(t, 100, n, 40)
	}
	require.Less(t, same, 10)
}

func TestUpcoming(t *testing.T) {
	j := job(t, "0 2 * * *", "timezone: Europe/Berlin", "jitter: 20m", `blackout: ["Sat,Sun"]`)
	now := moment(t, "2026-11-26T20:00:00Z") // a Thursday
	all := j.Upcoming(state(j, now), now, 4)
	require.Len(t, all, 4)
	for i, day := range []string{"27", "28", "29", "30"} {
		require.Equal(t, day+" 02:00 CET", all[i].At.Format("02 15:04 MST"))
		require.Equal(t, i == 1 || i == 2, all[i].Skip != nil)
	}
	next, ok := j.NextRun(state(j, all[0].At), all[0].At.Add(time.Hour))
	require.True(t, ok)
	require.Equal(t, all[3], next)
	waits := j.Upcoming(state(j, now), all[0].Due.Add(-time.Second), 1)
	require.Equal(t, all[0], waits[0], "what waits for its jitter is to come")
	require.Equal(t, all[1], j.Upcoming(state(j, all[0].At), all[0].Due, 1)[0])
	paused := state(j, now)
	paused.Pause = &Pause{}
	require.Equal(t, Paused, j.Upcoming(paused, now, 1)[0].Skip.Reason)
	_, ok = j.NextRun(paused, now)
	require.False(t, ok)
}

func TestDeadline(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		deadline  Deadline
		due, want string
	}{
		{Deadline{After: 2 * time.Hour}, "2026-11-26T01:00:00Z", "2026-11-26T03:00:00Z"},
		{Deadline{At: "06:00"}, "2026-11-26T01:00:00Z", "2026-11-26T05:00:00Z"},
		{Deadline{At: "06:00"}, "2026-11-26T05:00:00Z", "2026-11-27T05:00:00Z"},
		{Deadline{At: "06:00"}, "2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z"}, // after the change
		{Deadline{At: "02:30"}, "2026-03-28T22:00:00Z", "2026-03-29T01:30:00Z"}, // missing
	} {
		require.Equal(t, c.want, c.deadline.time(moment(t, c.due), berlin).UTC().Format(time.RFC3339), "%s", c.deadline)
	}
	require.True(t, Deadline{}.time(time.Now(), berlin).IsZero())
}

func TestWindows(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		window, at string
		want       bool
	}{
		{"08:00-18:00", "2026-11-26T07:00:00Z", true}, // 08:00 in Berlin
		{"08:00-18:00", "2026-11-26T06:59:59Z", false},
		{"08:00-18:00", "2026-11-26T17:00:00Z", false},
		{"Fri 22:00-06:00", "2026-11-28T04:59:00Z", true}, // Saturday
		{"Fri 22:00-06:00", "2026-11-27T04:59:00Z", false},
		{"Fri 22:00-06:00", "2026-11-27T21:00:00Z", true},
		{"Sat,Sun", "2026-11-28T12:00:00Z", true},
		{"Sat-Mon 00:00-24:00", "2026-11-30T12:00:00Z", true},
		{"sat-mon", "2026-12-01T12:00:00Z", false},
		{"02:00-03:00", "2026-10-25T00:30:00Z", true}, // the doubled hour, both
		{"02:00-03:00", "2026-10-25T01:30:00Z", true},
	} {
		w, err := parseWindow(c.window)
		require.NoError(t, err)
		_, got := in([]Window{w}, moment(t, c.at), berlin)
		require.Equal(t, c.want, got, "%s at %s", c.window, c.at)
	}
	for _, bad := range []string{"", " ", "8-18", "08:00", "Foo", "Mon-", "08:00-08:00", "25:00-26:00", "24:00-06:00",
		"Mon 08:60-09:00", "Mon,,Tue"} {
		_, err := parseWindow(bad)
		require.Error(t, err, bad)
	}
}

// TestMaintenance: what a calendar has is not run, in the wall time of its zone; a file that changes is read again, and one
// that cannot be read is not forgotten.
func TestMaintenance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "maintenance.ics")
	write := func(events string) {
		require.NoError(t, os.WriteFile(path, []byte("BEGIN:VCALENDAR\r\n"+events+"END:VCALENDAR\r\n"), 0o600))
	}
	write("BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Storage upgrade\r\nDTSTART;TZID=W. Europe Standard Time:20261102T010000\r\n" +
		"DURATION:PT4H\r\nRRULE:FREQ=WEEKLY;BYDAY=MO\r\nEND:VEVENT\r\n")
	j := job(t, "0 2 * * *", "timezone: Europe/Berlin", "calendar: "+path,
		`calendar_zones: {"W. Europe Standard Time": Europe/Berlin}`)
	var got []string
	for _, o := range j.Upcoming(State{}, moment(t, "2026-11-27T12:00:00Z"), 4) {
		if o.Skip != nil {
			got = append(got, o.At.Format("Mon 02 ")+o.Skip.Why)
		}
	}
	require.Equal(t, []string{"Mon 30 maintenance: Storage upgrade"}, got)

	write("BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261128\r\nEND:VEVENT\r\n")
	require.NoError(t, j.Calendar.Load())
	o := j.Upcoming(State{}, moment(t, "2026-11-27T12:00:00Z"), 1)[0]
	require.Equal(t, "maintenance: maintenance", o.Skip.Why)
	write("nonsense")
	require.ErrorContains(t, j.Calendar.Load(), "maintenance.ics: the file ends before END:VCALENDAR")
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, j.Calendar.Load(), "no such file")
	require.NotNil(t, j.closed(o.Due))
}
