package spice

import (
	"context"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// motionWait is a probe's wait for the answer to one bunch of motions.
type motionWait struct {
	bunch uint64
	at    chan time.Time
}

// answered counts one MOUSE_MOTION_ACK.
func (m *motions) answered(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked++
	if m.wait != nil && m.acked == m.wait.bunch {
		m.wait.at <- at
		m.wait = nil
	}
}

// serverTrip sends as many motions as complete a bunch, which move nothing, and
// waits for the bunch's own answer: a late answer to an
// earlier bunch has another number.
func (s *Session) serverTrip(ctx context.Context) (time.Duration, error) {
	m := &s.motions
	wait := &motionWait{at: make(chan time.Time, 1)}
	// Before the reservation: a person's motion may complete the bunch first.
	start := time.Now()
	m.mu.Lock()
	missing := wire.MotionAckBunch - int(m.sent%wire.MotionAckBunch)
	wait.bunch = (m.sent + uint64(missing)) / wire.MotionAckBunch
	m.wait = wait
	m.mu.Unlock()
	if err := s.standStill(missing); err != nil {
		return 0, s.lost(ctx, ServerTrip, err.Error())
	}
	if at, ok := s.answer(ctx, wait.at, s.cfg.deadline()); ok {
		return at.Sub(start), nil
	}
	m.mu.Lock()
	m.wait = nil
	m.mu.Unlock()
	return 0, s.lost(ctx, ServerTrip, fmt.Sprintf("no MOTION_ACK within %v", s.cfg.deadline()))
}
