package spice

import (
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

func (s *Session) handleInputs(m *message) error {
	switch m.typ {
	case wire.MsgInputsInit, wire.MsgInputsKeyModifiers:
		at := time.Now()
		b, err := m.prefix(2)
		if err != nil {
			return err
		}
		lights, err := wire.ParseModifiers(b)
		if err != nil {
			return err
		}
		if m.typ == wire.MsgInputsInit {
			s.locks.known(lights)
		} else {
			s.locks.answered(lights, at)
		}
	case wire.MsgInputsMouseMotionAck:
		s.motions.answered(time.Now())
	}
	return nil
}
