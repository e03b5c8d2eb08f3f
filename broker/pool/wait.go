package pool

import (
	"context"
	"slices"
)

// queue is the logins that wait for a desktop, the first come first.
type queue []*Place

// Place is a login's place among those that wait.
type Place struct {
	pool *Pool
	turn chan struct{} // holds one token when it is worth trying again
}

// Queue takes a place. Whoever has one must Leave.
func (p *Pool) Queue() *Place {
	w := &Place{pool: p, turn: make(chan struct{}, 1)}
	p.mu.Lock()
	p.queue = append(p.queue, w)
	p.mu.Unlock()
	p.Kick() // one more is needed
	return w
}

// Wait waits until a desktop may be there, or ctx ends. The place is kept for the case that another login was faster.
func (w *Place) Wait(ctx context.Context) error {
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leave gives the place up.
func (w *Place) Leave() {
	w.pool.mu.Lock()
	w.pool.queue = slices.DeleteFunc(w.pool.queue, func(o *Place) bool { return o == w })
	w.pool.mu.Unlock()
	w.pool.Kick() // whose turn it was not taken is another's
}

func (q queue) length() int { return len(q) }

// tell lets the first n try again.
func (q queue) tell(n int) {
	for _, w := range q[:min(n, len(q))] {
		select {
		case w.turn <- struct{}{}:
		default: // it knows
		}
	}
}
