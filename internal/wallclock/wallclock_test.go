package wallclock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// The wall clock in places that change it: Berlin's goes back on 25 October 2026 at 01:00 UTC and forward on 29 March.
func TestMoment(t *testing.T) {
	for _, c := range []struct{ zone, wall, want string }{
		{"Europe/Berlin", "2026-10-25 01:59", "2026-10-24T23:59:00Z"},
		{"Europe/Berlin", "2026-10-25 02:30", "2026-10-25T00:30:00Z"}, // twice: the first
		{"Europe/Berlin", "2026-10-25 03:00", "2026-10-25T02:00:00Z"},
		{"Europe/Berlin", "2026-03-29 01:59", "2026-03-29T00:59:00Z"},
		{"Europe/Berlin", "2026-03-29 02:30", "2026-03-29T01:30:00Z"}, // never: as with the offset before
		{"Europe/Berlin", "2026-03-29 03:00", "2026-03-29T01:00:00Z"},
		{"America/New_York", "2026-11-01 01:30", "2026-11-01T05:30:00Z"},
		{"Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04T14:45:00Z"}, // half an hour back
		{"Pacific/Kiritimati", "2026-01-01 00:00", "2025-12-31T10:00:00Z"},
		{"Asia/Shanghai", "2026-07-01 09:00", "2026-07-01T01:00:00Z"},
	} {
		w, err := time.Parse("2006-01-02 15:04", c.wall)
		require.NoError(t, err)
		zone, err := wallclock.LoadZone(c.zone)
		require.NoError(t, err)
		require.Equal(t, c.want, wallclock.Moment(w, zone).UTC().Format(time.RFC3339), c.zone+" "+c.wall)
	}
}
