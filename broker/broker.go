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
	// CloudTimeout bounds what a login waits for one answer of the cloud. 0: 10 s.
	CloudTimeout time.Duration
}

const defaultCloudTimeout = 10 * time.Second

// Broker is the service.
type Broker struct {
	parts Parts
	pools map[string]*pool.Pool // as configured

	metrics *pool.Metrics

	mu      sync.Mutex
	leases  map[string]time.Time // when each session ends unless it is renewed
	renewed time.Time            // when one was, last
}

// New makes a broker whose pools do nothing before Run.
func New(p Parts) *Broker {
	if p.CloudTimeout == 0 {
		p.CloudTimeout = defaultCloudTimeout
	}
	b := &Broker{parts: p, pools: map[string]*pool.Pool{}, leases: map[string]time.Time{}}
	b.metrics = pool.NewMetrics(p.Registerer)
	for _, spec := range p.Pools {
		b.pools[spec.Name] = pool.New(spec, p.Store, p.Machines, p.Log, b.metrics)
	}
	p.Registerer.MustRegister(&collector{b})
	return b
}

// Run keeps the pools and ends sessions whose lease is over, until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.leaseAll(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var running sync.WaitGroup
	for _, p := range b.pools {
		running.Go(func() { p.Run(ctx) })
	}
	former, err := b.formerPools(ctx)
	if err != nil {
		return err
	}
	for _, p := range former {
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

// formerPools are those that have desktops and that the configuration names no more. They keep none ready: what nobody has
// goes, the rest when its binding ends.
func (b *Broker) formerPools(ctx context.Context) ([]*pool.Pool, error) {
	names, err := b.parts.Store.Pools(ctx)
	if err != nil {
		return nil, err
	}
	var former []*pool.Pool
	for _, name := range names {
		if _, ok := b.pools[name]; !ok {
			b.parts.Log.Warn("a pool is not in the configuration any more; its desktops go when nobody has them", "pool", name)
			former = append(former, pool.New(pool.Spec{Name: name, Boots: 4, BuildTimeout: pool.Goal, CheckEvery: formerEvery},
				b.parts.Store, b.parts.Machines, b.parts.Log, b.metrics))
		}
	}
	return former, nil
}

// formerEvery is how often former pools are looked at.
const formerEvery = 15 * time.Second
