package notification

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	dialTimeout = 10 * time.Second
	heartbeat   = 10 * time.Second
	// A listener that falls behind loses the oldest and never fills the broker: a notification of Nova is some 2 kB.
	queueLength = 100_000
)

// ErrURL is a broker's URL that is none. The URL itself is not told, for it has a password.
var ErrURL = errors.New("the message broker's URL is not of the form amqp://user:password@host:port/vhost")

// Listener is where to listen, and to what.
type Listener struct {
	URL string // amqp://user:password@host:port/vhost, or amqps://
	TLS *tls.Config
	// Exchanges are the services' (their control_exchange): "nova".
	Exchanges []string
	// Keys are the routing keys, topic and priority: "notifications.*", "versioned_notifications.error".
	Keys []string
	Name string // of the connection, as RabbitMQ's lists show it
}

// Check says whether the URL is one.
func (l Listener) Check() error {
	if _, err := amqp.ParseURI(l.URL); err != nil {
		return ErrURL
	}
	return nil
}

// Listen calls handle with one notification after the other until the context ends or the connection does; the error says why.
// bad is called for a message that is no notification. Listening is called once the queue is bound: what is sent from then on comes.
func (l Listener) Listen(ctx context.Context, listening func(), handle func(Notification), bad func(error)) error {
	if err := l.Check(); err != nil {
		return err
	}
	connection, err := amqp.DialConfig(l.URL, amqp.Config{
		Heartbeat: heartbeat, TLSClientConfig: l.TLS, Dial: dial(ctx),
		Properties: amqp.Table{"connection_name": l.Name, "product": "deskstorm"},
	})
	if err != nil {
		return fmt.Errorf("connecting to the message broker: %w", hide(err))
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { connection.Close() })
	defer stop()
	messages, err := l.bind(connection)
	if err != nil {
		return err
	}
	listening()
	for m := range messages {
		n, err := Decode(m.Body)
		if err != nil {
			bad(err)
			continue
		}
		handle(n)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the message broker closed the connection")
}

// dial connects, and bounds the handshake that follows, as amqp.DefaultDial does, and ends with the context.
func dial(ctx context.Context) func(network, address string) (net.Conn, error) {
	return func(network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := c.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
}

// bind makes the queue, which is exclusive and therefore ends with the connection.
func (l Listener) bind(connection *amqp.Connection) (<-chan amqp.Delivery, error) {
	for _, exchange := range l.Exchanges {
		if err := ensureExchange(connection, exchange); err != nil {
			return nil, fmt.Errorf("looking for the exchange %q: %w", exchange, err)
		}
	}
	channel, err := connection.Channel()
	if err != nil {
		return nil, fmt.Errorf("opening a channel at the message broker: %w", err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, amqp.Table{"x-max-length": queueLength, "x-overflow": "drop-head"})
	if err != nil {
		return nil, fmt.Errorf("making a queue of our own: %w", err)
	}
	for _, exchange := range l.Exchanges {
		for _, key := range l.Keys {
			if err := channel.QueueBind(queue.Name, key, exchange, false, nil); err != nil {
				return nil, fmt.Errorf("binding our queue to %q of the exchange %q: %w", key, exchange, err)
			}
		}
	}
	messages, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	if err != nil {
		return nil, fmt.Errorf("reading our queue: %w", err)
	}
	return messages, nil
}

// ensureExchange declares the exchange as oslo.messaging does, if there is none yet: its service may not have started. Each try is
// on a channel of its own, which an error closes.
func ensureExchange(connection *amqp.Connection, name string) error {
	passive, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := passive.ExchangeDeclarePassive(name, amqp.ExchangeTopic, false, false, false, false, nil); err == nil {
		return passive.Close()
	} else if known := new(amqp.Error); !errors.As(err, &known) || known.Code != amqp.NotFound {
		// It is there with other attributes, or looking is not allowed; binding will tell.
		return nil
	}
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.ExchangeDeclare(name, amqp.ExchangeTopic, false, false, false, false, nil); err != nil {
		return err
	}
	return channel.Close()
}

// hide leaves out of an error what may show the URL.
func hide(err error) error {
	known := new(amqp.Error)
	if errors.As(err, &known) {
		return fmt.Errorf("%s (%d)", known.Reason, known.Code)
	}
	return err
}
