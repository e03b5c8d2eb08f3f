package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// How simulated desktops are; an estimate, not a measurement. The network's way is in the latencies: packets on loopback need
// no time.
const (
	serverLatency = 2 * time.Millisecond // medians
	guestLatency  = 16 * time.Millisecond
	spread        = 0.35 // standard deviation of the logarithms from desktop to desktop: 1 in 20 is above 1.8 times the median
)

// bootTime is how long a simulated desktop takes to boot while people come: so long that the pool runs empty for a while, with
// as many boots at once as package up's broker allows, and refills before they have lost their patience. One of Windows takes
// minutes, as a morning takes hours.
func bootTime(people int, shift time.Duration) time.Duration {
	const boots = 16
	return min(shift/30, boots*arrivals(shift)/time.Duration(people))
}

// readyTimeout bounds the time in which the pool fills: firmware takes a second under TCG, and some 15 s under a KVM that is
// itself emulated, when several guests start at once on few processors.
const readyTimeout = 2 * time.Minute

// desktopCloud is the cloud that the demo's people log in to.
type desktopCloud struct {
	cloud   *up.Cloud
	qemu    bool
	closing context.CancelFunc
	tuning  sync.WaitGroup

	mu     sync.Mutex
	seen   map[*screen.Desktop]bool           // simulated ones, also those that are gone by now
	rng    *rand.Rand                         // of what breaks
	others map[*screen.Desktop]*spice.Session // second clients
}

// startCloud starts a cloud whose pool keeps fewer desktops ready than people will come: some of them will see one boot.
func startCloud(ctx context.Context, o Options) (*desktopCloud, error) {
	cloud, err := up.Sim(ctx, up.Options{
		Users: o.Clients, Desktops: desktops(o), Ready: readyAtOpening(o), QEMU: o.QEMU, Accelerator: o.Accelerator, Seed: o.Seed,
		Screen: screen.Config{ServerLatency: serverLatency, GuestLatency: guestLatency},
	})
	if err != nil {
		return nil, err
	}
	c := &desktopCloud{cloud: cloud, qemu: o.QEMU, rng: rand.New(rand.NewPCG(o.Seed, 0)),
		seen: map[*screen.Desktop]bool{}, others: map[*screen.Desktop]*spice.Session{}}
	tuning, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.closing = stop
	if !o.QEMU {
		c.tuning.Go(func() { c.tune(tuning, rand.New(rand.NewPCG(o.Seed, 1))) })
	}
	return c, nil
}

// desktops is how many the pool may have: a twentieth more than people for those that break, if they cost nothing.
func desktops(o Options) int {
	if o.QEMU {
		return o.Clients
	}
	return o.Clients + o.Clients/20
}

// readyAtOpening is how many desktops the pool has ready when the first people come. Guests under QEMU boot slowly: half of
// them are enough to wait for. The old way knows no pool: its desktops are there.
func readyAtOpening(o Options) int {
	switch {
	case o.Path == PathCloud:
		return 0
	case o.QEMU:
		return (o.Clients + 1) / 2
	}
	return (o.Clients*3 + 9) / 10
}

// await waits until the pool is as full as it is to be when the first people come.
func (c *desktopCloud) await(ctx context.Context, tell func(ready, wanted int)) error {
	waiting, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("the pool was not full within %v", readyTimeout))
	defer cancel()
	err := c.cloud.Await(waiting, tell)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// slowBoots makes simulated desktops take their time from now on: in the night before nobody waited for them. It is Nova that
// takes it, before it begins a build; the broker's pool sees no difference.
func (c *desktopCloud) slowBoots(people int, shift time.Duration) error {
	if c.qemu {
		return nil
	}
	_, err := c.cloud.Sim.Inject(sim.Fault{Service: "nova", Method: http.MethodPost, Path: "/v2.1/servers", Delay: bootTime(people, shift)})
	return err
}

// tune gives each simulated desktop latencies of its own, soon after it has booted.
func (c *desktopCloud) tune(ctx context.Context, rng *rand.Rand) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, d := range c.look() {
			d.SetServerLatency(draw(rng, serverLatency))
			d.SetGuestLatency(draw(rng, guestLatency))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look returns the simulated desktops that are new since the last time.
func (c *desktopCloud) look() []*screen.Desktop {
	all := c.screens()
	c.mu.Lock()
	defer c.mu.Unlock()
	var fresh []*screen.Desktop
	for _, one := range all {
		if !c.seen[one.screen] {
			c.seen[one.screen] = true
			fresh = append(fresh, one.screen)
		}
	}
	return fresh
}

// draw draws a log-normal latency.
func draw(rng *rand.Rand, median time.Duration) time.Duration {
	return time.Duration(float64(median) * math.Exp(spread*rng.NormFloat64()))
}

// running is a simulated desktop and its server.
type running struct {
	server string
	screen *screen.Desktop
}

// screens are the simulated desktops there are, the oldest first.
func (c *desktopCloud) screens() []running {
	var all []running
	for _, s := range c.cloud.Sim.Servers() {
		if s.Console == nil {
			continue
		}
		if d := c.cloud.Sim.Screen(s.ID); d != nil {
			all = append(all, running{s.ID, d})
		}
	}
	return all
}

// pool is how the broker's pool stands now.
func (c *desktopCloud) pool(ctx context.Context) (poolState, error) {
	all, err := up.Pools(ctx, c.cloud.Broker, c.cloud.Dir)
	if err != nil {
		return poolState{}, err
	}
	var s poolState
	for _, p := range all {
		s.Ready += p.Desktops["ready"]
		s.Building += p.Desktops["building"]
		s.Assigned += p.Desktops["assigned"]
	}
	return s, nil
}

// keysReceived is how many keys the desktops received, if they count them.
func (c *desktopCloud) keysReceived() (int64, bool) {
	c.look()
	c.mu.Lock()
	defer c.mu.Unlock()
	var n uint64
	for d := range c.seen {
		n += d.Stats().Keys
	}
	return int64(n), !c.qemu
}

// takeOver connects another client to a simulated desktop, which stays until the end.
func (c *desktopCloud) takeOver(ctx context.Context, d *screen.Desktop) error {
	addr, ok := d.Addr().(*net.TCPAddr)
	if !ok {
		return errors.New("connecting a second client: the desktop has no port")
	}
	other, err := spice.Dial(ctx, spice.Config{Host: addr.IP.String(), Port: addr.Port})
	if err != nil {
		return fmt.Errorf("connecting a second client: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others[d] = other
	return nil
}

func (c *desktopCloud) close() error {
	c.closing()
	c.tuning.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.others {
		_ = other.Close() // returns nil
	}
	return c.cloud.Close()
}
