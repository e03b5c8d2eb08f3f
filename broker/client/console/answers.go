package console

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/spice"
)

// Answers asks the SPICE server of a console whether it answers and takes the ticket, without opening a session: a thin
// client that is there stays. An error is ErrRefused, unless the context was cancelled; no
// answer before its deadline is a refusal too.
func Answers(ctx context.Context, c client.Console) error {
	config := spice.Config{Host: c.Host, Port: c.Port, TLSPort: c.TLSPort, Ticket: c.Ticket, Subject: c.Subject}
	if c.CA != "" {
		config.CA = x509.NewCertPool()
		if !config.CA.AppendCertsFromPEM([]byte(c.CA)) {
			return fmt.Errorf("%w: its CA holds no certificate in PEM form", ErrRefused)
		}
	}
	err := spice.Reach(ctx, config)
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}
