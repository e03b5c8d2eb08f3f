package screen

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// linkTime is how long a client may take for TLS and the link phase.
const linkTime = 10 * time.Second

// minLinkRequest is the size of a link request without capabilities
// (SpiceLinkMess in protocol.h).
const minLinkRequest = 18

// converse is a connection's life.
func (d *Desktop) converse(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(linkTime))
	req, err := d.link(conn)
	if err != nil {
		return
	}
	if c := d.attach(conn, req); c != nil {
		c.run()
	}
}

var errRefused = errors.New("link refused")

// link does the link phase up to its result, which attach sends.
func (d *Desktop) link(conn net.Conn) (wire.LinkRequest, error) {
	var req wire.LinkRequest
	refuse := func(why wire.LinkError) (wire.LinkRequest, error) {
		_, _ = conn.Write(wire.LinkReply{Error: why}.Append(nil))
		return req, errRefused
	}

	header := make([]byte, wire.LinkHeaderSize)
	if _, err := io.ReadFull(conn, header); err != nil {
		return req, err
	}
	size, err := wire.ParseLinkHeader(header)
	if err != nil {
		return refuse(headerRefusal(err))
	}
	if size < minLinkRequest {
		return refuse(wire.LinkInvalidData)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return req, err
	}
	if req, err = wire.ParseLinkRequest(body); err != nil {
		return refuse(wire.LinkInvalidData)
	}
	if slices.Contains(d.config.Secure, req.Channel.Type) && !isSecure(conn) {
		return refuse(wire.LinkNeedSecured)
	}

	key, err := d.host.key()
	if err != nil {
		return refuse(wire.LinkFailed)
	}
	reply := wire.LinkReply{
		PubKey: key.public,
		Common: wire.CapsOf(wire.CapAuthSelection, wire.CapAuthSpice, wire.CapMiniHeader),
		Caps:   capsOf(req.Channel.Type),
	}
	if _, err := conn.Write(reply.Append(nil)); err != nil {
		return req, err
	}

	if req.Common.Has(wire.CapAuthSelection) {
		var mechanism [4]byte
		if _, err := io.ReadFull(conn, mechanism[:]); err != nil {
			return req, err
		}
		if binary.LittleEndian.Uint32(mechanism[:]) != wire.AuthSpice {
			return refuse(wire.LinkInvalidData)
		}
	}
	encrypted := make([]byte, wire.TicketSize)
	if _, err := io.ReadFull(conn, encrypted); err != nil {
		return req, err
	}
	d.mu.Lock()
	ticket := d.ticket
	d.mu.Unlock()
	if !ticket.admits(key.private, encrypted, time.Now()) {
		_, _ = conn.Write(linkResult(nil, wire.LinkPermissionDenied))
		return req, errRefused
	}
	return req, nil
}

// headerRefusal is what spice-server answers to a link header: by the field
// that is wrong.
func headerRefusal(err error) wire.LinkError {
	var e *wire.Error
	if !errors.As(err, &e) {
		return wire.LinkInvalidData
	}
	switch e.Offset {
	case 0:
		return wire.LinkInvalidMagic
	case 4:
		return wire.LinkVersionMismatch
	}
	return wire.LinkInvalidData
}

func capsOf(t wire.ChannelType) wire.Caps {
	if t == wire.Display {
		return wire.CapsOf(wire.CapDisplayMonitorsConfig, wire.CapDisplayLZ4, wire.CapDisplayPrefCompression)
	}
	return 0
}

func linkResult(b []byte, result wire.LinkError) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(result))
}

func isSecure(conn net.Conn) bool {
	_, secure := conn.(*tls.Conn)
	return secure
}
