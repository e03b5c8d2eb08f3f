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
	startPoll      = 250 * time.Millisecond // while a desktop that was shut down starts, at first
	lastStartPoll  = 2 * time.Second        // and after a while
)

// deadError says that a desktop that was handed out is not there.
type deadError struct {
	gone bool // the cloud says so, and not only its console
	err  error
}

func (e *deadError) Error() string { return e.err.Error() }

func (e *deadError) message() string {
	if e.gone {
		return "the desktop is not there any more: " + e.Error()
	}
	return "the desktop does not answer; reported as broken, it is replaced: " + e.Error()
}

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
	if !ofDesktop(err) {
		return at, err
	}
	// Only now is Nova asked how the desktop is: nearly all of them run.
	var m pool.Machine
	stateErr := b.ask(ctx, func(ctx context.Context) (err error) {
		m, err = b.parts.Machines.State(ctx, given.ServerID)
		return err
	})
	switch {
	case errors.Is(stateErr, pool.ErrGone):
		return at, &deadError{gone: true, err: stateErr}
	case stateErr != nil:
		return at, stateErr
	case m.Status == pool.Active:
		return at, err
	case m.Status != pool.Stopped && m.Status.Resting():
		return at, resting(m)
	}
	w.begin(client.StepBoot)
	if err := b.start(ctx, p, given.Desktop); err != nil {
		return at, err
	}
	w.begin(client.StepConsole)
	at.console, err = b.find(ctx, given.Desktop)
	return at, err
}

// ofDesktop says whether an error is about a desktop, and not about the cloud that could not be asked for it.
func ofDesktop(err error) bool {
	var dead *deadError
	var known *client.Error
	return errors.As(err, &dead) || errors.As(err, &known) && known.Class == client.ConsoleRefused
}

// ask asks the cloud something. One that never answers must not keep the thin client until that gives up.
func (b *Broker) ask(ctx context.Context, question func(context.Context) error) error {
	limit := b.parts.CloudTimeout
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := question(asking)
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		return &client.Error{Class: client.CloudFailed, Message: fmt.Sprintf("the cloud did not answer within %v", limit), Err: err}
	}
	return err
}

// find asks where a desktop's console is and whether something listens there: a desktop may have died since it was last
// checked. More than a connection is not tried, because each SPICE link costs the host a new RSA key.
func (b *Broker) find(ctx context.Context, d store.Desktop) (client.Console, error) {
	var at client.Console
	err := b.ask(ctx, func(ctx context.Context) (err error) {
		at, err = b.parts.Consoles.Find(ctx, console.Desktop{ServerID: d.ServerID, Name: pool.ServerName(d)})
		return err
	})
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

// resting says that a desktop does not run and cannot simply be started. It is there, and with it somebody's work perhaps.
func resting(m pool.Machine) error {
	return &deadError{err: fmt.Errorf("the cloud says that it is %s %s", m.Status, m.Fault)}
}

// start starts a desktop that does not run and waits until the cloud says that it does. What boots at once is limited, for
// stopped desktops as for new ones.
func (b *Broker) start(ctx context.Context, p *pool.Pool, d store.Desktop) error {
	limit := p.Spec().Wait
	if limit == 0 {
		limit = p.Spec().BuildTimeout // nobody waits for a new one, but this one is the user's own
	}
	starting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	last := "it waits for others to boot"
	done, err := p.Boot(starting)
	if err == nil {
		defer done()
		if err = b.parts.Machines.Start(starting, d.ServerID); err != nil && starting.Err() == nil {
			return err
		}
		last = "nobody knows how it is"
	}
	for pause := startPoll; ; pause = min(lastStartPoll, pause*3/2) {
		if starting.Err() != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &client.Error{Class: client.BuildTimeout, Err: err,
				Message: fmt.Sprintf("the desktop did not run and did not start within %v; %s", limit, last)}
		}
		var m pool.Machine
		m, err = b.parts.Machines.State(starting, d.ServerID)
		switch {
		case errors.Is(err, pool.ErrGone):
			return &deadError{gone: true, err: err}
		case err == nil && m.Status == pool.Active:
			return nil
		case err == nil && m.Status != pool.Stopped && m.Status.Resting():
			return resting(m)
		case err == nil:
			last = "it is " + string(m.Status)
		}
		select {
		case <-time.After(pause):
		case <-starting.Done():
		}
	}
}
