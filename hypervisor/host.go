// Package hypervisor asks a compute node's libvirtd about the desktops on it: where a desktop's SPICE server listens, that
// the server takes a new ticket, and what the desktops' disks do.
//
// It speaks libvirt's own protocol (digitalocean/go-libvirt), over the daemon's Unix socket, TCP or TLS. Nothing is
// installed or run on the compute node.
package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// What callers decide on, to be tested with errors.Is.
var (
	// ErrNoDomain: the host has no such desktop. It may have been deleted, or migrated to another host.
	ErrNoDomain = errors.New("the host has no such domain")
	// ErrNotRunning: the host has the desktop, and it is shut off.
	ErrNotRunning = errors.New("the domain is not running")
	// ErrNoSpice: the desktop runs without a SPICE server that listens on a network.
	ErrNoSpice = errors.New("the domain serves no SPICE on a network")
	// ErrNoTicketing: the desktop's SPICE server takes no tickets and asks for none. QEMU was started so because neither
	// spice_password in the host's qemu.conf nor the domain had a password then; setting one needs a restart of both.
	ErrNoTicketing = errors.New("the domain's SPICE server was started without tickets; " +
		"set spice_password in the host's qemu.conf, restart libvirtd and the domain")
	// ErrConnection: the host cannot be reached, or was lost during a call and did not come back.
	ErrConnection = errors.New("no connection to libvirt")
	// ErrClosed: the host was closed by this side.
	ErrClosed = errors.New("the connection was closed by this side")
)

// Host is a compute node's libvirtd. Its methods may be called by many goroutines at once; they share one connection,
// on which libvirtd by default works on five calls at a time (max_client_requests in libvirtd.conf).
//
// A connection that was lost is opened again by the next call. A call whose context ends before its answer leaves the
// connection to the others that wait on it, and the next call opens a new one: who does not answer one may be dead for
// all.
type Host struct {
	address address
	dialing chan struct{} // holds one token; who takes it may dial

	mu      sync.Mutex
	current *connection // nil: the next call dials
	closed  bool
}

// Connect connects to the libvirtd that uri names as libvirt's own tools do:
//
//	qemu+unix:///system?socket=PATH   the socket may be left out: /run/libvirt/libvirt-sock
//	qemu+tcp://HOST[:16509]/system    in the clear, for libvirtd with auth_tcp "none"
//	qemu+tls://HOST[:16514]/system    with certificates of both sides, see below; qemu://HOST/system is the same
//
// For TLS the files are libvirt's: the authority's certificate in /etc/pki/CA/cacert.pem, the client's in
// /etc/pki/libvirt/clientcert.pem and /etc/pki/libvirt/private/clientkey.pem; or, with ?pkipath=DIR, all three in DIR. They
// are read at every connect. The server's certificate must be for HOST.
//
// The context bounds the connect only. Errors name the URI.
func Connect(ctx context.Context, uri string) (*Host, error) {
	a, err := parse(uri)
	if err != nil {
		return nil, fmt.Errorf("libvirt URI: %w", err)
	}
	h := &Host{address: a, dialing: make(chan struct{}, 1)}
	h.dialing <- struct{}{}
	if err := h.call(ctx, func(*connection) error { return nil }); err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", a, err)
	}
	return h, nil
}

// CheckURI says what is wrong with a URI for Connect, without connecting.
func CheckURI(uri string) error {
	_, err := parse(uri)
	return err
}

// Close closes the connection. Calls that wait for answers, and later ones, fail with ErrClosed.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.current != nil {
		h.current.conn.Close() // reports nothing that anybody could act on
		h.current = nil
	}
	return nil
}

// String is the host's URI.
func (h *Host) String() string { return h.address.String() }

// call makes one call of libvirt's and, if the connection was lost before or during it, once more on a new connection.
// So f must do no harm when it is done twice.
func (h *Host) call(ctx context.Context, f func(*connection) error) error {
	for attempt := 1; ; attempt++ {
		c, err := h.acquire(ctx)
		if err != nil {
			return err
		}
		err = c.do(ctx, f)
		lost := c.conn.broken()
		h.release(c, lost || err != nil && ctx.Err() != nil)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("waiting for libvirt's answer: %w", context.Cause(ctx))
		case h.isClosed():
			return ErrClosed
		case !lost:
			return err
		case attempt == 2:
			return fmt.Errorf("%w: it was lost twice during a call: %w", ErrConnection, c.conn.explain(err))
		}
	}
}

// acquire returns the open connection, or opens one. It must be released.
func (h *Host) acquire(ctx context.Context) (*connection, error) {
	if c, err := h.open(); c != nil || err != nil {
		return c, err
	}
	select {
	case <-h.dialing:
		defer func() { h.dialing <- struct{}{} }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: waiting for it: %w", ErrConnection, context.Cause(ctx))
	}
	if c, err := h.open(); c != nil || err != nil { // another call may have opened one meanwhile
		return c, err
	}
	c, err := h.address.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnection, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		c.conn.Close()
		return nil, ErrClosed
	}
	h.current = c
	c.users++
	return c, nil
}

// open returns the open connection, or nil where there is none.
func (h *Host) open() (*connection, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if h.current != nil && h.current.conn.broken() {
		h.retire(h.current)
	}
	if h.current != nil {
		h.current.users++
	}
	return h.current, nil
}

// release ends a use of a connection. A doubtful one gets no new users, and the last one closes it.
func (h *Host) release(c *connection, doubtful bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.users--
	if doubtful {
		h.retire(c)
	}
	if c.retired && c.users == 0 {
		c.conn.Close()
	}
}

// retire takes a connection out of service. h.mu is held.
func (h *Host) retire(c *connection) {
	c.retired = true
	if h.current == c {
		h.current = nil
	}
	if c.users == 0 {
		c.conn.Close()
	}
}

func (h *Host) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}
