package spice

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// TestAnswered: whose answer a KEY_MODIFIERS is.
func TestAnswered(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	on, off := wire.ScrollLock, wire.Lock(0)
	type answer struct {
		lights wire.Lock
		after  time.Duration // since the key
	}
	for _, x := range []struct {
		name     string
		want     bool // the light that the key is to make
		any      bool
		idle     bool // nobody waits
		answers  []answer
		taken    time.Duration // of the answer that is the guest's, 0 for none
		late     bool
		repeated bool
	}{
		{name: "the guest's", want: true, answers: []answer{{on, 5 * time.Millisecond}}, taken: 5 * time.Millisecond},
		{name: "with other lights", want: true, answers: []answer{{on | wire.NumLock, 7 * time.Millisecond}}, taken: 7 * time.Millisecond},
		{name: "to an earlier key", want: true, answers: []answer{{off, 5 * time.Millisecond}}, late: true},
		{name: "to an earlier key, then to this", want: true, answers: []answer{{off, 5 * time.Millisecond}, {on, 9 * time.Millisecond}}, taken: 9 * time.Millisecond, late: true},
		{name: "the light goes off", want: false, answers: []answer{{off, time.Millisecond}}, taken: time.Millisecond},
		{name: "just early enough", want: true, answers: []answer{{on, earlyServer - 1}}, taken: earlyServer - 1},
		{name: "the server's own", want: true, answers: []answer{{on, earlyServer}}, repeated: true},
		{name: "the server's own, twice", want: true, answers: []answer{{on, 2 * time.Second}, {off, 3 * time.Second}}, repeated: true},
		{name: "the guest's, then the server's own", want: true, answers: []answer{{on, time.Second}, {on, 2 * time.Second}}, taken: time.Second, repeated: true},
		{name: "any, after an overflow", want: true, any: true, answers: []answer{{off, 3 * time.Millisecond}}, taken: 3 * time.Millisecond},
		{name: "nobody waits", idle: true, answers: []answer{{on, time.Millisecond}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var l locks
			l.init()
			l.known(off)
			l.pressed = start
			wait := &lightWait{want: x.want, any: x.any, at: make(chan time.Time, 1)}
			if !x.idle {
				l.wait = wait
			}
			for _, a := range x.answers {
				l.answered(a.lights, start.Add(a.after))
			}
			if x.taken == 0 {
				require.Empty(t, wait.at)
				require.False(t, l.light)
			} else {
				require.Equal(t, x.taken, (<-wait.at).Sub(start))
				require.Nil(t, l.wait)
			}
			require.Equal(t, x.late, wait.late)
			require.Equal(t, x.repeated, l.repeated)
			require.Len(t, l.repeat, map[bool]int{true: 1}[x.repeated])
		})
	}
}

// TestAnsweredBeforeAnyKey: another keyboard's lock key is nobody's answer.
func TestAnsweredBeforeAnyKey(t *testing.T) {
	t.Parallel()
	var l locks
	l.init()
	l.answered(wire.ScrollLock, time.Now())
	require.False(t, l.repeated)
	select {
	case <-l.ready:
		t.Fatal("ready without INIT")
	default:
	}
	l.known(wire.ScrollLock)
	l.known(wire.ScrollLock)
	<-l.ready
	require.True(t, l.light)
}

// TestOverflown: when enough keys in a row had no answer, the next answer is
// taken whatever its light, because keys may have been lost.
func TestOverflown(t *testing.T) {
	t.Parallel()
	s := unlinked()
	s.locks.known(0)
	for silent := range overflown + 2 {
		s.locks.silent = silent
		before := s.locks.light
		wait, _, err := s.pressScrollLock()
		require.NoError(t, err)
		require.Equal(t, !before, wait.want)
		require.Equal(t, silent >= overflown, wait.any)
		s.locks.answered(wire.Lock(0), time.Now())
		if wait.want && !wait.any {
			require.Empty(t, wait.at)
			require.True(t, wait.late)
		} else {
			require.Len(t, wait.at, 1)
			require.False(t, s.locks.light, "the light is what the guest says")
		}
	}
}

// TestMotionsAnswered: an answer belongs to the bunch that it completes.
func TestMotionsAnswered(t *testing.T) {
	t.Parallel()
	s := unlinked()
	m := &s.motions
	at := time.Unix(1000, 0)
	m.answered(at) // nobody waits
	wait := &motionWait{bunch: 3, at: make(chan time.Time, 1)}
	m.wait = wait
	m.answered(at.Add(1))
	require.Empty(t, wait.at, "a late answer to an earlier bunch")
	m.answered(at.Add(2))
	require.Equal(t, at.Add(2), <-wait.at)
	require.Nil(t, m.wait)
	m.answered(at.Add(3))
	require.Empty(t, wait.at)
	require.EqualValues(t, 4, m.acked)
}

// TestServerTripCompletesABunch: whatever motions came before, the probe sends
// just enough for one answer.
func TestServerTripCompletesABunch(t *testing.T) {
	t.Parallel()
	for moved := range 6 {
		s := unlinked()
		s.cfg.Deadline = time.Millisecond
		conn := &replies{stream: *streamOf(nil)}
		s.over(wire.Inputs, conn)
		for range moved {
			require.NoError(t, s.MoveMouse(1, 0))
		}
		_, err := s.RoundTrip(t.Context(), ServerTrip)
		require.ErrorIs(t, err, ErrLost)
		require.Len(t, messagesOf(conn.Bytes()), moved/4*4+4, "after %d motions", moved)
		require.EqualValues(t, moved/4*4+4, s.motions.sent)
	}
}

func TestPositionsStayOnTheScreen(t *testing.T) {
	t.Parallel()
	s := unlinked()
	s.motions.mode.Store(wire.MouseClient)
	s.screen.extent.Store(720<<32 | 400)
	for _, x := range []struct{ dx, dy, x, y int }{{10, 20, 10, 20}, {-100, 5, 0, 25}, {1 << 40, 1 << 40, 720, 400}} {
		require.NoError(t, s.MoveMouse(x.dx, x.dy))
		require.Equal(t, []int{x.x, x.y}, []int{s.motions.x, s.motions.y})
	}
}
