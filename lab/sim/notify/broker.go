package notify

import (
	"context"
	"errors"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// broker is the connection, if there is one now, with what was declared on it.
type broker struct {
	connection *amqp.Connection
	channel    *amqp.Channel
	cut        func()
	exchanges  map[string]bool
	queues     map[[2]string]bool // exchange and routing key
}

var errNotConfirmed = errors.New("the broker did not take it")

// send sends one message and waits until the broker has it. After an error the connection is of no use.
func (b *broker) send(ctx context.Context, url string, m message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.connection == nil {
		if err := b.connect(ctx, url); err != nil {
			return err
		}
	}
	if err := b.declare(m.exchange, m.key); err != nil {
		return err
	}
	sent, err := b.channel.PublishWithDeferredConfirmWithContext(ctx, m.exchange, m.key, false, false, amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Body: m.body, // as kombu does
	})
	if err != nil {
		return err
	}
	taken, err := sent.WaitContext(ctx)
	if err == nil && !taken {
		err = errNotConfirmed
	}
	return err
}

func (b *broker) connect(ctx context.Context, url string) error {
	dial := func(network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		// The library's calls wait for the broker without end, whatever the context; without its socket they do not.
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		b.cut = func() { stop(); _ = c.Close() }
		return c, c.SetDeadline(time.Now().Add(dialTimeout)) // the library lifts it when the connection is open
	}
	var err error
	b.connection, err = amqp.DialConfig(url, amqp.Config{Dial: dial, Properties: amqp.Table{"connection_name": "deskstorm-lab"}})
	if err != nil {
		return err
	}
	b.exchanges, b.queues = map[string]bool{}, map[[2]string]bool{}
	if b.channel, err = b.connection.Channel(); err != nil {
		return err
	}
	return b.channel.Confirm(false)
}

// declare makes the exchange and the queue that oslo.messaging's notify_send makes, once a connection.
func (b *broker) declare(exchange, key string) error {
	if !b.exchanges[exchange] {
		if err := b.channel.ExchangeDeclare(exchange, amqp.ExchangeTopic, false, false, false, false, nil); err != nil {
			return err
		}
		b.exchanges[exchange] = true
	}
	name := [2]string{exchange, key}
	if b.queues[name] {
		return nil
	}
	if _, err := b.channel.QueueDeclare(key, false, false, false, false, nil); err != nil {
		return err
	}
	if err := b.channel.QueueBind(key, key, exchange, false, nil); err != nil {
		return err
	}
	b.queues[name] = true
	return nil
}

func (b *broker) disconnect() {
	if b.connection != nil {
		_ = b.connection.CloseDeadline(time.Now().Add(time.Second))
	}
	if b.cut != nil {
		b.cut()
	}
	*b = broker{}
}
