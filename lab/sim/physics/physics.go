// Package physics is what the hardware under a desktop cloud does to its desktops: hosts with memory, swap, CPUs and a disk, and
// desktops that boot, work and run short of them. Boots share a host's disk and CPUs, so that a boot storm emerges; memory grows
// with what people do, KSM gives some of it back after a time and can lose it at once; beyond a host's memory come swap, the OOM
// killer and the host's end.
//
// It is a discrete-event model with a clock of its own: nothing happens between two calls of Advance, and the same seed and calls
// give the same outcome. Between two events of a host all that it has changes linearly, so there is no tick, and a host costs
// nothing while nothing happens on it. It knows no OpenStack, and no numbers of its own: those that match a real cloud are in
// Calibration.
//
// It is simpler than hardware in this: a disk has no cache and no queueing below saturation; CPUs are one pool (no NUMA, no
// threads); a network is never short; KSM shares a fraction that the desktop's kind has, whatever its neighbours are.
package physics

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"time"
)

// Config is how a model begins.
type Config struct {
	Seed     uint64   // of what differs between desktops of one kind
	Observer Observer // may be nil
}

// Observer is told what happens, in the order in which it does. Its methods may call the model's.
type Observer interface {
	// Booted: a desktop runs, took after its Boot.
	Booted(desktop string, took time.Duration)
	// Killed: the OOM killer of its host ended a desktop.
	Killed(desktop, host string)
	// HostDown: a host died, and the desktops that were booting or ran on it with it.
	HostDown(host string, desktops []string)
}

// Model is a number of hosts and their desktops. It is not safe for concurrent use.
type Model struct {
	config   Config
	now      float64 // s
	hosts    map[string]*host
	desktops map[string]*desktop
	queue    queue
	news     []func(Observer)
	telling  bool
}

// New makes a model without hosts, at time 0.
func New(c Config) (*Model, error) {
	return &Model{config: c, hosts: map[string]*host{}, desktops: map[string]*desktop{}}, nil
}

// Now is the time since the model began.
func (m *Model) Now() time.Duration { return duration(m.now) }

// Next is when something happens next, unless something is done to the model before; false: never.
func (m *Model) Next() (time.Duration, bool) {
	if len(m.queue) == 0 || math.IsInf(m.queue[0].next, 1) {
		return 0, false
	}
	// Advance to it must reach it.
	return max(m.Now(), duration(m.queue[0].next)+time.Nanosecond), true
}

// Advance lets all happen that does until a time; one that is past is now.
func (m *Model) Advance(to time.Duration) {
	end := to.Seconds()
	for len(m.queue) > 0 && m.queue[0].next <= end {
		h := m.queue[0]
		m.now = max(m.now, h.next)
		h.elapse(m.now)
		m.happen(h)
		m.tell()
	}
	m.now = max(m.now, end)
}

// do does something to a host now.
func (m *Model) do(h *host, change func()) {
	h.elapse(m.now)
	change()
	m.happen(h)
	m.tell()
}

// happen lets happen what is due on a host, and settles what it does next.
func (m *Model) happen(h *host) {
	for settled := false; h.due(m) || !settled; settled = true {
		h.settle() // what it writes to is no longer merged, which may kill
	}
	h.next = h.horizon()
	heap.Fix(&m.queue, h.index)
}

// tell gives the observer the news once the model is in order again: the observer may call the model.
func (m *Model) tell() {
	if m.telling {
		return
	}
	m.telling = true
	defer func() { m.telling = false }()
	for len(m.news) > 0 {
		news := m.news
		m.news = nil
		for _, n := range news {
			n(m.config.Observer)
		}
	}
}

func (m *Model) report(n func(Observer)) {
	if m.config.Observer != nil {
		m.news = append(m.news, n)
	}
}

// AddHost adds a host that is up and empty.
func (m *Model) AddHost(name string, spec Host) error {
	if m.hosts[name] != nil {
		return fmt.Errorf("host %s: there is one already", name)
	}
	if err := spec.check(); err != nil {
		return fmt.Errorf("host %s: %w", name, err)
	}
	h := &host{name: name, spec: spec, alive: true, ksm: spec.KSM, at: m.now, next: math.Inf(1)}
	m.hosts[name] = h
	heap.Push(&m.queue, h)
	h.settle()
	return nil
}

// Place puts a desktop on a host, off.
func (m *Model) Place(id, hostName string, spec Desktop) error {
	if m.desktops[id] != nil {
		return fmt.Errorf("desktop %s: there is one already", id)
	}
	h, err := m.host(hostName)
	if err != nil {
		return fmt.Errorf("placing desktop %s: %w", id, err)
	}
	if err := spec.check(); err != nil {
		return fmt.Errorf("desktop %s: %w", id, err)
	}
	d := &desktop{id: id, host: h, spec: spec, state: Off, random: randomOf(m.config.Seed, id)}
	d.appetite = d.vary(spec.Spread)
	m.desktops[id] = d
	m.do(h, func() { h.desktops = append(h.desktops, d) })
	return nil
}

// Boot starts a desktop that is off or was killed.
func (m *Model) Boot(id string) error {
	d, err := m.desktop(id)
	if err != nil {
		return err
	}
	if d.state == Booting || d.state == Running {
		return fmt.Errorf("desktop %s is %s already", id, d.state)
	}
	if !d.host.alive {
		return fmt.Errorf("booting desktop %s: %w: %s", id, ErrHostDown, d.host.name)
	}
	m.do(d.host, func() { d.begin(m.now) })
	return nil
}

// Resume makes a desktop run that is off or was killed, as if it had booted long ago.
func (m *Model) Resume(id string) error {
	if err := m.Boot(id); err != nil {
		return err
	}
	d := m.desktops[id]
	m.do(d.host, func() { d.prepared, d.cpu, d.requests = true, 0, 0 })
	return nil
}

// Login lets somebody begin to work at a running desktop.
func (m *Model) Login(id string, p Profile) error {
	d, err := m.desktop(id)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("profile for desktop %s: %w", id, err)
	}
	if d.state != Running {
		return fmt.Errorf("nobody can log in to desktop %s: it is %s", id, d.state)
	}
	m.do(d.host, func() { d.login(m.now, p) })
	return nil
}

// Logout ends the work at a desktop; its memory stays touched. Nobody working there is fine.
func (m *Model) Logout(id string) error {
	d, err := m.desktop(id)
	if err != nil {
		return err
	}
	m.do(d.host, d.logout)
	return nil
}

// Stop ends a desktop; one that does not run is off after it.
func (m *Model) Stop(id string) error {
	d, err := m.desktop(id)
	if err != nil {
		return err
	}
	m.do(d.host, func() { d.host.end(d, Off) })
	return nil
}

// Move puts a desktop on another host, where it goes on, as a live migration does when it is over: what it has touched is there, and
// nothing of it is merged. One that boots cannot be moved.
func (m *Model) Move(id, hostName string) error {
	d, err := m.desktop(id)
	if err != nil {
		return err
	}
	to, err := m.host(hostName)
	switch {
	case err != nil:
		return fmt.Errorf("moving desktop %s: %w", id, err)
	case d.state == Booting:
		return fmt.Errorf("moving desktop %s: it is booting", id)
	case !to.alive || !d.host.alive:
		return fmt.Errorf("moving desktop %s from host %s to %s: %w", id, d.host.name, to.name, ErrHostDown)
	case to == d.host:
		return nil
	}
	m.do(d.host, func() { d.host.without(func() { d.host.forget(d) }) })
	d.host, d.growth = to, 0
	m.do(to, func() { to.desktops = append(to.desktops, d) })
	return nil
}

// Remove ends a desktop and takes it from its host. One that is not there is fine.
func (m *Model) Remove(id string) {
	d := m.desktops[id]
	if d == nil {
		return
	}
	delete(m.desktops, id)
	m.do(d.host, func() {
		d.host.end(d, Off)
		d.host.forget(d)
	})
}

// SetKSM lets a host's ksmd scan or not (/sys/kernel/mm/ksm/run 1 and 0): what is merged stays so until it is written to.
func (m *Model) SetKSM(hostName string, on bool) error {
	return m.on(hostName, func(h *host) { h.ksm = on })
}

// Unmerge stops ksmd and gives every guest its own pages back, at once (run 2).
func (m *Model) Unmerge(hostName string) error {
	return m.on(hostName, func(h *host) {
		h.ksm = false
		h.rewrite(1)
	})
}

// Rewrite lets the guests of a host write to a share, 0 to 1, of their merged pages at once, as an update on all of them does.
func (m *Model) Rewrite(hostName string, share float64) error {
	if !between(share, 0, 1) {
		return fmt.Errorf("%g is no share of a host's merged pages", share)
	}
	return m.on(hostName, func(h *host) { h.rewrite(share) })
}

// Crash ends a host, as a power failure does.
func (m *Model) Crash(hostName string) error {
	return m.on(hostName, func(h *host) { h.die(m) })
}

// Restart brings a host that died up again. Its desktops are where they were, and do not run.
func (m *Model) Restart(hostName string) error {
	return m.on(hostName, func(h *host) {
		if !h.alive {
			h.alive, h.ksm, h.kills = true, h.spec.KSM, nil
		}
	})
}

func (m *Model) on(hostName string, change func(*host)) error {
	h, err := m.host(hostName)
	if err != nil {
		return err
	}
	m.do(h, func() { change(h) })
	return nil
}

// What the model does not know, or cannot do.
var (
	ErrNoHost    = errors.New("no such host")
	ErrNoDesktop = errors.New("no such desktop")
	ErrHostDown  = errors.New("the host is down")
)

func (m *Model) host(name string) (*host, error) {
	if h := m.hosts[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNoHost, name)
}

func (m *Model) desktop(id string) (*desktop, error) {
	if d := m.desktops[id]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNoDesktop, id)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

func between(v, low, high float64) bool { return v >= low && v <= high } // false for NaN
