package demo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// site is where desktops are. The network's way is in both latencies: packets on loopback need no time.
type site struct {
	name          string
	server, guest time.Duration // medians
}

// simulated are desktops of package screen.
type simulated struct {
	farm     *screen.Farm
	sites    []string // of each desktop
	duration time.Duration
	rng      *rand.Rand

	mu     sync.Mutex
	others []*spice.Session // second clients
}

// spread is the standard deviation of the latencies' logarithms from desktop to desktop: 1 in 20 is above 1.8 times the
// median. It and the medians are an estimate, not a measurement.
const spread = 0.35

func startSimulated(o Options) (*simulated, error) {
	farm, err := screen.NewFarm(o.Clients, screen.Config{})
	if err != nil {
		return nil, err
	}
	s := &simulated{farm: farm, duration: o.Duration, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	sites := []site{
		{"north", 1500 * time.Microsecond, 14 * time.Millisecond},
		{"south", 9 * time.Millisecond, 27 * time.Millisecond},
	}
	for i, d := range farm.Desktops() {
		at := sites[0]
		if i%3 == 2 { // a smaller site, and farther away
			at = sites[1]
		}
		s.sites = append(s.sites, at.name)
		d.SetServerLatency(s.draw(at.server))
		d.SetGuestLatency(s.draw(at.guest))
	}
	return s, nil
}

// draw draws a log-normal latency.
func (s *simulated) draw(median time.Duration) time.Duration {
	return time.Duration(float64(median) * math.Exp(spread*s.rng.NormFloat64()))
}

func (s *simulated) kind() string { return "simulated" }

func (s *simulated) addresses() []string {
	var all []string
	for i, d := range s.farm.Desktops() {
		all = append(all, s.sites[i]+"="+d.Addr().String())
	}
	return all
}

// faults are a host that dies, with a tenth of the desktops, for a sixth of the shift, a second client and a killed
// desktop, all on different desktops.
func (s *simulated) faults() []fault {
	all := s.farm.Desktops()
	order := s.rng.Perm(len(all))
	hung := make([]*screen.Desktop, max(1, len(all)/10))
	for i := range hung {
		hung[i] = all[order[i]]
	}
	hang := func(on bool) {
		for _, d := range hung {
			d.Hang(on)
		}
	}
	lasts := s.duration / 6
	faults := []fault{{
		kind: hangFault, desktops: len(hung), after: s.duration / 2, lasts: lasts,
		what:   fmt.Sprintf("a host dies: %s for %s", count(len(hung), "desktop hangs", "desktops hang"), length(lasts)),
		inject: func(context.Context) error { hang(true); return nil },
		heal:   func() { hang(false) },
	}}
	left := order[len(hung):]
	if len(left) > 0 {
		d := all[left[0]]
		faults = append(faults, fault{
			kind: evictFault, what: "a second client takes over a desktop", desktops: 1, after: s.duration * 6 / 10,
			inject: func(ctx context.Context) error { return s.takeOver(ctx, d) },
		})
	}
	if len(left) > 1 {
		d := all[left[1]]
		faults = append(faults, fault{
			kind: killedFault, what: "a desktop is killed", desktops: 1, after: s.duration * 7 / 10,
			inject: func(context.Context) error { d.Kill(); return nil },
		})
	}
	return faults
}

// takeOver connects another client to a desktop, which stays until the end.
func (s *simulated) takeOver(ctx context.Context, d *screen.Desktop) error {
	addr := d.Addr().(*net.TCPAddr)
	other, err := spice.Dial(ctx, spice.Config{Host: addr.IP.String(), Port: addr.Port})
	if err != nil {
		return fmt.Errorf("connecting a second client: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = append(s.others, other)
	return nil
}

func (s *simulated) keysReceived() (int64, bool) {
	var n uint64
	for _, d := range s.farm.Desktops() {
		n += d.Stats().Keys
	}
	return int64(n), true
}

func (s *simulated) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.others {
		_ = other.Close() // returns nil
	}
	s.farm.Close()
}
