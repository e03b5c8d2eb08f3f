package spice_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/spice"
)

func TestConnect(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{
		"open":     {},
		"ticket":   {ticket: "correct horse"},
		"TLS":      {ticket: "correct horse", tls: true},
		"TLS only": {tls: true, secure: true},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, s, func(t *testing.T, d desktop) {
				session := dial(t, d.config)
				times := session.Timings()
				require.Positive(t, times.Link)
				require.Positive(t, times.Auth)
				require.Positive(t, times.Main)
				require.GreaterOrEqual(t, times.Total(), times.Link+times.Auth+times.Main)
				width, height := session.Size()
				require.Equal(t, []int{720, 400}, []int{width, height})
				require.Positive(t, session.Stats().Drawings)
				require.NoError(t, session.Close())
				require.ErrorIs(t, session.Err(), spice.ErrClosed)
				require.NoError(t, session.Close(), "closing twice")
			})
		})
	}
}

func TestTLSVerification(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{tls: true}, func(t *testing.T, d desktop) {
		secure := d.config
		secure.Port = 0
		t.Run("subject pinned", func(t *testing.T) {
			c := secure
			c.Host = "127.0.0.1"
			c.Subject = qemutest.Subject
			dial(t, c).Close()
		})
		t.Run("another subject", func(t *testing.T) {
			c := secure
			c.Subject = "O=deskstorm,CN=another"
			_, err := tryDial(t, c)
			require.ErrorContains(t, err, `subject is "O=deskstorm,CN=desktop", not "O=deskstorm,CN=another"`)
		})
		t.Run("another authority", func(t *testing.T) {
			c := secure
			_, other := qemutest.TLSFiles(t)
			c.CA = pool(other)
			_, err := tryDial(t, c)
			require.ErrorContains(t, err, "step link")
			require.ErrorContains(t, err, "unknown authority")
			c.Subject = qemutest.Subject
			_, err = tryDial(t, c)
			require.ErrorContains(t, err, "unknown authority", "a pinned subject does not replace the authority")
		})
	})
}

func TestWrongTicket(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{ticket: "right"}, func(t *testing.T, d desktop) {
		c := d.config
		c.Ticket = "wrong-and-secret"
		_, err := tryDial(t, c)
		require.ErrorIs(t, err, spice.ErrPermissionDenied)
		var step *spice.StepError
		require.ErrorAs(t, err, &step)
		require.Equal(t, spice.StepAuth, step.Step)
		require.NotContains(t, err.Error(), "wrong-and-secret")
		dial(t, d.config) // The desktop is unharmed.
	})
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, err = tryDial(t, spice.Config{Host: "127.0.0.1", Port: port})
	var step *spice.StepError
	require.ErrorAs(t, err, &step)
	require.Equal(t, spice.StepLink, step.Step)
	require.ErrorContains(t, err, "connection refused")
}

func TestDialObeysItsContext(t *testing.T) {
	t.Parallel()
	// A server that accepts and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = spice.Dial(ctx, spice.Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestServerKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{}, func(t *testing.T, d desktop) {
		s := dial(t, d.config)
		d.kill()
		require.ErrorIs(t, ended(t, s), spice.ErrServerGone)
		_, err := s.RoundTrip(t.Context(), spice.ServerTrip)
		require.ErrorIs(t, err, spice.ErrLost)
		require.ErrorIs(t, err, spice.ErrServerGone)
		require.ErrorIs(t, s.Press(t.Context(), spice.KeyEnter), spice.ErrServerGone)
		require.ErrorIs(t, s.MoveMouse(t.Context(), 1, 1), spice.ErrServerGone)
	})
}

func TestSecondClientEvicts(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{"open": {}, "ticket": {ticket: "x"}, "TLS": {tls: true, secure: true}} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, s, func(t *testing.T, d desktop) {
				first := dial(t, d.config)
				second := dial(t, d.config)
				require.ErrorIs(t, ended(t, first), spice.ErrEvicted)
				// The evicted client neither disturbs the other one nor comes back.
				_, err := first.Reconnect(t.Context())
				require.ErrorIs(t, err, spice.ErrEvicted)
				_, err = second.RoundTrip(t.Context(), spice.ServerTrip)
				require.NoError(t, err)
			})
		})
	}
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{ticket: "x"}, func(t *testing.T, d desktop) {
		first := dial(t, d.config)
		second, err := first.Reconnect(t.Context())
		require.NoError(t, err)
		defer second.Close()
		_, err = second.RoundTrip(t.Context(), spice.ServerTrip)
		require.NoError(t, err)
	})
}

// TestMigration moves a real desktop to another QEMU under a session's feet.
func TestMigration(t *testing.T) {
	t.Parallel()
	from := qemutest.StartT(t, qemu.Config{Accelerator: "tcg"})
	to := qemutest.StartT(t, qemu.Config{Accelerator: "tcg", Incoming: true})
	s := dial(t, spice.Config{Host: from.Host, Port: from.Port})
	require.NoError(t, from.MigrateTo(t.Context(), to))
	var moved *spice.MigratedError
	require.ErrorAs(t, ended(t, s), &moved)
	require.Equal(t, to.Port, int(moved.To.Port))
	again, err := s.Reconnect(t.Context())
	require.NoError(t, err)
	defer again.Close()
	_, err = again.RoundTrip(t.Context(), spice.GuestTrip)
	require.NoError(t, err, "the guest lives on at the other host")
}

func TestClosedSessionIsNotLost(t *testing.T) {
	t.Parallel()
	d := simulated(t, setup{})
	s := dial(t, d.config)
	s.Close()
	err := s.Type(t.Context(), "x", spice.Typist{})
	require.True(t, errors.Is(err, spice.ErrClosed), "%v", err)
}

// TestCloseLosesNoKey: what was typed just before the goodbye arrives, and so
// does the Scroll Lock that undoes the probe's.
func TestCloseLosesNoKey(t *testing.T) {
	t.Parallel()
	const times = 20
	onBoth(t, setup{}, func(t *testing.T, d desktop) {
		for range times {
			// The server has the last key when Close returns; the guest takes
			// its time.
			require.Eventually(t, func() bool {
				s := dial(t, d.config)
				defer s.Close()
				on, err := s.ScrollLock(t.Context())
				return err == nil && !on
			}, 5*time.Second, time.Millisecond, "the client before has left the light on")
			s := dial(t, d.config)
			_, err := s.RoundTrip(t.Context(), spice.GuestTrip)
			require.NoError(t, err)
			require.NoError(t, s.Type(t.Context(), "a", spice.Typist{}))
			s.Close()
		}
		if d.typed != nil {
			require.Equal(t, strings.Repeat("a", times), d.typed())
		}
	})
}

// TestOneChannelCut: a connection that the network cuts is not an eviction; the
// error names its channel, and the session can be opened again.
func TestOneChannelCut(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{}, func(t *testing.T, d desktop) {
		// The second connection is the display's, inputs' or cursor's.
		for cut := range 2 {
			var mu sync.Mutex
			var opened []net.Conn
			c := d.config
			c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				mu.Lock()
				defer mu.Unlock()
				half := &halfClosed{Conn: conn}
				opened = append(opened, half)
				return half, err
			}
			s := dial(t, c)
			opened[cut].(*halfClosed).cut()
			err := ended(t, s)
			require.ErrorIs(t, err, io.EOF)
			require.NotErrorIs(t, err, spice.ErrEvicted)
			require.ErrorContains(t, err, " channel: ")
			again, err := s.Reconnect(t.Context())
			require.NoError(t, err)
			again.Close()
		}
	})
}

// halfClosed ends what is read as if the other side had closed, while the
// server still holds the connection.
type halfClosed struct {
	net.Conn
	ended atomic.Bool
}

func (h *halfClosed) cut() {
	h.ended.Store(true)
	h.SetReadDeadline(time.Unix(1, 0))
}

func (h *halfClosed) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if h.ended.Load() {
		return 0, io.EOF
	}
	return n, err
}
