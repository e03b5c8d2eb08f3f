package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/cloud"
)

const notRenewed = "the cloud does not take the broker's token, nor its credentials for a new one"

// failed makes of a login's error one that names its class, its step, and the steps so far.
func failed(err error, w *watch) *client.Error {
	step := w.end()
	e := classify(err)
	if e.Step == "" {
		e.Step = step
	}
	e.Steps = w.steps
	return e
}

// classify finds an error's class. What no part of the way has named is the broker's own failure.
func classify(err error) *client.Error {
	var known *client.Error
	var dead *deadError
	switch {
	case errors.As(err, &known):
		copied := *known
		return &copied
	case errors.As(err, &dead):
		return &client.Error{Class: client.DesktopDied, Message: dead.message(), Err: err}
	case errors.Is(err, store.ErrNotFound):
		return &client.Error{Class: client.SessionNotFound, Err: err}
	case errors.Is(err, cloud.ErrUnauthorized):
		return &client.Error{Class: client.TokenExpired, Message: notRenewed, Err: err}
	}
	var fromCloud *cloud.Error
	if errors.As(err, &fromCloud) {
		return &client.Error{Class: client.CloudFailed, Message: fromCloud.Error(), Err: err}
	}
	return &client.Error{Class: client.BrokerFailed, Err: err}
}

// directoryError classifies what the directory said of a user, whose name is no log's business: people type passwords there.
func directoryError(err error, user string) error {
	unnamed := errors.New(strings.ReplaceAll(err.Error(), fmt.Sprintf("%q", user), "(name)"))
	for _, c := range []struct {
		is      error
		class   client.Class
		message string
	}{
		{directory.ErrWrongPassword, client.WrongPassword, "wrong user name or password"},
		{directory.ErrLocked, client.AccountLocked, "the account is locked, disabled or expired"},
		{directory.ErrDown, client.DirectoryDown, "the directory is down"},
		{directory.ErrSlow, client.DirectorySlow, "the directory did not answer in time"},
	} {
		if errors.Is(err, c.is) {
			return &client.Error{Class: c.class, Message: c.message, Err: unnamed}
		}
	}
	return fmt.Errorf("asking the directory: %w", unnamed)
}

// consoleError tells a console that is refused from a cloud that fails.
func consoleError(err error) error {
	var fromCloud *cloud.Error
	var known *client.Error
	switch {
	case errors.As(err, &known):
		return err
	// Whether the server itself is gone its state tells: a console's token may be what was not found.
	case errors.Is(err, console.ErrNotOffered), errors.Is(err, console.ErrNotRunning), errors.Is(err, cloud.ErrForbidden):
		return &client.Error{Class: client.ConsoleRefused, Message: err.Error(), Err: err}
	case errors.As(err, &fromCloud) && (fromCloud.Status == 400 || fromCloud.Status == 501):
		return &client.Error{Class: client.ConsoleRefused, Message: err.Error(), Err: err}
	case fromCloud != nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &client.Error{Class: client.ConsoleRefused, Message: err.Error(), Err: err}
}

// emptyError says why a login got no desktop although it has waited since began.
func (b *Broker) emptyError(ctx context.Context, p *pool.Pool, began time.Time) error {
	trouble, spec := p.Trouble(began), p.Spec()
	counts, err := b.parts.Store.Counts(ctx, spec.Name, spec.ID())
	if err != nil {
		return err
	}
	all, building := 0, 0
	for _, n := range counts {
		if all += n.Desktops; n.State == store.Building {
			building += n.Desktops
		}
	}
	switch {
	case all >= spec.Max && building == 0: // whatever the cloud said of earlier builds
		return &client.Error{Class: client.PoolEmpty, Err: store.ErrPoolEmpty,
			Message: fmt.Sprintf("all %d desktops that pool %s may have are taken; it needs a larger max, or somebody to log out",
				spec.Max, spec.Name)}
	case errors.Is(trouble, cloud.ErrUnauthorized):
		return &client.Error{Class: client.TokenExpired, Err: trouble, Message: notRenewed}
	case errors.Is(trouble, pool.ErrBuildTimeout):
		return &client.Error{Class: client.BuildTimeout, Err: trouble,
			Message: fmt.Sprintf("no desktop of pool %s is ready, and the cloud does not finish new ones within %v", spec.Name, spec.BuildTimeout)}
	case trouble != nil:
		return &client.Error{Class: client.CloudFailed, Err: trouble,
			Message: fmt.Sprintf("no desktop of pool %s is ready: %v", spec.Name, trouble)}
	case p.Boots() > 0 && spec.Wait > 0:
		return &client.Error{Class: client.BuildTimeout, Err: store.ErrPoolEmpty,
			Message: fmt.Sprintf("no desktop of pool %s became ready within %v; %d are being built", spec.Name, spec.Wait, p.Boots())}
	}
	return &client.Error{Class: client.PoolEmpty, Err: store.ErrPoolEmpty,
		Message: fmt.Sprintf("no desktop of pool %s is ready", spec.Name)}
}
