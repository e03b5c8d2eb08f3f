package schedule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRunnersComeAndGo: three runners on one database are stopped and go on, their clocks are set, the database goes away,
// jobs are paused; for two days. No occurrence is run twice, and each is run or skipped with a reason.
func TestRunnersComeAndGo(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { comeAndGo(t, seed) }) })
	}
}

func comeAndGo(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(6, seed))
	text := yaml("a", `cron: "*/10 * * * *"`, "jitter: 5m", "catch_up: latest") +
		yaml("b", `cron: "5 * * * *"`, "overlap: queue", "group: g", "variables: {takes: 50m}") +
		yaml("c", `cron: "@every 20m"`, "overlap: replace", "group: g", "blackout: ['03:00-05:00']", "variables: {takes: 15m}")
	db := &database{values: map[string][]byte{}}
	var mutex sync.Mutex
	runs, skips := map[string]map[int64]int{}, map[string]int{}
	for _, name := range []string{"a", "b", "c"} {
		runs[name] = map[int64]int{}
	}
	names := []string{"a", "b", "c"}
	opened, stepped := time.Now(), time.Duration(0)
	begin := func() *desk {
		return open(t, "2026-11-26T00:00:30Z", text, func(o *Options) {
			o.Clock.(*testClock).step(time.Since(opened) + stepped) // to what the others' clocks are
			s := NewShared(db, SharedOptions{
				Jobs: names, Clock: o.Clock,
				Held:     func(err error) bool { return err == errHeld },
				NotFound: func(err error) bool { return err.Error() == errNotFound.Error() },
				Lost:     func(err error) bool { return err == errLost },
			})
			o.Leader, o.Store = s, s
			o.Run = func(ctx context.Context, s Start) {
				mutex.Lock()
				runs[s.Job.Name][s.Occurrence.Unix()]++
				mutex.Unlock()
				length, err := time.ParseDuration(fmt.Sprint(s.Job.Variables["takes"]))
				if err != nil {
					length = time.Minute
				}
				select {
				case <-ctx.Done():
				case <-time.After(length):
				}
			}
			o.Skipped = func(s Skipped) {
				mutex.Lock()
				skips[s.Job] += s.Count
				mutex.Unlock()
			}
		})
	}
	desks := []*desk{begin(), begin(), begin()}
	first := map[string]time.Time{}
	read := func() map[string]State {
		states, err := share(t, db, nil).Load(t.Context())
		require.NoError(t, err)
		return states
	}
	pass(time.Minute)
	for name, s := range read() {
		first[name] = s.At
	}
	require.Len(t, first, 3)
	for range 250 {
		pass(time.Duration(random.IntN(1200)) * time.Second)
		d := desks[random.IntN(3)]
		switch random.IntN(8) {
		case 0: // stopped, and goes on
			d.clock.hold(time.Duration(random.IntN(1800)) * time.Second)
			pass(time.Duration(random.IntN(60)) * time.Second)
			d.clock.hold(0)
		case 1: // is ended, and another one begins
			d.stop()
			*d = *begin()
		case 2:
			db.fail(fmt.Errorf("connection refused"))
			pass(time.Duration(random.IntN(300)) * time.Second)
			db.fail(nil)
		case 3:
			step := time.Duration(random.IntN(3600)-1800) * time.Second
			stepped += step
			for _, d := range desks { // they agree, by NTP
				d.clock.step(step)
			}
		case 4:
			_ = d.Pause(t.Context(), names[random.IntN(3)], "ann")
		case 5, 6:
			_ = d.Resume(t.Context(), names[random.IntN(3)])
		}
	}
	for _, d := range desks {
		d.stop()
	}
	last := read()
	all := jobs(t, text)
	for i, name := range names {
		total, n := 0, 0
		for o, ok := all[i].After(first[name]); ok && !o.At.After(last[name].At); o, ok = all[i].After(o.At) {
			total++
		}
		for at, times := range runs[name] {
			require.Equal(t, 1, times, "%s at %s", name, time.Unix(at, 0).UTC())
			n++
		}
		t.Logf("%s: %d occurrences, %d run, %d skipped", name, total, n, skips[name])
		require.Equal(t, total, n+skips[name], name)
		require.Greater(t, n, 10)
	}
}
