// Package pool keeps desktops ready, so that nobody waits for one to boot: it builds new ones in the background, checks
// those there are, replaces the broken ones and deletes what is no longer wanted.
//
// What it knows is in the store, so that a broker that was killed goes on where it was: a desktop is recorded before the
// cloud is asked for it, and forgotten only when the cloud says that it is gone. A server of the broker's that no record
// knows is deleted.
package pool

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/deskstorm/deskstorm/broker/store"
)

// Goal is what the service promises for a new desktop, and for the replacement of a broken one.
const Goal = 5 * time.Minute

// settle is the shortest time between two looks at the counts: logins come by the hundred.
const settle = 50 * time.Millisecond

// retireEvery is how often what could not be deleted is tried again.
const retireEvery = 5 * time.Second

// Machines is what a pool needs of the cloud. Its methods may be called by many goroutines at once.
type Machines interface {
	// Build asks for a server. The desktop's id and its pool are written on it, for All.
	Build(ctx context.Context, desktopID string, spec Spec) (serverID string, err error)
	// State asks for one server. ErrGone says that there is none.
	State(ctx context.Context, serverID string) (Machine, error)
	// All lists the servers that carry this broker's and the pool's mark.
	All(ctx context.Context, pool string) ([]Machine, error)
	// Delete asks for a server's end. ErrGone, or nothing, says that there is none.
	Delete(ctx context.Context, serverID string) error
	// Answers says whether the desktop on a server takes connections. ErrUnsure says that nobody knows.
	Answers(ctx context.Context, m Machine) error
}

// ErrGone says that the cloud has no such server.
var ErrGone = errors.New("the cloud has no such server")

// ErrUnsure says that the cloud failed to tell where a desktop's console is.
var ErrUnsure = errors.New("whether the desktop answers is not known")

// Status is a server's, in Nova's words. Others than these exist.
type Status string

// The statuses that the broker decides on (the compute API guide, "Server concepts").
const (
	Build            Status = "BUILD"
	Active           Status = "ACTIVE"
	Failed           Status = "ERROR"
	Stopped          Status = "SHUTOFF"
	Paused           Status = "PAUSED"
	Suspended        Status = "SUSPENDED"
	Shelved          Status = "SHELVED"
	ShelvedOffloaded Status = "SHELVED_OFFLOADED"
	SoftDeleted      Status = "SOFT_DELETED"
	Rescued          Status = "RESCUE"
)

// Resting says that a server stays as it is until somebody changes it. Others are about to run, or Nova does not know.
func (s Status) Resting() bool {
	switch s {
	case Failed, Stopped, Paused, Suspended, Shelved, ShelvedOffloaded, SoftDeleted, Rescued:
		return true
	}
	return false
}

// Machine is a server as the cloud sees it.
type Machine struct {
	ServerID  string
	Name      string
	DesktopID string // which the broker wrote on it
	Host      string // the compute node; may be empty
	Status    Status
	Fault     string // why it failed
	Created   time.Time
}

// Pool keeps the desktops of one specification.
type Pool struct {
	spec     Spec
	store    *store.Store
	machines Machines
	log      *slog.Logger
	metrics  *Metrics

	kicked chan struct{} // something has changed
	work   sync.WaitGroup

	slots    *semaphore.Weighted // for what boots, new or stopped
	mu       sync.Mutex
	boots    int                 // in progress
	building map[string]struct{} // desktops that are being built here
	failures int                 // of builds, one after another
	trouble  error               // of the last of them
	troubled time.Time           // when that was
	pause    time.Time           // no build before, because of them
	retiring map[string]struct{} // desktops whose end is in progress
	broken   []time.Time         // when desktops broke whose replacement is not ready yet, the oldest first

	condemned []time.Time         // when desktops were given up lately that did not answer, or were not there
	answered  time.Time           // when a console last did
	orphans   map[string]struct{} // servers that the last inspection knew no record of
	queue     queue
}

// New makes a pool that does nothing yet.
func New(spec Spec, s *store.Store, machines Machines, log *slog.Logger, m *Metrics) *Pool {
	return &Pool{spec: spec, store: s, machines: machines, log: log.With("pool", spec.Name), metrics: m,
		kicked: make(chan struct{}, 1), slots: semaphore.NewWeighted(int64(spec.Boots)),
		building: map[string]struct{}{}, retiring: map[string]struct{}{}}
}

// Spec is what the pool was made with.
func (p *Pool) Spec() Spec { return p.spec }

// Boots is how many desktops boot now: new ones, and stopped ones that logins started.
func (p *Pool) Boots() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.boots
}

// Waiting is how many logins wait for a desktop now.
func (p *Pool) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.length()
}

// Trouble is why the pool's last build failed; nil if it did not, or if that was before a time and the next one is under
// way. It is ErrCloud, or ErrBuildTimeout if the cloud takes builds and does not finish them.
func (p *Pool) Trouble(since time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.boots > 0 && p.troubled.Before(since) {
		return nil
	}
	return p.trouble
}

// Kick tells the pool that its desktops have changed: one was handed out, or is to be deleted.
func (p *Pool) Kick() {
	select {
	case p.kicked <- struct{}{}:
	default: // it has been told
	}
}

// Run keeps the pool until ctx ends, and returns when all work in progress has stopped.
func (p *Pool) Run(ctx context.Context) {
	defer p.work.Wait()
	p.work.Go(func() { p.inspectAgainAndAgain(ctx) })
	retry := time.NewTicker(retireEvery)
	defer retry.Stop()
	for ctx.Err() == nil {
		if err := p.look(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("looking after the pool", "err", err)
		}
		rest := time.NewTimer(settle)
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
		select {
		case <-p.kicked:
		case <-retry.C:
		case <-ctx.Done():
		}
	}
}

// stock is how many desktops a pool has.
type stock struct {
	ready    int // of the specification
	outdated int // ready too, but of another one
	building int
	drained  int // while they are being built
	deleting int
	all      int
}

func (p *Pool) count(ctx context.Context) (stock, error) {
	var n stock
	counts, err := p.store.Counts(ctx, p.spec.Name, p.spec.ID())
	for _, c := range counts {
		n.all += c.Desktops
		switch {
		case c.State == store.Deleting:
			n.deleting += c.Desktops
		case c.State == store.Ready && c.Outdated:
			n.outdated += c.Desktops
		case c.State == store.Ready:
			n.ready += c.Desktops
		case c.State == store.Building && c.Draining:
			n.drained += c.Desktops
		case c.State == store.Building:
			n.building += c.Desktops
		}
	}
	return n, err
}

// look builds what is missing, deletes what is not wanted, and tells those who wait.
func (p *Pool) look(ctx context.Context) error {
	n, err := p.count(ctx)
	if err != nil {
		return err
	}
	if err := p.adopt(ctx, n.building+n.drained); err != nil {
		return err
	}
	if n.deleting > 0 {
		if err := p.retireAll(ctx); err != nil {
			return err
		}
	}
	waiting := p.tellWaiting(n.ready + n.outdated)
	missing := waiting + p.spec.Ready - n.ready - n.building
	if missing <= 0 && n.building == 0 {
		p.replacedFromStock()
	}
	return p.refill(ctx, missing)
}

// adopt goes on with builds that nobody is at: those of a broker that has ended, and those whose end could not be recorded.
func (p *Pool) adopt(ctx context.Context, recorded int) error {
	p.mu.Lock()
	here := len(p.building)
	p.mu.Unlock()
	if recorded <= here {
		return nil
	}
	building, err := p.store.Desktops(ctx, p.spec.Name, store.Building)
	if err != nil {
		return err
	}
	for _, d := range building {
		if p.isBuilding(d.ID) || !p.slots.TryAcquire(1) {
			continue
		}
		p.begin(d.ID)
		p.work.Go(func() { p.build(ctx, d) })
	}
	return nil
}

func (p *Pool) isBuilding(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.building[id]
	return ok
}

// begin counts a build that has a slot.
func (p *Pool) begin(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.building[id] = struct{}{}
	p.boots++
}

// Boot takes a place among what boots for a stopped desktop, and waits for one. Whoever has one must call done.
func (p *Pool) Boot(ctx context.Context) (done func(), err error) {
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boots++
	return func() {
		p.mu.Lock()
		p.boots--
		p.mu.Unlock()
		p.slots.Release(1)
		p.Kick()
	}, nil
}

// tellWaiting lets as many logins try again as there are desktops, and returns how many wait.
func (p *Pool) tellWaiting(ready int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.tell(ready)
	return p.queue.length()
}

// refill starts to build desktops, at most as many as may boot at once.
func (p *Pool) refill(ctx context.Context, missing int) error {
	now := time.Now()
	p.mu.Lock()
	paused := now.Before(p.pause)
	p.mu.Unlock()
	if paused {
		return nil
	}
	var ids []string
	for len(ids) < missing && p.slots.TryAcquire(1) {
		ids = append(ids, uuid.NewString())
	}
	if len(ids) == 0 {
		return nil
	}
	added, err := p.store.AddDesktops(ctx, p.spec.Name, p.spec.ID(), p.spec.Max, ids, now)
	p.slots.Release(int64(len(ids) - added))
	for _, id := range ids[:added] {
		p.begin(id)
		d := store.Desktop{ID: id, Pool: p.spec.Name, State: store.Building, Created: now}
		p.work.Go(func() { p.make(ctx, d) })
	}
	return err
}
