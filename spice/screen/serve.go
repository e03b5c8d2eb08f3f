package screen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// maxConns bounds a port's connections: a client has four, and an earlier
// client's may still be closing while others are in their link phase.
const maxConns = 64

// port is a listener and the connections that came through it. Desktop.mu
// guards it.
type port struct {
	listener net.Listener
	secure   bool
	shut     bool
	conns    map[net.Conn]struct{}
}

// Serve answers on a listener until ctx ends or the desktop is killed; then it
// returns nil, with the listener and its connections closed. Connections of
// type *tls.Conn count as secure.
func (d *Desktop) Serve(ctx context.Context, l net.Listener) error {
	return d.serve(ctx, d.open(l, false))
}

// ServeTLS is Serve with TLS by Config.TLS.
func (d *Desktop) ServeTLS(ctx context.Context, l net.Listener) error {
	if d.config.TLS == nil {
		_ = l.Close()
		return errors.New("serving a desktop over TLS: its configuration has no TLS")
	}
	return d.serve(ctx, d.openTLS(l))
}

// open makes the listener the desktop's; a dead desktop closes it.
func (d *Desktop) open(l net.Listener, secure bool) *port {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &port{listener: l, secure: secure}
	d.ports = append(d.ports, p)
	if d.dead {
		d.shut(p)
	}
	return p
}

func (d *Desktop) openTLS(l net.Listener) *port {
	return d.open(tls.NewListener(l, d.config.TLS), true)
}

func (d *Desktop) serve(ctx context.Context, p *port) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	end := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.shut(p)
	}
	defer end()
	stop := context.AfterFunc(ctx, end)
	defer stop()
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
			time.Sleep(10 * time.Millisecond) // out of descriptors: that passes
			continue
		}
		if err != nil {
			if d.isShut(p) {
				return nil
			}
			return fmt.Errorf("accepting thin clients at %v: %w", p.listener.Addr(), err)
		}
		if !d.track(p, conn) {
			cut(conn)
			continue
		}
		conns.Go(func() {
			d.converse(conn)
			cut(conn)
			d.forget(p, conn)
		})
	}
}

// shut is called with the lock held.
func (d *Desktop) shut(p *port) {
	p.shut = true
	_ = p.listener.Close()
	for conn := range p.conns {
		cut(conn)
	}
	d.ports = slices.DeleteFunc(d.ports, func(o *port) bool { return o == p })
}

func (d *Desktop) isShut(p *port) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.shut
}

func (d *Desktop) track(p *port, conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.shut || len(p.conns) >= maxConns {
		return false
	}
	if p.conns == nil {
		p.conns = make(map[net.Conn]struct{}, 4)
	}
	p.conns[conn] = struct{}{}
	return true
}

func (d *Desktop) forget(p *port, conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(p.conns, conn)
}

// cut closes a connection at once: TLS's own goodbye would wait for a peer
// that does not read.
func cut(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}
