// Package broker takes a user to a desktop: it checks the password in the directory, lets the allocators choose a pool,
// finds the desktop that is bound to the user, seat or thin client or takes one that the pool keeps ready, and says where
// its console is, with a ticket. Packages below it are its parts, package api its door; this one is the way through them and
// its timing.
package broker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
)

// Directory is what the broker needs of LDAP.
type Directory interface {
	Login(ctx context.Context, user, password string) (directory.User, error)
	Check(ctx context.Context) error
}

// Machines is what the broker needs of the cloud, beyond what its pools need.
type Machines interface {
	pool.Machines
	// Start starts a server that was shut down.
	Start(ctx context.Context, serverID string) error
}

// Parts are what a broker is made of.
type Parts struct {
	Directory  Directory
	Allocators *allocator.Set
	Pools      []pool.Spec
	Store      *store.Store
	Machines   Machines
	Consoles   console.Finder
	Registerer prometheus.Registerer
	Log        *slog.Logger
	// Lease is how long a session lasts that its thin client does not renew: one that lost its power never logs out.
	Lease time.Duration
}

// Broker is the service.
type Broker struct {
	parts Parts
	pools map[string]*pool.Pool

	mu     sync.Mutex
	leases map[string]time.Time // when each session ends unless it is renewed
}

// New makes a broker whose pools do nothing before Run.
func New(p Parts) *Broker {
	b := &Broker{parts: p, pools: map[string]*pool.Pool{}, leases: map[string]time.Time{}}
	metrics := pool.NewMetrics(p.Registerer)
	for _, spec := range p.Pools {
		b.pools[spec.Name] = pool.New(spec, p.Store, p.Machines, p.Log, metrics)
	}
	p.Registerer.MustRegister(&collector{b})
	return b
}

// Run keeps the pools and ends sessions whose lease is over, until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.leaseAll(ctx); err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, p := range b.pools {
		running.Go(func() { p.Run(ctx) })
	}
	running.Go(func() { b.endSessions(ctx) })
	running.Wait()
	return nil
}

// Check says whether logins have a chance: the database and the directory answer.
func (b *Broker) Check(ctx context.Context) error {
	if err := b.parts.Store.Check(ctx); err != nil {
		return err
	}
	if err := b.parts.Directory.Check(ctx); err != nil {
		return fmt.Errorf("asking the directory: %w", err)
	}
	return nil
}

// after is what becomes of a pool's desktop whose binding has ended. One of a pool that the configuration names no more goes.
func (b *Broker) after(name string) store.State {
	if p, ok := b.pools[name]; ok && p.Spec().Keep {
		return store.Ready
	}
	return store.Deleting
}

// changed tells a pool that its desktops have changed.
func (b *Broker) changed(name string) {
	if p, ok := b.pools[name]; ok {
		p.Kick()
	}
}
