// Package amqp probes a RabbitMQ broker as its clients use it: a canary sends a message to itself, on a fresh connection or on
// one that was silent for a time, and a ladder of canaries finds after how long a silence a firewall on the way forgets a
// connection.
//
// A canary consumes only from a queue that it declared, and leaves none behind: see RoundTrip and AfterIdle.
package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Target is a broker and how to be connected to it.
type Target struct {
	Address        string // host:port
	VHost          string // empty: /
	User, Password string
	TLS            *tls.Config // nil: without; ServerName is the address's host if it is empty
	// Name is what the broker's lists call the connection (connection_name).
	Name string

	// Heartbeat is what the canary's connection asks for, in whole seconds; the broker may lower it. 0 turns heartbeats off,
	// whatever the broker asks for.
	Heartbeat time.Duration
	// KeepAlive is TCP's; the zero value turns it off.
	KeepAlive net.KeepAliveConfig

	// Patience bounds each step: connecting, declaring, the confirmation, the delivery. 0: 10 s.
	Patience time.Duration
	// Dial makes the connection; nil: from this host. The probe closes it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const defaultPatience = 10 * time.Second

func (t Target) patience() time.Duration {
	if t.Patience <= 0 {
		return defaultPatience
	}
	return t.Patience
}

// Outcome is how a round trip ended.
type Outcome string

// The outcomes.
const (
	Delivered   Outcome = "delivered"
	Refused     Outcome = "refused"     // nobody listens, or there is no way there
	Denied      Outcome = "denied"      // the broker does not let this user in, into the virtual host, or have a queue
	Timeout     Outcome = "timeout"     // connecting, declaring or confirming took longer than the target's patience
	Unconfirmed Outcome = "unconfirmed" // the broker refused the message, or had no queue for it
	// Lost: the broker confirmed the message, yet it did not arrive. This is what a firewall does that forgot the connection.
	Lost Outcome = "lost"
	// Closed: the silent connection ended without a word, as by a firewall that resets connections, or a broker that was killed.
	Closed   Outcome = "closed"
	Canceled Outcome = "canceled" // the caller's context ended
	Failed   Outcome = "failed"   // anything else: see the error
)

// Outcomes are all that a round trip can end in.
func Outcomes() []Outcome {
	return []Outcome{Delivered, Refused, Denied, Timeout, Unconfirmed, Lost, Closed, Canceled, Failed}
}

// Result is what a round trip told.
type Result struct {
	Outcome Outcome
	Err     error         // why, unless Delivered; it never has the password
	Connect time.Duration // from dialling to an open channel; of a fresh connection
	Latency time.Duration // from publishing to the delivery; 0 unless Delivered
	// LeftBehind says why the canary's queue may still be there; nil if it is gone.
	LeftBehind error
}

// outcome classifies the error of a step that the context bounded.
func outcome(parent, step context.Context, err error) Outcome {
	var fromBroker *amqp.Error
	switch {
	case parent.Err() != nil:
		return Canceled
	case step.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Refused
	case errors.As(err, &fromBroker) && (fromBroker.Code == amqp.AccessRefused || fromBroker.Code == amqp.NotAllowed):
		return Denied
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return Timeout
	}
	return Failed
}
