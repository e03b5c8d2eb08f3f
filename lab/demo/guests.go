package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/deskstorm/deskstorm/lab/qemu"
)

// bootTimeout bounds the start of all guests: firmware takes a second under TCG, and some 15 s under a KVM that is itself
// emulated, when several guests start at once on few processors.
const bootTimeout = 2 * time.Minute

// guests are desktops under QEMU.
type guests struct {
	desktops []*qemu.Desktop
	duration time.Duration
}

// startGuests starts the guests side by side and says how far it is.
func startGuests(ctx context.Context, o Options) (*guests, error) {
	accelerator := o.Accelerator
	if accelerator == "" {
		accelerator = qemu.Accelerator()
	}
	booting, cancel := context.WithTimeoutCause(ctx, bootTimeout, fmt.Errorf("the guests did not boot within %v", bootTimeout))
	defer cancel()
	type started struct {
		desktop *qemu.Desktop
		err     error
	}
	reports := make(chan started)
	for range o.Clients {
		go func() {
			d, err := qemu.Start(booting, qemu.Config{Accelerator: accelerator})
			reports <- started{d, err}
		}()
	}
	g := &guests{duration: o.Duration}
	begin := time.Now()
	var errs []error
	tell := func(format string, args ...any) {
		if _, err := fmt.Fprintf(o.Out, format, args...); err != nil {
			errs = append(errs, err)
		}
	}
	tell("booting %s under QEMU (%s)\n", count(o.Clients, "guest", "guests"), accelerator)
	for range o.Clients {
		report := <-reports
		if report.err != nil {
			errs = append(errs, report.err)
			cancel() // the others would be of no use
			continue
		}
		g.desktops = append(g.desktops, report.desktop)
		tell("%d of %d have booted, %.1f s\n", len(g.desktops), o.Clients, time.Since(begin).Seconds())
	}
	if len(errs) > 0 {
		g.close()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(booting.Err(), context.DeadlineExceeded):
			return nil, context.Cause(booting)
		}
		return nil, errs[0]
	}
	return g, nil
}

func (g *guests) kind() string { return "QEMU" }

func (g *guests) addresses() []string {
	var all []string
	for _, d := range g.desktops {
		all = append(all, net.JoinHostPort(d.Host, strconv.Itoa(d.Port)))
	}
	return all
}

// faults is one guest that hangs for the last third.
func (g *guests) faults() []fault {
	d := g.desktops[len(g.desktops)-1]
	return []fault{{
		kind: hangFault, what: "a guest hangs, to the end", desktops: 1, after: g.duration * 2 / 3, inject: d.Hang,
	}}
}

func (g *guests) keysReceived() (int64, bool) { return 0, false }

func (g *guests) close() {
	closed := make(chan struct{})
	for _, d := range g.desktops {
		go func() {
			_ = d.Close() // an error is a temporary file that stayed
			closed <- struct{}{}
		}()
	}
	for range g.desktops {
		<-closed
	}
}
