package ical_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/ical"
	"github.com/deskstorm/deskstorm/internal/linefile"
)

// The rosters' tests (exporters/activeusers/roster) go through all of this package; here is what they do not need.
func TestEvent(t *testing.T) {
	m := &linefile.Mistakes{File: "c.ics"}
	events := ical.Read([]byte("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Storage\\, all\r\n  sites\r\n"+
		"DTSTART:20260601T080000\r\nDURATION:P10D\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"), ical.Options{
		What: "maintenance", Zone: time.UTC, MaxLength: 31 * 24 * time.Hour,
	}, m)
	require.NoError(t, m.Err())
	require.Len(t, events, 1)
	require.Equal(t, "Storage, all sites", events[0].Text("SUMMARY"))
	require.False(t, events[0].Repeats())
	at := time.Date(2026, 6, 11, 7, 59, 59, 0, time.UTC)
	require.Len(t, events[0].Occurrences(at, at.Add(time.Second)), 1)
	require.Empty(t, events[0].Occurrences(at.Add(time.Second), at.Add(time.Minute)))
	only, ok := events[0].Only()
	require.True(t, ok)
	require.Equal(t, 10*24*time.Hour, only.End.Sub(only.Start))
}
