package spice

import (
	"testing"
	"testing/synctest"
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
		idle     bool // nobody waits
		answers  []answer
		taken    time.Duration // of the answer that is the guest's, 0 for none
		doubt    time.Duration // until when after the key, 0 for none
		repeated bool
	}{
		{name: "the guest's", want: true, answers: []answer{{on, 5 * time.Millisecond}}, taken: 5 * time.Millisecond},
		{name: "with other lights", want: true, answers: []answer{{on | wire.NumLock, 7 * time.Millisecond}}, taken: 7 * time.Millisecond},
		{name: "to an earlier key", want: true, answers: []answer{{off, 5 * time.Millisecond}}, doubt: 4*time.Second + 5*time.Millisecond},
		{name: "to an earlier key, then to this", want: true, answers: []answer{{off, 5 * time.Millisecond}, {on, 9 * time.Millisecond}}, taken: 9 * time.Millisecond},
		{name: "the light goes off", want: false, answers: []answer{{off, time.Millisecond}}, taken: time.Millisecond},
		{name: "just early enough", want: true, answers: []answer{{on, earlyServer - 1}}, taken: earlyServer - 1},
		{name: "the server's own", want: true, answers: []answer{{on, earlyServer}}, repeated: true},
		{name: "the server's own, then one to an earlier key", want: true, answers: []answer{{on, 2 * time.Second}, {off, 3 * time.Second}}, repeated: true, doubt: 7 * time.Second},
		{name: "the guest's, then the server's own", want: true, answers: []answer{{on, time.Second}, {on, 2 * time.Second}}, taken: time.Second, repeated: true},
		{name: "nobody waits", idle: true, answers: []answer{{on, time.Millisecond}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var l locks
			l.init()
			l.known(off)
			l.before, l.pressed = start.Add(-3*time.Second), start
			wait := &lightWait{want: x.want, at: make(chan time.Time, 1)}
			if !x.idle {
				l.wait = wait
			}
			for _, a := range x.answers {
				l.answered(a.lights, start.Add(a.after))
			}
			if x.taken == 0 {
				require.Empty(t, wait.at)
			} else {
				require.Equal(t, x.taken, (<-wait.at).Sub(start))
				require.Nil(t, l.wait)
			}
			if x.doubt == 0 {
				require.Zero(t, l.doubt)
			} else {
				require.Equal(t, x.doubt, l.doubt.Sub(start))
			}
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

// TestOutOfStep: a light that our last key cannot have set is either a late
// answer, whose own answer still comes, or the sign of keys that were swallowed.
func TestOutOfStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := unlinked()
		l := &s.locks
		l.known(0)
		press := func() bool {
			wait, _, err := s.pressScrollLock()
			require.NoError(t, err)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.wait = wait
			return wait.want
		}
		giveUp := func() { l.wait = nil }
		light := map[bool]wire.Lock{true: wire.ScrollLock}

		// Late by 5.4 s, probed every 5 s: the answer to the key before must not
		// be taken for the last one's.
		first := press()
		time.Sleep(5 * time.Second)
		giveUp()
		second := press()
		time.Sleep(400 * time.Millisecond)
		l.answered(light[first], time.Now())
		l.answered(light[first], time.Now().Add(2*time.Second)) // the server's own
		require.NotNil(t, l.wait)
		giveUp()
		time.Sleep(4 * time.Second)
		require.Positive(t, l.doubtful())
		time.Sleep(time.Second)
		l.answered(light[second], time.Now())
		require.Zero(t, l.doubtful(), "the guest was late and is in step")
		require.Equal(t, second, l.light)

		// Swallowed keys: no answer follows.
		time.Sleep(5 * time.Second)
		third := press()
		l.answered(light[!third], time.Now())
		giveUp()
		require.Positive(t, l.doubtful())
		time.Sleep(20 * time.Second)
		require.Zero(t, l.doubtful())
		require.Equal(t, third, press(), "counted on from the light that was seen")
	})
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
			require.NoError(t, s.MoveMouse(t.Context(), 1, 0))
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
	for _, x := range []struct{ dx, dy, x, y int }{{10, 20, 370, 220}, {-1000, 5, 0, 225}, {1 << 40, 1 << 40, 719, 399}} {
		require.NoError(t, s.MoveMouse(t.Context(), x.dx, x.dy))
		require.Equal(t, []int{x.x, x.y}, []int{s.motions.x, s.motions.y})
	}
	// The probe moves nothing in this mode either.
	conn := &replies{stream: *streamOf(nil)}
	s.over(wire.Inputs, conn)
	s.cfg.Deadline = time.Millisecond
	_, err := s.RoundTrip(t.Context(), ServerTrip)
	require.ErrorIs(t, err, ErrLost)
	for _, m := range messagesOf(conn.Bytes()) {
		typ, _ := wire.Header(m)
		require.Equal(t, wire.MsgcInputsMouseMotion, typ)
	}
}
