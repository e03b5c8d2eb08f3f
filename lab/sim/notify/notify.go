// Package notify sends the simulated services' notifications to RabbitMQ as oslo.messaging's driver "messagingv2" does: to a
// topic exchange of the service's name, with the topic and the priority as routing key ("notifications.info"), for which a
// queue of that name is declared, so that what nobody reads yet is kept. Exchange and queues have oslo's defaults: not durable,
// not deleted when unused.
//
// Unlike oslo, whose services stand still while the broker is away, it never makes a service wait: what the queue has no room
// for is dropped, and counted.
package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The topics that OpenStack's services send to: the second one is Nova's for those with a version.
const (
	Unversioned = "notifications"
	Versioned   = "versioned_notifications"
)

const (
	queueLength  = 10000 // notifications of Nova are some 2 kB each
	drainTimeout = 2 * time.Second
	dialTimeout  = 5 * time.Second
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// ErrURL is a broker's URL that is none. The URL itself is not told, for it has a password.
var ErrURL = errors.New("the broker's URL is not of the form amqp://user:password@host:port/vhost")

// Counts are how many notifications went where since the start.
type Counts struct {
	Sent    uint64 // the broker has confirmed them
	Dropped uint64 // the queue was full, or the broker away at the end
	Waiting int
}

// Publisher sends notifications to one broker. Its methods may be called by many goroutines at once.
type Publisher struct {
	url    string
	now    func() time.Time
	queue  chan message
	closed chan struct{} // no more will be queued
	done   chan struct{} // all is sent or dropped
	stop   context.CancelFunc
	close  func()

	mu            sync.RWMutex // held for reading while something is queued
	isClosed      bool
	sent, dropped atomic.Uint64
	err           atomic.Pointer[error]
}

type message struct {
	exchange, key string
	body          []byte
}

// New makes a Publisher for a broker, "amqp://user:password@host:port/vhost". The broker may be away: it is tried again and again. now is
// the services' clock, by which notifications are dated.
func New(url string, now func() time.Time) (*Publisher, error) {
	if _, err := amqp.ParseURI(url); err != nil {
		return nil, ErrURL
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Publisher{
		url: url, now: now, queue: make(chan message, queueLength), closed: make(chan struct{}), done: make(chan struct{}), stop: stop,
	}
	p.close = sync.OnceFunc(p.shutDown)
	go p.run(ctx)
	return p, nil
}

// To is a Notifier for a service's exchange, such as "nova", and a topic.
func (p *Publisher) To(exchange, topic string) service.Notifier { return notifier{p, exchange, topic} }

// Counts are how many notifications went where so far.
func (p *Publisher) Counts() Counts {
	return Counts{Sent: p.sent.Load(), Dropped: p.dropped.Load(), Waiting: len(p.queue)}
}

// Err is why what is waiting cannot be sent now, such as that the broker is away, or that it has the exchange with other
// attributes; nil: nothing is known to be wrong.
func (p *Publisher) Err() error {
	if err := p.err.Load(); err != nil {
		return fmt.Errorf("sending notifications: %w", *err)
	}
	return nil
}

// Close sends what is waiting, for some seconds at most, and drops the rest and all that comes later.
func (p *Publisher) Close() { p.close() }

func (p *Publisher) shutDown() {
	p.mu.Lock()
	p.isClosed = true
	p.mu.Unlock()
	close(p.closed)
	late := time.AfterFunc(drainTimeout, p.stop)
	defer late.Stop()
	<-p.done
	p.stop()
}

func (p *Publisher) add(m message) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.isClosed {
		select {
		case p.queue <- m:
			return
		default:
		}
	}
	p.dropped.Add(1)
}

// run sends what is queued until the Publisher is closed and the queue empty, or the context ends.
func (p *Publisher) run(ctx context.Context) {
	defer close(p.done)
	var b broker
	defer b.disconnect()
	for {
		m, ok := p.next()
		if !ok {
			return
		}
		if !p.deliver(ctx, &b, m) {
			p.dropped.Add(1)
			p.discard()
			return
		}
		p.sent.Add(1)
	}
}

// next waits for a message; false: there will be none.
func (p *Publisher) next() (message, bool) {
	select {
	case m := <-p.queue:
		return m, true
	case <-p.closed:
	}
	select {
	case m := <-p.queue:
		return m, true
	default:
		return message{}, false
	}
}

func (p *Publisher) discard() {
	for len(p.queue) > 0 { // nobody else takes from it
		<-p.queue
		p.dropped.Add(1)
	}
}

// deliver sends a message until the broker has confirmed it; false: the context has ended. One whose confirmation was lost may
// come twice, with the same _unique_id, by which oslo's listeners know it.
func (p *Publisher) deliver(ctx context.Context, b *broker, m message) bool {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		err := b.send(ctx, p.url, m)
		if err == nil {
			p.err.Store(nil)
			return true
		}
		p.err.Store(&err)
		b.disconnect()
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

type notifier struct {
	publisher       *Publisher
	exchange, topic string
}

func (n notifier) Notify(publisher, priority, event string, payload any) {
	body, err := envelope(publisher, priority, event, payload, n.publisher.now())
	if err != nil { // a payload of ours that JSON cannot hold
		n.publisher.dropped.Add(1)
		return
	}
	n.publisher.add(message{n.exchange, n.topic + "." + strings.ToLower(priority), body})
}

// String does not tell the broker's password.
func (p *Publisher) String() string { return fmt.Sprintf("notifications, %+v", p.Counts()) }
