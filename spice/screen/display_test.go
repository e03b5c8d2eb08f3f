package screen

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/pixel"
	"github.com/deskstorm/deskstorm/spice/wire"
)

func TestGlyphsDifferFromEachOtherAndTheCaret(t *testing.T) {
	seen := map[[CellWidth * CellHeight]uint32]string{}
	for char := byte(' '); char <= '~'; char++ {
		for _, caret := range []bool{false, true} {
			var pix [CellWidth * CellHeight]uint32
			cellPixels(pix[:], char, caret)
			require.Empty(t, seen[pix], "%q", char)
			seen[pix] = string(char)
			if caret {
				continue
			}
			for y := range CellHeight {
				require.Zero(t, pix[y*CellWidth], "%q row %d", char, y)
				require.Zero(t, pix[y*CellWidth+CellWidth-2], "%q row %d", char, y)
				require.Zero(t, pix[y*CellWidth+CellWidth-1], "%q row %d", char, y)
			}
		}
	}
}

func TestFirstPicture(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret}, testHost(newAlarm))
	dial := tcpTo(t, d)
	client := &rawClient{main: openChannel(t, dial, 0, wire.Main, "")}
	init, err := wire.ParseInit(client.main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	display := openChannel(t, dial, init.SessionID, wire.Display, "")
	display.send(wire.MsgcDisplayInit, wire.AppendDisplayInit(nil))
	surface, err := wire.ParseSurfaceCreate(display.expect(wire.MsgDisplaySurfaceCreate).body)
	require.NoError(t, err)
	require.Equal(t, wire.SurfaceCreate{Width: 720, Height: 400, Format: wire.Surface32, Flags: wire.SurfacePrimary}, surface)
	fill, err := wire.ParseDrawFill(display.expect(wire.MsgDisplayDrawFill).body)
	require.NoError(t, err)
	require.Equal(t, wire.Rect{Right: 720, Bottom: 400}, fill.Box)
	require.True(t, fill.Solid)
	require.Empty(t, display.expect(wire.MsgDisplayMark).body)
}

func TestMonitorsAreToldToWhoAsks(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret, Width: 800, Height: 600}, testHost(newAlarm))
	dial := tcpTo(t, d)
	main := openChannel(t, dial, 0, wire.Main, "")
	init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	conn := dial()
	_, _, err = tryLink(conn, wire.LinkRequest{ConnectionID: init.SessionID, Channel: wire.ChannelID{Type: wire.Display},
		Common: testCommon, Caps: wire.CapsOf(wire.CapDisplayMonitorsConfig)}, "")
	require.NoError(t, err)
	display := &rawChannel{t: t, conn: conn, messages: make(chan message, 16)}
	go display.read()
	display.send(wire.MsgcDisplayInit, wire.AppendDisplayInit(nil))
	display.expect(wire.MsgDisplaySurfaceCreate)
	display.expect(wire.MsgDisplayDrawFill)
	require.Equal(t, []byte{
		1, 0, 1, 0, // one of one
		0, 0, 0, 0, 0, 0, 0, 0, // monitor 0 on surface 0
		0x20, 3, 0, 0, 0x58, 2, 0, 0, // 800x600
		0, 0, 0, 0, 0, 0, 0, 0, // at 0,0
		0, 0, 0, 0, // no flags
	}, display.expect(wire.MsgDisplayMonitorsConfig).body)
	display.expect(wire.MsgDisplayMark)
}

func TestFirstPictureShowsTheCaretsRow(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret}, testHost(newAlarm))
	dial := tcpTo(t, d)
	client := connect(t, dial, "")
	client.inputs.key(scanEnter)
	client.inputs.key(0x1e)
	client.inputs.key(0x30)
	eventually(t, "ab was typed", func() bool { return d.Line() == "ab" })
	client = connect(t, dial, "")
	draw, img := client.display.drawn()
	require.Equal(t, wire.Rect{Top: CellHeight, Bottom: 2 * CellHeight, Right: 2 * CellWidth}, draw.Box)
	for i, char := range []byte("ab") {
		var want [CellWidth * CellHeight]uint32
		cellPixels(want[:], char, false)
		for y := range CellHeight {
			require.Equal(t, want[y*CellWidth:][:CellWidth], img.Pix[y*img.Width+i*CellWidth:][:CellWidth])
		}
	}
	client.display.expect(wire.MsgDisplayMark)
}

func TestCompressionIsTheClientsChoice(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret}, testHost(newAlarm))
	client := connect(t, tcpTo(t, d), "")
	client.display.expect(wire.MsgDisplayMark)
	for _, c := range []struct {
		preferred uint8
		want      pixel.ImageType
	}{
		{wire.CompressionLZ4, pixel.TypeLZ4},
		{wire.CompressionOff, pixel.TypeBitmap},
		{wire.CompressionLZ4, pixel.TypeLZ4},
		{wire.CompressionLZ, pixel.TypeBitmap},
	} {
		client.display.send(wire.MsgcDisplayPreferredCompression, []byte{c.preferred})
		eventually(t, "the choice is known", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.session.picture.lz4 == (c.want == pixel.TypeLZ4)
		})
		client.inputs.key(0x1e)
		m := client.display.expect(wire.MsgDisplayDrawCopy)
		draw, err := wire.ParseDrawCopy(m.body)
		require.NoError(t, err)
		descriptor, err := pixel.ReadDescriptor(m.body, int(draw.Image))
		require.NoError(t, err)
		require.Equal(t, c.want, descriptor.Type)
		_, err = pixel.Decode(m.body, int(draw.Image), 1<<20, nil)
		require.NoError(t, err)
	}
}

func TestEchoOnTheScreen(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret, Width: 4 * CellWidth, Height: 2 * CellHeight}, testHost(newAlarm))
	client := connect(t, tcpTo(t, d), "")
	display := client.display
	display.expect(wire.MsgDisplayMark)
	client.inputs.key(scanBackspace) // nothing to erase
	client.inputs.key(0x1e)
	display.expectCell(0, 0, 'a', false)
	client.inputs.key(0x30)
	display.expectCell(0, 1, 'b', false)
	client.inputs.key(scanBackspace)
	display.expectCell(0, 1, ' ', false)
	for i := range 3 {
		client.inputs.key(0x2e)
		display.expectCell(0, 1+i, 'c', false)
	}
	client.inputs.key(scanBackspace) // never into the row above
	client.inputs.key(0x1e)
	display.expectCell(1, 0, 'a', false)
	client.inputs.key(scanEnter)
	display.expect(wire.MsgDisplayDrawFill)
	client.inputs.key(0x30)
	display.expectCell(0, 0, 'b', false)
	require.Equal(t, "b", d.Line())
	require.Equal(t, "\bab\bccc\ba\nb", d.Typed())
}

func TestCaret(t *testing.T) {
	inFakeTime(t, Config{Ping: NoPing}, func(t *testing.T, d *Desktop, dial dialer) {
		client := connect(t, dial, "")
		display := client.display
		display.expect(wire.MsgDisplayMark)
		display.expectCell(0, 0, ' ', true)
		last := time.Now()
		for _, shown := range []bool{false, true, false, true} {
			display.expectCell(0, 0, ' ', shown)
			require.Equal(t, defaultCaret, time.Since(last))
			last = time.Now()
		}
		// Shown, it goes along with the text.
		client.inputs.key(0x1e)
		display.expectCell(0, 0, 'a', false)
		display.expectCell(0, 1, ' ', true)
		client.inputs.key(scanBackspace)
		display.expectCell(0, 1, ' ', false)
		display.expectCell(0, 0, ' ', true)
		client.inputs.key(0x1e)
		display.expectCell(0, 0, 'a', false)
		display.expectCell(0, 1, ' ', true)
		client.inputs.key(scanEnter)
		display.expectCell(0, 1, ' ', false)
		display.expectCell(1, 0, ' ', true)
		require.Equal(t, last, time.Now())
		// Hidden, it does not.
		display.expectCell(1, 0, ' ', false)
		client.inputs.key(0x1e)
		display.expectCell(1, 0, 'a', false)
		display.expectCell(1, 1, ' ', true)
		require.Equal(t, 2*defaultCaret, time.Since(last))
		// A hung guest's caret blinks on.
		d.Hang(true)
		display.expectCell(1, 1, ' ', false)
		display.expectCell(1, 1, ' ', true)

		d.SetCaret(0)
		display.expectCell(1, 1, ' ', false)
		time.Sleep(time.Minute)
		display.none()
		d.SetCaret(time.Second)
		display.expectCell(1, 1, ' ', true)
		display.expectCell(1, 1, ' ', false)

		require.NoError(t, display.conn.Close())
		time.Sleep(time.Minute)
		d.host.clock.mu.Lock()
		defer d.host.clock.mu.Unlock()
		require.Empty(t, d.host.clock.events, "nobody looks, nothing blinks")
	})
}

func TestDrawingsWaitForAcks(t *testing.T) {
	inFakeTime(t, Config{Ping: NoPing, Caret: NoCaret}, func(t *testing.T, d *Desktop, dial dialer) {
		client := &rawClient{main: openChannel(t, dial, 0, wire.Main, "")}
		init, err := wire.ParseInit(client.main.expect(wire.MsgMainInit).body)
		require.NoError(t, err)
		inputs := openChannel(t, dial, init.SessionID, wire.Inputs, "")
		display := openChannel(t, dial, init.SessionID, wire.Display, "")
		synctest.Wait() // for the answer to SET_ACK
		display.set(&display.noAcks)
		display.send(wire.MsgcDisplayInit, wire.AppendDisplayInit(nil))
		display.expect(wire.MsgDisplaySurfaceCreate)
		display.expect(wire.MsgDisplayDrawFill)
		display.expect(wire.MsgDisplayMark)
		// Three messages are out; the stall begins beyond 40.
		for range 100 {
			inputs.key(0x1e)
			inputs.key(scanBackspace)
		}
		synctest.Wait()
		for i := range 38 {
			display.expectCell(0, 0, "a "[i%2], false)
		}
		display.none()
		require.EqualValues(t, 1+38, d.Stats().Drawings)

		// What was held back is one drawing a cell, the last.
		inputs.key(0x30)
		inputs.key(0x2e)
		display.send(wire.MsgcAck, nil)
		display.expectCell(0, 0, 'b', false)
		display.expectCell(0, 1, 'c', false)
		synctest.Wait()
		display.none()

		// A cleared screen takes the place of all that waits.
		for range 30 {
			inputs.key(0x20)
		}
		synctest.Wait()
		for i := range 18 {
			display.expectCell(0, 2+i, 'd', false)
		}
		for range 25 {
			inputs.key(scanEnter)
		}
		inputs.key(0x1e)
		synctest.Wait()
		display.none()
		display.send(wire.MsgcAck, nil)
		display.expect(wire.MsgDisplayDrawFill)
		display.expectCell(0, 0, 'a', false)
		synctest.Wait()
		display.none()

		// ACKs that nothing was sent for buy nothing.
		for range 5 {
			display.send(wire.MsgcAck, nil)
		}
		inputs.key(0x1e)
		synctest.Wait()
		display.none()
	})
}
