package console

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/spice"
)

// Config is how to open a console, with what else a SPICE client may be told.
func Config(at client.Console, config spice.Config) (spice.Config, error) {
	config.Host, config.Port, config.TLSPort = at.Host, at.Port, at.TLSPort
	config.Ticket, config.Subject = at.Ticket, at.Subject
	if at.CA == "" {
		return config, nil
	}
	config.CA = x509.NewCertPool()
	if !config.CA.AppendCertsFromPEM([]byte(at.CA)) {
		return config, &client.Error{Class: client.ConsoleRefused, Step: client.StepConsole,
			Message: "the console's certificate authority is no certificate in PEM form"}
	}
	return config, nil
}

// Open opens a session at a console, and returns when the first picture has come. Where nothing answers, the error is a *client.Error
// of the class ConsoleRefused: the login named a desktop that does not answer there.
func Open(ctx context.Context, at client.Console, config spice.Config) (*spice.Session, error) {
	config, err := Config(at, config)
	if err != nil {
		return nil, err
	}
	s, err := spice.Dial(ctx, config)
	if err == nil {
		return s, nil
	}
	if step, ok := errors.AsType[*spice.StepError](err); ok && step.Step == spice.StepLink {
		switch Kind(err) {
		case "network", "timeout", "refused":
			return nil, &client.Error{Class: client.ConsoleRefused, Err: err}
		}
	}
	return nil, err
}

// Trust says how the SPICE servers' certificates are checked, which none of the ways to consoles knows: by an authority in PEM form, and
// by their subject; either may be empty.
func Trust(f Finder, ca, subject string) Finder { return trusted{f, ca, subject} }

type trusted struct {
	Finder
	ca, subject string
}

// Find implements Finder.
func (t trusted) Find(ctx context.Context, d Desktop) (client.Console, error) {
	at, err := t.Finder.Find(ctx, d)
	if err == nil && at.TLSPort != 0 {
		at.CA, at.Subject = t.ca, t.subject
	}
	return at, err
}

// refusal is an error of Answers.
func refusal(err error) error { return fmt.Errorf("%w: %w", ErrRefused, err) }
