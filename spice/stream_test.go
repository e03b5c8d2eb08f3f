package spice

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// stream is a connection to a server that sends bytes and takes whatever is
// written.
type stream struct {
	io.Reader
	closed bool
}

func streamOf(b []byte) *stream { return &stream{Reader: bytes.NewReader(b)} }

func (s *stream) Write(b []byte) (int, error)      { return len(b), nil }
func (s *stream) Close() error                     { s.closed = true; return nil }
func (s *stream) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *stream) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// unlinked is a session with all its channels, none of which is read and none
// of which sends anything anywhere.
func unlinked() *Session {
	s := &Session{
		cfg:      Config{Host: "127.0.0.1", Port: 1},
		keyboard: make(chan struct{}, 1),
		progress: sync.NewCond(new(sync.Mutex)),
		done:     make(chan struct{}),
	}
	s.motions.init()
	s.locks.init()
	s.screen.init()
	for t, c := range map[wire.ChannelType]**channel{wire.Main: &s.main, wire.Display: &s.display, wire.Inputs: &s.inputs, wire.Cursor: &s.cursor} {
		*c = newChannel(s, wire.ChannelID{Type: t}, streamOf(nil), ^wire.Caps(0))
	}
	return s
}

// over makes the channel of a type read from conn and returns its handler.
func (s *Session) over(t wire.ChannelType, conn net.Conn) (*channel, handler) {
	c := s.channel(wire.ChannelID{Type: t})
	c.conn = conn
	c.r.Reset(conn)
	switch t {
	case wire.Main:
		return c, (&mainHandler{s: s, offered: make(chan []wire.ChannelID, 1)}).handle
	case wire.Display:
		return c, s.handleDisplay
	case wire.Inputs:
		return c, s.handleInputs
	}
	return c, s.handleCursor
}

var errOver = errors.New("over")

// finished makes a session one that has ended, so that nothing in it waits.
func (s *Session) finished() {
	s.err = errOver
	close(s.done)
}

// recordedStream is what QEMU sent on a channel (TestRecord).
func recordedStream(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "qemu", name+".stream"))
	require.NoError(t, err)
	return b
}

// sent is messages as they are on a channel.
func sent(messages ...[]byte) []byte { return bytes.Join(messages, nil) }

func msg(typ uint16, body []byte) []byte {
	return append(wire.AppendHeader(nil, typ, len(body)), body...)
}

// messagesOf splits a stream.
func messagesOf(b []byte) [][]byte {
	var all [][]byte
	for len(b) >= wire.HeaderSize {
		_, size := wire.Header(b)
		n := min(len(b), wire.HeaderSize+int(size))
		all = append(all, b[:n:n])
		b = b[n:]
	}
	return all
}
