// Package hardware runs the physics of package physics in real time, or faster, under a simulated cloud: servers boot on it as long as
// their hosts let them, the OOM killer and dying hosts end them, and their screens answer as slowly as their hosts do.
package hardware

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// Cloud is told what becomes of servers. Its methods are called one after another.
type Cloud interface {
	// Killed: a server's QEMU was killed.
	Killed(serverID string)
	// Noticed: the host's nova-compute looks whether a server that was killed runs.
	Noticed(serverID string)
	// HostDown: a host died, and these servers' QEMU with it. HostUp: it is up again, without them.
	HostDown(host string, serverIDs []string)
	HostUp(host string)
	// Reply: a server's desktop takes this long from a key to the picture from now on.
	Reply(serverID string, latency time.Duration)
}

// Config is how hardware begins.
type Config struct {
	Hosts map[string]physics.Host // by name
	Work  physics.Profile         // of each desktop, from its boot on; nil: nobody works
	Speed float64                 // model time to real time, above 0: 1 is real time, 60 an hour a minute
	Seed  uint64
	Cloud Cloud
}

// noticeDelay is how long nova-compute waits after libvirt's event that a domain has stopped: it might be restarting
// (_lifecycle_delay of nova/virt/libvirt/host.py).
const noticeDelay = 15 * time.Second

// refresh is how often, in real time, screens are told their reply times while something happens.
const refresh = 200 * time.Millisecond

// Hardware is a model that runs by itself. Its methods may be called by many goroutines at once.
type Hardware struct {
	config Config
	began  time.Time
	wake   chan struct{}
	ctx    context.Context
	stop   context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	model   *physics.Model
	servers map[string]*server
	news    []func()            // for the cloud
	later   []appointment       // earliest first
	waiting map[string][]string // servers by the host that died, whose boots somebody waits for
	dirty   bool                // reply times may have changed
	told    time.Time
}

type server struct {
	booting chan error // who waits for its boot; nil: nobody
	reply   time.Duration
}

type appointment struct {
	at time.Duration // of the model
	do func()
}

// Start starts hardware, which runs until Close.
func Start(c Config) (*Hardware, error) {
	if !(c.Speed > 0) || c.Speed > 1e6 {
		return nil, fmt.Errorf("the hardware's speed %g is not between 0 and 1,000,000", c.Speed)
	}
	h := &Hardware{
		config: c, began: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{}),
		servers: map[string]*server{}, waiting: map[string][]string{},
	}
	var err error
	if h.model, err = physics.New(physics.Config{Seed: c.Seed, Observer: observer{h}}); err != nil {
		return nil, err
	}
	for name, spec := range c.Hosts {
		if err := h.model.AddHost(name, spec); err != nil {
			return nil, fmt.Errorf("the hardware: %w", err)
		}
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	go h.run()
	return h, nil
}

// Close ends the hardware; boots that are waited for fail.
func (h *Hardware) Close() {
	h.stop()
	<-h.done
}

// What ends a boot that is waited for, beside its context.
var (
	errClosed = errors.New("the lab is being closed")
	errEnded  = errors.New("it was ended while it booted")
)

// Do does something to the model now, such as Unmerge, or taking a host's state. It must not keep the model.
func (h *Hardware) Do(do func(*physics.Model) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.catchUp()
	err := do(h.model)
	h.dirty = true
	h.poke()
	return err
}

// Boot boots a server's desktop on a host and returns when it has booted, or was killed before: the cloud is told of that. On a host
// that is down it waits until the host is up; a boot that the host's end has interrupted is begun again then. A boot that the context
// ends is undone.
func (h *Hardware) Boot(ctx context.Context, serverID, host string, kind physics.Desktop) error {
	booted := make(chan error, 1)
	err := h.Do(func(m *physics.Model) error {
		if err := h.place(serverID, host, kind); err != nil {
			return err
		}
		h.servers[serverID].booting = booted
		if s, err := m.Host(host); err != nil || !s.Alive {
			h.waiting[host] = append(h.waiting[host], serverID)
			return err
		}
		return m.Boot(serverID)
	})
	if err != nil {
		return fmt.Errorf("booting server %s: %w", serverID, err)
	}
	select {
	case err = <-booted:
		return err
	case <-h.ctx.Done():
		err = errClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	h.Halt(serverID)
	return err
}

// Resume lets a server's desktop run that has booted before the hardware began.
func (h *Hardware) Resume(serverID, host string, kind physics.Desktop) error {
	return h.Do(func(m *physics.Model) error {
		if err := h.place(serverID, host, kind); err != nil {
			return err
		}
		return m.Resume(serverID)
	})
}

// Move puts a server on another host when its live migration is over.
func (h *Hardware) Move(serverID, host string) error {
	return h.Do(func(m *physics.Model) error { return m.Move(serverID, host) })
}

// place puts a server on a host, where it is off. It is called with the lock held.
func (h *Hardware) place(serverID, host string, kind physics.Desktop) error {
	h.remove(serverID)
	if err := h.model.Place(serverID, host, kind); err != nil {
		return err
	}
	h.servers[serverID] = &server{}
	return nil
}

// Halt ends what a server has of its host. One that has nothing is fine.
func (h *Hardware) Halt(serverID string) {
	_ = h.Do(func(*physics.Model) error {
		h.remove(serverID)
		return nil
	})
}

// remove is called with the lock held.
func (h *Hardware) remove(serverID string) {
	h.model.Remove(serverID)
	if s := h.servers[serverID]; s != nil {
		s.finish(errEnded)
		delete(h.servers, serverID)
	}
}

// Runs tells whether a server's desktop runs.
func (h *Hardware) Runs(serverID string) (runs bool) {
	_ = h.Do(func(m *physics.Model) error {
		d, err := m.Desktop(serverID)
		runs = err == nil && d.State == physics.Running
		return err
	})
	return runs
}

// Crash ends a host, as a power failure does, and returns when the cloud knows. One that is down already is fine.
func (h *Hardware) Crash(host string) error {
	if err := h.Do(func(m *physics.Model) error { return m.Crash(host) }); err != nil {
		return err
	}
	return h.inTurn(func() {})
}

// Restart brings a host that died up again, and returns when the cloud knows. One that is up already is fine.
func (h *Hardware) Restart(host string) error {
	var failed error
	if err := h.inTurn(func() {
		if failed = h.Do(func(m *physics.Model) error { return h.restart(m, host) }); failed == nil {
			h.config.Cloud.HostUp(host)
		}
	}); err != nil {
		return fmt.Errorf("restarting host %s: %w", host, err)
	}
	return failed
}

// restart is called with the lock held.
func (h *Hardware) restart(m *physics.Model, host string) error {
	if err := m.Restart(host); err != nil {
		return err
	}
	waiting := h.waiting[host]
	delete(h.waiting, host)
	for _, id := range waiting {
		if s := h.servers[id]; s != nil && s.booting != nil {
			_ = m.Boot(id) // refused if it has been put elsewhere since, where it boots
		}
	}
	return nil
}

// inTurn does something after all that the cloud is to be told now, and returns when it is done. Not for the cloud's own methods.
func (h *Hardware) inTurn(do func()) error {
	done := make(chan struct{})
	h.mu.Lock()
	h.news = append(h.news, func() {
		defer close(done)
		do()
	})
	h.poke()
	h.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-h.ctx.Done():
		return errClosed
	}
}

func (s *server) finish(err error) {
	if s.booting != nil {
		s.booting <- err
		s.booting = nil
	}
}

// now is the model's time by the wall clock.
func (h *Hardware) now() time.Duration {
	return time.Duration(float64(time.Since(h.began)) * h.config.Speed)
}

// catchUp is called with the lock held.
func (h *Hardware) catchUp() {
	now := h.now()
	if next, ok := h.model.Next(); ok && next <= now {
		h.dirty = true
	}
	h.model.Advance(now)
}

// poke lets run look again.
func (h *Hardware) poke() {
	select {
	case h.wake <- struct{}{}:
	default: // it will
	}
}
