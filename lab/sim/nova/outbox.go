package nova

import (
	"sync"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// outbox sends notifications one after another, in the order in which what they tell happened, and not while a lock is held.
type outbox struct {
	mu     sync.Mutex
	filled *sync.Cond
	notes  []note
	closed bool
	done   chan struct{}
}

type note struct {
	to                         service.Notifier
	publisher, priority, event string
	payload                    any
}

func newOutbox() *outbox {
	o := &outbox{done: make(chan struct{})}
	o.filled = sync.NewCond(&o.mu)
	go o.run()
	return o
}

func (o *outbox) put(n note) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.notes = append(o.notes, n)
		o.filled.Signal()
	}
}

func (o *outbox) run() {
	defer close(o.done)
	for {
		o.mu.Lock()
		for len(o.notes) == 0 && !o.closed {
			o.filled.Wait()
		}
		batch := o.notes
		o.notes = nil
		o.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, n := range batch {
			n.to.Notify(n.publisher, n.priority, n.event, n.payload)
		}
	}
}

// close returns when all has been sent.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.filled.Signal()
	o.mu.Unlock()
	<-o.done
}
