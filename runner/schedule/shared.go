package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Database is what Shared needs of one: leases by the database's own clock, and values by keys. Package history has one.
type Database[L Lease] interface {
	// Lead takes the lease of a name, which nobody else can have until it ends or is released.
	Lead(ctx context.Context, name string, ttl time.Duration) (L, error)
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error // nil removes it
	// PutAs is Put, but an error, and nothing else, if the lease has ended.
	PutAs(ctx context.Context, l L, key string, value []byte) error
}

// Lease is the right to start runs, for a time.
type Lease interface {
	Renew(ctx context.Context) error
	Release(ctx context.Context) error
}

// SharedOptions say how a Database is used.
type SharedOptions struct {
	Jobs []string // by their names
	// Held says whether an error of Lead means that another runner leads; NotFound, whether one of Get means that there is
	// nothing; Lost, whether one of Renew or PutAs means that the lease has ended.
	Held, NotFound, Lost func(error) bool
	// Waits is told of an error that Held knows, once each time that another runner turns out to lead. Optional.
	Waits func(error)
	TTL   time.Duration // of the lease; 0: 30 s
	Clock Clock         // nil: System
}

// Shared is a Leader and a Store in a database that several runners share. Marks are written under the lease: a runner that
// was stopped for longer than its lease can neither account for an occurrence nor, because of that, start its run, even if it
// does not know yet that it leads no more. Its methods may be called by many goroutines at once.
type Shared[L Lease] struct {
	db      Database[L]
	options SharedOptions

	mutex sync.Mutex
	lease *L              // nil: it does not lead
	marks map[string]Mark // as loaded while it leads; nil: not yet
}

// NewShared makes a Shared.
func NewShared[L Lease](db Database[L], o SharedOptions) *Shared[L] {
	if o.TTL == 0 {
		o.TTL = 30 * time.Second
	}
	if o.Clock == nil {
		o.Clock = System()
	}
	return &Shared[L]{db: db, options: o}
}

const (
	leaseName = "schedule"
	marksKey  = "schedule.marks"
	pauseKey  = "schedule.pause." // and the job's name
)

// Lead waits until the lease is free, and then renews it three times in its length.
func (s *Shared[L]) Lead(ctx context.Context) (<-chan struct{}, func(), error) {
	clock := s.options.Clock
	told := false
	for {
		asked := clock.Steady()
		lease, err := s.ask(ctx)
		if err == nil {
			s.mutex.Lock()
			s.lease, s.marks = &lease, nil // what another runner wrote is not known yet
			s.mutex.Unlock()
			lost, stop := make(chan struct{}), make(chan struct{})
			var ended sync.WaitGroup
			ended.Go(func() { s.renew(lease, asked, lost, stop) })
			return lost, func() {
				close(stop)
				ended.Wait()
				s.mutex.Lock()
				s.lease = nil
				s.mutex.Unlock()
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
				defer cancel()
				_ = lease.Release(ctx) // it ends by itself
			}, nil
		}
		if !s.options.Held(err) {
			return nil, nil, err
		}
		if !told && s.options.Waits != nil {
			s.options.Waits(err)
		}
		told = true
		timer, stop := clock.Timer(s.options.TTL / 3)
		select {
		case <-ctx.Done():
			stop()
			return nil, nil, ctx.Err()
		case <-timer:
		}
	}
}

func (s *Shared[L]) ask(ctx context.Context) (L, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.db.Lead(ctx, leaseName, s.options.TTL)
}

// renew renews the lease until it is told to stop, and closes lost when it could not in time: by the steady clock, from the
// time when the database was asked.
func (s *Shared[L]) renew(lease L, asked time.Duration, lost chan<- struct{}, stop <-chan struct{}) {
	clock := s.options.Clock
	for {
		left := s.options.TTL - (clock.Steady() - asked)
		if left <= 0 {
			close(lost)
			return
		}
		timer, end := clock.Timer(min(left, s.options.TTL/3))
		select {
		case <-stop:
			end()
			return
		case <-timer:
		}
		now := clock.Steady()
		ctx, cancel := context.WithTimeout(context.Background(), s.options.TTL/3)
		err := lease.Renew(ctx)
		cancel()
		switch {
		case err == nil:
			asked = now
		case s.options.Lost(err):
			close(lost)
			return
		}
	}
}

// keptMark is a Mark in the database.
type keptMark struct {
	Accounted time.Time `json:"accounted"`
	Timing    string    `json:"timing"`
}

type keptPause struct {
	By    string    `json:"by,omitempty"`
	Since time.Time `json:"since"`
}

// Load returns the states.
func (s *Shared[L]) Load(ctx context.Context) (map[string]State, error) {
	states := map[string]State{}
	var marks map[string]keptMark
	if err := s.get(ctx, marksKey, &marks); err != nil {
		return nil, err
	}
	s.mutex.Lock()
	s.marks = map[string]Mark{}
	for job, k := range marks {
		s.marks[job] = Mark{At: k.Accounted, Timing: k.Timing}
		states[job] = State{Mark: s.marks[job]}
	}
	s.mutex.Unlock()
	for _, job := range s.options.Jobs {
		var k *keptPause
		if err := s.get(ctx, pauseKey+job, &k); err != nil {
			return nil, err
		}
		if k != nil {
			state := states[job]
			state.Pause = &Pause{By: k.By, Since: k.Since}
			states[job] = state
		}
	}
	return states, nil
}

func (s *Shared[L]) get(ctx context.Context, key string, to any) error {
	text, err := s.db.Get(ctx, key)
	if err != nil && s.options.NotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("reading the state %s of the database: %w", key, err)
	}
	return nil
}

// Advance replaces a job's mark. Only who leads can, so that what it loaded is what there is.
func (s *Shared[L]) Advance(ctx context.Context, job string, was, is Mark) (bool, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.lease == nil || s.marks == nil || !s.marks[job].Equal(was) {
		return false, nil
	}
	all := map[string]keptMark{}
	for _, name := range s.options.Jobs { // jobs that are no more are forgotten
		if m, ok := s.marks[name]; ok {
			all[name] = keptMark{m.At.UTC(), m.Timing}
		}
	}
	all[job] = keptMark{is.At.UTC(), is.Timing}
	text, err := json.Marshal(all)
	if err != nil {
		return false, err
	}
	err = s.db.PutAs(ctx, *s.lease, marksKey, text)
	if err != nil && s.options.Lost(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.marks[job] = is
	return true, nil
}

// SetPause pauses a job or resumes it, for all runners.
func (s *Shared[L]) SetPause(ctx context.Context, job string, p *Pause) error {
	if p == nil {
		return s.db.Put(ctx, pauseKey+job, nil)
	}
	text, err := json.Marshal(keptPause{p.By, p.Since})
	return errors.Join(err, s.db.Put(ctx, pauseKey+job, text))
}
