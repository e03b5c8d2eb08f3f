package qemu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/hypervisor/qmp"
)

const pollInterval = 10 * time.Millisecond

// execute runs one QMP command and decodes its return value into result, if that is not nil.
func (d *Desktop) execute(ctx context.Context, command string, args, result any) error {
	return qmp.Execute(ctx, d.monitor, command, args, result)
}

// waitMonitor waits until QEMU takes commands.
func (d *Desktop) waitMonitor(ctx context.Context) error {
	return d.poll(ctx, "QEMU to take commands", func() (bool, error) {
		return d.execute(ctx, "query-status", nil, nil) == nil, nil
	})
}

// poll calls reached until it returns true or an error, QEMU has ended, or ctx is done.
func (d *Desktop) poll(ctx context.Context, what string, reached func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ok, err := reached()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.process.Done:
			return fmt.Errorf("waiting for %s: %w", what, errors.New("QEMU has ended"))
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// Pause stops the guest's processor. QEMU and its SPICE server go on.
func (d *Desktop) Pause(ctx context.Context) error { return d.execute(ctx, "stop", nil, nil) }

// Resume lets a paused guest go on.
func (d *Desktop) Resume(ctx context.Context) error { return d.execute(ctx, "cont", nil, nil) }

// SetTicket replaces the ticket that clients must give, from now on and for validFor, which is rounded up to seconds; 0
// means without end. It must be neither empty nor longer than 60 bytes. Clients that are connected stay so. It fails on a
// desktop that was started without a ticket.
func (d *Desktop) SetTicket(ctx context.Context, ticket string, validFor time.Duration) error {
	if ticket == "" {
		return errors.New("setting a desktop's ticket: it is empty")
	}
	if validFor < 0 {
		return errors.New("setting a desktop's ticket: its validity is negative")
	}
	if err := checkTicket(ticket); err != nil {
		return fmt.Errorf("setting a desktop's ticket: %w", err)
	}
	end := "never"
	if validFor > 0 {
		end = fmt.Sprintf("+%d", (validFor+time.Second-1)/time.Second)
	}
	password := map[string]any{"protocol": "spice", "password": ticket, "connected": "keep"}
	if err := d.execute(ctx, "set_password", password, nil); err != nil {
		return fmt.Errorf("setting a desktop's ticket: %w", err)
	}
	if err := d.execute(ctx, "expire_password", map[string]any{"protocol": "spice", "time": end}, nil); err != nil {
		return fmt.Errorf("setting a desktop's ticket: %w", err)
	}
	return nil
}
