package spice

import "github.com/deskstorm/deskstorm/spice/wire"

// mainHandler handles the main channel. The list of channels goes to offered
// once.
type mainHandler struct {
	s       *Session
	offered chan<- []wire.ChannelID
	inited  bool
}

func (h *mainHandler) handle(m *message) error {
	switch m.typ {
	case wire.MsgMainInit:
		return h.init(m)
	case wire.MsgMainChannelsList:
		b, err := m.body(maxSmall)
		if err != nil {
			return err
		}
		ids, err := wire.ParseChannelsList(b)
		if err != nil {
			return err
		}
		if !h.inited {
			return &wire.Error{What: "CHANNELS_LIST before INIT"}
		}
		select {
		case h.offered <- ids:
		default: // A later list announces channels that this client ignores.
		}
	case wire.MsgMainMouseMode:
		b, err := m.prefix(4)
		if err != nil {
			return err
		}
		mode, err := wire.ParseMouseMode(b)
		if err != nil {
			return err
		}
		h.s.motions.mode.Store(uint32(mode.Current))
	case wire.MsgMainMigrateBegin, wire.MsgMainMigrateBeginSeamless:
		// Without a connection to the target the server moves the desktop and
		// then says where to, with SWITCH_HOST.
		return h.s.main.send(wire.MsgcMainMigrateConnectError, nil)
	case wire.MsgMainMigrateSwitchHost:
		b, err := m.body(wire.MaxDestination)
		if err != nil {
			return err
		}
		to, err := wire.ParseDestination(b)
		if err != nil {
			return err
		}
		return &MigratedError{To: to}
	}
	return nil
}

func (h *mainHandler) init(m *message) error {
	b, err := m.prefix(wire.InitSize)
	if err != nil {
		return err
	}
	init, err := wire.ParseInit(b)
	if err != nil {
		return err
	}
	if h.inited {
		return &wire.Error{What: "a second INIT"}
	}
	h.inited = true
	h.s.id = init.SessionID
	h.s.motions.mode.Store(init.CurrentMouse)
	return h.s.main.send(wire.MsgcMainAttachChannels, nil)
}
