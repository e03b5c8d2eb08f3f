package service

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/cloud"
)

// openConsoles makes the ways to consoles in their configured order, and what closes them.
func openConsoles(c config.Console, nova *cloud.Cloud) (console.Finder, func() error, error) {
	trust := tlsTrust{subject: c.Subject}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the CA of the consoles: %w", err)
		}
		trust.ca = string(pem)
	}
	var finders []console.Finder
	var closers []func() error
	closeAll := func() error {
		var errs []error
		for _, f := range closers {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	for _, way := range c.Order {
		switch way {
		case config.SpiceDirect:
			finders = append(finders, console.SpiceDirect(nova))
		case config.SpiceHTML5:
			finders = append(finders, console.SpiceHTML5(nova))
		case config.ViaLibvirt:
			libvirt, err := console.NewLibvirt(console.LibvirtConfig{Connect: console.ConnectTo(c.Libvirt.URI),
				TicketLifetime: c.Libvirt.TicketLifetime})
			if err != nil {
				return nil, nil, errors.Join(err, closeAll())
			}
			closers = append(closers, libvirt.Close)
			finders = append(finders, onHost{libvirt, nova})
		case config.Static:
			static, err := staticConsoles(c.Static)
			if err != nil {
				return nil, nil, errors.Join(err, closeAll())
			}
			finders = append(finders, console.Static(static))
		default:
			return nil, nil, fmt.Errorf("%q is no way to a console", way)
		}
	}
	trust.finder = console.First(finders...)
	return trust, closeAll, nil
}

func staticConsoles(all map[string]config.StaticConsole) (map[string]client.Console, error) {
	consoles := map[string]client.Console{}
	for name, c := range all {
		at := client.Console{Host: c.Host, Port: c.Port, TLSPort: c.TLSPort}
		if c.Ticket.Given() {
			var err error
			if at.Ticket, err = c.Ticket.Read(); err != nil {
				return nil, err
			}
		}
		consoles[name] = at
	}
	return consoles, nil
}

// tlsTrust says how the SPICE servers' certificates are checked, which none of the ways knows.
type tlsTrust struct {
	finder      console.Finder
	ca, subject string
}

func (t tlsTrust) Find(ctx context.Context, d console.Desktop) (client.Console, error) {
	at, err := t.finder.Find(ctx, d)
	if err == nil && at.TLSPort != 0 {
		at.CA, at.Subject = t.ca, t.subject
	}
	return at, err
}

// onHost asks Nova on which compute node a desktop is before it asks there: it may have been migrated since the last time.
type onHost struct {
	finder console.Finder
	nova   *cloud.Cloud
}

func (o onHost) Find(ctx context.Context, d console.Desktop) (client.Console, error) {
	if d.Host == "" {
		s, err := o.nova.Server(ctx, d.ServerID)
		switch {
		case errors.Is(err, cloud.ErrNotFound):
			return client.Console{}, fmt.Errorf("%w: %w", console.ErrNotRunning, err)
		case err != nil:
			return client.Console{}, err
		}
		d.Host = s.Host
	}
	return o.finder.Find(ctx, d)
}
