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
	prefetch    = 1000 // messages on their way
	// A listener that falls behind loses the oldest and never fills the broker: a notification of Nova is some 2 kB.
	queueLength = 100_000
	// lookEvery is how often exchanges are looked for that were not there: a service declares its own when it starts.
	lookEvery = 10 * time.Second
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
// It makes no exchange: one that is not there is bound some seconds after its service made it.
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
	q, err := l.open(connection)
	if err != nil {
		return err
	}
	listening()
	err = q.read(handle, bad)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
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

// queue is our own.
type queue struct {
	Listener
	connection *amqp.Connection
	channel    *amqp.Channel
	name       string
	messages   <-chan amqp.Delivery
}

// open makes the queue, which is exclusive and therefore ends with the connection, and binds it to the exchanges that there are.
func (l Listener) open(connection *amqp.Connection) (*queue, error) {
	channel, err := connection.Channel()
	if err != nil {
		return nil, fmt.Errorf("opening a channel at the message broker: %w", err)
	}
	made, err := channel.QueueDeclare("", false, true, true, false, amqp.Table{"x-max-length": queueLength, "x-overflow": "drop-head"})
	if err != nil {
		return nil, fmt.Errorf("making a queue of our own: %w", err)
	}
	// Without it the client library would hold all of the queue in memory.
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return nil, fmt.Errorf("bounding the messages on their way: %w", err)
	}
	q := &queue{Listener: l, connection: connection, channel: channel, name: made.Name}
	if q.messages, err = channel.Consume(q.name, "", false, true, false, false, nil); err != nil {
		return nil, fmt.Errorf("reading our queue: %w", err)
	}
	return q, q.bind()
}

// read handles messages until there are no more, and binds the queue anew from time to time.
func (q *queue) read(handle func(Notification), bad func(error)) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case m, ok := <-q.messages:
			if !ok {
				return nil
			}
			if n, err := Decode(m.Body); err != nil {
				bad(err)
			} else {
				handle(n)
			}
			if err := m.Ack(false); err != nil {
				return fmt.Errorf("acknowledging a message: %w", hide(err))
			}
		case <-look.C:
			if q.connection.IsClosed() {
				continue // the messages end, too
			}
			if err := q.bind(); err != nil {
				return err
			}
		}
	}
}

// bind binds the queue to the exchanges that there are. Those that are bound already stay so.
func (q *queue) bind() error {
	for _, exchange := range q.Exchanges {
		there, err := q.isThere(exchange)
		if err != nil {
			return fmt.Errorf("looking for the exchange %q: %w", exchange, err)
		}
		for _, key := range q.Keys {
			if !there {
				break
			}
			if err := q.channel.QueueBind(q.name, key, exchange, false, nil); err != nil {
				return fmt.Errorf("binding our queue to %q of the exchange %q: %w", key, exchange, err)
			}
		}
	}
	return nil
}

// isThere looks for an exchange, on a channel of its own, which an error closes. It never declares one: a service could not use an
// exchange that is not as durable as it wants it, and Nova's own messages go through the same.
func (q *queue) isThere(exchange string) (bool, error) {
	channel, err := q.connection.Channel()
	if err != nil {
		return false, err
	}
	err = channel.ExchangeDeclarePassive(exchange, amqp.ExchangeTopic, false, false, false, false, nil)
	if err == nil {
		return true, channel.Close()
	}
	known := new(amqp.Error)
	if errors.As(err, &known) && known.Code == amqp.NotFound {
		return false, nil
	}
	return true, nil // looking is not allowed, perhaps; binding will tell
}

// hide leaves out of an error what may show the URL.
func hide(err error) error {
	known := new(amqp.Error)
	if errors.As(err, &known) {
		return fmt.Errorf("%s (%d)", known.Reason, known.Code)
	}
	return err
}
