package amqp

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// noHeartbeat turns heartbeats off. The library takes 0 for "what the broker asks for", also from a URL, and then 60 s are
// negotiated where none were wanted. Of a negative number it makes no heartbeats, and this one is 0 in the 16 bits that it
// sends.
const noHeartbeat = -(1 << 16) * time.Second

// closeTimeout bounds the polite end of a connection.
const closeTimeout = time.Second

// connection is an open connection with one channel.
type connection struct {
	*amqp.Channel
	connection *amqp.Connection
	raw        net.Conn
	closed     chan *amqp.Error // gets the reason when the connection ends unasked
}

func open(ctx context.Context, t Target) (_ *connection, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience())
	defer cancel()
	dial := t.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, "tcp", t.Address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker at %s: %w", t.Address, err)
	}
	c := &connection{raw: raw}
	if tcp, ok := raw.(*net.TCPConn); ok {
		// A Dialer turns keepalive on, which would hide what a silent connection suffers.
		if err := tcp.SetKeepAliveConfig(t.KeepAlive); err != nil {
			c.abort()
			return nil, fmt.Errorf("setting keepalive: %w", err)
		}
	}
	defer func() {
		if err != nil {
			c.abort()
			err = fmt.Errorf("logging in to the broker at %s as %s: %w", t.Address, t.User, cmp.Or(ctx.Err(), err))
		}
	}()
	config := amqp.Config{
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: t.User, Password: t.Password}},
		Vhost:      cmp.Or(t.VHost, "/"),
		Heartbeat:  t.Heartbeat,
		Properties: amqp.NewConnectionProperties(),
	}
	config.Properties.SetClientConnectionName(t.Name)
	if t.Heartbeat < time.Second {
		config.Heartbeat = noHeartbeat
	}
	err = c.do(ctx, func() (err error) {
		stream := raw
		if t.TLS != nil {
			if stream, err = secure(ctx, raw, t); err != nil {
				return err
			}
		}
		if c.connection, err = amqp.Open(stream, config); err != nil {
			return err
		}
		c.closed = c.connection.NotifyClose(make(chan *amqp.Error, 1))
		c.Channel, err = c.connection.Channel()
		return err
	})
	return c, err
}

func secure(ctx context.Context, raw net.Conn, t Target) (net.Conn, error) {
	config := t.TLS.Clone()
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(t.Address)
		if err != nil {
			return nil, err
		}
		config.ServerName = host
	}
	stream := tls.Client(raw, config)
	return stream, stream.HandshakeContext(ctx)
}

// do runs calls of the library, which have no context, and ends the connection if the context ends before them.
func (c *connection) do(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	defer stop()
	return f()
}

// close ends the connection as AMQP wants it, in bounded time.
func (c *connection) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.do(ctx, c.connection.Close)
	c.abort()
}

// abort ends the connection at once. The peer is told by a reset, if it can be told: a kernel would go on for minutes sending
// what nobody takes.
func (c *connection) abort() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.raw.Close()
}
