package vdi

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/grafana/sobek"

	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// kindOf sorts an error into the few classes that scripts and metrics decide
// on.
func kindOf(err error) string {
	var (
		protocol     *spice.ProtocolError
		format       *wire.Error
		refused      wire.LinkError
		migrated     *spice.MigratedError
		disconnected *spice.DisconnectedError
		network      net.Error
	)
	switch {
	case errors.Is(err, errStopped):
		return "stopped"
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

// scriptError is a JavaScript Error with the error's kind and, where a connect
// failed, the step.
func scriptError(rt *sobek.Runtime, err error) sobek.Value {
	e := rt.NewGoError(err)
	set := func(name, value string) {
		if err := e.Set(name, value); err != nil {
			panic(err) // A new object takes any property.
		}
	}
	set("kind", kindOf(err))
	var step *spice.StepError
	if errors.As(err, &step) {
		set("step", string(step.Step))
	}
	return e
}
