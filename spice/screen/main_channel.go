package screen

import (
	"encoding/binary"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// silence is how long a client may owe something: a sign of life on main after
// a PING, the display's INIT, room for what is sent to it
// (CLIENT_CONNECTIVITY_TIMEOUT in spice-server's main-channel-client.cpp).
const silence = 30 * time.Second

func (s *session) notify(text string, now time.Time) {
	s.main.send(wire.MsgNotify, wire.Notify{
		Timestamp:  uint64(now.UnixNano()),
		Severity:   wire.SeverityWarn,
		Visibility: 2, // SPICE_NOTIFY_VISIBILITY_HIGH
		Text:       text,
	}.Append)
}

// ping sends a PING and looks later whether the client is still there.
func (d *Desktop) ping(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != s {
		return
	}
	now, heard := time.Now(), s.heard
	s.pings++
	s.main.send(wire.MsgPing, wire.Ping{ID: s.pings, Timestamp: uint64(now.Sub(s.began).Microseconds())}.Append)
	d.host.clock.at(now.Add(d.config.Ping), func() { d.ping(s) })
	d.host.clock.at(now.Add(silence), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.session == s && s.heard == heard {
			d.end(s.main)
		}
	})
}

// onMain handles a message on main.
func (d *Desktop) onMain(c *channel, typ uint16, body []byte) error {
	c.s.heard++
	switch typ {
	case wire.MsgcMainAttachChannels:
		c.send(wire.MsgMainChannelsList, func(b []byte) []byte {
			return wire.AppendChannelsList(b, []wire.ChannelID{{Type: wire.Display}, {Type: wire.Inputs}, {Type: wire.Cursor}})
		})
	case wire.MsgcMainMouseModeRequest:
		if len(body) < 2 {
			return errShort
		}
		mode := uint32(binary.LittleEndian.Uint16(body))
		if mode != c.s.mouseMode && (mode == wire.MouseServer || mode == wire.MouseClient) {
			c.s.mouseMode = mode
			c.send(wire.MsgMainMouseMode, wire.MouseMode{
				Supported: uint16(wire.MouseServer | wire.MouseClient), Current: uint16(mode)}.Append)
		}
	default:
		if typ < wire.MsgcMainClientInfo || typ > msgcMainLast {
			return errUnknown
		}
		// Agent and migration: there is neither.
	}
	return nil
}

// msgcMainLast is SPICE_MSGC_MAIN_QUALITY_INDICATOR.
const msgcMainLast = 112
