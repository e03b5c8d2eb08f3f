package spice

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Trip is one of the three round trips.
type Trip string

// The round trips, from the shortest way to the longest.
const (
	ServerTrip  Trip = "server"
	GuestTrip   Trip = "guest"
	VisibleTrip Trip = "visible"
)

// ErrLost is what every *LostError is.
var ErrLost = errors.New("lost")

// LostError is a round trip whose answer did not come in time, and why as far
// as the client can tell.
type LostError struct {
	Trip   Trip
	Reason string
	Err    error // the session's end, if that is why
}

func (e *LostError) Error() string { return fmt.Sprintf("%s round trip lost: %s", e.Trip, e.Reason) }

// Is makes every LostError an ErrLost.
func (e *LostError) Is(target error) bool { return target == ErrLost }

func (e *LostError) Unwrap() error { return e.Err }

// RoundTrip measures one round trip. A lost one is a *LostError; the context's
// end is not a loss. Round trips of different kinds do not disturb each other;
// those of one kind wait for each other.
func (s *Session) RoundTrip(ctx context.Context, trip Trip) (time.Duration, error) {
	turn := s.turn(trip)
	if turn == nil {
		return 0, fmt.Errorf("there is no %q round trip", trip)
	}
	release, err := s.take(ctx, trip, turn)
	if err != nil {
		return 0, err
	}
	defer release()
	return s.measure(ctx, trip)
}

// turn is what a round trip holds while it runs: the visible one writes, so it
// holds the keyboard.
func (s *Session) turn(trip Trip) chan struct{} {
	switch trip {
	case ServerTrip:
		return s.motions.turn
	case GuestTrip:
		return s.locks.turn
	case VisibleTrip:
		return s.keyboard
	}
	return nil
}

// measure runs a round trip whose turn is held.
func (s *Session) measure(ctx context.Context, trip Trip) (time.Duration, error) {
	switch trip {
	case ServerTrip:
		return s.serverTrip(ctx)
	case GuestTrip:
		return s.guestTrip(ctx)
	default:
		return s.visibleTrip(ctx)
	}
}

// answer waits for an answer's arrival until the deadline, the session's end or
// the context's.
func (s *Session) answer(ctx context.Context, arrived <-chan time.Time, deadline time.Duration) (time.Time, bool) {
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case at := <-arrived:
		return at, true
	case <-timer.C:
	case <-s.done:
	case <-ctx.Done():
	}
	return time.Time{}, false
}

// lost makes of a wait's end what it is for a round trip: the caller's
// context, the session's end, or a missed deadline.
func (s *Session) lost(ctx context.Context, trip Trip, reason string) error {
	if err := s.Err(); err != nil {
		return &LostError{Trip: trip, Reason: "the session ended: " + err.Error(), Err: err}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &LostError{Trip: trip, Reason: reason}
}

// take waits for a turn that one round trip holds at a time.
func (s *Session) take(ctx context.Context, trip Trip, turn chan struct{}) (release func(), err error) {
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-s.done:
	case <-ctx.Done():
	}
	return nil, s.lost(ctx, trip, "")
}
