package screen

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// FuzzHostileClient sends bytes to a desktop: in the link phase, or to one of a
// session's channels. Whatever they are, the desktop must be done with the
// connection when the client is.
func FuzzHostileClient(f *testing.F) {
	message := func(b []byte, typ uint16, body ...byte) []byte {
		return append(wire.AppendHeader(b, typ, len(body)), body...)
	}
	link := wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: testCommon}.Append(nil)
	f.Add(uint8(0), link)
	f.Add(uint8(0), append(append(link, 1, 0, 0, 0), make([]byte, wire.TicketSize)...))
	f.Add(uint8(wire.Main), message(message(nil, wire.MsgcMainAttachChannels), wire.MsgcMainMouseModeRequest, 2, 0))
	f.Add(uint8(wire.Main), message(message(nil, wire.MsgcAckSync, 1, 0, 0, 0), wire.MsgcAck))
	f.Add(uint8(wire.Display), message(message(nil, wire.MsgcDisplayInit, wire.AppendDisplayInit(nil)...), wire.MsgcDisplayPreferredCompression, wire.CompressionLZ4))
	f.Add(uint8(wire.Inputs), message(message(nil, wire.MsgcInputsKeyDown, 0xe1, 0x1d, 0x45, 0), wire.MsgcInputsKeyModifiers, 7, 0))
	f.Add(uint8(wire.Inputs), message(message(nil, wire.MsgcInputsKeyDown, 0x1e, 0x9e, 0x1c, 0x58), wire.MsgcInputsMouseMotion, wire.AppendMotion(nil, 1, 1, 1)...))
	f.Add(uint8(wire.Cursor), message(nil, wire.MsgcDisconnecting, make([]byte, 12)...))

	h := testHost(newAlarm)
	f.Fuzz(func(t *testing.T, kind uint8, sent []byte) {
		d := newDesktop(Config{Caret: time.Millisecond}, h)
		done := make(chan struct{}, 3)
		dial := func() net.Conn {
			client, server := net.Pipe()
			require.NoError(t, client.SetDeadline(time.Now().Add(20*time.Second)))
			go func() {
				d.converse(server)
				cut(server)
				done <- struct{}{}
			}()
			return client
		}
		join := func(id uint32, kind wire.ChannelType) net.Conn {
			conn := dial()
			_, result, err := tryLink(conn, wire.LinkRequest{ConnectionID: id, Channel: wire.ChannelID{Type: kind}, Common: testCommon, Caps: ^wire.Caps(0)}, "")
			require.NoError(t, err)
			require.Equal(t, wire.LinkOK, result)
			return conn
		}
		drain := func(conn net.Conn) { go func() { _, _ = io.Copy(io.Discard, conn) }() }

		var victim net.Conn
		conns := 1
		switch kind := wire.ChannelType(kind); kind {
		case wire.Main:
			victim = join(0, kind)
		case wire.Display, wire.Inputs, wire.Cursor:
			main := join(0, wire.Main)
			defer func() { _ = main.Close() }()
			drain(main)
			d.mu.Lock()
			id := d.session.id
			d.mu.Unlock()
			victim = join(id, kind)
			conns = 2
			if kind == wire.Inputs { // what is typed is drawn
				display := join(id, wire.Display)
				_, _ = display.Write(append(wire.AppendHeader(nil, wire.MsgcDisplayInit, wire.DisplayInitSize), wire.AppendDisplayInit(nil)...))
				drain(display)
				conns = 3
			}
		default:
			victim = dial()
		}
		drain(victim)
		_, _ = victim.Write(sent)
		require.NoError(t, victim.Close())
		d.Drop()
		for range conns {
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				require.FailNow(t, "the desktop still holds a connection")
			}
		}
		require.LessOrEqual(t, len(d.Typed()), maxTyped)
	})
}
