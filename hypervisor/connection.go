package hypervisor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// connection is one connection to libvirtd, whose driver for QEMU is open.
type connection struct {
	libvirt *libvirt.Libvirt
	conn    *packets
	name    string // the host's own

	// Guarded by Host.mu.
	users   int
	retired bool
}

// do runs f, which knows no contexts, until it returns or the context ends. In that case f ends when the connection does.
func (c *connection) do(ctx context.Context, f func(*connection) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- f(c) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect dials and opens the driver.
func (a address) connect(ctx context.Context) (_ *connection, err error) {
	dialled, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn := &packets{Conn: dialled}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		if !stop() && ctx.Err() != nil {
			err = fmt.Errorf("opening %s: %w", a.driver, context.Cause(ctx))
		}
		if err != nil {
			conn.Close()
		}
	}()
	l := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	if err := l.ConnectToURI(libvirt.ConnectURI(a.driver)); err != nil {
		return nil, fmt.Errorf("opening %s: %w", a.driver, conn.explain(err))
	}
	name, err := l.ConnectGetHostname()
	if err != nil {
		return nil, fmt.Errorf("asking for the host's name: %w", conn.explain(err))
	}
	return &connection{libvirt: l, conn: conn, name: name}, nil
}

// Sizes of a message, itself included, from virnetprotocol.x: the length word and the header of six words; and
// VIR_NET_MESSAGE_MAX with its length word.
const (
	minPacket = 4 + 6*4
	maxPacket = 32<<20 + 4
)

// packets is a connection that checks the lengths in what it reads, because go-libvirt believes them and would panic on a
// short one and take gigabytes for a long one, as any server that is no libvirtd may send. It remembers why it broke:
// go-libvirt says of every end only that a call was interrupted.
type packets struct {
	net.Conn
	cause atomic.Pointer[error]

	// Of the one goroutine that reads.
	left   int    // of the packet, not handed out yet
	length []byte // the part of left that was read already
}

func (p *packets) Read(b []byte) (n int, err error) {
	defer func() { p.note(err) }()
	if p.left == 0 {
		var length [4]byte
		if _, err := io.ReadFull(p.Conn, length[:]); err != nil {
			return 0, err
		}
		size := binary.BigEndian.Uint32(length[:])
		if size < minPacket || size > maxPacket {
			return 0, fmt.Errorf("a packet of %d bytes: this is no libvirtd", size)
		}
		p.left, p.length = int(size), length[:]
	}
	if len(p.length) > 0 {
		n = copy(b, p.length)
		p.length = p.length[n:]
	} else {
		n, err = p.Conn.Read(b[:min(len(b), p.left)])
	}
	p.left -= n
	return n, err
}

func (p *packets) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.note(err)
	return n, err
}

func (p *packets) Close() error {
	p.note(net.ErrClosed)
	return p.Conn.Close()
}

// note remembers the first error.
func (p *packets) note(err error) {
	if errors.Is(err, io.EOF) {
		err = errors.New("libvirtd closed the connection")
	}
	if err != nil {
		p.cause.CompareAndSwap(nil, &err)
	}
}

func (p *packets) broken() bool { return p.cause.Load() != nil }

// explain returns why the connection broke, or err if it did not.
func (p *packets) explain(err error) error {
	if cause := p.cause.Load(); cause != nil {
		return *cause
	}
	return err
}
