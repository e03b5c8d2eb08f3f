package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/spice/screen"
)

// Screens are simulated desktops, each on a loopback port of its own.
type Screens struct {
	config screen.Config

	mu       sync.Mutex
	closed   bool
	batches  []*batch
	desktops map[string]booted // by the server's id
}

// batch is a farm of desktops that are handed out one after another: a farm's have one key, which costs more than all else of
// a desktop.
type batch struct {
	farm *screen.Farm
	next int // of the farm's desktops
	left int // that were not shut down
}

type booted struct {
	desktop *screen.Desktop
	batch   *batch
}

// The sizes of batches: a small lab should not hold many ports that nobody uses.
const (
	firstBatch   = 8
	largestBatch = 64
)

// NewScreens makes screens of one configuration.
func NewScreens(c screen.Config) *Screens {
	return &Screens{config: c, desktops: map[string]booted{}}
}

// Boot implements Desktops.
func (s *Screens) Boot(_ context.Context, serverID string) (Console, error) {
	s.Shutdown(serverID) // one that was killed
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Console{}, errors.New("booting a screen: the lab is being closed")
	}
	b, err := s.batch()
	if err != nil {
		return Console{}, fmt.Errorf("booting the screen of server %s: %w", serverID, err)
	}
	d := b.farm.Desktops()[b.next]
	b.next++
	s.desktops[serverID] = booted{d, b}
	console := Console{}
	for _, port := range []struct {
		address net.Addr
		number  *int
	}{{d.Addr(), &console.Port}, {d.TLSAddr(), &console.TLSPort}} {
		if a, ok := port.address.(*net.TCPAddr); ok {
			console.Host, *port.number = a.IP.String(), a.Port
		}
	}
	return console, nil
}

// batch is one that has a desktop to hand out. It is called with the lock held.
func (s *Screens) batch() (*batch, error) {
	size := firstBatch
	if n := len(s.batches); n > 0 {
		last := s.batches[n-1]
		if last.next < len(last.farm.Desktops()) {
			return last, nil
		}
		size = min(2*len(last.farm.Desktops()), largestBatch)
	}
	farm, err := screen.NewFarm(size, s.config)
	if err != nil {
		return nil, err
	}
	b := &batch{farm: farm, left: size}
	s.batches = append(s.batches, b)
	return b, nil
}

// Shutdown implements Desktops.
func (s *Screens) Shutdown(serverID string) {
	s.mu.Lock()
	d, ok := s.desktops[serverID]
	if !ok {
		s.mu.Unlock()
		return
	}
	delete(s.desktops, serverID)
	d.batch.left--
	if d.batch.left == 0 {
		s.batches = slices.DeleteFunc(s.batches, func(b *batch) bool { return b == d.batch })
	}
	empty := d.batch.left == 0
	s.mu.Unlock()
	d.desktop.Kill()
	if empty {
		d.batch.farm.Close()
	}
}

// Kill implements Desktops.
func (s *Screens) Kill(serverID string) bool {
	d := s.Desktop(serverID)
	if d == nil {
		return false
	}
	d.Kill()
	return true
}

// Desktop is a server's screen; nil if it has none.
func (s *Screens) Desktop(serverID string) *screen.Desktop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.desktops[serverID].desktop
}

// Close ends all screens; there are no more.
func (s *Screens) Close() {
	s.mu.Lock()
	batches := s.batches
	s.closed, s.batches, s.desktops = true, nil, map[string]booted{}
	s.mu.Unlock()
	for _, b := range batches {
		b.farm.Close()
	}
}

// Screen is a server's screen, for what can be done to it: hang, drop, latency. It is nil if the server has none, as those
// that were there from the start before their console was asked for, and if the lab's desktops are others than Screens.
func (l *Lab) Screen(serverID string) *screen.Desktop {
	if l.screens == nil {
		return nil
	}
	return l.screens.Desktop(serverID)
}

// SetGuestLatency sets how long a server's screen takes to answer a key; it tells whether there is one.
func (s *Screens) SetGuestLatency(serverID string, latency time.Duration) bool {
	d := s.Desktop(serverID)
	if d != nil {
		d.SetGuestLatency(latency)
	}
	return d != nil
}
