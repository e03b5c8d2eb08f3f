package spice

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

const (
	// bodyTimeout is how long the rest of a message may take once its header
	// has come; without it a server could hang a session for ever.
	bodyTimeout = 30 * time.Second
	// writeTimeout is how long the server may refuse to read.
	writeTimeout = 30 * time.Second
	// maxSmall bounds the messages that are kept whole outside drawings.
	maxSmall = 4096
)

// channel is one connection of a session after its link phase. It answers the
// messages that all channels share; what else comes goes to a handler.
type channel struct {
	id   wire.ChannelID
	conn net.Conn
	r    *bufio.Reader
	caps wire.Caps
	s    *Session

	// serial counts handled messages, which WAIT_FOR_CHANNELS refers to.
	serial atomic.Uint64
	// window and unacked belong to the reading goroutine.
	window, unacked uint32

	sending sync.Mutex
	out     []byte
	// unsent is why a message could not be sent, which ends the channel.
	unsent atomic.Pointer[error]
}

// bufferSize is what a channel's reader holds. Drawings come in bursts and
// their first bytes are looked at; the others are small and rare.
func bufferSize(t wire.ChannelType) int {
	if t == wire.Display {
		return 2048
	}
	return 512
}

func newChannel(s *Session, id wire.ChannelID, conn net.Conn, caps wire.Caps) *channel {
	return &channel{id: id, conn: conn, r: bufio.NewReaderSize(conn, bufferSize(id.Type)), caps: caps, s: s}
}

// handler handles one message of a channel. It may read less of the body than
// there is; the rest is skipped.
type handler func(m *message) error

// run reads messages until the connection or a message fails.
func (c *channel) run(handle handler) error {
	m := message{c: c}
	for {
		head, err := c.r.Peek(wire.HeaderSize)
		if err != nil {
			if len(head) > 0 {
				err = noEOF(err)
			}
			return err
		}
		m.typ, m.size = wire.Header(head)
		m.left = int64(m.size)
		m.timed = false
		c.r.Discard(wire.HeaderSize)
		if m.typ <= wire.MsgList {
			err = c.base(&m)
		} else {
			err = handle(&m)
		}
		if err == nil {
			err = m.finish()
		}
		if err != nil {
			return m.wrap(err)
		}
		c.s.counts.messages.Add(1)
		c.s.counts.received.Add(int64(wire.HeaderSize) + int64(m.size))
		c.serial.Add(1)
		c.s.handled()
		if err := c.ack(); err != nil {
			return err
		}
	}
}

// ack tells the server, once a window, that its messages were handled. A
// server stalls beyond two windows.
func (c *channel) ack() error {
	if c.window == 0 {
		return nil
	}
	if c.unacked++; c.unacked < c.window {
		return nil
	}
	c.unacked = 0
	return c.send(wire.MsgcAck, nil)
}

// base handles what every channel may get.
func (c *channel) base(m *message) error {
	switch m.typ {
	case wire.MsgSetAck:
		b, err := m.prefix(8)
		if err != nil {
			return err
		}
		ack, err := wire.ParseSetAck(b)
		if err != nil {
			return err
		}
		if err := c.send(wire.MsgcAckSync, b[:4]); err != nil {
			return err
		}
		// The SET_ACK itself does not count.
		c.window, c.unacked = ack.Window, ^uint32(0)
		if ack.Window == 0 {
			c.unacked = 0
		}
		return nil
	case wire.MsgPing:
		b, err := m.prefix(wire.PingSize)
		if err != nil {
			return err
		}
		ping, err := wire.ParsePing(b)
		if err != nil {
			return err
		}
		pong := ping.Append(make([]byte, 0, wire.PingSize))
		// The padding is part of what the server measures.
		if err := m.finish(); err != nil {
			return err
		}
		return c.send(wire.MsgcPong, pong)
	case wire.MsgWaitForChannels:
		b, err := m.body(maxSmall)
		if err != nil {
			return err
		}
		waits, err := wire.ParseWaitForChannels(b)
		if err != nil {
			return err
		}
		return c.s.wait(c, waits)
	case wire.MsgDisconnecting:
		b, err := m.prefix(12)
		if err != nil {
			return err
		}
		d, err := wire.ParseDisconnecting(b)
		if err != nil {
			return err
		}
		return &DisconnectedError{Reason: d.Reason}
	case wire.MsgNotify:
		b, err := m.body(wire.MaxNotify)
		if err != nil {
			return err
		}
		n, err := wire.ParseNotify(b)
		if err != nil {
			return err
		}
		c.s.noticed(n)
		return nil
	case wire.MsgMigrate:
		return c.migrate(m)
	}
	// MIGRATE_DATA would be handed to the new server in a seamless migration,
	// which this client does not ask for; LIST is not sent by any server.
	return nil
}

// migrate answers the source server's MIGRATE. Without the capability for it
// no state is carried over: the session ends with SWITCH_HOST on main.
func (c *channel) migrate(m *message) error {
	b, err := m.prefix(4)
	if err != nil {
		return err
	}
	if len(b) < 4 {
		return &wire.Error{Offset: len(b), What: "MIGRATE without flags"}
	}
	if b[0]&wire.MigrateNeedFlush != 0 {
		return c.send(wire.MsgcMigrateFlushMark, nil)
	}
	return nil
}

// send writes one message. Bodies are at most a few bytes.
func (c *channel) send(typ uint16, body []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.out = append(wire.AppendHeader(c.out[:0], typ, len(body)), body...)
	return c.flush()
}

// flush writes c.out under c.sending. The deadline is set only here: a server
// that reads costs one extra timer operation a write.
func (c *channel) flush() error {
	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := c.conn.Write(c.out)
	c.s.counts.sent.Add(int64(n))
	if err != nil {
		err = fmt.Errorf("sending %d bytes: %w", len(c.out), err)
		if !errors.Is(err, net.ErrClosed) { // by this side
			// What follows would begin in the middle of a message. The reader
			// ends the session, with this reason.
			c.unsent.CompareAndSwap(nil, &err)
			c.conn.Close()
		}
		return fmt.Errorf("%s channel: %w", c.id.Type, err)
	}
	return nil
}

// message is the one being read. Its body is consumed as it is asked for.
type message struct {
	c     *channel
	typ   uint16
	size  uint32
	left  int64
	timed bool
}

// time bounds the wait for a body that is not here yet.
func (m *message) time(need int64) {
	if !m.timed && int64(m.c.r.Buffered()) < need {
		m.timed = true
		m.c.conn.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
}

// prefix returns the first n bytes of the body, or all of it if it is shorter,
// without consuming them. It is valid until the next call.
func (m *message) prefix(n int) ([]byte, error) {
	n = int(min(int64(n), m.left))
	m.time(int64(n))
	b, err := m.c.r.Peek(n)
	if err != nil {
		m.left -= int64(len(b))
		return nil, m.unread(err)
	}
	return b, nil
}

// body returns the whole body, at most limit bytes, in memory of its own.
func (m *message) body(limit int) ([]byte, error) { return m.bodyInto(nil, limit) }

// bodyInto is body with memory to use if it is large enough.
func (m *message) bodyInto(buf []byte, limit int) ([]byte, error) {
	if m.left > int64(limit) {
		return nil, &wire.Error{What: fmt.Sprintf("body of %d bytes, at most %d are accepted", m.left, limit)}
	}
	m.time(m.left)
	n := int(m.left)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	got, err := io.ReadFull(m.c.r, buf)
	m.left -= int64(got)
	if err != nil {
		return nil, m.unread(err)
	}
	return buf, nil
}

// finish skips what is left of the body and lifts its deadline.
func (m *message) finish() error {
	if m.left > 0 {
		m.time(m.left)
		n, err := m.c.r.Discard(int(min(m.left, int64(m.c.r.Buffered()))))
		m.left -= int64(n)
		if err == nil && m.left > 0 {
			// Past the reader's own small buffer: large bodies are drained in
			// the standard library's pooled blocks.
			var k int64
			k, err = io.CopyN(io.Discard, m.c.conn, m.left)
			m.left -= k
		}
		if err != nil {
			return m.unread(err)
		}
	}
	if m.timed {
		m.timed = false
		m.c.conn.SetReadDeadline(time.Time{})
	}
	return nil
}

// unread gives a failed read its place in the body.
func (m *message) unread(err error) error {
	at := &ProtocolError{Channel: m.c.id, Message: m.typ, Offset: int(int64(m.size) - m.left)}
	var ne net.Error
	switch {
	case errors.As(err, &ne) && ne.Timeout():
		at.What = fmt.Sprintf("the rest of the %d byte body did not come within %v", m.size, bodyTimeout)
		return at
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at.What = fmt.Sprintf("the connection ended within the %d byte body", m.size)
		return fmt.Errorf("%w: %w", at, io.ErrUnexpectedEOF)
	}
	return err
}

// wrap gives a decoding error its channel and message.
func (m *message) wrap(err error) error {
	var we *wire.Error
	if errors.As(err, &we) {
		return &ProtocolError{Channel: m.c.id, Message: m.typ, Offset: we.Offset, What: we.What}
	}
	return err
}
