package runner

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/config"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

const steady = `
title: Nothing happens
description: but that the clock may be set.
steady-state-hypothesis:
  title: it is well
  probes: [{type: probe, name: it, tolerance: 0, provider: {type: process, path: "true"}}]
method: []
`

// opened is a runner with a state folder of the test's, and no targets.
func opened(t *testing.T) (r *Runner, dir string) {
	t.Helper()
	dir = t.TempDir()
	c, err := config.Parse([]byte("state: "+dir+"/state\n"), filepath.Join(dir, "deskstorm.yaml"))
	require.NoError(t, err)
	r, err = Open(t.Context(), c, Options{Self: []string{"/bin/false"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r, dir
}

// TestClockJumps: a run during which the machine's clock was set has no verdict.
func TestClockJumps(t *testing.T) {
	for _, test := range []struct {
		name    string
		jump    time.Duration // of the wall clock after the run began
		outcome verdict.Outcome
		code    int
	}{
		{"not at all", 0, verdict.Passed, 0},
		{"by what NTP does", 200 * time.Millisecond, verdict.Passed, 0},
		{"forwards", 10 * time.Second, verdict.NoVerdict, 3},
		{"backwards", -10 * time.Second, verdict.NoVerdict, 3},
		{"over a night's sleep", 8 * time.Hour, verdict.NoVerdict, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, dir := opened(t)
			var reads atomic.Int64
			machine := machineClocks()
			r.clocks = func() (time.Time, time.Duration) {
				wall, monotonic := machine()
				if reads.Add(1) > 1 {
					wall = wall.Add(test.jump)
				}
				return wall, monotonic
			}
			file := filepath.Join(dir, "steady.yaml")
			require.NoError(t, os.WriteFile(file, []byte(steady), 0o600))
			run, err := r.Prepare(Request{Experiment: file})
			require.NoError(t, err)
			result, err := run.Do(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.outcome, result.Verdict.Outcome, result.Verdict.Reason)
			require.Equal(t, test.code, result.Verdict.ExitCode())
			require.InDelta(t, test.jump.Abs(), result.Run.Clock.Jump, float64(50*time.Millisecond), "NTP goes on meanwhile")
			if test.outcome == verdict.NoVerdict {
				require.Contains(t, result.Verdict.Reason, "clock")
			}
		})
	}
}

// TestClockThatIsSetBack: that it was wrong in between only is noticed, too.
func TestClockThatIsSetBack(t *testing.T) {
	began := time.Now()
	wall, monotonic := began, time.Duration(0)
	c := watchClock(func() (time.Time, time.Duration) { return wall, monotonic })
	wall, monotonic = began.Add(time.Hour+time.Second), time.Second
	c.look()
	wall, monotonic = began.Add(2*time.Second), 2*time.Second
	require.Equal(t, time.Hour, c.jump())
}
