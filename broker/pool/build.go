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

// errFailed is the cloud's own word that it cannot build the server.
var errFailed = errors.New("the cloud could not build it")

func (p *Pool) started() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boots++
}

// build builds a desktop that is on record, to its end: ready, or to be deleted.
func (p *Pool) build(ctx context.Context, d store.Desktop) {
	building, cancel := context.WithDeadlineCause(ctx, d.Created.Add(p.spec.BuildTimeout),
		fmt.Errorf("it was not ready within %v", p.spec.BuildTimeout))
	defer cancel()
	err := p.boot(building, d)
	if ctx.Err() != nil {
		return // The next broker goes on with it.
	}
	if err == nil {
		err = p.ready(ctx, d)
	}
	p.ended(err, building.Err() != nil)
	if err != nil {
		cause := causeOf(err, building)
		p.metrics.buildsFailed.WithLabelValues(p.spec.Name, string(cause)).Inc()
		p.giveUp(ctx, d, cause, "building it: "+err.Error())
	}
	p.Kick()
}

// ended counts a build's end, and decides when the next one may begin.
func (p *Pool) ended(err error, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boots--
	switch {
	case err == nil:
		p.failures, p.pause, p.trouble = 0, time.Time{}, nil
		return
	case late:
		p.trouble = fmt.Errorf("%w: %w", ErrBuildTimeout, err)
	default:
		p.trouble = fmt.Errorf("%w: %w", ErrCloud, err)
	}
	p.failures++
	p.pause = time.Now().Add(min(lastPause, firstPause<<min(p.failures, 10)))
}

// boot asks for a desktop's server and waits until its desktop answers.
func (p *Pool) boot(ctx context.Context, d store.Desktop) error {
	if d.ServerID == "" {
		serverID, err := p.machines.Build(ctx, d.ID, p.spec)
		if err != nil {
			return waitedFor(ctx, err)
		}
		d.ServerID = serverID
		if err := p.store.SetServer(ctx, d.ID, serverID); err != nil {
			return err
		}
	}
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
