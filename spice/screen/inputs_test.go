package screen

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

func TestKeyboardTypes(t *testing.T) {
	// press and release of keys by scan code
	keys := func(codes ...byte) (b []byte) {
		for _, c := range codes {
			b = append(b, c, c|scanRelease)
		}
		return b
	}
	with := func(held byte, codes ...byte) []byte {
		return append(append([]byte{held}, keys(codes...)...), held|scanRelease)
	}
	row := func(first, last byte) (codes []byte) {
		for c := first; c <= last; c++ {
			codes = append(codes, c)
		}
		return codes
	}
	const plain = "1234567890-=qwertyuiop[]asdfghjkl;'`\\zxcvbnm,./ "
	all := append(append(append(append(row(0x02, 0x0d), row(0x10, 0x1b)...), row(0x1e, 0x29)...), row(0x2b, 0x35)...), 0x39)
	for name, c := range map[string]struct {
		codes []byte
		want  string
	}{
		"plain":             {keys(all...), plain},
		"left shift":        {with(scanShiftLeft, all...), "!@#$%^&*()_+QWERTYUIOP{}ASDFGHJKL:\"~|ZXCVBNM<>? "},
		"right shift":       {with(scanShiftRight, 0x1e, 0x02), "A!"},
		"caps lock":         {append(keys(scanCapsLock), keys(0x1e, 0x02, 0x1a)...), "A1["},
		"caps and shift":    {append(keys(scanCapsLock), with(scanShiftLeft, 0x1e, 0x02)...), "a!"},
		"caps lock twice":   {append(keys(scanCapsLock, scanCapsLock), keys(0x1e)...), "a"},
		"caps lock held":    {append([]byte{scanCapsLock, scanCapsLock}, keys(0x1e)...), "A"},
		"repeated":          {[]byte{0x1e, 0x1e, 0x1e, 0x9e}, "aaa"},
		"shift is released": {append(with(scanShiftLeft, 0x1e), keys(0x1e)...), "Aa"},
		"ctrl and alt":      {append(with(scanCtrl, 0x1e), with(scanAlt, 0x1e)...), ""},
		"enter, backspace":  {keys(scanEnter, 0x1e, scanBackspace), "\na\b"},
		"keypad":            {[]byte{0xe0, 0x35, 0xe0, 0xb5, 0xe0, 0x1c, 0xe0, 0x9c}, "/\n"},
		"arrows":            {[]byte{0xe0, 0x4b, 0xe0, 0xcb, 0xe0, 0x2a, 0xe0, 0x48}, ""},
		"pause":             {append([]byte{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}, keys(0x1e)...), "a"},
		"other keys":        {keys(0x01, 0x0f, 0x3b, 0x44, 0x57, 0x7f), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesktop(Config{}, testHost(newAlarm))
			for _, code := range c.codes {
				d.pushScan(code, time.Now())
			}
			require.Equal(t, c.want, d.Typed())
		})
	}
}

func TestTypedIsBounded(t *testing.T) {
	d := newDesktop(Config{}, testHost(newAlarm))
	for range 5000 {
		d.pushScan(0x1e, time.Now())
	}
	d.pushScan(0x30, time.Now())
	require.LessOrEqual(t, len(d.Typed()), maxTyped)
	require.Equal(t, strings.Repeat("a", 500)+"b", d.Typed()[len(d.Typed())-501:])
}

func TestKeysHeldAreReleasedForAClientThatIsGone(t *testing.T) {
	d := newDesktop(Config{Caret: NoCaret}, testHost(newAlarm))
	dial := tcpTo(t, d)
	client := connect(t, dial, "")
	client.inputs.send(wire.MsgcInputsKeyDown, wire.AppendKey(nil, scanShiftLeft))
	client.inputs.send(wire.MsgcInputsKeyDown, wire.AppendKey(nil, 0xe0|scanCtrl<<8))
	client.inputs.send(wire.MsgcInputsKeyDown, wire.AppendKey(nil, scanCapsLock))
	client.inputs.expect(wire.MsgInputsKeyModifiers)
	require.NoError(t, client.main.conn.Close())
	eventually(t, "the client is gone", func() bool { return d.Stats().Clients == 0 })
	client = connect(t, dial, "")
	client.inputs.key(scanCapsLock) // is down again, not still
	client.inputs.key(0x1e)
	eventually(t, "a key was typed", func() bool { return d.Typed() != "" })
	require.Equal(t, "a", d.Typed())
}

// lights demands that KEY_MODIFIERS comes so long after began.
func (c *rawChannel) lights(want wire.Lock, began time.Time, after time.Duration) {
	c.t.Helper()
	m := c.expect(wire.MsgInputsKeyModifiers)
	lights, err := wire.ParseModifiers(m.body)
	require.NoError(c.t, err)
	require.Equal(c.t, want, lights)
	require.Equal(c.t, after, m.at.Sub(began))
}

func TestLightsAreAnsweredTwice(t *testing.T) {
	inFakeTime(t, Config{Ping: NoPing, Caret: NoCaret, GuestLatency: 7 * time.Millisecond}, func(t *testing.T, d *Desktop, dial dialer) {
		client := connect(t, dial, "")
		began := time.Now()
		client.inputs.key(scanScrollLock)
		client.inputs.lights(wire.ScrollLock, began, 7*time.Millisecond)
		time.Sleep(time.Second)
		client.inputs.key(scanCapsLock) // starts the server's two seconds again
		client.inputs.lights(wire.ScrollLock|wire.CapsLock, began, 1014*time.Millisecond)
		client.inputs.lights(wire.ScrollLock|wire.CapsLock, began, 3007*time.Millisecond)
		time.Sleep(time.Minute)
		client.inputs.none()

		// The next client learns of them.
		client = connect2(t, dial, wire.ScrollLock|wire.CapsLock)
		began = time.Now()
		client.inputs.send(wire.MsgcInputsKeyModifiers, wire.AppendModifiers(nil, wire.NumLock|wire.CapsLock))
		client.inputs.lights(wire.CapsLock, began, 7*time.Millisecond)
		client.inputs.lights(wire.NumLock|wire.CapsLock, began, 7*time.Millisecond)
		client.inputs.lights(wire.NumLock|wire.CapsLock, began, 2*time.Second)
	})
}

func connect2(t *testing.T, dial dialer, lights wire.Lock) *rawClient {
	main := openChannel(t, dial, 0, wire.Main, "")
	init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	inputs := openChannel(t, dial, init.SessionID, wire.Inputs, "")
	got, err := wire.ParseModifiers(inputs.expect(wire.MsgInputsInit).body)
	require.NoError(t, err)
	require.Equal(t, lights, got)
	return &rawClient{main: main, inputs: inputs}
}

func TestHungGuest(t *testing.T) {
	inFakeTime(t, Config{Ping: NoPing, Caret: NoCaret}, func(t *testing.T, d *Desktop, dial dialer) {
		client := connect(t, dial, "")
		client.display.expect(wire.MsgDisplayMark)
		client.inputs.key(scanF12)
		synctest.Wait()
		require.True(t, d.Hung())

		began := time.Now()
		client.inputs.key(scanCapsLock)
		for range 10 {
			client.inputs.key(0x1e)
		}
		// The server alone answers.
		client.inputs.lights(wire.CapsLock, began, 2*time.Second)
		client.inputs.key(scanCapsLock)
		client.inputs.lights(0, began, 4*time.Second)
		for range 4 {
			client.inputs.send(wire.MsgcInputsMouseMotion, wire.AppendMotion(nil, 1, 1, 0))
		}
		client.inputs.expect(wire.MsgInputsMouseMotionAck)
		client.display.none()
		require.Empty(t, d.Typed())

		// 16 codes were kept: F12's release, the lock key's two, six letters'
		// two each and one press.
		d.Hang(false)
		client.inputs.lights(wire.CapsLock, began, 4*time.Second)
		for i := range 7 {
			client.display.expectCell(0, i, 'A', false)
		}
		client.display.none()
		require.Equal(t, "AAAAAAA", d.Typed())
	})
}

func TestGuestLatency(t *testing.T) {
	inFakeTime(t, Config{Ping: NoPing, Caret: NoCaret}, func(t *testing.T, d *Desktop, dial dialer) {
		client := connect(t, dial, "")
		client.display.expect(wire.MsgDisplayMark)
		for _, latency := range []time.Duration{0, 1500 * time.Microsecond, 20 * time.Millisecond, 3 * time.Second} {
			d.SetGuestLatency(latency)
			began := time.Now()
			client.inputs.key(0x1e)
			m := client.display.expect(wire.MsgDisplayDrawCopy)
			require.Equal(t, latency, m.at.Sub(began))
		}
		// No key overtakes an earlier one.
		began := time.Now()
		client.inputs.key(0x1e)
		synctest.Wait()
		d.SetGuestLatency(0)
		client.inputs.key(0x30)
		client.display.expectCell(0, 4, 'a', false)
		client.display.expectCell(0, 5, 'b', false)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestServerLatency(t *testing.T) {
	inFakeTime(t, Config{Ping: NoPing, Caret: NoCaret, GuestLatency: time.Hour}, func(t *testing.T, d *Desktop, dial dialer) {
		client := connect(t, dial, "")
		for _, latency := range []time.Duration{0, 2500 * time.Microsecond} {
			d.SetServerLatency(latency)
			for range 3 {
				began := time.Now()
				client.inputs.send(wire.MsgcInputsMouseMotion, wire.AppendMotion(nil, 1, 0, 0))
				client.inputs.send(wire.MsgcInputsMousePosition, wire.AppendPosition(nil, 1, 0, 0))
				client.inputs.send(wire.MsgcInputsMouseMotion, wire.AppendMotion(nil, 1, 0, 0))
				client.inputs.send(wire.MsgcInputsMousePress, wire.AppendButton(nil, wire.ButtonLeft, 1))
				client.inputs.send(wire.MsgcInputsMouseRelease, wire.AppendButton(nil, wire.ButtonLeft, 0))
				synctest.Wait()
				client.inputs.none()
				client.inputs.send(wire.MsgcInputsMouseMotion, wire.AppendMotion(nil, 1, 0, 0))
				m := client.inputs.expect(wire.MsgInputsMouseMotionAck)
				require.Equal(t, latency, m.at.Sub(began))
			}
		}
	})
}
