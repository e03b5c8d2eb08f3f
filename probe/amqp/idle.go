package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueuePrefix begins the names of all queues that AfterIdle may use: it deletes them.
const QueuePrefix = "deskstorm.canary."

// controlName is how the name of the fresh connection ends that AfterIdle publishes on.
const controlName = "-control"

// unusedExpiry is after how long a broker removes a canary's queue that nobody consumes.
const unusedExpiry = 10 * time.Minute

// AfterIdle connects, says nothing for a time, and then has a message published from a fresh connection, as a service does
// whose agent's connection was silent. Lost and Closed mean that the silent connection did not survive: the fresh one did its
// part.
//
// The queue's name begins with QueuePrefix and is this canary's own: what it finds of that name it deletes. The queue is not an
// exclusive one: of a connection that a firewall forgot the broker would keep it, for nobody else to delete. So the fresh
// connection deletes it at the end, which makes the broker send to the dead connection and close it when the kernel gives up,
// some 15 minutes later. If this program or host ends before, the broker deletes the queue with its only consumer, as soon as
// it sees that it is gone; and so does the next AfterIdle of that name.
//
// The context ends the silence early. Deleting the queue goes on then, for the target's patience.
func AfterIdle(ctx context.Context, t Target, queue string, idle time.Duration) Result {
	if !strings.HasPrefix(queue, QueuePrefix) {
		return Result{Outcome: Failed, Err: fmt.Errorf("the queue %s is no canary's: its name must begin with %s", queue, QueuePrefix)}
	}
	silent, deliveries, r := fallSilent(ctx, t, queue)
	if r.Err != nil {
		return r
	}
	var closed *amqp.Error
	ended := false
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-timer.C:
	case closed = <-silent.closed:
		ended = true
	case <-ctx.Done():
	}

	control := t
	control.Name += controlName
	begun := time.Now()
	// The queue must be deleted even if the context has ended.
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*t.patience())
	defer cancel()
	fresh, err := open(cleaning, control)
	r.Connect = time.Since(begun)
	if err != nil {
		silent.abort()
		r.Outcome, r.Err, r.LeftBehind = outcome(ctx, context.Background(), err), err, notDeleted(queue, err)
		return r
	}
	switch {
	case ctx.Err() != nil:
		r.Outcome, r.Err = Canceled, ctx.Err()
	case ended:
		r.Outcome, r.Err = Closed, closedError(closed)
		if closed != nil && closed.Server {
			r.Outcome = Failed // the broker said why: it is shut down, or an administrator closed the connection
		}
	default:
		r.message(ctx, t.patience(), fresh, queue, deliveries, silent.closed)
	}
	r.LeftBehind = deleteQueue(cleaning, t.patience(), fresh, control, queue)
	if r.Outcome == Delivered {
		silent.close()
	} else {
		silent.abort() // it would wait for an answer that does not come
	}
	return r
}

// fallSilent connects and consumes from a queue of its own. The result has an error or nothing.
func fallSilent(ctx context.Context, t Target, queue string) (*connection, <-chan amqp.Delivery, Result) {
	c, err := open(ctx, t)
	if err != nil {
		return nil, nil, Result{Outcome: outcome(ctx, context.Background(), err), Err: err}
	}
	step, cancel := context.WithTimeout(ctx, t.patience())
	defer cancel()
	var deliveries <-chan amqp.Delivery
	err = c.do(step, func() error {
		// What an earlier one left is deleted; RabbitMQ does not mind if there is nothing.
		if _, err := c.QueueDelete(queue, false, false, false); err != nil {
			return err
		}
		expiry := amqp.Table{amqp.QueueTTLArg: unusedExpiry.Milliseconds()}
		if _, err := c.QueueDeclare(queue, false, true, false, false, expiry); err != nil { // auto-delete
			return err
		}
		var err error
		deliveries, err = c.Consume(queue, "", true, true, false, false, nil) // the only consumer
		return err
	})
	if err != nil {
		// Nothing is left: the queue's consumer ends with the connection, or the queue expires.
		c.abort()
		return nil, nil, Result{Outcome: outcome(ctx, step, err), Err: fmt.Errorf("declaring the canary's queue %s: %w", queue, err)}
	}
	return c, deliveries, Result{}
}

// deleteQueue deletes the queue on a connection, or on a new one if that one is no longer usable, and closes it.
func deleteQueue(ctx context.Context, patience time.Duration, c *connection, t Target, queue string) error {
	err := tryDelete(ctx, patience, c, queue)
	if err == nil {
		c.close()
		return nil
	}
	c.abort()
	again, openErr := open(ctx, t)
	if openErr != nil {
		return notDeleted(queue, errors.Join(err, openErr))
	}
	defer again.close()
	if err := tryDelete(ctx, patience, again, queue); err != nil {
		return notDeleted(queue, err)
	}
	return nil
}

func tryDelete(ctx context.Context, patience time.Duration, c *connection, queue string) error {
	step, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.do(step, func() error {
		_, err := c.QueueDelete(queue, false, false, false)
		return err
	})
}

func notDeleted(queue string, err error) error {
	return fmt.Errorf("the canary's queue %s may be left on the broker until its connection is closed there: %w", queue, err)
}
