package roster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/wallclock"
)

func anywhere(string, string) error { return nil }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := wallclock.LoadZone(name)
	require.NoError(t, err)
	return z
}

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// all are the shifts of 2026 as text.
func all(t testing.TB, f File) []string {
	t.Helper()
	r, err := Load(f, anywhere)
	require.NoError(t, err)
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out []string
	for _, s := range r.Shifts(from, from.AddDate(1, 0, 0)) {
		out = append(out, fmt.Sprintf("%s/%s %s + %s x %d", s.Site, s.Department, s.Start.UTC().Format("01-02T15:04Z"),
			s.End.Sub(s.Start), s.Count))
	}
	return out
}

func TestCSV(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		name string
		file string
		want []string
	}{
		{"counts", "site,department,start,end,count\nN1,sales,2026-06-01 08:00,2026-06-01 16:00,120\n",
			[]string{"N1/sales 06-01T06:00Z + 8h0m0s x 120"}},
		{"people", "person,site,department,start,end\nAnn,N1,sales,2026-06-01T08:00,16:30\nBob,N1,sales,2026-06-01T08:00,16:30\n",
			[]string{"N1/sales 06-01T06:00Z + 8h30m0s x 1", "N1/sales 06-01T06:00Z + 8h30m0s x 1"}},
		{"overnight", "start,end,site,department\n2026-06-01 22:00,06:00,N1,night\n",
			[]string{"N1/night 06-01T20:00Z + 8h0m0s x 1"}},
		{"the night when clocks go forward", "start,end,site,department\n2026-03-28 22:00,06:00,N1,night\n",
			[]string{"N1/night 03-28T21:00Z + 7h0m0s x 1"}},
		{"the night when clocks go back", "start,end,site,department\n2026-10-24 22:00,06:00,N1,night\n",
			[]string{"N1/night 10-24T20:00Z + 9h0m0s x 1"}},
		{"the doubled hour, its second time", "start,end,site,department\n2026-10-25T02:30:00+01:00,06:00,N1,night\n",
			[]string{"N1/night 10-25T01:30Z + 3h30m0s x 1"}},
		{"zones", "start,end,site,department,zone\n2026-06-01 22:00,06:00,N1,night,America/New_York\n2026-06-01 22:00,06:00,N1,night,Here\n",
			[]string{"N1/night 06-02T02:00Z + 8h0m0s x 1", "N1/night 06-01T14:00Z + 8h0m0s x 1"}},
		{"a spreadsheet's", "\ufeffSite;Department;Start;End;Count\r\nN1;sales;2026-06-01 16:00;24:00;3\r\n",
			[]string{"N1/sales 06-01T14:00Z + 8h0m0s x 3"}},
		{"round the clock", "start,end,site,department\n2026-06-01 08:00,08:00,N1,night\n",
			[]string{"N1/night 06-01T06:00Z + 24h0m0s x 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "roster.csv", c.file)
			require.ElementsMatch(t, c.want, all(t, File{
				Path: path, Zone: berlin, Zones: map[string]*time.Location{"Here": zone(t, "Asia/Shanghai")},
			}))
		})
	}
	path := write(t, "site.csv", "start,end,count\n2026-06-01 08:00,16:00,5\n")
	require.Equal(t, []string{"N2/care 06-01T08:00Z + 8h0m0s x 5"}, all(t, File{Path: path, Site: "N2", Department: "care"}))
}

func TestMistakesOfCSV(t *testing.T) {
	const header = "site,department,start,end,count\n"
	for _, c := range []struct{ file, want string }{
		{"", ":1: expected a header"},
		{"site,start,end\n", `:1: the column "department" is missing`},
		{"site,department,start,end,coutn\n", `:1: unknown column "coutn"`},
		{"site,site,department,start,end\n", `:1: the column "site" is there twice`},
		{header + "N1,sales,2026-06-01 08:00,16:00\n", ":2: wrong number of fields"},
		{header + "N1,sales,1.6.2026 08:00,16:00,1\n", ":2: start: expected a time such as"},
		{header + "\nN1,sales,2026-06-01 08:00,4pm,1\n", ":3: end: expected a time such as"},
		{header + "N1,sales,2026-06-01 08:00,2026-05-31 16:00,1\n", ":2: the shift ends before it starts"},
		{header + "N1,sales,2026-06-01 08:00,2027-06-01 16:00,1\n", ":2: the shift is longer than 7 days"},
		{header + "N1,sales,2026-06-01 08:00,16:00,-1\n", ":2: count: expected a whole number from 0 to"},
		{header + "N1,sales,2026-06-01 08:00,16:00,many\n", ":2: count: expected a whole number"},
		{header + "N9,sales,2026-06-01 08:00,16:00,1\n", ":2: no such site"},
		{header + "\"N1,sales,2026-06-01 08:00,16:00,1\n", `extraneous or missing " in quoted-field`},
		{header + "N1,\xff,2026-06-01 08:00,16:00,1\n", ": not UTF-8"},
		{"site,department,start,end,zone\nN1,sales,2026-06-01 08:00,16:00,Europe/Nowhere\n", `:2: zone: "Europe/Nowhere" is no time zone`},
		{"site,department,start,end,zone\nN1,sales,2026-06-01 08:00,16:00,Local\n", `:2: zone: "Local" is no time zone`},
	} {
		_, err := Load(File{Path: write(t, "roster.csv", c.file)}, func(site, _ string) error {
			if site == "N9" {
				return errors.New("no such site")
			}
			return nil
		})
		require.ErrorContains(t, err, c.want)
	}
	_, err := Load(File{Path: write(t, "roster.csv", header+strings.Repeat("bad,line\n", 1000))}, anywhere)
	require.Len(t, strings.Split(err.Error(), "\n"), 10)
	_, err = Load(File{Path: write(t, "roster.xls", "")}, anywhere)
	require.ErrorContains(t, err, "ends in .csv or .ics")
	_, err = Load(File{Path: t.TempDir()}, anywhere)
	require.ErrorContains(t, err, "not a regular file")
}

// calendarOf puts events' lines into a calendar.
func calendarOf(events ...string) string {
	var b strings.Builder
	b.WriteString("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//\r\n")
	for i, e := range events {
		fmt.Fprintf(&b, "BEGIN:VEVENT\r\nUID:%d\r\n%s\r\nEND:VEVENT\r\n", i, strings.ReplaceAll(e, "\n", "\r\n"))
	}
	b.WriteString("END:VCALENDAR\r\n")
	return b.String()
}

func TestICalendar(t *testing.T) {
	const where = "LOCATION:N1\nCATEGORIES:night,care\n"
	for _, c := range []struct {
		name  string
		event string
		want  []string
	}{
		{"one", where + "DTSTART;TZID=Europe/Berlin:20260601T220000\nDTEND;TZID=Europe/Berlin:20260602T060000\nX-DESKSTORM-COUNT:40",
			[]string{"N1/night 06-01T20:00Z + 8h0m0s x 40"}},
		{"in UTC", where + "DTSTART:20260601T220000Z\nDTEND:20260602T060000Z", []string{"N1/night 06-01T22:00Z + 8h0m0s x 1"}},
		{"floating, in the file's zone", "DTSTART:20260601T220000\nDTEND:20260602T060000", []string{"S/D 06-01T14:00Z + 8h0m0s x 1"}},
		{"attendees", where + "DTSTART:20260601T220000Z\nDTEND:20260602T060000Z\nATTENDEE:mailto:a@example.com\n" +
			"ATTENDEE;PARTSTAT=DECLINED:mailto:b@example.com\nATTENDEE;CN=\"C, D\":mailto:\n c@example.com",
			[]string{"N1/night 06-01T22:00Z + 8h0m0s x 2"}},
		{"weekly across the change back", where + "DTSTART;TZID=Europe/Berlin:20261017T220000\n" +
			"DTEND;TZID=Europe/Berlin:20261018T060000\nRRULE:FREQ=WEEKLY;COUNT=3",
			[]string{"N1/night 10-17T20:00Z + 8h0m0s x 1", "N1/night 10-24T20:00Z + 9h0m0s x 1", "N1/night 10-31T21:00Z + 8h0m0s x 1"}},
		{"the same by DURATION, whose hours are exact", where + "DTSTART;TZID=Europe/Berlin:20261017T220000\n" +
			"DURATION:PT8H\nRRULE:FREQ=WEEKLY;COUNT=2",
			[]string{"N1/night 10-17T20:00Z + 8h0m0s x 1", "N1/night 10-24T20:00Z + 8h0m0s x 1"}},
		{"weekly across the change forward", where + "DTSTART;TZID=Europe/Berlin:20260321T220000\n" +
			"DTEND;TZID=Europe/Berlin:20260322T060000\nRRULE:FREQ=WEEKLY;COUNT=3",
			[]string{"N1/night 03-21T21:00Z + 8h0m0s x 1", "N1/night 03-28T21:00Z + 7h0m0s x 1", "N1/night 04-04T20:00Z + 8h0m0s x 1"}},
		{"in the missing and the doubled hour", where + "DTSTART;TZID=Europe/Berlin:20260329T023000\n" +
			"DTEND;TZID=Europe/Berlin:20260329T060000\nRRULE:FREQ=YEARLY;COUNT=1\nRDATE;TZID=Europe/Berlin:20261025T023000",
			[]string{"N1/night 03-29T01:30Z + 2h30m0s x 1", "N1/night 10-25T00:30Z + 4h30m0s x 1"}},
		{"without some days, until a moment", where + "DTSTART;TZID=Europe/Berlin:20260601T080000\nDTEND;TZID=Europe/Berlin:20260601T160000\n" +
			"RRULE:FREQ=DAILY;UNTIL=20260605T060000Z;BYDAY=MO,TU,WE,TH,FR\nEXDATE;TZID=Europe/Berlin:20260602T080000\n" +
			"EXDATE;VALUE=DATE:20260604",
			[]string{"N1/night 06-01T06:00Z + 8h0m0s x 1", "N1/night 06-03T06:00Z + 8h0m0s x 1", "N1/night 06-05T06:00Z + 8h0m0s x 1"}},
		{"until a day, with it", where + "DTSTART:20260601T080000Z\nDTEND:20260601T160000Z\nRRULE:FREQ=DAILY;UNTIL=20260602",
			[]string{"N1/night 06-01T08:00Z + 8h0m0s x 1", "N1/night 06-02T08:00Z + 8h0m0s x 1"}},
		{"a whole day", where + "DTSTART;VALUE=DATE;TZID=Europe/Berlin:20261025\nDTEND;VALUE=DATE;TZID=Europe/Berlin:20261026",
			[]string{"N1/night 10-24T22:00Z + 25h0m0s x 1"}},
		{"a whole day without an end", where + "DTSTART;VALUE=DATE:20261025", []string{"N1/night 10-24T16:00Z + 24h0m0s x 1"}},
		{"cancelled", where + "DTSTART:20260601T080000Z\nDTEND:20260601T160000Z\nSTATUS:CANCELLED", nil},
		{"a series that was cut to nothing", where + "DTSTART:20260601T080000Z\nDTEND:20260601T160000Z\nRRULE:FREQ=DAILY;UNTIL=20260501", nil},
		{"an alarm's own duration", where + "DTSTART:20260601T080000Z\nDTEND:20260601T160000Z\nBEGIN:VALARM\nDURATION:PT1H\nEND:VALARM",
			[]string{"N1/night 06-01T08:00Z + 8h0m0s x 1"}},
		{"a zone that the configuration knows", where + "DTSTART;TZID=\"W. Europe Standard Time\":20260601T220000\n" +
			"DTEND;TZID=\"W. Europe Standard Time\":20260602T060000", []string{"N1/night 06-01T20:00Z + 8h0m0s x 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, all(t, File{
				Path: write(t, "roster.ics", calendarOf(c.event)), Site: "S", Department: "D", Zone: zone(t, "Asia/Shanghai"),
				Zones: map[string]*time.Location{"W. Europe Standard Time": zone(t, "Europe/Berlin")},
			}))
		})
	}
}

func TestCalendarsOwnZones(t *testing.T) {
	path := write(t, "roster.ics", strings.Join([]string{
		"BEGIN:VCALENDAR", "X-WR-TIMEZONE:America/New_York",
		"BEGIN:VTIMEZONE", "TZID:Own", "X-LIC-LOCATION:Europe/Berlin",
		"BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0100", "TZOFFSETTO:+0100", "END:STANDARD", "END:VTIMEZONE",
		"BEGIN:VEVENT", "UID:1", "DTSTART;TZID=Own:20260601T080000", "DTEND;TZID=Own:20260601T160000", "END:VEVENT",
		"BEGIN:VEVENT", "UID:2", "DTSTART:20260601T080000", "DTEND:20260601T160000", "END:VEVENT",
		"END:VCALENDAR", "",
	}, "\n"))
	require.ElementsMatch(t, []string{"S/D 06-01T06:00Z + 8h0m0s x 1", "S/D 06-01T12:00Z + 8h0m0s x 1"},
		all(t, File{Path: path, Site: "S", Department: "D"}))
}

// One occurrence of a series is moved, another is cancelled.
func TestChangedOccurrence(t *testing.T) {
	path := write(t, "roster.ics", strings.Join([]string{
		"BEGIN:VCALENDAR",
		"BEGIN:VEVENT", "UID:1", "DTSTART:20260601T080000Z", "DTEND:20260601T160000Z", "RRULE:FREQ=DAILY;COUNT=3", "END:VEVENT",
		"BEGIN:VEVENT", "UID:1", "RECURRENCE-ID:20260602T080000Z", "DTSTART:20260602T120000Z", "DTEND:20260602T160000Z", "END:VEVENT",
		"BEGIN:VEVENT", "UID:1", "RECURRENCE-ID:20260603T080000Z", "STATUS:CANCELLED", "DTSTART:20260603T080000Z",
		"DTEND:20260603T160000Z", "END:VEVENT",
		"END:VCALENDAR", "",
	}, "\r\n"))
	require.ElementsMatch(t, []string{"S/D 06-01T08:00Z + 8h0m0s x 1", "S/D 06-02T12:00Z + 4h0m0s x 1"},
		all(t, File{Path: path, Site: "S", Department: "D"}))
}

func TestMistakesOfICalendar(t *testing.T) {
	const times = "DTSTART:20260601T080000Z\nDTEND:20260601T160000Z\n"
	for _, c := range []struct{ file, want string }{
		{"", ":1: expected BEGIN:VCALENDAR"},
		{"BEGIN:VEVENT\n", ":1: expected BEGIN:VCALENDAR"},
		{"BEGIN:VCALENDAR\nBEGIN:VEVENT\n", "ends before END:VEVENT"},
		{"BEGIN:VCALENDAR\nEND:VEVENT\n", ":2: expected END:VCALENDAR"},
		{"BEGIN:VCALENDAR\n???\n", ":2: expected an iCalendar line"},
		{"BEGIN:VCALENDAR\n" + strings.Repeat("BEGIN:X\n", 100), ":9: too many components"},
		{"BEGIN:VCALENDAR\nA:" + strings.Repeat("a\n ", 1<<17), ":2: the line is longer than"},
		{calendarOf("DTEND:20260601T160000Z"), ":4: DTSTART is missing"},
		{calendarOf("DTSTART:20260601T160000Z"), ":4: DTEND is missing"},
		{calendarOf("DTSTART:noon\nDTEND:20260601T160000Z"), ":4: DTSTART: expected a time such as"},
		{calendarOf("DTSTART:20260601T160000Z\nDTEND:20260601T080000Z"), ":4: the shift ends before it starts"},
		{calendarOf("DTSTART:20260601T160000Z\nDURATION:-PT1H"), ":4: DURATION: expected a duration"},
		{calendarOf("DTSTART:20260601T160000Z\nDURATION:P900W"), ":4: the shift is longer than"},
		{calendarOf("DTSTART;TZID=Tokyo Standard Time:20260601T160000\nDURATION:PT8H"), "give the zone in the configuration's zones"},
		{calendarOf(times + "RRULE:FREQ=SECONDLY"), ":4: RRULE: a shift repeats by days"},
		{calendarOf(times + "RRULE:FREQ=DAILY;BYSECOND=1,2,3"), ":4: RRULE: a shift repeats by days"},
		{calendarOf(times + "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31"), ":4: RRULE: the rule has no occurrence"},
		{calendarOf(times + "RRULE:OFTEN"), ":4: RRULE: "},
		{calendarOf(times + "RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY"), ":4: an event has one RRULE"},
		{calendarOf(times + "X-DESKSTORM-COUNT:-3"), ":4: X-DESKSTORM-COUNT: expected a whole number"},
		{calendarOf(times + "RECURRENCE-ID;RANGE=THISANDFUTURE:20260601T080000Z"), "RANGE is not understood"},
		{calendarOf(times, times+"LOCATION:N9"), ":10: LOCATION, CATEGORIES: no such site"},
	} {
		_, err := Load(File{Path: write(t, "roster.ics", c.file), Site: "S", Department: "D"}, func(site, _ string) error {
			if site == "N9" {
				return errors.New("no such site")
			}
			return nil
		})
		require.ErrorContains(t, err, c.want)
	}
}

// What is expected, minute by minute, through the night in which the clocks go back: the night shift stays for the doubled hour.
func TestTimelineAcrossTheChange(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	path := write(t, "roster.csv", "site,department,start,end,count\n"+
		"N1,care,2026-10-24 14:00,22:00,300\nN1,care,2026-10-24 22:00,06:00,40\nN1,care,2026-10-25 06:00,14:00,200\n")
	r, err := Load(File{Path: path, Zone: berlin}, anywhere)
	require.NoError(t, err)
	from := time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC)
	timeline := NewTimeline(from, from.AddDate(0, 0, 3), r)
	cell := Cell{"N1", "care"}
	minutes := map[int]int{}
	for at := from; at.Before(from.AddDate(0, 0, 3)); at = at.Add(time.Minute) {
		minutes[timeline.Expected(cell, at)]++
	}
	require.Equal(t, map[int]int{300: 8 * 60, 40: 9 * 60, 200: 8 * 60, 0: 47 * 60}, minutes)
	require.Equal(t, 40, timeline.Expected(cell, time.Date(2026, 10, 25, 4, 59, 59, 0, time.UTC)))
	require.Equal(t, 200, timeline.Expected(cell, time.Date(2026, 10, 25, 5, 0, 0, 0, time.UTC)))
	require.Zero(t, timeline.Expected(Cell{"N2", "care"}, from))
}

func FuzzICalendar(f *testing.F) {
	f.Add(calendarOf("DTSTART;TZID=Europe/Berlin:20261017T220000\nDTEND;TZID=Europe/Berlin:20261018T060000\nRRULE:FREQ=WEEKLY;COUNT=3"))
	f.Add(calendarOf("DTSTART:20261017\nRRULE:FREQ=MONTHLY;BYDAY=-1MO;BYSETPOS=1\nEXDATE:20261018"))
	f.Fuzz(func(t *testing.T, content string) {
		r, err := Load(File{Path: write(t, "roster.ics", content), Site: "S", Department: "D"}, anywhere)
		if err != nil {
			return
		}
		from := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
		for _, s := range r.Shifts(from, from.AddDate(0, 0, 7)) {
			require.True(t, s.End.After(s.Start))
		}
	})
}

func BenchmarkTimelineOf10000People(b *testing.B) {
	var csv strings.Builder
	csv.WriteString("site,department,start,end\n")
	for day := range 14 {
		for person := range 10_000 {
			fmt.Fprintf(&csv, "N%d,d%d,2026-10-%02d %02d:00,%02d:00\n", person%6, person%10, 15+day, person%24, (person+8)%24)
		}
	}
	path := write(b, "roster.csv", csv.String())
	berlin := zone(b, "Europe/Berlin")
	b.ReportMetric(float64(csv.Len()), "bytes")
	for b.Loop() {
		r, err := Load(File{Path: path, Zone: berlin}, anywhere)
		require.NoError(b, err)
		from := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
		NewTimeline(from, from.AddDate(0, 0, 8), r)
	}
}
