package control_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// TestKillIsUndoneInTime: who undoes it is told what does not boot, and the fault ends when it has.
func TestKillIsUndoneInTime(t *testing.T) {
	for _, kind := range []string{`"desktop.kill", "fraction": 1`, `"host.down", "host": "compute01"`} {
		t.Run(kind, func(t *testing.T) {
			var slow atomic.Bool
			booted := make(chan struct{})
			l := startPatient(t, sim.Config{Servers: seeds(7), Hosts: make([]sim.Host, 1), Boot: func(*rand.Rand) time.Duration {
				if slow.Load() {
					<-booted
				}
				return 0
			}}, 20*time.Millisecond)
			for _, s := range l.Servers() {
				require.NoError(t, l.open(t, s.ID))
			}
			f := l.inject(t, `{"type": `+kind+`}`)
			slow.Store(true)
			a := l.do(t, "DELETE", "/v1/faults/"+f.ID, "")
			require.Equal(t, 500, a.status)
			for _, says := range []string{"7 of 7 desktops have not booted again", "still boots: after 20ms", "and 2 more"} {
				require.Contains(t, a.detail(t), says)
			}
			f = l.show(t, f.ID)
			require.Nil(t, f.Ended)
			require.Contains(t, f.Error, "7 of 7 desktops")
			require.Equal(t, "up", l.hostState(t, "compute01"))
			close(booted)
			require.Eventually(t, func() bool { return l.do(t, "DELETE", "/v1/faults/"+f.ID, "").status == 204 }, patience, time.Millisecond)
			require.Empty(t, l.show(t, f.ID).Error)
			for _, s := range l.Servers() {
				require.NoError(t, l.open(t, s.ID))
			}
		})
	}
}

// breakable are screens that boot until they are broken.
type breakable struct {
	*sim.Screens
	broken atomic.Bool
}

func (b *breakable) Boot(ctx context.Context, id string) (sim.Console, error) {
	if b.broken.Load() {
		return sim.Console{}, errors.New("the disk is broken")
	}
	return b.Screens.Boot(ctx, id)
}

// TestKilledForGood: what cannot boot again is told once, and holds nothing up.
func TestKilledForGood(t *testing.T) {
	screens := &breakable{Screens: sim.NewScreens(screen.Config{})}
	t.Cleanup(screens.Close)
	l := start(t, sim.Config{Servers: seeds(2), Desktops: screens})
	for _, s := range l.Servers() {
		require.NoError(t, l.open(t, s.ID))
	}
	id := l.Servers()[0].ID
	f := l.inject(t, `{"type": "desktop.kill", "server": "`+id+`"}`)
	screens.broken.Store(true)
	a := l.do(t, "DELETE", "/v1/faults/"+f.ID, "")
	require.Equal(t, 500, a.status)
	require.Contains(t, a.detail(t), fmt.Sprintf("1 of 1 desktops have not booted again: booting the desktop of server %s again: the disk is broken", id))
	s, _ := l.Server(id)
	require.Equal(t, "ERROR", s.Status)
	l.undo(t, f)
}
