package spice

import (
	"context"
	"fmt"
	"time"
)

// Sample is one round trip of a Monitor: a duration or a loss.
type Sample struct {
	Trip Trip
	// Due is when the probe was to be sent.
	Due time.Time
	RTT time.Duration
	// Err is nil or a *LostError.
	Err error
}

// MinInterval is the shortest interval of a monitor: after it an unanswered
// probe has been given up and the server's own answer to its lock key has come,
// so that the next probe is sent on time.
func (c *Config) MinInterval() time.Duration {
	return max(lateServer, c.deadline()+time.Second)
}

// Monitor measures the given round trips at a fixed interval until the context
// or the session ends; it returns nil or the session's end. The first probes
// are due after phase, which spreads many sessions' probes. Probes are due by
// the clock, whatever became of the earlier ones: one that could not be sent
// because the desktop was still being waited for is a loss of its own. A
// visible probe that is due while this session types, or still learns how the
// key shows, waits; a second one that is due meanwhile falls out, which is
// nothing the desktop did.
//
// Samples are reported from one goroutine for each kind of round trip.
func (s *Session) Monitor(ctx context.Context, every, phase time.Duration, trips []Trip, report func(Sample)) error {
	if least := s.cfg.MinInterval(); every < least {
		return fmt.Errorf("monitoring every %v: with a deadline of %v the interval must be at least %v", every, s.cfg.deadline(), least)
	}
	for _, t := range trips {
		if s.turn(t) == nil {
			return fmt.Errorf("there is no %q round trip", t)
		}
	}
	ended := make(chan struct{}, len(trips))
	start := time.Now().Add(phase)
	for _, t := range trips {
		go func() {
			s.monitor(ctx, t, start, every, report)
			ended <- struct{}{}
		}()
	}
	for range trips {
		<-ended
	}
	if ctx.Err() != nil {
		return nil
	}
	return s.Err()
}

func (s *Session) monitor(ctx context.Context, trip Trip, start time.Time, every time.Duration, report func(Sample)) {
	timer := time.NewTimer(time.Until(start))
	defer timer.Stop()
	for due := start; ; due = due.Add(every) {
		timer.Reset(time.Until(due))
		if _, err := await(ctx, s, timer.C); err != nil {
			return
		}
		release, err := s.take(ctx, trip, s.turn(trip))
		if err != nil {
			return
		}
		for time.Since(due) >= every {
			due = due.Add(every) // fallen out behind the typist or the learning
		}
		rtt, err := s.measure(ctx, trip)
		release()
		if ctx.Err() != nil {
			return
		}
		report(Sample{Trip: trip, Due: due, RTT: rtt, Err: err})
		// Where an answer came, the time went into learning how the key shows,
		// which is not the desktop's.
		for err != nil && time.Since(due) >= 2*every {
			due = due.Add(every)
			report(Sample{Trip: trip, Due: due, Err: &LostError{Trip: trip, Reason: "the desktop was still being waited for"}})
		}
	}
}
