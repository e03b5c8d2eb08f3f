package spice

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// causeTimeout bounds the question whether the server still lives.
const causeTimeout = 3 * time.Second

// cause finds out why the connections ended. spice-server says nothing to a
// client that it evicts: it closes its connections, as the kernel does when
// the server dies. So the server is asked once, by opening a display channel
// with this session's connection id, which disturbs nobody: an evicting server
// answers that it does not know the id, or by then the ticket; a dead one does
// not answer.
func (s *Session) cause(reason error) error {
	if !ended(reason) {
		return reason
	}
	ctx, cancel := context.WithTimeout(context.Background(), causeTimeout)
	defer cancel()
	conn, _, _, err := link(ctx, &s.cfg, wire.LinkRequest{
		ConnectionID: s.id, Channel: wire.ChannelID{Type: wire.Display}, Common: commonCaps})
	switch {
	case err == nil:
		// The server still holds the session: it closed this one connection.
		conn.Close()
		return reason
	case errors.Is(err, wire.LinkBadConnectionID), errors.Is(err, ErrPermissionDenied):
		return ErrEvicted
	default:
		return ErrServerGone
	}
}

// ended tells whether the connection was ended by the other side or by the
// network between, rather than by a decision of this one.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, net.ErrClosed)
}
