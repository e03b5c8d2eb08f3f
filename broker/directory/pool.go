package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// pool keeps connections for reuse. An operation acquires a place, takes a connection, gives it back or aborts it, and
// releases the place.
type pool struct {
	connect func(context.Context) (*conn, error)
	servers *servers
	places  chan struct{}

	mu     sync.Mutex
	idle   []*conn // the last is used first, so that those too many go stale
	closed bool
}

func newPool(size int, connect func(context.Context) (*conn, error), s *servers) *pool {
	return &pool{connect: connect, servers: s, places: make(chan struct{}, size)}
}

func (p *pool) acquire(ctx context.Context) error {
	select {
	case p.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		err := ended(ctx)
		if errors.Is(err, ErrSlow) {
			return fmt.Errorf("waiting for one of %d connections: %w", cap(p.places), err)
		}
		return err
	}
}

func (p *pool) release() { <-p.places }

// take returns an idle connection, else a new one.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for {
		c := p.pop()
		if c == nil {
			return p.connect(ctx)
		}
		_, generation := p.servers.current()
		if c.generation == generation && !c.ldap.IsClosing() {
			return c, nil
		}
		c.abort()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return c
}

func (p *pool) give(c *conn) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if closed {
		c.quit()
	}
}

// close closes the idle connections and waits for the others, which end with the Directory's context. No place is free
// afterwards.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.quit()
	}
	for range cap(p.places) {
		p.places <- struct{}{}
	}
}
