package spice

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // SPICE's ticket is RSA-OAEP with SHA-1 by definition.
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

const commonCaps = 1<<wire.CapAuthSelection | 1<<wire.CapAuthSpice | 1<<wire.CapMiniHeader

// linkTimes are the moments of a link that a connect reports on.
type linkTimes struct{ started, replied, authed time.Time }

// link opens one channel: TCP, TLS where asked, the link messages, the ticket.
// If the plain port says that the channel must be secure and there is a TLS
// port, it is opened there.
func link(ctx context.Context, c *Config, req wire.LinkRequest) (net.Conn, wire.LinkReply, linkTimes, error) {
	secure := c.secure(req.Channel.Type)
	conn, reply, times, err := linkOn(ctx, c, req, secure)
	if errors.Is(err, wire.LinkNeedSecured) && !secure && c.TLSPort != 0 {
		asked := times.started
		conn, reply, times, err = linkOn(ctx, c, req, true)
		times.started = asked // The refusal is part of the wait.
	}
	return conn, reply, times, err
}

func linkOn(ctx context.Context, c *Config, req wire.LinkRequest, secure bool) (net.Conn, wire.LinkReply, linkTimes, error) {
	times := linkTimes{started: time.Now()}
	fail := func(step Step, err error) (net.Conn, wire.LinkReply, linkTimes, error) {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, wire.LinkReply{}, times, &StepError{Step: step, Addr: c.addr(secure), Err: err}
	}
	conn, err := c.dial(ctx, c.addr(secure))
	if err != nil {
		return fail(StepLink, err)
	}
	opened := false
	defer func() {
		if !opened {
			conn.Close()
		}
	}()
	// Reads and writes below obey the context by having their deadline moved
	// into the past.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	stream := conn
	if secure {
		if stream, err = startTLS(ctx, conn, c); err != nil {
			return fail(StepLink, err)
		}
	}
	reply, err := exchangeLink(stream, req)
	if err != nil {
		return fail(StepLink, err)
	}
	times.replied = time.Now()
	if err := sendTicket(stream, reply, c.Ticket); err != nil {
		return fail(StepAuth, err)
	}
	times.authed = time.Now()
	if !stop() {
		return fail(StepAuth, ctx.Err())
	}
	opened = true
	return stream, reply, times, nil
}

// exchangeLink sends the request and reads the reply.
func exchangeLink(stream io.ReadWriter, req wire.LinkRequest) (wire.LinkReply, error) {
	if _, err := stream.Write(req.Append(make([]byte, 0, 64))); err != nil {
		return wire.LinkReply{}, fmt.Errorf("sending the link message: %w", err)
	}
	var header [wire.LinkHeaderSize]byte
	if _, err := io.ReadFull(stream, header[:]); err != nil {
		return wire.LinkReply{}, fmt.Errorf("reading the link header: %w", noEOF(err))
	}
	size, err := wire.ParseLinkHeader(header[:])
	if err != nil {
		return wire.LinkReply{}, fmt.Errorf("link header of the %s channel: %w", req.Channel.Type, err)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(stream, body); err != nil {
		return wire.LinkReply{}, fmt.Errorf("reading the link reply: %w", noEOF(err))
	}
	reply, err := wire.ParseLinkReply(body)
	switch {
	case err != nil:
		return reply, fmt.Errorf("link reply of the %s channel: %w", req.Channel.Type, err)
	case reply.Error != wire.LinkOK:
		return reply, reply.Error
	case !reply.Common.Has(wire.CapMiniHeader):
		return reply, errors.New("the server does not offer mini headers (spice-server before 0.10, 2011)")
	}
	return reply, nil
}

// sendTicket encrypts the ticket with its NUL for the key that the server made
// for this link, and reads the verdict.
func sendTicket(stream io.ReadWriter, reply wire.LinkReply, ticket string) error {
	key, err := x509.ParsePKIXPublicKey(reply.PubKey)
	if err != nil {
		return fmt.Errorf("the server's public key: %w", err)
	}
	pub, ok := key.(*rsa.PublicKey)
	if !ok || pub.Size() != wire.TicketSize {
		return errors.New("the server's public key is not RSA-1024")
	}
	cipher, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, pub, append([]byte(ticket), 0), nil)
	if err != nil {
		return fmt.Errorf("encrypting the ticket: %w", err)
	}
	msg := make([]byte, 0, 4+wire.TicketSize)
	if reply.Common.Has(wire.CapAuthSelection) {
		msg = binary.LittleEndian.AppendUint32(msg, wire.AuthSpice)
	}
	if _, err := stream.Write(append(msg, cipher...)); err != nil {
		return fmt.Errorf("sending the ticket: %w", err)
	}
	var verdict [4]byte
	if _, err := io.ReadFull(stream, verdict[:]); err != nil {
		return fmt.Errorf("reading the server's verdict on the ticket: %w", noEOF(err))
	}
	switch code := wire.LinkError(binary.LittleEndian.Uint32(verdict[:])); code {
	case wire.LinkOK:
		return nil
	case wire.LinkPermissionDenied:
		return ErrPermissionDenied
	default:
		return code
	}
}

// noEOF makes a connection's end within a message what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
