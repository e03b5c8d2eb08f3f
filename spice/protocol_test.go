package spice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/pixel"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// drawing is a DRAW_COPY of a plain image at a place.
func drawing(box wire.Rect, encode func([]byte, pixel.Image) []byte) []byte {
	img := pixel.Image{Width: box.Width(), Height: box.Height(), Pix: make([]uint32, box.Width()*box.Height())}
	for i := range img.Pix {
		img.Pix[i] = uint32(i * 2654435761 & 0xffffff)
	}
	return encode(wire.AppendDrawCopy(nil, wire.DrawBase{Box: box}), img)
}

func patch(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

// TestProtocolErrors: an error names the channel, the message and the byte.
func TestProtocolErrors(t *testing.T) {
	t.Parallel()
	init := msg(wire.MsgMainInit, wire.Init{SessionID: 1}.Append(nil))
	channels := wire.AppendChannelsList(nil, []wire.ChannelID{{Type: wire.Display}})
	glyph := wire.Rect{Top: 16, Left: 9, Bottom: 32, Right: 18}
	lz4 := drawing(glyph, pixel.EncodeLZ4)
	imageAt := wire.DrawCopyFixed
	future := wire.AppendWaitForChannels(nil, []wire.Wait{{Channel: wire.ChannelID{Type: wire.Display}, Serial: 100}})
	for _, x := range []struct {
		name   string
		on     wire.ChannelType
		looked bool // a probe looks at pixels
		stream []byte
		typ    uint16
		offset int
		what   string
		also   error // what it is besides
	}{
		{name: "truncated INIT", on: wire.Main, stream: msg(wire.MsgMainInit, make([]byte, 21)), typ: 103, offset: 20, what: "agent tokens"},
		{name: "second INIT", on: wire.Main, stream: sent(init, init), typ: 103, what: "a second INIT"},
		{name: "channels before INIT", on: wire.Main, stream: msg(wire.MsgMainChannelsList, channels), typ: 104, what: "before INIT"},
		{name: "2^31 channels", on: wire.Main, stream: sent(init, msg(wire.MsgMainChannelsList, []byte{0, 0, 0, 0x80})), typ: 104, offset: 4, what: "2147483648 channels"},
		{name: "a channel is missing", on: wire.Main, stream: sent(init, msg(wire.MsgMainChannelsList, channels[:5])), typ: 104, offset: 5, what: "channel id"},
		{name: "long CHANNELS_LIST", on: wire.Main, stream: sent(init, msg(wire.MsgMainChannelsList, make([]byte, 5000))), typ: 104, what: "body of 5000 bytes"},
		{name: "short MOUSE_MODE", on: wire.Main, stream: msg(wire.MsgMainMouseMode, make([]byte, 3)), typ: 105, offset: 2, what: "current mode"},
		{name: "migrated to nowhere", on: wire.Main, stream: msg(wire.MsgMainMigrateSwitchHost, make([]byte, 20)), typ: 111, offset: 20, what: "no host"},
		{name: "short SET_ACK", on: wire.Inputs, stream: msg(wire.MsgSetAck, make([]byte, 6)), typ: 3, offset: 4, what: "window"},
		{name: "short PING", on: wire.Cursor, stream: msg(wire.MsgPing, make([]byte, 11)), typ: 4, offset: 4, what: "timestamp"},
		{name: "short DISCONNECTING", on: wire.Main, stream: msg(wire.MsgDisconnecting, make([]byte, 9)), typ: 6, offset: 8, what: "reason"},
		{name: "long NOTIFY", on: wire.Main, stream: msg(wire.MsgNotify, make([]byte, 2000)), typ: 7, what: "body of 2000 bytes, at most 1048"},
		{name: "NOTIFY of nothing", on: wire.Main, stream: msg(wire.MsgNotify, patch(make([]byte, 24), 20, 9)), typ: 7, offset: 24, what: "text needs 9"},
		{name: "MIGRATE without flags", on: wire.Cursor, stream: msg(wire.MsgMigrate, nil), typ: 1, what: "MIGRATE without flags"},
		{name: "wait for itself", on: wire.Display, stream: msg(wire.MsgWaitForChannels, future), typ: 5, what: "wait for message 100 of the display channel, which has handled 0"},
		{name: "short KEY_MODIFIERS", on: wire.Inputs, stream: msg(wire.MsgInputsKeyModifiers, []byte{1}), typ: 102, what: "modifiers"},
		{name: "short SURFACE_CREATE", on: wire.Display, stream: msg(wire.MsgDisplaySurfaceCreate, make([]byte, 19)), typ: 314, offset: 16, what: "flags"},
		{name: "short drawing", on: wire.Display, stream: msg(wire.MsgDisplayDrawFill, make([]byte, 10)), typ: 302, offset: 8, what: "box"},
		{name: "image elsewhere", on: wire.Display, looked: true, stream: msg(wire.MsgDisplayDrawCopy, patch(lz4, wire.DrawBaseSize+1, 0xff, 0xff, 0xff, 0x7f)),
			typ: 304, offset: 1<<31 - 1, what: "image descriptor"},
		{name: "corrupt LZ4", on: wire.Display, looked: true, stream: msg(wire.MsgDisplayDrawCopy, patch(lz4, imageAt+pixel.DescriptorSize+10, 0xff, 0xff, 0xff, 0xff, 0xff)),
			typ: 304, offset: imageAt + pixel.DescriptorSize + 10, what: "LZ4 block"},
		{name: "short DRAW_FILL", on: wire.Display, looked: true, stream: msg(wire.MsgDisplayDrawFill, drawing(glyph, pixel.EncodeBitmap)[:wire.DrawBaseSize+1]),
			typ: 302, offset: wire.DrawBaseSize + 1, what: "brush"},
		{name: "clip type", on: wire.Display, looked: true, stream: msg(wire.MsgDisplayDrawCopy, patch(lz4, wire.DrawBaseSize, 9)),
			typ: 304, offset: wire.DrawBaseSize + 1, what: "clip type 9"},
		{name: "cut before the body", on: wire.Inputs, stream: msg(wire.MsgInputsInit, make([]byte, 2))[:6], typ: 101, what: "ended within the 2 byte body", also: io.ErrUnexpectedEOF},
		{name: "cut inside what is looked at", on: wire.Display, stream: msg(wire.MsgDisplayDrawCopy, lz4)[:6+12], typ: 304, offset: 12, what: "ended within", also: io.ErrUnexpectedEOF},
		{name: "cut inside what is kept", on: wire.Display, looked: true, stream: msg(wire.MsgDisplayDrawCopy, lz4)[:6+50], typ: 304, offset: 50, what: "ended within", also: io.ErrUnexpectedEOF},
		{name: "cut inside what is skipped", on: wire.Cursor, stream: append(wire.AppendHeader(nil, 103, 1<<20), make([]byte, 5000)...), typ: 103, offset: 5000, what: "ended within the 1048576 byte body", also: io.ErrUnexpectedEOF},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := unlinked()
			if x.looked {
				s.screen.watcher.Store(newRecorder().watcher())
			}
			c, handle := s.over(x.on, streamOf(x.stream))
			err := c.run(handle)
			var e *ProtocolError
			require.ErrorAs(t, err, &e)
			require.Equal(t, wire.ChannelID{Type: x.on}, e.Channel)
			require.Equal(t, x.typ, e.Message)
			require.Contains(t, e.What, x.what)
			require.Equal(t, x.offset, e.Offset, e.What)
			require.Contains(t, err.Error(), x.on.String()+" channel, message ")
			if x.also != nil {
				require.ErrorIs(t, err, x.also)
			}
			// It is the same through what a session and a connect make of it.
			require.ErrorAs(t, &StepError{Step: StepMain, Err: &LostError{Trip: GuestTrip, Err: err}}, &e)
		})
	}
}

// TestUnlookedPixelsAreSkipped: a watching session does not read them, and so
// does not mind them.
func TestUnlookedPixelsAreSkipped(t *testing.T) {
	t.Parallel()
	s := unlinked()
	bad := drawing(wire.Rect{Bottom: 16, Right: 9}, pixel.EncodeLZ4)
	bad = patch(bad, wire.DrawCopyFixed, bytes.Repeat([]byte{0xff}, len(bad)-wire.DrawCopyFixed)...)
	c, handle := s.over(wire.Display, streamOf(sent(msg(wire.MsgDisplayDrawCopy, bad), msg(wire.MsgDisplayDrawCopy, bad))))
	require.Equal(t, io.EOF, c.run(handle), "between messages an end is an end")
	require.EqualValues(t, 2, s.Stats().Drawings)
	require.EqualValues(t, 2*9*16, s.Stats().DrawnPixels)
}

func TestCutInsideAHeader(t *testing.T) {
	t.Parallel()
	s := unlinked()
	c, handle := s.over(wire.Main, streamOf([]byte{1, 2, 3}))
	require.Equal(t, io.ErrUnexpectedEOF, c.run(handle))
}

// TestStalledBody: a message that does not end is given up after bodyTimeout,
// wherever it stalls.
func TestStalledBody(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		on     wire.ChannelType
		typ    uint16
		size   int
		come   int
		looked bool
	}{
		"looked at":       {on: wire.Display, typ: wire.MsgDisplayDrawCopy, size: 100, come: 10},
		"kept":            {on: wire.Main, typ: wire.MsgNotify, size: 100, come: 10},
		"pixels":          {on: wire.Display, typ: wire.MsgDisplayDrawCopy, size: 10000, come: 5000, looked: true},
		"skipped":         {on: wire.Cursor, typ: wire.MsgCursorSet, size: 1 << 30, come: 5000},
		"skipped at once": {on: wire.Cursor, typ: wire.MsgCursorSet, size: 100, come: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := unlinked()
				if x.looked {
					s.screen.watcher.Store(newRecorder().watcher())
				}
				ours, theirs := net.Pipe()
				defer theirs.Close()
				c, handle := s.over(x.on, ours)
				body := make([]byte, x.come)
				if x.come >= wire.DrawBaseSize {
					copy(body, wire.AppendDrawCopy(nil, wire.DrawBase{Box: wire.Rect{Bottom: 16, Right: 9}}))
				}
				start := time.Now()
				go theirs.Write(append(wire.AppendHeader(nil, x.typ, x.size), body...))
				err := c.run(handle)
				require.Equal(t, bodyTimeout, time.Since(start))
				var e *ProtocolError
				require.ErrorAs(t, err, &e)
				require.Equal(t, ProtocolError{Channel: c.id, Message: x.typ, Offset: x.come, What: e.What}, *e)
				require.Contains(t, e.What, "did not come within 30s")
			})
		})
	}
}

// TestSilenceIsNoStall: between messages a server may be silent for ever, also
// after a message that came in pieces.
func TestSilenceIsNoStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := unlinked()
		ours, theirs := net.Pipe()
		c, handle := s.over(wire.Cursor, ours)
		go func() {
			m := msg(wire.MsgCursorSet, make([]byte, 100))
			theirs.Write(m[:50])
			time.Sleep(29 * time.Second)
			theirs.Write(m[50:])
			time.Sleep(24 * time.Hour)
			theirs.Close()
		}()
		require.Equal(t, io.EOF, c.run(handle))
		require.EqualValues(t, 1, s.Stats().CursorChanges)
	})
}

// TestUnreadAnswer: that the server does not read is not that it does not send.
func TestUnreadAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := unlinked()
		ours, theirs := net.Pipe()
		defer theirs.Close()
		c, handle := s.over(wire.Main, ours)
		go theirs.Write(msg(wire.MsgPing, make([]byte, wire.PingSize)))
		start := time.Now()
		err := c.run(handle)
		require.Equal(t, writeTimeout, time.Since(start))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.ErrorContains(t, err, "main channel: sending")
		require.NotContains(t, err.Error(), "did not come")
	})
}

// TestWaitForChannels: a channel waits for another one's message, but not for
// ever, not for itself, and not for channels that are not open.
func TestWaitForChannels(t *testing.T) {
	t.Parallel()
	waits := func(t wire.ChannelType, serial uint64) []byte {
		return msg(wire.MsgWaitForChannels, wire.AppendWaitForChannels(nil, []wire.Wait{{Channel: wire.ChannelID{Type: t}, Serial: serial}}))
	}
	t.Run("comes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := unlinked()
			ours, theirs := net.Pipe()
			other, handleOther := s.over(wire.Cursor, ours)
			go other.run(handleOther)
			c, handle := s.over(wire.Display, streamOf(waits(wire.Cursor, 3)))
			start := time.Now()
			done := make(chan error, 1)
			go func() { done <- c.run(handle) }()
			for range 3 {
				time.Sleep(time.Second)
				theirs.Write(msg(wire.MsgCursorMove, make([]byte, 4)))
			}
			require.Equal(t, io.EOF, <-done)
			require.Equal(t, 3*time.Second, time.Since(start))
			theirs.Close()
		})
	})
	t.Run("does not come", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := unlinked()
			c, handle := s.over(wire.Display, streamOf(waits(wire.Cursor, 1<<63)))
			start := time.Now()
			var e *ProtocolError
			require.ErrorAs(t, c.run(handle), &e)
			require.Equal(t, bodyTimeout, time.Since(start))
			require.Contains(t, e.What, "of the cursor channel, which has handled 0")
		})
	})
	t.Run("session ends", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := unlinked()
			c, handle := s.over(wire.Display, streamOf(waits(wire.Cursor, 1)))
			go func() {
				time.Sleep(time.Second)
				s.end(errOver)
			}()
			require.ErrorIs(t, c.run(handle), errOver)
		})
	})
	t.Run("not open", func(t *testing.T) {
		t.Parallel()
		s := unlinked()
		c, handle := s.over(wire.Display, streamOf(waits(wire.Playback, 1<<63)))
		require.Equal(t, io.EOF, c.run(handle))
	})
}

func TestPoliteEnd(t *testing.T) {
	t.Parallel()
	for want, reason := range map[string]wire.LinkError{
		"the server ended the session":                                     wire.LinkOK,
		"the server ended the session: the server refused the link: error": wire.LinkFailed,
		"the server ended the session: the server refused the link: permission denied: the ticket is wrong or has expired": wire.LinkPermissionDenied,
	} {
		s := unlinked()
		c, handle := s.over(wire.Main, streamOf(msg(wire.MsgDisconnecting, wire.Disconnecting{Reason: reason}.Append(nil))))
		err := c.run(handle)
		var e *DisconnectedError
		require.ErrorAs(t, err, &e)
		require.Equal(t, reason, e.Reason)
		require.EqualError(t, err, want)
		s.end(err)
		require.Equal(t, err, s.Err())
	}
}

// replies collects what is written to a stream.
type replies struct {
	stream
	bytes.Buffer
}

func (r *replies) Read(b []byte) (int, error)  { return r.stream.Read(b) }
func (r *replies) Write(b []byte) (int, error) { return r.Buffer.Write(b) }

// TestAnswers: what the server is told for its base messages.
func TestAnswers(t *testing.T) {
	t.Parallel()
	move := msg(wire.MsgCursorMove, make([]byte, 4))
	ping := wire.Ping{ID: 7, Timestamp: 8}.Append(nil)
	ack := msg(wire.MsgcAck, nil)
	for name, x := range map[string]struct{ in, want []byte }{
		"SET_ACK":           {msg(wire.MsgSetAck, wire.SetAck{Generation: 5, Window: 2}.Append(nil)), msg(wire.MsgcAckSync, []byte{5, 0, 0, 0})},
		"ACK once a window": {sent(msg(wire.MsgSetAck, wire.SetAck{Generation: 5, Window: 2}.Append(nil)), move, move, move, move, move), sent(msg(wire.MsgcAckSync, []byte{5, 0, 0, 0}), ack, ack)},
		"ACK of each":       {sent(msg(wire.MsgSetAck, wire.SetAck{Window: 1}.Append(nil)), move, move), sent(msg(wire.MsgcAckSync, make([]byte, 4)), ack, ack)},
		"window closed":     {sent(msg(wire.MsgSetAck, wire.SetAck{Window: 1}.Append(nil)), msg(wire.MsgSetAck, make([]byte, 8)), move), sent(msg(wire.MsgcAckSync, make([]byte, 4)), msg(wire.MsgcAckSync, make([]byte, 4)))},
		"PING with padding": {msg(wire.MsgPing, append(ping, make([]byte, 250000)...)), msg(wire.MsgcPong, ping)},
		"flushed MIGRATE":   {msg(wire.MsgMigrate, binary.LittleEndian.AppendUint32(nil, wire.MigrateNeedFlush)), msg(wire.MsgcMigrateFlushMark, nil)},
		"MIGRATE":           {msg(wire.MsgMigrate, make([]byte, 4)), nil},
		"unknown":           {sent(msg(wire.MsgMigrateData, make([]byte, 9000)), msg(wire.MsgList, nil), msg(0, nil), msg(9999, make([]byte, 3))), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := unlinked()
			conn := &replies{stream: *streamOf(x.in)}
			c, handle := s.over(wire.Cursor, conn)
			err := c.run(handle)
			require.True(t, errors.Is(err, io.EOF), "%v", err)
			require.Equal(t, x.want, conn.Bytes())
			require.EqualValues(t, len(x.in), s.Stats().BytesReceived)
			require.EqualValues(t, len(x.want), s.Stats().BytesSent)
			require.EqualValues(t, len(messagesOf(x.in)), s.Stats().Messages)
		})
	}
}
