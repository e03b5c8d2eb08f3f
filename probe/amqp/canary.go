package amqp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// RoundTrip sends a message to itself on a fresh connection: it declares a queue, which only this connection can use, publishes
// to it, waits for the broker's confirmation, and for the message. The broker removes the queue when the connection ends.
func RoundTrip(ctx context.Context, t Target) Result {
	begun := time.Now()
	c, err := open(ctx, t)
	if err != nil {
		return Result{Outcome: outcome(ctx, context.Background(), err), Err: err}
	}
	r := Result{Connect: time.Since(begun)}
	step, cancel := context.WithTimeout(ctx, t.patience())
	defer cancel()
	var deliveries <-chan amqp.Delivery
	var queue amqp.Queue
	err = c.do(step, func() (err error) {
		if queue, err = c.QueueDeclare("", false, true, true, false, nil); err != nil { // auto-delete, exclusive
			return err
		}
		deliveries, err = c.Consume(queue.Name, "", true, true, false, false, nil)
		return err
	})
	if err != nil {
		c.abort()
		r.Outcome, r.Err = outcome(ctx, step, err), fmt.Errorf("declaring the canary's queue: %w", err)
		return r
	}
	r.message(ctx, t.patience(), c, queue.Name, deliveries, c.closed)
	if r.Outcome == Delivered {
		c.close()
	} else {
		c.abort()
	}
	return r
}

// message publishes a message, and waits for it.
func (r *Result) message(ctx context.Context, patience time.Duration, c *connection, queue string,
	deliveries <-chan amqp.Delivery, closed <-chan *amqp.Error) {
	id := uuid.NewString()
	begun := time.Now()
	if r.Outcome, r.Err = publish(ctx, patience, c, queue, id); r.Outcome != Delivered {
		return
	}
	step, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				r.Outcome, r.Err = Closed, errors.New("the broker canceled the canary's consumer")
				return
			}
			if d.MessageId == id {
				r.Latency = time.Since(begun)
				return
			}
		case err := <-closed:
			r.Outcome, r.Err = Closed, closedError(err)
			return
		case <-step.Done():
			r.Outcome, r.Err = Lost, fmt.Errorf("the broker confirmed the message, and it did not arrive within %s", patience)
			if ctx.Err() != nil {
				r.Outcome, r.Err = Canceled, ctx.Err()
			}
			return
		}
	}
}

// publish sends a message to a queue. Delivered means here that the broker confirmed it.
func publish(ctx context.Context, patience time.Duration, c *connection, queue, id string) (Outcome, error) {
	step, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var confirmed bool
	returned := make(chan amqp.Return, 1)
	err := c.do(step, func() error {
		if err := c.Confirm(false); err != nil {
			return err
		}
		c.NotifyReturn(returned)
		// The message is of no use to anybody, should it stay.
		confirmation, err := c.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
			MessageId: id, Expiration: fmt.Sprint(patience.Milliseconds()),
		})
		if err != nil {
			return err
		}
		confirmed, err = confirmation.WaitContext(step)
		return err
	})
	switch {
	case err != nil:
		return outcome(ctx, step, err), fmt.Errorf("publishing the canary's message: %w", err)
	case step.Err() != nil:
		return outcome(ctx, step, step.Err()), fmt.Errorf("publishing the canary's message: %w", step.Err())
	case !confirmed:
		return Unconfirmed, errors.New("the broker did not take the canary's message")
	}
	// A message that nobody takes comes back before its confirmation.
	select {
	case m := <-returned:
		return Unconfirmed, fmt.Errorf("the broker has no queue for the canary's message: %s", m.ReplyText)
	default:
		return Delivered, nil
	}
}

func closedError(err *amqp.Error) error {
	if err == nil {
		return errors.New("the connection was closed")
	}
	return fmt.Errorf("the connection was closed: %w", err)
}
