package screen

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

const (
	// ackWindow is CLIENT_ACK_WINDOW of spice-server's red-channel-client.cpp.
	ackWindow = 20

	// maxMessage bounds a client's message, in bytes. spice-server takes 1 KiB
	// on display and cursor, 2 KiB on inputs, some 2 KiB of agent data.
	maxMessage = 4096

	// maxUnsent bounds what waits for a client that does not read, in bytes.
	maxUnsent = 1 << 20

	// keptBuffer is the largest buffer that a quiet channel keeps, in bytes:
	// a cell's drawing fits.
	keptBuffer = 1 << 10

	readBuffer = 128
)

var (
	errShort   = errors.New("message too short")
	errUnknown = errors.New("unknown message type")
)

// channel is a linked connection.
type channel struct {
	d    *Desktop
	s    *session
	kind wire.ChannelType
	caps wire.Caps // the client's
	mini bool      // the headers, as both sides want them
	conn net.Conn

	// Desktop.mu guards these. ended tells that the channel has no part in
	// its session any more.
	ended                        bool
	generation, clientGeneration uint32
	unacked                      uint32
	serial                       uint64 // of the latest message that was sent

	// A goroutine that writes lives only while there is something to write:
	// most channels are silent most of the time.
	mu      sync.Mutex
	unsent  []byte
	writing bool
	closed  bool
}

func newChannel(d *Desktop, s *session, conn net.Conn, req wire.LinkRequest) *channel {
	_ = conn.SetDeadline(time.Time{}) // the link phase's
	// No client generation is what the server sent before it sent any.
	return &channel{d: d, s: s, kind: req.Channel.Type, caps: req.Caps, mini: req.Common.Has(wire.CapMiniHeader), conn: conn, clientGeneration: ^uint32(0)}
}

// run reads the client's messages until the connection ends.
func (c *channel) run() {
	defer func() {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		c.d.end(c)
	}()
	r := bufio.NewReaderSize(c.conn, readBuffer)
	headerSize, parse := wire.HeaderSize, wire.Header
	if !c.mini {
		headerSize, parse = wire.FullHeaderSize, wire.FullHeader
	}
	for {
		header, err := r.Peek(headerSize)
		if err != nil {
			return
		}
		typ, size := parse(header)
		if size > maxMessage {
			return
		}
		_, _ = r.Discard(headerSize) // buffered
		var body []byte
		if size <= readBuffer {
			if body, err = r.Peek(int(size)); err != nil {
				return
			}
		} else {
			body = make([]byte, size)
			if _, err := io.ReadFull(r, body); err != nil {
				return
			}
		}
		if c.handle(typ, body, time.Now()) != nil {
			return
		}
		if size <= readBuffer {
			_, _ = r.Discard(int(size))
		}
	}
}

func (c *channel) handle(typ uint16, body []byte, now time.Time) error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.ended {
		return net.ErrClosed
	}
	if typ <= wire.MsgcDisconnecting {
		return c.onBase(typ, body)
	}
	switch c.kind {
	case wire.Main:
		return c.d.onMain(c, typ, body)
	case wire.Display:
		return c.d.onDisplay(c, typ, body, now)
	case wire.Inputs:
		return c.d.onInputs(c, typ, body, now)
	}
	return errUnknown
}

// onBase handles the messages of every channel.
func (c *channel) onBase(typ uint16, body []byte) error {
	if c.kind == wire.Main {
		c.s.heard++
	}
	switch typ {
	case wire.MsgcAckSync:
		if len(body) < 4 {
			return errShort
		}
		c.clientGeneration = binary.LittleEndian.Uint32(body)
	case wire.MsgcAck:
		if c.clientGeneration == c.generation {
			// Unsigned, as in spice-server: who acknowledges more than it
			// was sent gets no more.
			c.unacked -= ackWindow
			if c.kind == wire.Display {
				c.d.drain()
			}
		}
	case wire.MsgcPong:
		if len(body) < wire.PingSize {
			return errShort
		}
	case wire.MsgcDisconnecting:
		// The end of the connection will say it again.
	default:
		return errUnknown // migration
	}
	return nil
}

// stalled tells that the client owes more than two windows of ACKs. Only
// drawings wait for it: main and inputs of spice-server never do.
func (c *channel) stalled() bool { return c.unacked > 2*ackWindow }

func (c *channel) sendSetAck() {
	c.generation++
	c.unacked = 0
	c.send(wire.MsgSetAck, wire.SetAck{Generation: c.generation, Window: ackWindow}.Append)
}

// sendLinked sends the link's result, so that nothing can come before it.
func (c *channel) sendLinked() {
	c.queue(func(b []byte) []byte { return linkResult(b, wire.LinkOK) })
}

// send sends a message. It never blocks. Desktop.mu is held.
func (c *channel) send(typ uint16, appendBody func([]byte) []byte) {
	c.unacked++
	c.serial++
	serial := c.serial
	c.queue(func(b []byte) []byte {
		sizeAt := len(b) + 2 // behind the type
		if c.mini {
			b = wire.AppendHeader(b, typ, 0)
		} else {
			sizeAt += 8 // behind the serial
			b = wire.AppendFullHeader(b, serial, typ, 0)
		}
		body := len(b)
		b = appendBody(b)
		binary.LittleEndian.PutUint32(b[sizeAt:], uint32(len(b)-body))
		return b
	})
}

func (c *channel) queue(add func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.unsent = add(c.unsent)
	if len(c.unsent) > maxUnsent {
		c.closed = true
		cut(c.conn)
		return
	}
	if !c.writing {
		c.writing = true
		go c.write()
	}
}

// write sends what waits. A client that takes nothing for as long as it may be
// silent is cut.
func (c *channel) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.unsent) > 0 && !c.closed {
		b := c.unsent
		c.unsent = nil
		c.mu.Unlock()
		_ = c.conn.SetWriteDeadline(time.Now().Add(silence))
		_, err := c.conn.Write(b)
		c.mu.Lock()
		if err != nil {
			c.closed = true
			cut(c.conn) // which ends run
		}
		if c.unsent == nil && cap(b) <= keptBuffer {
			c.unsent = b[:0]
		}
	}
	c.writing = false
}

func (c *channel) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.unsent = nil
	cut(c.conn)
}
