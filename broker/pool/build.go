package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/broker/store"
)

// A server's state is asked often at first, because simulated ones boot at once, and then as often as a build of minutes
// deserves.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 2 * time.Second
)

// A cloud whose builds fail is not hammered: the pause doubles with each failure.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = time.Minute
)

// Why builds fail.
var (
	ErrCloud        = errors.New("the cloud does not build desktops")
	ErrBuildTimeout = errors.New("the cloud does not finish its builds in time")
)

// errUnknown says that a build of an earlier broker cannot be taken up.
var errUnknown = errors.New("the broker ended before the cloud answered")

// errFailed is the cloud's own word that it cannot build the server.
var errFailed = errors.New("the cloud could not build it")

// make builds a desktop that has just been recorded.
func (p *Pool) make(ctx context.Context, d store.Desktop) {
	p.finish(ctx, d, func(building context.Context) error {
		serverID, err := p.machines.Build(building, d.ID, p.spec)
		if err != nil {
			return waitedFor(building, err)
		}
		d.ServerID = serverID
		if err := p.store.SetServer(building, d.ID, serverID); err != nil {
			return err
		}
		return p.boot(building, d)
	})
}

// build goes on with a desktop that somebody else began to build.
func (p *Pool) build(ctx context.Context, d store.Desktop) {
	p.finish(ctx, d, func(building context.Context) error {
		if d.ServerID == "" {
			// Whether the cloud was asked nobody knows. If it was, retire finds the server by its mark.
			return errUnknown
		}
		return p.boot(building, d)
	})
}

// finish brings a build to its end: a desktop that is ready, or one to be deleted. If neither can be recorded, the next look
// adopts it.
func (p *Pool) finish(ctx context.Context, d store.Desktop, work func(context.Context) error) {
	building, cancel := context.WithDeadlineCause(ctx, d.Created.Add(p.spec.BuildTimeout),
		fmt.Errorf("it was not ready within %v", p.spec.BuildTimeout))
	defer cancel()
	err := work(building)
	if err == nil {
		p.heard()
		err = p.ready(ctx, d)
	}
	if err != nil && ctx.Err() == nil {
		cause := causeOf(err, building)
		p.metrics.buildsFailed.WithLabelValues(p.spec.Name, string(cause)).Inc()
		p.giveUp(ctx, d, cause, "building it: "+err.Error())
	}
	p.ended(d, err, building.Err() != nil)
	p.Kick()
}

// ended counts a build's end, and decides when the next one may begin.
func (p *Pool) ended(d store.Desktop, err error, late bool) {
	p.slots.Release(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boots--
	delete(p.building, d.ID)
	switch {
	case err == nil:
		p.failures, p.pause, p.trouble = 0, time.Time{}, nil
		return
	case late:
		p.trouble = fmt.Errorf("%w: %w", ErrBuildTimeout, err)
	default:
		p.trouble = fmt.Errorf("%w: %w", ErrCloud, err)
	}
	if !d.Created.Before(p.troubled) || p.failures == 0 {
		p.failures++ // builds that began together fail together, and are one failure
	}
	p.troubled = time.Now()
	p.pause = p.troubled.Add(min(lastPause, firstPause<<min(p.failures, 10)))
}

// boot waits until a desktop's server runs and its console answers.
func (p *Pool) boot(ctx context.Context, d store.Desktop) error {
	for pause := firstPoll; ; pause = min(lastPoll, pause*3/2) {
		m, err := p.machines.State(ctx, d.ServerID)
		switch {
		case errors.Is(err, ErrGone):
			return err
		case err != nil && ctx.Err() == nil:
			// A cloud that fails once need not fail again: the deadline decides.
			p.log.Warn("asking for a server that is built", "server", d.ServerID, "err", err)
		case m.Status == Failed:
			return fmt.Errorf("%w: %s", errFailed, m.Fault)
		case m.Status == Active:
			if err = p.machines.Answers(ctx, m); err == nil {
				return nil
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return waitedFor(ctx, err)
		}
	}
}

// waitedFor is an error with why the wait ended, if it did.
func waitedFor(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return fmt.Errorf("%w: %w", cause, err)
	} else if cause != nil {
		return cause
	}
	return err
}

// ready records that a desktop can be handed out, and how long that took.
func (p *Pool) ready(ctx context.Context, d store.Desktop) error {
	now := time.Now()
	d, err := p.store.SetReady(ctx, d.ID, now)
	if err != nil || d.State != store.Ready {
		return err
	}
	p.metrics.ready.WithLabelValues(p.spec.Name).Observe(now.Sub(d.Created).Seconds())
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.broken) > 0 {
		p.metrics.replaced.WithLabelValues(p.spec.Name).Observe(now.Sub(p.broken[0]).Seconds())
		p.broken = p.broken[1:]
	}
	return nil
}

// replacedFromStock forgets what broke while there was another desktop at once: nobody waited for its replacement.
func (p *Pool) replacedFromStock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = nil
}
