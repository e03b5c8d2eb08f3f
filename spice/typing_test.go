package spice

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

func TestEveryCharacterHasAStroke(t *testing.T) {
	t.Parallel()
	seen := map[stroke]rune{}
	for r := ' '; r <= '~'; r++ {
		k, ok := strokeOf(r)
		require.True(t, ok, "%q", r)
		require.NotContains(t, seen, k, "%q", r)
		seen[k] = r
	}
	for r, want := range map[rune]stroke{
		'a': {key: 0x1e}, 'A': {key: 0x1e, shift: true}, '1': {key: 2}, '!': {key: 2, shift: true}, '0': {key: 0x0b}, 'x': probeKey,
		'\\': {key: 0x2b}, '/': {key: 0x35}, '~': {key: 0x29, shift: true}, ' ': {key: 0x39}, '\n': {key: 0x1c}, '\t': {key: 0x0f}, '\b': eraseKey,
	} {
		k, ok := strokeOf(r)
		require.True(t, ok)
		require.Equal(t, want, k, "%q", r)
	}
	for _, r := range "äß€\x00\x1b\x7f\u00a0\U0001F600\ufffd" {
		_, ok := strokeOf(r)
		require.False(t, ok, "%q", r)
	}
}

func TestKeyCodes(t *testing.T) {
	t.Parallel()
	for k, want := range map[Key][2]uint32{
		KeyEscape: {0x01, 0x81}, KeyF12: {0x58, 0xd8}, KeyScrollLock: {0x46, 0xc6},
		KeyHome: {0x47e0, 0xc7e0}, KeyDelete: {0x53e0, 0xd3e0},
	} {
		require.Equal(t, want, [2]uint32{k.down(), k.up()}, "%#x", uint16(k))
	}
}

// TestPress: a stroke is one write of whole keys, shift around them.
func TestPress(t *testing.T) {
	t.Parallel()
	s := unlinked()
	conn := &replies{stream: *streamOf(nil)}
	s.over(wire.Inputs, conn)
	require.NoError(t, s.Type(t.Context(), "A", Typist{WPM: 1000}))
	key := func(typ uint16, code uint32) []byte { return msg(typ, wire.AppendKey(nil, code)) }
	require.Equal(t, sent(key(wire.MsgcInputsKeyDown, 0x2a), key(wire.MsgcInputsKeyDown, 0x1e), key(wire.MsgcInputsKeyUp, 0x9e), key(wire.MsgcInputsKeyUp, 0xaa)), conn.Bytes())
	require.EqualValues(t, 1, s.Stats().Keys)
}

// TestIntervals: the rate is what was asked for, the jitter that of people.
func TestIntervals(t *testing.T) {
	t.Parallel()
	for _, wpm := range []float64{0, 20, 52, 120} {
		want := wpm
		if wpm == 0 {
			want = meanWPM
		}
		mean := float64(time.Minute) / (5 * want)
		require.InDelta(t, mean, float64(Typist{WPM: wpm}.interval()), 1)
		typist := Typist{WPM: wpm, Rand: rand.New(rand.NewPCG(5, uint64(wpm)))}
		const n = 20000
		var sum, squares float64
		for range n {
			d := float64(typist.interval())
			require.Positive(t, d)
			sum += d
			squares += d * d
		}
		got := sum / n
		require.InEpsilon(t, mean, got, 0.02)
		cv := math.Sqrt(squares/n-got*got) / got
		require.InDelta(t, 0.469, cv, 0.02)
	}
}

// TestTypeKeepsItsClock: n keys take n-1 intervals to the nanosecond of a clock
// that runs on while keys are written.
func TestTypeKeepsItsClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := unlinked()
		s.over(wire.Inputs, &slow{stream: *streamOf(nil)})
		start := time.Now()
		require.NoError(t, s.Type(t.Context(), "0123456789", Typist{WPM: 60}))
		// The last write takes its own time.
		require.Equal(t, 9*200*time.Millisecond+50*time.Millisecond, time.Since(start))
	})
}

// slow is a connection whose writes take 50 ms.
type slow struct{ stream }

func (s *slow) Write(b []byte) (int, error) {
	time.Sleep(50 * time.Millisecond)
	return len(b), nil
}

func TestTypeRefuses(t *testing.T) {
	t.Parallel()
	s := unlinked()
	require.EqualError(t, s.Type(t.Context(), "naïve", Typist{}), `typing: character 'ï' at byte 2 is not on a US keyboard`)
	for _, wpm := range []float64{-1, 1001, math.NaN(), math.Inf(1)} {
		require.ErrorContains(t, s.Type(t.Context(), "x", Typist{WPM: wpm}), "must be from 0 (the mean) to 1000")
	}
	require.Zero(t, s.Stats().Keys, "nothing of a bad text is typed")
}
