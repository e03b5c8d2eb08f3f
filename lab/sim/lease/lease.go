// Package lease is the DHCP leases of a simulated cloud's servers, as the dnsmasq of their networks has them: each running server
// renews its lease in time, unless a fault keeps it from that.
//
// Nothing happens in the background. A lease is computed when somebody looks at it, from when its server booted and what has
// kept it from renewing since, so that ten thousand of them cost nothing until then.
package lease

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Times are a lease's, as DHCP names them (RFC 2131, section 4.4.5).
type Times struct {
	Lease time.Duration // how long it is good for: 24 h if 0, Neutron's dhcp_lease_duration
	T1    time.Duration // when the client renews it by unicast: half of Lease if 0
	T2    time.Duration // when it asks any server by broadcast: 7/8 of Lease if 0
}

// WithDefaults has Neutron's and RFC 2131's times where there are none. It refuses times that are not in this order.
func (t Times) WithDefaults() (Times, error) {
	if t.Lease == 0 {
		t.Lease = 86400 * time.Second
	}
	if t.T1 == 0 {
		t.T1 = t.Lease / 2
	}
	if t.T2 == 0 {
		t.T2 = t.Lease / 8 * 7
	}
	if t.T1 <= 0 || t.T1 >= t.T2 || t.T2 >= t.Lease {
		return t, fmt.Errorf("a lease of %v with T1 after %v and T2 after %v: they must be in the order T1, T2, lease", t.Lease, t.T1, t.T2)
	}
	return t, nil
}

// Fault is what goes wrong with a server's lease.
type Fault int

// The faults.
const (
	Healthy Fault = iota
	None          // no DHCP message of the client is answered: it has no lease
	Stuck         // first requests are answered, renewals are not: the lease runs out
	Late          // of the renewals only broadcasts are answered: the lease is renewed at T2 instead of T1
)

// Table knows the DHCP clients of servers. Its methods may be called by many goroutines at once.
type Table struct {
	times Times
	now   func() time.Time

	mu      sync.Mutex
	clients map[string]*client // by the server's id
}

// client is a server's.
type client struct {
	running bool
	cut     bool // from the network
	fault   Fault
	acked   time.Time // the server's last answer, as far as it was computed; zero: there is no lease
}

// New makes a table without leases. The times must be complete, as WithDefaults makes them; now is the lab's clock.
func New(t Times, now func() time.Time) (*Table, error) {
	if t.Lease == 0 || now == nil {
		return nil, errors.New("leases need times and a clock")
	}
	return &Table{times: t, now: now, clients: map[string]*client{}}, nil
}

// Times are those of all leases.
func (t *Table) Times() Times { return t.times }

// Started is told when a server has booted: its client asks for a lease. One that runs already has one.
func (t *Table) Started(server string) { t.StartedAt(server, t.now()) }

// StartedAt is Started for a server that runs since an earlier moment.
func (t *Table) StartedAt(server string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(server)
	if c.running {
		return
	}
	c.running = true
	if c.fault != None && !c.cut {
		c.acked = at
	}
}

// Stopped is told when a server ends: nobody renews its lease, which lasts until it runs out.
func (t *Table) Stopped(server string) { t.change(server, func(c *client) { c.running = false }) }

// SetFault sets what goes wrong with a server's lease. A server that can renew again does so at once if it is late.
func (t *Table) SetFault(server string, f Fault) {
	t.change(server, func(c *client) {
		if c.fault = f; f == None {
			c.acked = time.Time{}
		}
	})
}

// SetCut cuts a server from the network, or connects it again.
func (t *Table) SetCut(server string, cut bool) { t.change(server, func(c *client) { c.cut = cut }) }

func (t *Table) change(server string, change func(*client)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, c := t.now(), t.client(server)
	c.settle(now, t.times)
	change(c)
	// A client that gets answers again is not made to wait for its next attempt: RFC 2131 has it try more and more often.
	if every := c.every(t.times); every > 0 && now.Sub(c.acked) >= every {
		c.acked = now
	}
}

func (t *Table) client(server string) *client {
	c := t.clients[server]
	if c == nil {
		c = &client{}
		t.clients[server] = c
	}
	return c
}

// every is how often the client renews; 0: never.
func (c *client) every(t Times) time.Duration {
	switch {
	case !c.running || c.cut || c.fault == None || c.fault == Stuck:
		return 0
	case c.fault == Late:
		return t.T2
	}
	return t.T1
}

// settle takes the client through the renewals up to now.
func (c *client) settle(now time.Time, t Times) {
	every, passed := c.every(t), now.Sub(c.acked)
	if every > 0 && !c.acked.IsZero() && passed >= every {
		c.acked = c.acked.Add(passed.Truncate(every))
	}
}

// Port is a server's port, which the lease is for.
type Port struct {
	Server  string // its id
	Network string // its id
	MAC     string
	Address string // IPv4
}

// Lease is what dnsmasq knows of a port.
type Lease struct {
	Port
	Renewed time.Time // given or renewed
	Expires time.Time
	Running bool // its server runs: otherwise nobody renews it
}

// Leases are those of ports that are good now, in the order of the ports; missing are the running servers without one. Servers
// that neither run nor have a port are forgotten.
func (t *Table) Leases(ports []Port) (leases []Lease, missing []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for _, p := range ports {
		c := t.clients[p.Server]
		if c == nil {
			continue
		}
		c.settle(now, t.times)
		expires := c.acked.Add(t.times.Lease)
		switch {
		case !c.acked.IsZero() && now.Before(expires):
			leases = append(leases, Lease{p, c.acked, expires, c.running})
		case c.running:
			missing = append(missing, p.Server)
		}
	}
	if len(t.clients) > len(ports) {
		t.forget(ports)
	}
	return leases, missing
}

// forget is called with the lock held.
func (t *Table) forget(ports []Port) {
	known := make(map[string]bool, len(ports))
	for _, p := range ports {
		known[p.Server] = true
	}
	for server, c := range t.clients {
		if !c.running && !known[server] {
			delete(t.clients, server)
		}
	}
}
