package console

import (
	"context"
	"errors"
	"fmt"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/cloud"
)

// DirectNova is what SpiceDirect asks. *cloud.Cloud is one.
type DirectNova interface {
	SpiceDirect(ctx context.Context, serverID string) (cloud.ConsoleAddress, error)
}

// HTML5Nova is what SpiceHTML5 asks. *cloud.Cloud is one.
type HTML5Nova interface {
	SpiceHTML5(ctx context.Context, serverID string) (cloud.ConsoleAddress, error)
}

// SpiceDirect asks Nova for the console that it offers to thin clients, since 2025.1.
func SpiceDirect(nova DirectNova) Finder { return novaFinder{"spice-direct", nova.SpiceDirect} }

// SpiceHTML5 asks Nova for the console that it offers to browsers, and goes around the proxy that is meant to be between.
func SpiceHTML5(nova HTML5Nova) Finder { return novaFinder{"spice-html5", nova.SpiceHTML5} }

type novaFinder struct {
	kind string
	ask  func(ctx context.Context, serverID string) (cloud.ConsoleAddress, error)
}

func (f novaFinder) Find(ctx context.Context, d Desktop) (client.Console, error) {
	at, err := f.ask(ctx, d.ServerID)
	switch {
	case errors.Is(err, cloud.ErrNotOffered):
		return client.Console{}, fmt.Errorf("%s: %w: %w", f.kind, ErrNotOffered, err)
	case errors.Is(err, cloud.ErrNotFound), errors.Is(err, cloud.ErrConflict):
		// 404, as for a server whose instance is not there yet or any more; 409 for a server in another state than active.
		return client.Console{}, fmt.Errorf("%s: %w: %w", f.kind, ErrNotRunning, err)
	case err != nil:
		return client.Console{}, fmt.Errorf("%s: %w", f.kind, err)
	}
	return client.Console{Host: at.Host, Port: at.Port, TLSPort: at.TLSPort}, nil
}
