package spice_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// farm is one simulated desktop of a configuration, and how to open it.
func farm(t *testing.T, c screen.Config) (*screen.Desktop, spice.Config) {
	t.Helper()
	f, err := screen.NewFarm(1, c)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	d := f.Desktops()[0]
	return d, spice.Config{Host: "127.0.0.1", Port: d.Addr().(*net.TCPAddr).Port}
}

// TestMeasuredLatency: what is measured is what the desktop was told to add,
// and never less.
func TestMeasuredLatency(t *testing.T) {
	t.Parallel()
	latencies := []time.Duration{5, 50}
	if !testing.Short() {
		latencies = []time.Duration{5, 50, 400, 500, 1200}
	}
	// They wait more than they work, so they run together whatever -parallel.
	var all sync.WaitGroup
	for _, latency := range latencies {
		for _, trip := range allTrips {
			latency := latency * time.Millisecond
			c := screen.Config{GuestLatency: latency}
			if trip == spice.ServerTrip {
				c = screen.Config{ServerLatency: latency}
			}
			_, config := farm(t, c)
			s := dial(t, config)
			all.Go(func() {
				best := time.Hour
				for range 3 {
					rtt, err := s.RoundTrip(t.Context(), trip)
					if err != nil {
						t.Errorf("%s round trip with %v: %v", trip, latency, err)
						return
					}
					if rtt < latency {
						t.Errorf("%s round trip took %v, less than the desktop's %v", trip, rtt, latency)
					}
					best = min(best, rtt)
				}
				// The best of three, because the machine is not this test's alone.
				if best > latency+10*time.Millisecond {
					t.Errorf("%s round trip took %v, the desktop's latency is %v", trip, best, latency)
				}
				t.Logf("%s %v: %v more", trip, latency, best-latency)
			})
		}
	}
	all.Wait()
}

// TestLateAnswerIsALoss: an answer after the deadline is a loss, and is not
// taken for the next probe's.
func TestLateAnswerIsALoss(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	d, config := farm(t, screen.Config{})
	s := dial(t, config)
	for range 2 {
		d.SetGuestLatency(1800 * time.Millisecond)
		rtt, err := s.RoundTrip(t.Context(), spice.GuestTrip)
		require.ErrorIs(t, err, spice.ErrLost, "took %v", rtt)
		d.SetGuestLatency(0)
		rtt, err = s.RoundTrip(t.Context(), spice.GuestTrip)
		require.NoError(t, err)
		require.Less(t, rtt, 300*time.Millisecond)
	}
}

// TestCaretOfAHungGuestIsNoAnswer: twenty probes, twenty losses.
func TestCaretOfAHungGuestIsNoAnswer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute")
	}
	var all sync.WaitGroup
	for caret, probes := range map[time.Duration]int{270 * time.Millisecond: 20, 530 * time.Millisecond: 4} {
		for _, learned := range []bool{false, true} {
			d, config := farm(t, screen.Config{Caret: caret})
			s := dial(t, config)
			if learned {
				_, err := s.RoundTrip(t.Context(), spice.VisibleTrip)
				require.NoError(t, err)
			}
			d.Hang(true)
			all.Go(func() {
				for i := range probes {
					if rtt, err := s.RoundTrip(t.Context(), spice.VisibleTrip); err == nil {
						t.Errorf("caret %v, probe %d: a hung guest answered after %v", caret, i, rtt)
					}
				}
			})
		}
	}
	all.Wait()
}

// TestTypeKeepsToItsClock: keys come at their rate, hung guest or not.
func TestTypeKeepsToItsClock(t *testing.T) {
	t.Parallel()
	const text = "The quick brown fox" // 19 keys
	for _, hung := range []bool{false, true} {
		d, config := farm(t, screen.Config{})
		s := dial(t, config)
		d.Hang(hung)
		start := time.Now()
		require.NoError(t, s.Type(t.Context(), text, spice.Typist{WPM: 600}))
		took := time.Since(start)
		require.GreaterOrEqual(t, took, 18*20*time.Millisecond)
		require.Less(t, took, 18*20*time.Millisecond+time.Second)
		if !hung {
			require.Eventually(t, func() bool { return d.Line() == text }, 5*time.Second, time.Millisecond)
		}
	}
}

// TestTypeEndsWithItsContext: also in the middle of a long text.
func TestTypeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, config := farm(t, screen.Config{})
	s := dial(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Type(ctx, strings.Repeat("x", 10000), spice.Typist{WPM: 1000}), context.DeadlineExceeded)
	require.NoError(t, s.Press(t.Context(), spice.KeyEnter), "the keyboard is free again")
}

// TestPlainPortAsksForTLS: a channel that the plain port refuses is opened on
// the TLS port, the others stay where they are.
func TestPlainPortAsksForTLS(t *testing.T) {
	t.Parallel()
	files, authority := qemutest.TLSFiles(t)
	pair, err := tls.LoadX509KeyPair(filepath.Join(files.Dir, "server-cert.pem"), filepath.Join(files.Dir, "server-key.pem"))
	require.NoError(t, err)
	for _, secure := range []wire.ChannelType{wire.Main, wire.Display, wire.Inputs, wire.Cursor} {
		d, config := farm(t, screen.Config{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Secure: []wire.ChannelType{secure}})
		config.CA = pool(authority)
		config.TLSPort = d.TLSAddr().(*net.TCPAddr).Port
		var mu sync.Mutex
		dialed := map[string]int{}
		config.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			dialed[addr]++
			mu.Unlock()
			var n net.Dialer
			return n.DialContext(ctx, network, addr)
		}
		s := dial(t, config)
		_, err := s.RoundTrip(t.Context(), spice.ServerTrip)
		require.NoError(t, err)
		mu.Lock()
		require.Equal(t, map[string]int{d.Addr().String(): 4, d.TLSAddr().String(): 1}, dialed, secure)
		mu.Unlock()
		s.Close()

		config.TLSPort = 0
		_, err = tryDial(t, config)
		if secure == wire.Cursor {
			t.Log(err)
		}
		require.ErrorIs(t, err, wire.LinkNeedSecured, fmt.Sprint(secure))
	}
}
