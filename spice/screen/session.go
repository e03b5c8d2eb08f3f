package screen

import (
	"crypto/rand"
	"encoding/binary"
	"net"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// session is one client: its channels, of which main is always there.
// Desktop.mu guards it.
type session struct {
	id                            uint32
	began                         time.Time
	main, display, inputs, cursor *channel
	heard                         uint64 // messages on main
	pings                         uint32
	mouseMode                     uint32
	motions                       int // since the last MOUSE_MOTION_ACK
	picture                       picture
}

// slot is where a session keeps its channel of a type, nil for a type that the
// desktop does not offer.
func (s *session) slot(t wire.ChannelType) **channel {
	switch t {
	case wire.Main:
		return &s.main
	case wire.Display:
		return &s.display
	case wire.Inputs:
		return &s.inputs
	case wire.Cursor:
		return &s.cursor
	}
	return nil
}

// attach gives a linked connection its place, tells the client the link's
// result and starts the channel. It returns nil if the connection has no place.
func (d *Desktop) attach(conn net.Conn, req wire.LinkRequest) *channel {
	now := time.Now()
	c, refused := d.place(conn, req, now)
	if c == nil {
		_, _ = conn.Write(linkResult(nil, refused))
	}
	return c
}

func (d *Desktop) place(conn net.Conn, req wire.LinkRequest, now time.Time) (*channel, wire.LinkError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, wire.LinkFailed
	}
	if req.Channel.Type == wire.Main {
		return d.newSession(conn, req, now), wire.LinkOK
	}
	s := d.session
	if s == nil || req.ConnectionID != s.id {
		return nil, wire.LinkBadConnectionID
	}
	slot := s.slot(req.Channel.Type)
	if slot == nil || req.Channel.ID != 0 {
		return nil, wire.LinkChannelNotAvailable
	}
	if *slot != nil {
		// spice-server notices a duplicate only after having said yes.
		return nil, wire.LinkOK
	}
	*slot = newChannel(d, s, conn, req)
	c := *slot
	c.sendLinked()
	switch c.kind {
	case wire.Display:
		// For INIT (COMMON_CLIENT_TIMEOUT in red-common.h).
		_ = conn.SetReadDeadline(now.Add(silence))
		c.sendSetAck()
	case wire.Inputs:
		c.send(wire.MsgInputsInit, func(b []byte) []byte { return wire.AppendModifiers(b, d.guest.keyboard.locks) })
		c.sendSetAck()
		if !isSecure(conn) {
			s.notify("keyboard channel is insecure", now)
		}
	case wire.Cursor:
		c.sendSetAck()
		c.send(wire.MsgCursorInit, wire.AppendCursorInit)
	}
	return c, wire.LinkOK
}

// newSession makes main's connection the desktop's client. What connection id
// it sends is of use in migrations only.
func (d *Desktop) newSession(conn net.Conn, req wire.LinkRequest, now time.Time) *channel {
	if d.session != nil {
		d.endSession()
		d.stats.Evictions++
	}
	s := &session{id: newSessionID(), began: now, mouseMode: wire.MouseServer}
	d.session = s
	d.stats.Sessions++
	d.stats.Clients = 1
	s.main = newChannel(d, s, conn, req)
	s.main.sendLinked()
	s.main.send(wire.MsgMainInit, wire.Init{
		SessionID:      s.id,
		DisplayHint:    1,
		SupportedMouse: wire.MouseServer | wire.MouseClient,
		CurrentMouse:   s.mouseMode,
		MultiMediaTime: uint32(now.UnixMilli()),
	}.Append)
	s.main.sendSetAck()
	if d.config.Ping > 0 {
		d.host.clock.at(now.Add(d.config.Ping), func() { d.ping(s) })
	}
	return s.main
}

func newSessionID() uint32 {
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if id := binary.LittleEndian.Uint32(b[:]); id != 0 {
			return id
		}
	}
}

// endSession cuts the client, if there is one.
func (d *Desktop) endSession() {
	s := d.session
	if s == nil {
		return
	}
	for _, c := range []*channel{s.main, s.display, s.inputs, s.cursor} {
		d.end(c)
	}
}

// end cuts a channel; main's end is the session's.
func (d *Desktop) end(c *channel) {
	if c == nil || c.ended {
		return
	}
	c.ended = true
	c.close()
	*c.s.slot(c.kind) = nil
	switch c.kind {
	case wire.Main:
		d.endSession()
		d.session = nil
		d.stats.Clients = 0
	case wire.Display:
		c.s.picture = picture{}
		d.caretShown = false
	case wire.Inputs:
		d.releaseKeys(time.Now())
	}
}
