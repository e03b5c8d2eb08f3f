package spice

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// motions counts what was sent and what was answered, because the server
// answers every fourth motion and says no more than that it did.
type motions struct {
	mode atomic.Uint32 // wire.MouseServer or wire.MouseClient

	mu    sync.Mutex
	x, y  int // where the pointer is, in client mode
	sent  uint64
	acked uint64        // in bunches
	wait  *motionWait   // nil if nobody waits
	turn  chan struct{} // held by the server probe
}

func (m *motions) init() { m.turn = make(chan struct{}, 1) }

// MoveMouse moves the pointer by pixels, relative to where it is.
func (s *Session) MoveMouse(dx, dy int) error { return s.move(dx, dy, 1) }

// move sends the same motion n times in one write. In client mouse mode the
// desktop takes positions, so the session keeps one.
func (s *Session) move(dx, dy, n int) error {
	c, m := s.inputs, &s.motions
	width, height := s.Size()
	c.sending.Lock()
	defer c.sending.Unlock()
	m.mu.Lock()
	m.sent += uint64(n)
	c.out = c.out[:0]
	for range n {
		if m.mode.Load() == wire.MouseClient {
			m.x, m.y = min(max(m.x+dx, 0), width), min(max(m.y+dy, 0), height)
			c.out = wire.AppendPosition(wire.AppendHeader(c.out, wire.MsgcInputsMousePosition, wire.PositionSize), uint32(m.x), uint32(m.y), 0)
		} else {
			c.out = wire.AppendMotion(wire.AppendHeader(c.out, wire.MsgcInputsMouseMotion, wire.MotionSize), int32(dx), int32(dy), 0)
		}
	}
	m.mu.Unlock()
	if err := c.flush(); err != nil {
		return s.failed(err)
	}
	return nil
}

// Click presses and releases a button where the pointer is.
func (s *Session) Click(ctx context.Context, button wire.Button) error {
	release, err := s.takeKeyboard(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.screen.echo = nil // the focus may move
	c := s.inputs
	c.sending.Lock()
	defer c.sending.Unlock()
	c.out = wire.AppendButton(wire.AppendHeader(c.out[:0], wire.MsgcInputsMousePress, wire.ButtonSize), button, 1<<(button-1))
	c.out = wire.AppendButton(wire.AppendHeader(c.out, wire.MsgcInputsMouseRelease, wire.ButtonSize), button, 0)
	if err := c.flush(); err != nil {
		return s.failed(err)
	}
	return nil
}
