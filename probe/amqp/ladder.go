package amqp

import (
	"context"
	"math"
	"sync"
	"time"
)

// Rung is one silence of a ladder, and what became of the connection.
type Rung struct {
	Idle    time.Duration
	At      time.Time // when the round trip ended; zero if there was none yet
	Outcome Outcome
}

// Unknown is the upper bound of a cut-off where no rung was lost.
const Unknown = time.Duration(math.MaxInt64)

// CutOff says between which silences connections are cut: the longest that a connection survived (0 if none), and the shortest
// that it did not (Unknown if none was lost). Rungs with other outcomes say nothing: the broker was not reached.
//
// The ladder's rungs are of different times. A loss is believed against a longer silence that was survived earlier, because a
// firewall may have been changed since; a survived silence is believed against shorter ones that were lost earlier.
func CutOff(rungs []Rung) (lower, upper time.Duration) {
	survived := func(r Rung) bool { return r.Outcome == Delivered }
	lost := func(r Rung) bool { return r.Outcome == Lost || r.Outcome == Closed }
	contradicted := func(r Rung, by func(Rung) bool, longer bool) bool {
		for _, other := range rungs {
			if by(other) && other.At.After(r.At) && (other.Idle > r.Idle) == longer {
				return true
			}
		}
		return false
	}
	upper = Unknown
	for _, r := range rungs {
		switch {
		case survived(r) && !contradicted(r, lost, false):
			lower = max(lower, r.Idle)
		case lost(r) && !contradicted(r, survived, true):
			upper = min(upper, r.Idle)
		}
	}
	return lower, upper
}

// Ladder keeps a connection silent for each of the times, all at once, and says what became of them, in the same order. The
// queues are called as the prefix, which begins with QueuePrefix, and the time: "PREFIX5m0s". It takes the longest time and
// thrice the target's patience.
func Ladder(ctx context.Context, t Target, prefix string, idles []time.Duration) ([]Rung, []Result) {
	rungs, results := make([]Rung, len(idles)), make([]Result, len(idles))
	var g sync.WaitGroup
	for i, idle := range idles {
		g.Go(func() {
			results[i] = AfterIdle(ctx, t, prefix+idle.String(), idle)
			rungs[i] = Rung{Idle: idle, At: time.Now(), Outcome: results[i].Outcome}
		})
	}
	g.Wait()
	return rungs, results
}
