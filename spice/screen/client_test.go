package screen

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/pixel"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// The tests' thin client: no more than bytes in and out, so that it hides
// nothing of what the desktop does.

// testKey is made once for all tests.
var testKey = sync.OnceValues(newLinkKey)

func testHost(newAlarm func() alarm) *host {
	h := newHost(newAlarm)
	h.key = testKey
	return h
}

// inFakeTime runs a test on a desktop whose time passes when everybody waits:
// its durations are exact, and no test takes long. The runtime's timers follow
// that time, the kernel's do not.
func inFakeTime(t *testing.T, c Config, test func(t *testing.T, d *Desktop, dial dialer)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(c, testHost(newTimerAlarm))
		d.alone = true
		test(t, d, pipeTo(t, d))
		d.Kill()
		time.Sleep(time.Second) // for goroutines to end
	})
}

// dialer opens a connection to a desktop.
type dialer func() net.Conn

// pipeTo connects by net.Pipe.
func pipeTo(t testing.TB, d *Desktop) dialer {
	return func() net.Conn {
		client, server := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		go func() {
			d.converse(server)
			cut(server)
		}()
		return client
	}
}

// tcpTo serves the desktop on loopback.
func tcpTo(t testing.TB, d *Desktop) dialer {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- d.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		d.Kill()
		require.NoError(t, <-done)
	})
	return func() net.Conn {
		conn, err := net.Dial("tcp4", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
}

const testCommon = wire.Caps(1<<wire.CapAuthSelection | 1<<wire.CapAuthSpice | 1<<wire.CapMiniHeader)

// tryLink does the link phase. reply is the refusal before the ticket, result
// the answer to it.
func tryLink(conn net.Conn, req wire.LinkRequest, ticket string) (reply wire.LinkReply, result wire.LinkError, err error) {
	if _, err = conn.Write(req.Append(nil)); err != nil {
		return
	}
	if reply, err = readReply(conn); err != nil || reply.Error != wire.LinkOK {
		return
	}
	public, err := x509.ParsePKIXPublicKey(reply.PubKey)
	if err != nil {
		return
	}
	encrypted, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, public.(*rsa.PublicKey), append([]byte(ticket), 0), nil)
	if err != nil {
		return
	}
	var auth []byte
	if req.Common.Has(wire.CapAuthSelection) {
		auth = binary.LittleEndian.AppendUint32(auth, wire.AuthSpice)
	}
	if _, err = conn.Write(append(auth, encrypted...)); err != nil {
		return
	}
	var b [4]byte
	_, err = io.ReadFull(conn, b[:])
	return reply, wire.LinkError(binary.LittleEndian.Uint32(b[:])), err
}

func readReply(conn net.Conn) (wire.LinkReply, error) {
	header := make([]byte, wire.LinkHeaderSize)
	if _, err := io.ReadFull(conn, header); err != nil {
		return wire.LinkReply{}, err
	}
	size, err := wire.ParseLinkHeader(header)
	if err != nil {
		return wire.LinkReply{}, err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return wire.LinkReply{}, err
	}
	return wire.ParseLinkReply(body)
}

type message struct {
	typ  uint16
	body []byte
	at   time.Time
}

// rawChannel is a linked connection. Its reader acknowledges, unless it is
// told not to, and keeps all other messages for next.
type rawChannel struct {
	t        testing.TB
	conn     net.Conn
	messages chan message

	mu      sync.Mutex // writes
	noAcks  bool
	noPongs bool
}

func openChannel(t testing.TB, dial dialer, id uint32, typ wire.ChannelType, ticket string) *rawChannel {
	t.Helper()
	conn := dial()
	caps := wire.Caps(0)
	if typ == wire.Display {
		caps = wire.CapsOf(wire.CapDisplayLZ4, wire.CapDisplayPrefCompression)
	}
	reply, result, err := tryLink(conn, wire.LinkRequest{ConnectionID: id, Channel: wire.ChannelID{Type: typ}, Common: testCommon, Caps: caps}, ticket)
	require.NoError(t, err)
	require.Equal(t, wire.LinkOK, reply.Error)
	require.Equal(t, wire.LinkOK, result)
	c := &rawChannel{t: t, conn: conn, messages: make(chan message, 4096)}
	go c.read()
	return c
}

func (c *rawChannel) read() {
	defer close(c.messages)
	var window, count uint32
	for {
		header := make([]byte, wire.HeaderSize)
		if _, err := io.ReadFull(c.conn, header); err != nil {
			return
		}
		typ, size := wire.Header(header)
		body := make([]byte, size)
		if _, err := io.ReadFull(c.conn, body); err != nil {
			return
		}
		now := time.Now()
		c.mu.Lock()
		acks, pongs := !c.noAcks, !c.noPongs
		c.mu.Unlock()
		switch {
		case typ == wire.MsgSetAck:
			m, err := wire.ParseSetAck(body)
			if err != nil {
				return
			}
			window, count = m.Window, 0
			if acks {
				c.send(wire.MsgcAckSync, binary.LittleEndian.AppendUint32(nil, m.Generation))
			}
			continue
		case typ == wire.MsgPing && pongs:
			c.send(wire.MsgcPong, body[:wire.PingSize])
		}
		if count++; acks && count == window {
			count = 0
			c.send(wire.MsgcAck, nil)
		}
		c.messages <- message{typ, body, now}
	}
}

// send ignores errors: a desktop that hung up shows in what is read.
func (c *rawChannel) send(typ uint16, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.conn.Write(append(wire.AppendHeader(nil, typ, len(body)), body...))
}

func (c *rawChannel) set(option *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*option = true
}

// next is the next message, which must come.
func (c *rawChannel) next() message {
	c.t.Helper()
	select {
	case m, ok := <-c.messages:
		require.True(c.t, ok, "the desktop closed the channel")
		return m
	case <-time.After(time.Minute):
		require.FailNow(c.t, "no message came")
	}
	panic("unreachable")
}

func (c *rawChannel) expect(typ uint16) message {
	c.t.Helper()
	m := c.next()
	require.Equal(c.t, typ, m.typ)
	return m
}

// closed waits for the desktop to close the channel.
func (c *rawChannel) closed() {
	c.t.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		select {
		case _, ok := <-c.messages:
			if !ok {
				return
			}
		case <-deadline:
			require.FailNow(c.t, "the channel is still open")
		}
	}
}

func (c *rawChannel) key(code uint32) {
	c.send(wire.MsgcInputsKeyDown, wire.AppendKey(nil, code))
	c.send(wire.MsgcInputsKeyUp, wire.AppendKey(nil, code|scanRelease))
}

// rawClient is a whole client.
type rawClient struct {
	id                    uint32
	main, display, inputs *rawChannel
}

// connect links main, display and inputs and takes the messages that always
// come first.
func connect(t testing.TB, dial dialer, ticket string) *rawClient {
	t.Helper()
	c := &rawClient{main: openChannel(t, dial, 0, wire.Main, ticket)}
	init, err := wire.ParseInit(c.main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	c.id = init.SessionID
	c.inputs = openChannel(t, dial, c.id, wire.Inputs, ticket)
	c.inputs.expect(wire.MsgInputsInit)
	c.main.expect(wire.MsgNotify)
	c.display = openChannel(t, dial, c.id, wire.Display, ticket)
	c.display.send(wire.MsgcDisplayInit, wire.AppendDisplayInit(nil))
	c.display.expect(wire.MsgDisplaySurfaceCreate)
	c.display.expect(wire.MsgDisplayDrawFill)
	return c
}

// drawn is a DRAW_COPY that must come next.
func (c *rawChannel) drawn() (wire.DrawCopy, pixel.Image) {
	c.t.Helper()
	m := c.expect(wire.MsgDisplayDrawCopy)
	draw, err := wire.ParseDrawCopy(m.body)
	require.NoError(c.t, err)
	img, err := pixel.Decode(m.body, int(draw.Image), 1<<20, nil)
	require.NoError(c.t, err)
	require.Equal(c.t, draw.Box.Width(), img.Width)
	require.Equal(c.t, draw.Box.Height(), img.Height)
	return draw, img
}

// expectCell demands that the next message draws one cell.
func (c *rawChannel) expectCell(row, column int, char byte, caret bool) {
	c.t.Helper()
	draw, img := c.drawn()
	require.Equal(c.t, wire.Rect{
		Top: int32(row * CellHeight), Left: int32(column * CellWidth),
		Bottom: int32((row + 1) * CellHeight), Right: int32((column + 1) * CellWidth),
	}, draw.Box)
	want := make([]uint32, CellWidth*CellHeight)
	cellPixels(want, char, caret)
	require.Equal(c.t, want, img.Pix)
}

// none demands that nothing waits to be read.
func (c *rawChannel) none() {
	c.t.Helper()
	select {
	case m := <-c.messages:
		require.FailNowf(c.t, "unexpected message", "type %d", m.typ)
	default:
	}
}

// eventually polls a condition for at most ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), what)
	}
}
