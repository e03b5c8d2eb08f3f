package pool

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/broker/store"
)

// cause is why a desktop cannot be used, as metrics count it.
type cause string

const (
	causeFailed  cause = "failed"  // the cloud says that it could not build it, or that it is in error
	causeTimeout cause = "timeout" // it was not ready in time
	causeCloud   cause = "cloud"   // the cloud refused to build it
	causeGone    cause = "gone"    // the cloud has no such server
	causeStopped cause = "stopped" // it does not run
	causeConsole cause = "console" // its console does not answer
	causeReport  cause = "report"  // a thin client or an operator said so
	causeLogin   cause = "login"   // a login found it dead
	causeUnknown cause = "unknown" // an earlier broker was asking for it
)

// causeOf sorts a failed build.
func causeOf(err error, building context.Context) cause {
	switch {
	case errors.Is(err, errFailed):
		return causeFailed
	case errors.Is(err, ErrGone):
		return causeGone
	case building.Err() != nil:
		return causeTimeout
	}
	return causeCloud
}

// condemnations is how many desktops may be given up in Spec.CheckEvery because their consoles do not answer, as a part of
// the pool; three in any case. More than that at once is the network's fault, and to delete them all would make it worse.
const condemnations = 0.1

// Report says that a desktop of the pool cannot be used: a thin client or an operator found out.
func (p *Pool) Report(ctx context.Context, d store.Desktop, reason string) error {
	return p.broke(ctx, d, causeReport, reason)
}

// Died says that a login found a desktop dead. It returns whether the desktop was given up.
func (p *Pool) Died(ctx context.Context, d store.Desktop, reason string) bool {
	return p.condemn(d, causeLogin) && p.broke(ctx, d, causeLogin, reason) == nil
}

// condemn says whether one more desktop may be given up because its console does not answer.
func (p *Pool) condemn(d store.Desktop, c cause) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.condemned = slices.DeleteFunc(p.condemned, func(at time.Time) bool { return now.Sub(at) > p.spec.CheckEvery })
	if len(p.condemned) >= max(3, int(condemnations*float64(p.spec.Max))) {
		p.log.Error("too many consoles do not answer at once: is it the network? This desktop is kept",
			"desktop", d.ID, "server", d.ServerID, "cause", string(c))
		p.metrics.spared.WithLabelValues(p.spec.Name).Inc()
		return false
	}
	p.condemned = append(p.condemned, now)
	return true
}

// giveUp takes a desktop out of use and has it replaced. Failing to record it is only logged: the next inspection finds it
// again.
func (p *Pool) giveUp(ctx context.Context, d store.Desktop, c cause, reason string) {
	if err := p.broke(ctx, d, c, reason); err != nil && ctx.Err() == nil {
		p.log.Error("recording a broken desktop", "desktop", d.ID, "reason", reason, "err", err)
	}
}

// broke takes a desktop out of use and has it replaced.
func (p *Pool) broke(ctx context.Context, d store.Desktop, c cause, reason string) error {
	now := time.Now()
	news, err := p.store.SetBroken(ctx, d.ID, reason, now)
	if err != nil || !news {
		return err
	}
	p.log.Warn("desktop is broken", "desktop", d.ID, "server", d.ServerID, "cause", string(c), "reason", reason)
	p.metrics.broken.WithLabelValues(p.spec.Name, string(c)).Inc()
	if d.State != store.Building {
		// What was never ready is not replaced, it is built again.
		p.mu.Lock()
		p.broken = append(p.broken, now)
		p.mu.Unlock()
	}
	p.Kick()
	return nil
}
