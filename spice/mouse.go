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

	mu     sync.Mutex
	placed bool
	x, y   int // where the pointer is, in client mode, once it was placed
	sent   uint64
	acked  uint64        // in bunches
	wait   *motionWait   // nil if nobody waits
	turn   chan struct{} // held by the server probe
}

func (m *motions) init() { m.turn = make(chan struct{}, 1) }

// MoveMouse moves the pointer by pixels, relative to where it is. In client
// mouse mode the desktop takes positions, so the session keeps one, from the
// middle of the screen on. It waits for nothing but the connection.
func (s *Session) MoveMouse(ctx context.Context, dx, dy int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m := &s.motions
	if m.mode.Load() != wire.MouseClient {
		return s.sendMotions(1, func(b []byte) []byte {
			return wire.AppendMotion(wire.AppendHeader(b, wire.MsgcInputsMouseMotion, wire.MotionSize), int32(dx), int32(dy), 0)
		})
	}
	width, height := s.Size()
	return s.sendMotions(1, func(b []byte) []byte {
		if !m.placed {
			m.placed, m.x, m.y = true, width/2, height/2
		}
		m.x, m.y = min(max(m.x+dx, 0), max(width-1, 0)), min(max(m.y+dy, 0), max(height-1, 0))
		return wire.AppendPosition(wire.AppendHeader(b, wire.MsgcInputsMousePosition, wire.PositionSize), uint32(m.x), uint32(m.y), 0)
	})
}

// standStill sends n motions of no pixels, which the server counts in either
// mouse mode and which move nothing in both.
func (s *Session) standStill(n int) error {
	return s.sendMotions(n, func(b []byte) []byte {
		return wire.AppendMotion(wire.AppendHeader(b, wire.MsgcInputsMouseMotion, wire.MotionSize), 0, 0, 0)
	})
}

// sendMotions counts and sends n motions in one write.
func (s *Session) sendMotions(n int, one func([]byte) []byte) error {
	c, m := s.inputs, &s.motions
	c.sending.Lock()
	defer c.sending.Unlock()
	m.mu.Lock()
	m.sent += uint64(n)
	c.out = c.out[:0]
	for range n {
		c.out = one(c.out)
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
