package console

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// Kind sorts an error of a login or a session into the few classes that scripts, metrics and experiments decide on: a client.Class, or
// how a SPICE session failed.
func Kind(err error) string {
	var (
		protocol     *spice.ProtocolError
		format       *wire.Error
		refused      wire.LinkError
		migrated     *spice.MigratedError
		disconnected *spice.DisconnectedError
		network      net.Error
		way          *client.Error
	)
	switch {
	case errors.As(err, &way):
		return string(way.Class)
	case errors.Is(err, spice.ErrPermissionDenied):
		return "permission"
	case errors.Is(err, spice.ErrEvicted):
		return "evicted"
	case errors.Is(err, spice.ErrServerGone):
		return "gone"
	case errors.As(err, &migrated):
		return "migrated"
	case errors.As(err, &disconnected):
		return "disconnected"
	case errors.Is(err, spice.ErrClosed):
		return "closed"
	case errors.As(err, &protocol), errors.As(err, &format):
		return "protocol"
	case errors.As(err, &refused):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "network"
	}
	return "failed"
}

// Step is the step at which a login or a session's opening failed; empty where none had begun.
func Step(err error) string {
	var (
		connecting *spice.StepError
		loggingIn  *client.Error
	)
	switch {
	case errors.As(err, &connecting):
		return string(connecting.Step)
	case errors.As(err, &loggingIn):
		return string(loggingIn.Step)
	}
	return ""
}
