package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
)

const (
	connectTimeout = 2 * time.Second        // of a desktop's console
	startPoll      = 250 * time.Millisecond // while a desktop that was shut down starts
)

// deadError says that a desktop that was handed out is not there.
type deadError struct {
	gone bool // the cloud says so, and not only its console
	err  error
}

func (e *deadError) Error() string { return e.err.Error() }
func (e *deadError) Unwrap() error { return e.err }

// opened is a desktop that runs, and where its console is.
type opened struct {
	name    string
	console client.Console
}

// open finds a desktop's console, and starts the desktop first if it was shut down.
func (b *Broker) open(ctx context.Context, p *pool.Pool, given store.Allocation, w *watch) (opened, error) {
	w.begin(client.StepConsole)
	at := opened{name: pool.ServerName(given.Desktop)}
	var err error
	if at.console, err = b.find(ctx, given.Desktop); err == nil {
		return at, nil
	}
	// Only now is Nova asked how the desktop is: nearly all of them run.
	m, stateErr := b.parts.Machines.State(ctx, given.ServerID)
	switch {
	case errors.Is(stateErr, pool.ErrGone):
		return at, &deadError{gone: true, err: stateErr}
	case stateErr != nil:
		return at, stateErr
	case m.Status == pool.Failed:
		return at, &deadError{gone: true, err: fmt.Errorf("the cloud says ERROR: %s", m.Fault)}
	case m.Status == pool.Active:
		return at, err
	}
	w.begin(client.StepBoot)
	if err := b.start(ctx, p, given.Desktop); err != nil {
		return at, err
	}
	w.begin(client.StepConsole)
	at.console, err = b.find(ctx, given.Desktop)
	return at, err
}

// find asks where a desktop's console is and whether something listens there: a desktop may have died since it was last
// checked. More than a connection is not tried, because each SPICE link costs the host a new RSA key.
func (b *Broker) find(ctx context.Context, d store.Desktop) (client.Console, error) {
	at, err := b.parts.Consoles.Find(ctx, console.Desktop{ServerID: d.ServerID, Name: pool.ServerName(d)})
	if err != nil {
		return at, consoleError(err)
	}
	port := at.Port
	if port == 0 {
		port = at.TLSPort
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(at.Host, strconv.Itoa(port)))
	if err != nil {
		return at, &deadError{err: fmt.Errorf("connecting to its console: %w", err)}
	}
	_ = conn.Close() // nothing was sent
	return at, nil
}

// start starts a desktop that does not run and waits until the cloud says that it does.
func (b *Broker) start(ctx context.Context, p *pool.Pool, d store.Desktop) error {
	limit := p.Spec().BuildTimeout
	starting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := b.parts.Machines.Start(starting, d.ServerID); err != nil {
		return err
	}
	for {
		m, err := b.parts.Machines.State(starting, d.ServerID)
		switch {
		case errors.Is(err, pool.ErrGone):
			return &deadError{gone: true, err: err}
		case err == nil && m.Status == pool.Active:
			return nil
		case err == nil && m.Status == pool.Failed:
			return &deadError{gone: true, err: fmt.Errorf("the cloud says ERROR: %s", m.Fault)}
		}
		select {
		case <-time.After(startPoll):
		case <-starting.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &client.Error{Class: client.BuildTimeout, Err: err,
				Message: fmt.Sprintf("the desktop was shut down and did not start within %v", limit)}
		}
	}
}
