package up

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// TestHostsHaveRoom for all desktops, those of clients without a broker included: Placement admits no more than fit.
func TestHostsHaveRoom(t *testing.T) {
	const ofAHost = 2 * desktopsOfAHost
	lab, err := sim.Start(t.Context(), sim.Config{Hosts: make([]sim.Host, 1), Servers: seeds(ofAHost)})
	require.NoError(t, err)
	require.NoError(t, lab.Close())
	for n := 1; n <= 20_000; n++ {
		require.LessOrEqual(t, 2*n, ofAHost*Options{Desktops: n}.hosts(), "%d desktops", n)
		require.LessOrEqual(t, 2*n, ofAHost*Options{Desktops: n, Speed: 1}.hosts(), "%d desktops on hosts that may run short", n)
	}
}

// TestInspectionsOfManyDesktops leave the broker time for other things.
func TestInspectionsOfManyDesktops(t *testing.T) {
	for _, test := range []struct {
		o    Options
		want time.Duration
	}{
		{Options{Desktops: 20}, 15 * time.Second},
		{Options{Desktops: 1500}, 15 * time.Second},
		{Options{Desktops: 10_000}, 100 * time.Second},
		{Options{Desktops: 10_000, CheckEvery: time.Second}, time.Second},
	} {
		require.Equal(t, test.want, test.o.checkEvery(), test.o.Desktops)
	}
}
