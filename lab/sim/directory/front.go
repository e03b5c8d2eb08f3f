package directory

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// front is a port that passes connections on to the LDAP server, which can neither be told of a listener nor to drop its
// connections.
type front struct {
	backend  string
	tls      *tls.Config // nil: plain
	accepted *atomic.Int64

	mu       sync.Mutex
	listener net.Listener
	address  string // kept while down
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

const acceptDelay = 10 * time.Millisecond

// up listens, on the same address each time.
func (f *front) up() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener != nil {
		return nil
	}
	address := f.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening for LDAP: %w", err)
	}
	f.listener, f.address, f.conns = l, l.Addr().String(), map[net.Conn]bool{}
	f.running.Go(func() { f.accept(l) })
	return nil
}

// down refuses new connections, drops the others and waits until they are gone.
func (f *front) down() {
	f.mu.Lock()
	if f.listener != nil {
		f.listener.Close()
		f.listener = nil
	}
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.running.Wait()
}

func (f *front) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors: clients wait
			time.Sleep(acceptDelay)
			continue
		}
		f.running.Go(func() { f.serve(client) })
	}
}

func (f *front) serve(client net.Conn) {
	defer client.Close()
	if !f.register(client) {
		return
	}
	defer f.unregister(client)
	f.accepted.Add(1)
	server, err := net.Dial("tcp", f.backend)
	if err != nil {
		return
	}
	defer server.Close()
	stream := client
	if f.tls != nil {
		stream = tls.Server(client, f.tls)
	}
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		_, _ = io.Copy(stream, server)
		client.Close()
	}()
	_, _ = io.Copy(server, stream)
	server.Close()
	<-answers
}

func (f *front) register(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener == nil {
		return false
	}
	f.conns[c] = true
	return true
}

func (f *front) unregister(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}
