package vdi

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/broker/client"
)

const (
	// answerGrace is how long a login is waited for that k6 has cut short: its
	// answer may be on the way, and what nobody reads nobody can log out. Who
	// does not answer by then sees its client hang up, and gives the desktop
	// back itself.
	answerGrace = 2 * time.Second

	// logoutTimeout bounds a logout that k6 has cut short; leavingTimeout all
	// those at the test's end together, of which as many are under way at once
	// as there are leavers.
	logoutTimeout  = 10 * time.Second
	leavingTimeout = 15 * time.Second
	leavers        = 64
)

// logins are the users of a process who are logged in, logged out when the test
// ends.
type logins struct {
	outputs *outputs
	leaving time.Duration // how long close may take

	mu      sync.Mutex
	closed  bool
	stop    chan struct{} // closed with it
	out     chan<- metrics.SampleContainer
	metrics *vdiMetrics
	base    *metrics.TagSet // of the first login, without path and site
	open    map[*login]struct{}

	under sync.WaitGroup // logins and logouts under way
}

func (l *logins) init(o *outputs) {
	l.outputs, l.leaving = o, leavingTimeout
	l.open = map[*login]struct{}{}
	l.stop = make(chan struct{})
}

// finish does work that has to come to its end although k6 ends the iteration:
// it goes on for the grace then, without being waited for but at the test's
// end. The work's context ends with the grace or after the time-out. After is
// called when it is over.
func finish[T any](l *logins, iteration context.Context, timeout, grace time.Duration, after func(),
	work func(context.Context) (T, error)) (T, error) {
	var nothing T
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		after()
		return nothing, errStopped
	}
	l.under.Add(1)
	l.mu.Unlock()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer l.under.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(iteration), timeout)
		defer cancel()
		defer context.AfterFunc(iteration, func() { time.AfterFunc(grace, cancel) })()
		value, err := work(ctx)
		after() // before the script goes on
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-iteration.Done():
		return nothing, iteration.Err()
	}
}

// login is a user who is logged in.
type login struct {
	all     *logins
	driver  client.Driver
	session *client.Session
	tags    *metrics.TagSet // with path and site

	at client.Console // the session's, or a later one; whoever connects has it

	mu      sync.Mutex
	gone    bool
	renewal *time.Timer
}

// add takes a login whose session is in hand, and keeps its lease.
func (l *logins) add(one *login, out chan<- metrics.SampleContainer, m *vdiMetrics, base *metrics.TagSet) {
	one.all = l
	l.mu.Lock()
	l.open[one] = struct{}{}
	if l.out == nil {
		l.out, l.metrics, l.base = out, m, base
		go everySecond(l.stop, func() { l.outputs.push(l.out, l.count()) })
	}
	l.mu.Unlock()
	if one.session.Lease > 0 {
		one.mu.Lock()
		one.renewal = time.AfterFunc(one.renewEvery(), one.renew)
		one.mu.Unlock()
	}
}

func (l *logins) remove(one *login) {
	l.mu.Lock()
	delete(l.open, one)
	l.mu.Unlock()
}

func (l *logins) count() metrics.Samples {
	l.mu.Lock()
	defer l.mu.Unlock()
	return metrics.Samples{sample(l.metrics.loginsOpen, l.base, float64(len(l.open)))}
}

// renewEvery is a third of the lease, or as often as makes sense.
func (one *login) renewEvery() time.Duration { return max(one.session.Lease/3, 100*time.Millisecond) }

// renew makes the session last, three times as often as needed: once may fail.
func (one *login) renew() {
	ctx, cancel := context.WithTimeout(context.Background(), one.renewEvery())
	defer cancel()
	err := one.driver.Renew(ctx, one.session)
	one.mu.Lock() // and wait for a logout, which is why a renewal may fail
	defer one.mu.Unlock()
	if one.gone {
		return
	}
	tags := one.tags
	if err != nil {
		tags = tags.With("class", kindOf(err))
	}
	one.all.outputs.push(one.all.out, metrics.Samples{sample(one.all.metrics.renewFailed, tags, boolean(err != nil))})
	if e, ok := errors.AsType[*client.Error](err); ok && e.Class == client.SessionNotFound {
		one.leave()
		return
	}
	one.renewal.Reset(one.renewEvery())
}

// end logs out, once.
func (one *login) end(ctx context.Context) error {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.gone {
		return nil
	}
	if err := one.driver.Logout(ctx, one.session); err != nil {
		return err
	}
	one.leave()
	return nil
}

// leave is the end of a login. The caller holds one.mu.
func (one *login) leave() {
	one.gone = true
	if one.renewal != nil {
		one.renewal.Stop()
	}
	one.all.remove(one)
}

// console is where the desktop is. A ticket that has expired, or will on its
// way, is replaced.
func (one *login) console(ctx context.Context) (client.Console, error) {
	const onTheWay = time.Second
	if one.at.Expires.IsZero() || time.Until(one.at.Expires) > onTheWay {
		return one.at, nil
	}
	at, err := one.driver.Console(ctx, one.session)
	if err != nil {
		if e, ok := errors.AsType[*client.Error](err); ok && e.Step == "" {
			named := *e
			named.Step = client.StepConsole
			return client.Console{}, &named
		}
		return client.Console{}, err
	}
	one.at = at
	return at, nil
}

// close logs out all that are logged in, a few at a time and for a bounded
// time, and counts those who are left. What is under way comes to its end
// before, as far as the time goes.
func (l *logins) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.stop)
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), l.leaving)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		l.under.Wait()
		close(ended)
	}()
	l.leave(ctx)
	select {
	case <-ended:
	case <-ctx.Done():
	}
	l.leave(ctx) // those who have come in meanwhile
	if l.metrics == nil {
		return
	}
	l.outputs.push(l.out, append(l.left(), l.count()...))
}

func (l *logins) leave(ctx context.Context) {
	l.mu.Lock()
	all := make(chan *login, len(l.open))
	for one := range l.open {
		all <- one
	}
	l.mu.Unlock()
	close(all)
	var wg sync.WaitGroup
	for range min(leavers, len(all)) {
		wg.Go(func() {
			for one := range all {
				_ = one.end(ctx) // who is left is counted
			}
		})
	}
	wg.Wait()
}

// left counts who could not be logged out, and lets their leases end.
func (l *logins) left() metrics.Samples {
	l.mu.Lock()
	left := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	counts := map[*metrics.TagSet]float64{}
	for _, one := range left {
		one.mu.Lock()
		if !one.gone {
			counts[one.tags]++
		}
		if one.renewal != nil {
			one.renewal.Stop()
		}
		one.mu.Unlock()
	}
	var samples metrics.Samples
	for tags, n := range counts {
		samples = append(samples, sample(l.metrics.loginsLeft, tags, n))
	}
	return samples
}
