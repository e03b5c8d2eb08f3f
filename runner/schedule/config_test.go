package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

func TestRead(t *testing.T) {
	r, n := configfile.Parse([]byte(`
boot-storm:
  experiment: experiments/boot-storm.yaml
  cron: "15 2 * * 1-5"
  timezone: Europe/Berlin
  jitter: 10m
  overlap: queue
  group: compute
  blackout: ["Mon-Fri 06:00-22:00"]
  calendar: maintenance.ics
  calendar_zones: {"W. Europe Standard Time": Europe/Berlin}
  deadline: "05:30"
  catch_up: latest
  variables: {desktops: 200, share: 0.5, site: north, gated: true}
  notify: [night-shift]
smoke:
  experiment: smoke
  cron: "@every 15m"
  deadline: 10m
`), "/etc/deskstorm/deskstorm.yaml", "the schedule")
	c := Read(r, n)
	require.NoError(t, r.Err())
	require.Equal(t, []string{"boot-storm", "smoke"}, c.Names())
	boot, smoke := c.Jobs[0], c.Jobs[1]
	require.Equal(t, "/etc/deskstorm/experiments/boot-storm.yaml", boot.Experiment)
	require.True(t, boot.IsFile)
	require.Equal(t, "/etc/deskstorm/maintenance.ics", boot.Calendar.Path)
	require.Equal(t, "Europe/Berlin", boot.Calendar.Zone.String())
	require.Contains(t, boot.Calendar.Zones, "W. Europe Standard Time")
	require.Equal(t, Deadline{At: "05:30"}, boot.Deadline)
	require.Equal(t, map[string]any{"desktops": int64(200), "share": 0.5, "site": "north", "gated": true}, boot.Variables)
	require.Equal(t, []string{"night-shift"}, boot.Notify)
	require.Equal(t, OverlapQueue, boot.Overlap)
	require.Equal(t, CatchUpLatest, boot.CatchUp)
	require.Equal(t, "smoke", smoke.Experiment)
	require.False(t, smoke.IsFile)
	require.Equal(t, Deadline{After: 10 * time.Minute}, smoke.Deadline)
	require.Equal(t, OverlapSkip, smoke.Overlap)
	require.Equal(t, CatchUpNone, smoke.CatchUp)
	require.Equal(t, time.UTC, smoke.Zone)
}

func TestMistakes(t *testing.T) {
	const rest = "\n  experiment: smoke\n"
	for _, c := range []struct{ text, want string }{
		{"a: {cron: '@daily'}", "a: experiment is missing"},
		{"a: {experiment: smoke}", "a: cron is missing"},
		{"a:\n  cron: 0 0 30 2 *" + rest, `d.yaml:2:9: a.cron: "0 0 30 2 *" is never`},
		{"a:\n  cron: ', * * * *'" + rest, `expected a value in each field, found ","`},
		{"a:\n  cron: '*/15 * * * *'\n  jitter: 16m" + rest,
			"d.yaml:3:11: a.jitter: expected at most 15m0s, the time between two runs"},
		{"a:\n  cron: '* * * *'" + rest, "a.cron: expected five fields"},
		{"a:\n  cron: '@daily'\n  timezone: Europe/Nowhere" + rest, `d.yaml:3:13: a.timezone: "Europe/Nowhere" is no time zone`},
		{"a:\n  cron: '@daily'\n  blackout: ['22:00-02:00']" + rest, "d.yaml:3:13: a.blackout: the blackout covers each run"},
		{"a:\n  cron: '* * * * *'\n  blackout: [Mon-Fri, 'Sat-Sun 00:00-12:00', 'Sat,Sun 12:00-24:00']" + rest,
			"the blackout covers each run"},
		{"a:\n  cron: '*/7 9-17 * * 1'\n  jitter: 4m\n  blackout: ['Mon 08:00-20:00']" + rest, "the blackout covers each run"},
		{"a:\n  cron: '@daily'\n  blackout: ['8-10']" + rest, "a.blackout[0]: expected a window such as"},
		{"a:\n  cron: '@daily'\n  deadline: 25:00" + rest, "expected a duration from 10s to 168h"},
		{"a:\n  cron: '@daily'\n  deadline: 1s" + rest, "expected a duration from 10s to 168h"},
		{"a:\n  cron: '@daily'\n  overlap: maybe" + rest, "expected one of skip, queue, replace"},
		{"a:\n  cron: '@daily'\n  catch_up: all" + rest, "expected one of none, latest"},
		{"a:\n  cron: '@daily'\n  experiment: a/b", "expected an experiment's file"},
		{"a:\n  cron: '@daily'\n  variables: {x: [1]}" + rest, "a.variables.x: expected a text, a number, true or false, found a list"},
		{"a:\n  cron: '@daily'\n  every: 5m" + rest, "unknown key; expected blackout, calendar"},
		{"'a b':\n  cron: '@daily'" + rest, "expected a name of at most 40 letters"},
		{"[]", "expected a mapping"},
	} {
		r, n := configfile.Parse([]byte(c.text), "d.yaml", "the schedule")
		if n != nil {
			Read(r, n)
		}
		require.ErrorContains(t, r.Err(), c.want, c.text)
	}
	for _, good := range []string{
		"a:\n  cron: '* * * * *'\n  blackout: [Mon-Fri, 'Sat-Sun 00:00-12:00']" + rest,
		"a:\n  cron: '0 0 29 2 *'" + rest,
		"a:\n  cron: '0 12 * * *'\n  jitter: 24h\n  blackout: ['12:00-12:01']" + rest,
	} {
		r, n := configfile.Parse([]byte(good), "d.yaml", "the schedule")
		Read(r, n)
		require.NoError(t, r.Err(), good)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a:\n  experiment: smoke\n  cron: '0 2 * * *'\n  blackout: ['Mon-Fri 22:00-06:00']\n  deadline: '06:00'\n")
	f.Fuzz(func(t *testing.T, text string) {
		if r, n := configfile.Parse([]byte(text), "d.yaml", "the schedule"); n != nil {
			Read(r, n)
		}
	})
}
