package spice_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
)

var allTrips = []spice.Trip{spice.ServerTrip, spice.GuestTrip, spice.VisibleTrip}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{}, func(t *testing.T, d desktop) {
		s := dial(t, d.config)
		for range 2 {
			for _, trip := range allTrips {
				rtt, err := s.RoundTrip(t.Context(), trip)
				require.NoError(t, err, trip)
				require.Positive(t, rtt, trip)
				require.Less(t, rtt, spice.DefaultDeadline, trip)
				t.Log(trip, rtt)
			}
		}
		// Typed text moves the caret; the probe finds it again.
		require.NoError(t, s.Type(t.Context(), "Hello, World!\n(again)", spice.Typist{WPM: 1000}))
		_, err := s.RoundTrip(t.Context(), spice.VisibleTrip)
		require.NoError(t, err)
	})
}

// TestRoundTripsUnderKVM is the same on hardware virtualisation, where there is
// some.
func TestRoundTripsUnderKVM(t *testing.T) {
	t.Parallel()
	qemutest.Require(t)
	if qemu.Accelerator() != "kvm" {
		t.Skip("no usable /dev/kvm; the guest is tested under TCG")
	}
	q := qemutest.StartT(t, qemu.Config{Accelerator: "kvm"})
	s := dial(t, spice.Config{Host: q.Host, Port: q.Port})
	for _, trip := range allTrips {
		rtt, err := s.RoundTrip(t.Context(), trip)
		require.NoError(t, err, trip)
		t.Log(trip, rtt)
	}
}

// TestHungGuest: the caret blinks on and the server sends a light of its own
// after 2.0 s, and neither is taken for an answer.
func TestHungGuest(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{}, func(t *testing.T, d desktop) {
		s := dial(t, d.config)
		for _, trip := range allTrips {
			_, err := s.RoundTrip(t.Context(), trip)
			require.NoError(t, err, trip)
		}
		d.hang()
		for range 3 {
			_, err := s.RoundTrip(t.Context(), spice.ServerTrip)
			require.NoError(t, err, "the server is not the guest")
			for _, trip := range []spice.Trip{spice.GuestTrip, spice.VisibleTrip} {
				rtt, err := s.RoundTrip(t.Context(), trip)
				require.ErrorIs(t, err, spice.ErrLost, "%s took %v", trip, rtt)
			}
		}
	})
}

// TestMonitorKeepsTime: a hung guest's losses are counted one by one, by the
// clock.
func TestMonitorKeepsTime(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{}, func(t *testing.T, d desktop) {
		s := dial(t, d.config)
		d.hang()
		every := d.config.MinInterval()
		ctx, cancel := context.WithTimeout(t.Context(), 4*every+every/2)
		defer cancel()
		var mu sync.Mutex
		samples := map[spice.Trip][]spice.Sample{}
		require.NoError(t, s.Monitor(ctx, every, 0, allTrips, func(x spice.Sample) {
			mu.Lock()
			defer mu.Unlock()
			samples[x.Trip] = append(samples[x.Trip], x)
		}))
		for _, trip := range allTrips {
			// The last of five may still be waiting for its answer.
			require.GreaterOrEqual(t, len(samples[trip]), 4, trip)
			for i, x := range samples[trip] {
				require.Equal(t, time.Duration(i)*every, x.Due.Sub(samples[trip][0].Due), trip)
				if trip == spice.ServerTrip {
					require.NoError(t, x.Err)
				} else {
					require.ErrorIs(t, x.Err, spice.ErrLost, "%s took %v", trip, x.RTT)
				}
			}
		}
	})
}

func TestMonitorRefusesAnIntervalThatItCannotKeep(t *testing.T) {
	t.Parallel()
	s := dial(t, simulated(t, setup{}).config)
	require.ErrorContains(t, s.Monitor(t.Context(), time.Second, 0, allTrips, nil), "at least 2.5s")
}

// TestRecoveryAfterAnOverflow: a guest whose keyboard queue overflowed while it
// hung has lost some of our keys. The probe finds its step again.
func TestRecoveryAfterAnOverflow(t *testing.T) {
	t.Parallel()
	d := simulated(t, setup{})
	s := dial(t, d.config)
	d.hang()
	require.NoError(t, s.Type(t.Context(), "12345678", spice.Typist{WPM: 1000}))
	_, err := s.RoundTrip(t.Context(), spice.GuestTrip)
	require.ErrorIs(t, err, spice.ErrLost)
	d.resume()
	require.Eventually(t, func() bool {
		_, err := s.RoundTrip(t.Context(), spice.GuestTrip)
		return err == nil
	}, 15*time.Second, 100*time.Millisecond)
	for range 3 {
		_, err := s.RoundTrip(t.Context(), spice.GuestTrip)
		require.NoError(t, err)
	}
}

// TestInterruptedProbeLeavesNothing: a visible probe that its context ends while
// the key is shown erases it.
func TestInterruptedProbeLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{620, 750, 900, 1200, 2000} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			farm, err := screen.NewFarm(1, screen.Config{})
			require.NoError(t, err)
			defer farm.Close()
			one := farm.Desktops()[0]
			s := dial(t, spice.Config{Host: "127.0.0.1", Port: one.Addr().(*net.TCPAddr).Port})
			ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
			defer cancel()
			_, err = s.RoundTrip(ctx, spice.VisibleTrip)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			s.Close()
			require.Empty(t, one.Line())
		})
	}
}

func TestMonitorRefusesAnUnknownTrip(t *testing.T) {
	t.Parallel()
	s := dial(t, simulated(t, setup{}).config)
	require.ErrorContains(t, s.Monitor(t.Context(), time.Minute, 0, []spice.Trip{"moon"}, nil), `"moon"`)
}
