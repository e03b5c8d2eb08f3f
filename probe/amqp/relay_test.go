package amqp

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// relay passes connections on to a server and, as a stateful firewall, forgets those that were idle for a time: then it takes
// what is sent and passes nothing on.
type relay struct {
	address string
	idle    time.Duration // 0: it forgets none
	reset   bool          // it closes what it forgets

	mu    sync.Mutex
	pairs []net.Conn
}

func startRelay(t *testing.T, server string, idle time.Duration, reset bool) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{address: listener.Addr().String(), idle: idle, reset: reset}
	var g sync.WaitGroup
	g.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			r.mu.Lock()
			r.pairs = append(r.pairs, client, behind)
			r.mu.Unlock()
			l := &link{relay: r, moved: time.Now()}
			g.Go(func() { l.copy(client, behind) })
			g.Go(func() { l.copy(behind, client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		r.mu.Lock()
		for _, c := range r.pairs {
			c.Close()
		}
		r.mu.Unlock()
		g.Wait()
	})
	return r
}

type link struct {
	relay *relay
	mu    sync.Mutex
	moved time.Time
	gone  bool
}

// forgotten says whether the connection may pass nothing any more.
func (l *link) forgotten() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.relay.idle > 0 && time.Since(l.moved) > l.relay.idle {
		l.gone = true
	}
	l.moved = time.Now()
	return l.gone
}

func (l *link) copy(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		forgotten := l.forgotten()
		switch {
		case forgotten && l.relay.reset:
			to.Close()
			from.Close()
			return
		case forgotten && err != nil:
			return // the other end hears nothing of it
		case forgotten:
			continue
		}
		if _, writeErr := to.Write(buffer[:n]); writeErr != nil || err != nil {
			if err == io.EOF {
				_ = to.(*net.TCPConn).CloseWrite()
			}
			return
		}
	}
}
