package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// conn is a connection to one of the directory's servers.
type conn struct {
	ldap *ldap.Conn
	raw  net.Conn // below TLS; closing it is the only way to end an operation of the LDAP library, which knows no contexts
	used bool     // an operation succeeded on it

	server     int
	generation int
}

// do runs an operation, and ends the connection when ctx ends first.
func (c *conn) do(ctx context.Context, operation func(*ldap.Conn) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer stop()
	err := operation(c.ldap)
	if _, answered := resultCode(err); err == nil || answered {
		c.used = true
	}
	return err
}

// quit closes a connection as RFC 4511 section 4.3 wants it, if that is quick.
func (c *conn) quit() {
	_ = c.raw.SetDeadline(time.Now().Add(time.Second))
	_ = c.ldap.Unbind()
	c.abort()
}

// abort closes a connection of which nothing more is expected.
func (c *conn) abort() {
	c.raw.Close()
	_ = c.ldap.Close() // waits until the library's goroutines are done with it
}

// connect connects to the first server that works, and logs the service account in there if asked to.
func (d *Directory) connect(ctx context.Context, service bool) (*conn, error) {
	first, generation := d.servers.current()
	var failures []string
	slow := 0
	for i := range d.servers.all {
		index := (first + i) % len(d.servers.all)
		s := d.servers.all[index]
		// A server that does not answer must leave time to ask the next one.
		attempt, cancel := context.WithTimeout(ctx, d.config.Timeout/time.Duration(len(d.servers.all)))
		c, err := d.connectTo(attempt, s, service)
		if err == nil {
			cancel()
			c.server, c.generation = index, generation
			d.servers.succeeded(index)
			return c, nil
		}
		if attempt.Err() != nil {
			slow++
			err = errors.New("no answer in time")
		}
		cancel()
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, ended(ctx)
		}
		failures = append(failures, s.url+": "+err.Error())
	}
	class := ErrDown
	if slow == len(failures) {
		class = ErrSlow
		d.servers.skip(first)
	}
	return nil, fmt.Errorf("connecting: %w: %s", class, strings.Join(failures, "; "))
}

func (d *Directory) connectTo(ctx context.Context, s server, service bool) (*conn, error) {
	// The dialer's TCP keepalive, each 15 s by default, also keeps firewalls from forgetting idle connections.
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	config.ServerName = s.host
	stream := raw
	if s.tls {
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		stream = secure
	}
	c := &conn{ldap: ldap.NewConn(stream, s.tls), raw: raw}
	c.ldap.Start()
	err = c.do(ctx, func(l *ldap.Conn) error {
		if d.config.StartTLS {
			if err := l.StartTLS(config); err != nil {
				return fmt.Errorf("StartTLS: %w", err)
			}
		}
		if !service || d.config.BindDN == "" {
			return nil
		}
		if err := l.Bind(d.config.BindDN, d.config.BindPassword); err != nil {
			return fmt.Errorf("logging in the service account %s, whose DN and password are configured: %w", d.config.BindDN, err)
		}
		return nil
	})
	if err != nil {
		c.abort()
		return nil, err
	}
	c.used = false
	return c, nil
}

// servers remembers which server worked last, and which connections not to use any more.
type servers struct {
	all []server

	mu         sync.Mutex
	good       int
	generation int // of connections: those of an earlier one are probably broken too
}

func (s *servers) current() (first, generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good, s.generation
}

func (s *servers) succeeded(index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = index
}

// failed says that a connection broke. The idle ones are given up with it, once; with skip, so is its server for now.
func (s *servers) failed(c *conn, skip bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.generation != s.generation {
		return
	}
	s.generation++
	if skip {
		s.good = (c.server + 1) % len(s.all)
	}
}

// skip has another server than the first one tried next time.
func (s *servers) skip(first int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == first {
		s.good = (first + 1) % len(s.all)
	}
}
