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
	case errors.Is(err, errUnknown):
		return causeUnknown
	case building.Err() != nil:
		return causeTimeout
	}
	return causeCloud
}

// condemnations is how many desktops may be given up in the time of Goal because they do not answer or are not there, as a
// part of the pool; three in any case. More than that at once is the network's fault or a wrong list, and to delete them all
// would make it worse. As long as no console of the pool answers after that, no more are given up at all.
const condemnations = 0.2

// ErrSpared says that a desktop was not given up because too many were, lately.
var ErrSpared = errors.New("too many desktops were given up lately: is it the network? An operator may give it up")

// Condemn is an operator's word that a desktop cannot be used.
func (p *Pool) Condemn(ctx context.Context, d store.Desktop, reason string) error {
	d.State = "" // whatever it is
	return p.broke(ctx, d, causeReport, reason)
}

// Report is a thin client's word that its desktop cannot be used. The error is ErrSpared when too many say so.
func (p *Pool) Report(ctx context.Context, d store.Desktop, reason string) error {
	if !p.condemn(d, causeReport) {
		return ErrSpared
	}
	return p.broke(ctx, d, causeReport, reason)
}

// Died says that a login found a desktop dead. It returns whether the desktop was given up.
func (p *Pool) Died(ctx context.Context, d store.Desktop, reason string) bool {
	return p.condemn(d, causeLogin) && p.broke(ctx, d, causeLogin, reason) == nil
}

// condemn says whether one more desktop may be given up that does not answer or is not there.
func (p *Pool) condemn(d store.Desktop, c cause) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.condemned = slices.DeleteFunc(p.condemned, func(at time.Time) bool {
		return now.Sub(at) > Goal && p.answered.After(at)
	})
	if len(p.condemned) >= max(3, int(condemnations*float64(p.spec.Max))) {
		p.log.Error("too many desktops do not answer or are not there: is it the network, or the cloud's list? This one is kept",
			"desktop", d.ID, "server", d.ServerID, "cause", string(c))
		p.metrics.spared.WithLabelValues(p.spec.Name).Inc()
		return false
	}
	p.condemned = append(p.condemned, now)
	return true
}

// heard remembers that a console has answered.
func (p *Pool) heard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = time.Now()
}

// giveUp takes a desktop out of use and has it replaced. Failing to record it is only logged: the next inspection, or the
// next look at builds that nobody is at, finds it again.
func (p *Pool) giveUp(ctx context.Context, d store.Desktop, c cause, reason string) {
	if err := p.broke(ctx, d, c, reason); err != nil && ctx.Err() == nil {
		p.log.Error("recording a broken desktop", "desktop", d.ID, "reason", reason, "err", err)
	}
}

// broke takes a desktop out of use and has it replaced, if it is still in the state that it was found in.
func (p *Pool) broke(ctx context.Context, d store.Desktop, c cause, reason string) error {
	now := time.Now()
	news, err := p.store.SetBroken(ctx, d.ID, d.State, reason, now)
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
