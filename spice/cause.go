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

const (
	// causeTimeout bounds the question whether the server still lives.
	causeTimeout = 3 * time.Second
	// cutTogether is within what time a server that ends a session has ended
	// all its channels: 3 ms were seen.
	cutTogether = time.Second
	// nobody is a session that no server holds: spice-server draws its ids at
	// random, this one once in four billion.
	nobody = ^uint32(0)
)

// Reach asks whether a desktop's server answers and takes the ticket, over TLS
// where the configuration says so, without opening a session: a thin client
// that is there is not evicted. An error is a *StepError.
//
// It asks for the display of a session that does not exist, which the server
// refuses after it has taken the ticket. A session that exists must not be
// asked for: spice-server 0.15.1 can crash when a second display channel of a
// session ends together with the first.
func Reach(ctx context.Context, c Config) error {
	if err := c.check(); err != nil {
		return &StepError{Step: StepLink, Addr: c.addr(c.secure(wire.Main)), Err: err}
	}
	conn, _, _, err := link(ctx, &c, wire.LinkRequest{
		ConnectionID: nobody, Channel: wire.ChannelID{Type: wire.Display}, Common: commonCaps})
	if err == nil {
		conn.Close()
		return nil
	}
	if errors.Is(err, wire.LinkBadConnectionID) {
		return nil
	}
	return err
}

// cause finds out why a connection ended. spice-server says nothing to a
// client that it evicts: it closes its connections, as the kernel does when
// the server dies. A network that cuts one connection leaves the others. So an
// end of all channels at once is the server's doing, and whether it still
// answers tells an eviction from its death.
func (s *Session) cause(reason error) error {
	if !ended(reason) {
		return reason
	}
	timer := time.NewTimer(cutTogether)
	defer timer.Stop()
	select {
	case <-s.allCut:
	case <-timer.C:
		return reason
	}
	ctx, cancel := context.WithTimeout(context.Background(), causeTimeout)
	defer cancel()
	switch err := Reach(ctx, s.cfg); {
	case err == nil, errors.Is(err, ErrPermissionDenied): // The ticket may have expired since.
		return ErrEvicted
	case unanswered(err):
		return ErrServerGone
	default:
		return fmt.Errorf("%w; asking the server about it: %w", reason, err)
	}
}

// ended tells whether the connection was ended by the other side or by the
// network between, rather than by a decision of this one.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// unanswered tells whether nobody answers at the other end, as opposed to a
// failure of this one.
func unanswered(err error) bool {
	var network net.Error
	return ended(err) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &network) && network.Timeout()
}
