package runner

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// A health check every quarter of an hour is held against its last nights too, and not only against its last hours, in which what has
// become slow is what it is used to.
func TestNightsAreNights(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.Local)
	for night := range 3 {
		for i := range 40 {
			began := now.AddDate(0, 0, -night).Add(-10 * time.Minute * time.Duration(i+1))
			run := record.Run{ID: fmt.Sprintf("night%d-%d", night, i), Experiment: "e", Began: began, Ended: began, Status: record.Completed,
				Fingerprint: "4567"}
			require.NoError(t, r.History.Save(t.Context(), run, string(verdict.Passed), []byte("{}")))
		}
	}
	other := record.Run{ID: "more-people", Experiment: "e", Began: now.Add(-time.Minute), Status: record.Completed, Fingerprint: "0123"}
	require.NoError(t, r.History.Save(t.Context(), other, string(verdict.Passed), []byte("{}")))
	nights, err := r.nights(t.Context(), record.Run{Experiment: "e", Began: now, Fingerprint: "4567"}, verdict.Defaults())
	require.NoError(t, err)
	var ids []string
	for _, n := range nights {
		ids = append(ids, n.RunID)
	}
	want := []string{"night2-0", "night1-0"}
	for i := range 14 {
		want = append(want, fmt.Sprintf("night0-%d", 13-i))
	}
	require.Equal(t, want, ids)
}
