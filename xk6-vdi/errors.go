package vdi

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/broker/client"
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
		way          *client.Error
	)
	switch {
	case errors.Is(err, errStopped):
		return "stopped"
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

// stepOf is the step at which a login or a connect failed; empty where none
// had begun.
func stepOf(err error) string {
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

// failureTags are a failure's class and, where it has one, its step.
func failureTags(tags *metrics.TagSet, err error) *metrics.TagSet {
	tags = tags.With("class", kindOf(err))
	if step := stepOf(err); step != "" {
		tags = tags.With("step", step)
	}
	return tags
}

// scriptError is a JavaScript Error with the error's kind and, where a login or
// a connect failed, the step and the request's id in the other side's log.
func scriptError(rt *sobek.Runtime, err error) sobek.Value {
	e := rt.NewGoError(err)
	set := func(name, value string) {
		if value == "" {
			return
		}
		if err := e.Set(name, value); err != nil {
			panic(err) // A new object takes any property.
		}
	}
	set("kind", kindOf(err))
	set("step", stepOf(err))
	var way *client.Error
	if errors.As(err, &way) {
		set("requestId", way.RequestID)
	}
	return e
}
