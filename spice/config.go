package spice

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// DefaultDeadline is how long a round trip may take before it is lost. It is
// also the longest that a guest round trip can wait: 2.0 s after a lock key
// the server answers by itself, whether the guest lives or not.
const DefaultDeadline = 1500 * time.Millisecond

// Config says which desktop to open and how.
type Config struct {
	// Host is a name or an address.
	Host string
	// Port is the plain port and TLSPort the TLS port; 0 means not served.
	// With both, channels are opened in plain unless SecureChannels names
	// them or the server asks for TLS.
	Port, TLSPort int
	// Ticket is the session's password, at most 60 bytes; spice-server keeps 59 of them.
	Ticket string
	// CA verifies the server's certificate; nil takes the system's roots.
	CA *x509.CertPool
	// Subject, where not empty, must be the certificate's subject, such as
	// "C=DE,O=Example,CN=node7"; the host's name is then not looked at.
	Subject string
	// SecureChannels are opened on the TLS port.
	SecureChannels []wire.ChannelType
	// Deadline of a round trip; 0 means DefaultDeadline.
	Deadline time.Duration
	// DialContext opens connections; nil means a net.Dialer's.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// check returns what is wrong with the configuration.
func (c *Config) check() error {
	switch {
	case c.Host == "":
		return errors.New("no host")
	case c.Port == 0 && c.TLSPort == 0:
		return errors.New("neither a port nor a TLS port")
	case c.Port < 0 || c.Port > 65535 || c.TLSPort < 0 || c.TLSPort > 65535:
		return fmt.Errorf("port %d and TLS port %d must be from 1 to 65535, or 0 for not served", c.Port, c.TLSPort)
	case len(c.Ticket) > wire.MaxTicket:
		return fmt.Errorf("the ticket has %d bytes, SPICE allows %d", len(c.Ticket), wire.MaxTicket)
	case len(c.SecureChannels) > 0 && c.TLSPort == 0:
		return errors.New("channels must be secure, but there is no TLS port")
	case c.Deadline < 0:
		return fmt.Errorf("the deadline %v is negative", c.Deadline)
	}
	return nil
}

// secure tells whether a channel is opened on the TLS port.
func (c *Config) secure(t wire.ChannelType) bool {
	if c.Port == 0 {
		return true
	}
	for _, s := range c.SecureChannels {
		if s == t {
			return true
		}
	}
	return false
}

func (c *Config) addr(secure bool) string {
	port := c.Port
	if secure {
		port = c.TLSPort
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(port))
}

func (c *Config) deadline() time.Duration {
	if c.Deadline == 0 {
		return DefaultDeadline
	}
	return c.Deadline
}

func (c *Config) dial(ctx context.Context, addr string) (net.Conn, error) {
	if c.DialContext != nil {
		return c.DialContext(ctx, "tcp", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
