package agent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// A thin client without a battery for its clock boots in 1970, and its clock is set while the agent runs. The spans of reports must
// be such that the exporter takes them, by the wall clock that they are sent in.
func TestClockIsSet(t *testing.T) {
	c := Default()
	c.Client, c.InputDir, c.Proc, c.Sys = "tc-1", t.TempDir(), t.TempDir(), t.TempDir()
	a := &agent{config: c, run: "run", inputs: newInputs(c.InputDir, nil), display: &display{}, queue: &queue{limit: 10}}
	for name, from := range map[string]time.Time{
		"set forward":     time.Unix(60, 0),
		"set back":        time.Now().Add(time.Hour).Round(0),
		"as it should be": time.Now(),
	} {
		a.from = from
		before := time.Now().Round(0)
		last := time.Now()
		a.inputs.last.Store(&last)
		a.report(false)
		r := a.queue.reports[len(a.queue.reports)-1]
		require.NoError(t, r.Validate(), name)
		require.False(t, r.To.Before(before), name)
		require.False(t, r.LastInput.After(r.To), name)
		require.NotContains(t, a.from.String(), "m=", "the next report's begin knows nothing of the monotonic clock")
		require.LessOrEqual(t, r.To.Sub(r.From), activity.MaxSpan, name)
	}
}

func TestAge(t *testing.T) {
	then := time.Now()
	require.Equal(t, 5*time.Minute, age(then.Add(5*time.Minute), then))
	require.Equal(t, 5*time.Minute, age(then.Add(5*time.Minute).Round(0), then.Round(0)))
	require.Zero(t, age(then.Round(0), then.Add(time.Hour).Round(0)), "a clock that was set back, and nothing else is known")
}
