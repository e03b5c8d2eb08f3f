package spice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// causeTimeout bounds the question whether the server still lives.
const causeTimeout = 3 * time.Second

// errHeld: the server holds the session that it was asked for.
var errHeld = errors.New("the server holds the session")

// ask opens a display channel of the session with the given id, which disturbs
// nobody, and closes it. It returns nil if the server does not know the
// session, errHeld if it does, else why it could not be asked.
func ask(ctx context.Context, c *Config, id uint32) error {
	conn, _, _, err := link(ctx, c, wire.LinkRequest{
		ConnectionID: id, Channel: wire.ChannelID{Type: wire.Display}, Common: commonCaps})
	switch {
	case err == nil:
		conn.Close()
		return errHeld
	case errors.Is(err, wire.LinkBadConnectionID):
		return nil
	}
	return err
}

// Reach asks whether a desktop's server answers and takes the ticket, over TLS
// where the configuration says so, without opening a session: a thin client
// that is there is not evicted. An error is a *StepError.
func Reach(ctx context.Context, c Config) error {
	if err := c.check(); err != nil {
		return &StepError{Step: StepLink, Addr: c.addr(c.secure(wire.Main)), Err: err}
	}
	// No server gives this id: spice-server draws them at random, one in four
	// billion.
	err := ask(ctx, &c, ^uint32(0))
	if errors.Is(err, errHeld) {
		return nil
	}
	return err
}

// cause finds out why a connection ended. spice-server says nothing to a
// client that it evicts: it closes its connections, as the kernel does when
// the server dies. So the server is asked once about the session: an evicting
// server does not know it; a dead one does not answer. One that holds it, or an
// answer that says nothing, leaves the reason as it is.
func (s *Session) cause(reason error) error {
	if !ended(reason) {
		return reason
	}
	ctx, cancel := context.WithTimeout(context.Background(), causeTimeout)
	defer cancel()
	switch err := ask(ctx, &s.cfg, s.id); {
	case err == nil:
		return ErrEvicted
	case errors.Is(err, errHeld):
		return reason
	case errors.Is(err, ErrPermissionDenied):
		// The ticket has expired since. A server that lives and has ended all
		// channels has given the session up.
		select {
		case <-s.allCut:
			return ErrEvicted
		case <-ctx.Done():
			return reason
		}
	case unanswered(err):
		return ErrServerGone
	default:
		return fmt.Errorf("%w; asking the server about it: %w", reason, err)
	}
}

// unanswered tells whether nobody answers at the other end, as opposed to a
// failure of this one.
func unanswered(err error) bool {
	var network net.Error
	return ended(err) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &network) && network.Timeout()
}

// ended tells whether the connection was ended by the other side or by the
// network between, rather than by a decision of this one.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, net.ErrClosed)
}
