package screen

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

func TestMainTellsOfTheDesktop(t *testing.T) {
	d := newDesktop(Config{}, testHost(newAlarm))
	main := openChannel(t, tcpTo(t, d), 0, wire.Main, "")
	init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	require.NotZero(t, init.SessionID)
	require.Equal(t, wire.MouseServer|wire.MouseClient, init.SupportedMouse)
	require.Equal(t, wire.MouseServer, init.CurrentMouse)

	main.send(wire.MsgcMainAttachChannels, nil)
	ids, err := wire.ParseChannelsList(main.expect(wire.MsgMainChannelsList).body)
	require.NoError(t, err)
	require.Equal(t, []wire.ChannelID{{Type: wire.Display}, {Type: wire.Inputs}, {Type: wire.Cursor}}, ids)

	main.send(wire.MsgcMainMouseModeRequest, []byte{byte(wire.MouseClient), 0})
	mode, err := wire.ParseMouseMode(main.expect(wire.MsgMainMouseMode).body)
	require.NoError(t, err)
	require.Equal(t, wire.MouseMode{Supported: 3, Current: uint16(wire.MouseClient)}, mode)

	cursor := openChannel(t, tcpTo(t, d), init.SessionID, wire.Cursor, "")
	require.Len(t, cursor.expect(wire.MsgCursorInit).body, 11)
}

// TestFullHeaders: a client of before mini headers.
func TestFullHeaders(t *testing.T) {
	conn := tcpTo(t, newDesktop(Config{}, testHost(newAlarm)))()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, result, err := tryLink(conn, wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: wire.CapsOf(wire.CapAuthSelection, wire.CapAuthSpice)}, "")
	require.NoError(t, err)
	require.Equal(t, wire.LinkOK, result)
	serial := uint64(0)
	expect := func(want uint16) []byte {
		header := make([]byte, wire.FullHeaderSize)
		_, err := io.ReadFull(conn, header)
		require.NoError(t, err)
		typ, size := wire.FullHeader(header)
		require.Equal(t, want, typ)
		serial++
		require.Equal(t, wire.AppendFullHeader(nil, serial, typ, int(size)), header, "in series, without sub-messages")
		body := make([]byte, size)
		_, err = io.ReadFull(conn, body)
		require.NoError(t, err)
		return body
	}
	send := func(serial uint64, typ uint16, body ...byte) {
		_, err := conn.Write(append(wire.AppendFullHeader(nil, serial, typ, len(body)), body...))
		require.NoError(t, err)
	}
	_, err = wire.ParseInit(expect(wire.MsgMainInit))
	require.NoError(t, err)
	ack, err := wire.ParseSetAck(expect(wire.MsgSetAck))
	require.NoError(t, err)
	send(1, wire.MsgcAckSync, byte(ack.Generation), 0, 0, 0)
	send(2, wire.MsgcMainAttachChannels)
	ids, err := wire.ParseChannelsList(expect(wire.MsgMainChannelsList))
	require.NoError(t, err)
	require.Len(t, ids, 3)
	send(3, wire.MsgcMainMouseModeRequest, byte(wire.MouseClient), 0)
	_, err = wire.ParseMouseMode(expect(wire.MsgMainMouseMode))
	require.NoError(t, err)
}

func TestPlainKeyboardIsWarnedOf(t *testing.T) {
	d := newDesktop(Config{}, testHost(newAlarm))
	dial := tcpTo(t, d)
	main := openChannel(t, dial, 0, wire.Main, "")
	init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	openChannel(t, dial, init.SessionID, wire.Inputs, "")
	notify, err := wire.ParseNotify(main.expect(wire.MsgNotify).body)
	require.NoError(t, err)
	require.Equal(t, wire.SeverityWarn, notify.Severity)
	require.Equal(t, "keyboard channel is insecure", notify.Text)
}

func TestLaterClientEvictsTheEarlier(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret}, testHost(newAlarm))
	dial := tcpTo(t, d)
	first := connect(t, dial, "")
	second := connect(t, dial, "")
	require.NotEqual(t, first.id, second.id)
	first.main.closed()
	first.display.closed()
	first.inputs.closed()
	second.inputs.key(0x1e)
	second.display.expect(wire.MsgDisplayMark)
	second.display.expectCell(0, 0, 'a', false)
	stats := d.Stats()
	require.Equal(t, 1, stats.Clients)
	require.EqualValues(t, 2, stats.Sessions)
	require.EqualValues(t, 1, stats.Evictions)
	require.EqualValues(t, 1, stats.Keys)
	require.EqualValues(t, 3, stats.Drawings, "two first pictures and a key")
}

func TestMainEndsTheSession(t *testing.T) {
	d := newDesktop(Config{}, testHost(newAlarm))
	client := connect(t, tcpTo(t, d), "")
	require.NoError(t, client.main.conn.Close())
	client.display.closed()
	client.inputs.closed()
	require.Zero(t, d.Stats().Clients)
	require.Zero(t, d.Stats().Evictions)
}

func TestOtherChannelsEndAlone(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret}, testHost(newAlarm))
	dial := tcpTo(t, d)
	client := connect(t, dial, "")
	require.NoError(t, client.display.conn.Close())
	client.inputs.key(0x1e)
	eventually(t, "the guest took the key", func() bool { return d.Typed() == "a" })
	// A new display channel shows what the old one missed.
	var display *rawChannel
	eventually(t, "the display can be opened again", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.session.display == nil
	})
	display = openChannel(t, dial, client.id, wire.Display, "")
	display.send(wire.MsgcDisplayInit, wire.AppendDisplayInit(nil))
	display.expect(wire.MsgDisplaySurfaceCreate)
	display.expect(wire.MsgDisplayDrawFill)
	display.expectCell(0, 0, 'a', false)
}

func TestDropAndKill(t *testing.T) {
	d := newDesktop(Config{}, testHost(newAlarm))
	dial := tcpTo(t, d)
	client := connect(t, dial, "")
	d.Drop()
	client.main.closed()
	client.display.closed()
	client.inputs.closed()

	client = connect(t, dial, "")
	half := dial()
	_, err := half.Write([]byte("REDQ"))
	require.NoError(t, err)
	addr := d.Addr()
	d.Kill()
	client.main.closed()
	client.display.closed()
	client.inputs.closed()
	_, err = half.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = net.Dial("tcp", addr.String())
	require.Error(t, err)
	require.Nil(t, d.Addr())
	d.Drop()
	d.Kill()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, d.Serve(t.Context(), l))
}

func TestServeEndsWithItsContext(t *testing.T) {
	f, err := NewFarm(2, Config{})
	require.NoError(t, err)
	client := connect(t, func() net.Conn {
		conn, err := net.Dial("tcp", f.Desktops()[1].Addr().String())
		require.NoError(t, err)
		return conn
	}, "")
	f.Close()
	client.main.closed()
	f.Close()
}

func TestPings(t *testing.T) {
	inFakeTime(t, Config{Caret: NoCaret}, func(t *testing.T, d *Desktop, dial dialer) {
		began := time.Now()
		client := connect(t, dial, "")
		for i := range 10 {
			m := client.main.expect(wire.MsgPing)
			ping, err := wire.ParsePing(m.body)
			require.NoError(t, err)
			require.EqualValues(t, i+1, ping.ID)
			require.Equal(t, time.Duration(i+1)*defaultPing, m.at.Sub(began))
		}
		// The client falls silent after its answer to the tenth.
		client.main.set(&client.main.noPongs)
		client.main.closed()
		require.Equal(t, 11*defaultPing+silence, time.Since(began))
		require.Zero(t, d.Stats().Clients)
	})
}

func TestClientThatReadsNothingIsDropped(t *testing.T) {
	inFakeTime(t, Config{Ping: NoPing}, func(t *testing.T, d *Desktop, dial dialer) {
		main := openChannel(t, dial, 0, wire.Main, "")
		init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
		require.NoError(t, err)
		conn := dial()
		_, _, err = tryLink(conn, wire.LinkRequest{ConnectionID: init.SessionID, Channel: wire.ChannelID{Type: wire.Inputs}, Common: testCommon}, "")
		require.NoError(t, err)
		time.Sleep(silence + time.Second)
		synctest.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		require.Nil(t, d.session.inputs)
		require.NotNil(t, d.session.main)
	})
}

func TestBadMessagesCloseTheChannel(t *testing.T) {
	for name, c := range map[string]struct {
		channel func(*rawClient) *rawChannel
		typ     uint16
		body    []byte
	}{
		"unknown on main":       {func(c *rawClient) *rawChannel { return c.main }, 99, nil},
		"beyond main's":         {func(c *rawClient) *rawChannel { return c.main }, 113, nil},
		"unknown on display":    {func(c *rawClient) *rawChannel { return c.display }, 100, nil},
		"second INIT":           {func(c *rawClient) *rawChannel { return c.display }, wire.MsgcDisplayInit, wire.AppendDisplayInit(nil)},
		"short INIT":            {func(c *rawClient) *rawChannel { return c.display }, wire.MsgcDisplayInit, []byte{1}},
		"no compression":        {func(c *rawClient) *rawChannel { return c.display }, wire.MsgcDisplayPreferredCompression, nil},
		"unknown on inputs":     {func(c *rawClient) *rawChannel { return c.inputs }, 200, nil},
		"short key":             {func(c *rawClient) *rawChannel { return c.inputs }, wire.MsgcInputsKeyDown, []byte{1, 2, 3}},
		"short motion":          {func(c *rawClient) *rawChannel { return c.inputs }, wire.MsgcInputsMouseMotion, []byte{1}},
		"short position":        {func(c *rawClient) *rawChannel { return c.inputs }, wire.MsgcInputsMousePosition, []byte{1}},
		"short button":          {func(c *rawClient) *rawChannel { return c.inputs }, wire.MsgcInputsMousePress, []byte{1}},
		"short modifiers":       {func(c *rawClient) *rawChannel { return c.inputs }, wire.MsgcInputsKeyModifiers, []byte{1}},
		"short ACK_SYNC":        {func(c *rawClient) *rawChannel { return c.inputs }, wire.MsgcAckSync, []byte{1}},
		"short PONG":            {func(c *rawClient) *rawChannel { return c.main }, wire.MsgcPong, []byte{1}},
		"migration":             {func(c *rawClient) *rawChannel { return c.main }, wire.MsgcMigrateData, nil},
		"too long":              {func(c *rawClient) *rawChannel { return c.main }, 110, make([]byte, maxMessage+1)},
		"short mouse mode":      {func(c *rawClient) *rawChannel { return c.main }, wire.MsgcMainMouseModeRequest, []byte{1}},
		"type 0":                {func(c *rawClient) *rawChannel { return c.inputs }, 0, nil},
		"inputs' on the cursor": {func(c *rawClient) *rawChannel { return c.display }, wire.MsgcInputsMousePress, make([]byte, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, tcpTo(t, newDesktop(Config{}, testHost(newAlarm))), "")
			ch := c.channel(client)
			ch.send(c.typ, c.body)
			ch.closed()
		})
	}
}

func TestAgentMessagesAreIgnored(t *testing.T) {
	client := connect(t, tcpTo(t, newDesktop(Config{}, testHost(newAlarm))), "")
	client.main.send(107, make([]byte, 2048)) // AGENT_DATA
	client.main.send(wire.MsgcMainAttachChannels, nil)
	client.main.expect(wire.MsgMainChannelsList)
}
