package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/broker/store"
)

const (
	checkers     = 8               // desktops whose consoles are tried at once
	checkTimeout = 5 * time.Second // for one of them
)

// inspectAgainAndAgain inspects the pool until ctx ends.
func (p *Pool) inspectAgainAndAgain(ctx context.Context) {
	tick := time.NewTicker(p.spec.CheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.inspect(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// inspect compares the records with the cloud, and tries the consoles of the desktops that nobody has.
func (p *Pool) inspect(ctx context.Context) {
	// The servers first: each one's record was made before it.
	all, err := p.machines.All(ctx, p.spec.Name)
	if err == nil {
		err = p.compare(ctx, all)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Error("inspecting the pool", "err", err)
		p.metrics.inspectionsFailed.WithLabelValues(p.spec.Name).Inc()
	}
}

func (p *Pool) compare(ctx context.Context, all []Machine) error {
	desktops, err := p.store.Desktops(ctx, p.spec.Name, "")
	if err != nil {
		return err
	}
	known := make(map[string]struct{}, len(desktops))
	for _, d := range desktops {
		known[d.ID] = struct{}{}
	}
	byDesktop := make(map[string]Machine, len(all))
	var strangers []Machine
	for _, m := range all {
		byDesktop[m.DesktopID] = m
		if _, ok := known[m.DesktopID]; !ok {
			strangers = append(strangers, m)
		}
	}
	p.deleteOrphans(ctx, strangers)
	outdated, err := p.outdated(ctx)
	if err != nil {
		return err
	}
	var checks errgroup.Group
	checks.SetLimit(checkers)
	for _, d := range desktops {
		if d.State != store.Ready && d.State != store.Assigned {
			continue
		}
		m, there := byDesktop[d.ID]
		switch {
		case !there:
			checks.Go(func() error { return p.miss(ctx, d) })
		case d.State == store.Assigned:
			// Its user may have shut it down, or it is in ERROR with somebody's work on it: the next login finds out.
		case m.Status.Resting():
			c := causeStopped
			if m.Status == Failed {
				c = causeFailed
			}
			if p.condemn(d, c) {
				p.giveUp(ctx, d, c, fmt.Sprintf("it was ready and is %s now %s", m.Status, m.Fault))
			}
		case m.Status != Active:
			// It is on its way from one state to another.
		case d.Spec != p.spec.ID() && outdated > 0:
			outdated--
			checks.Go(func() error {
				defer p.Kick()
				return p.store.Drain(ctx, d.ID, store.Ready, time.Now())
			})
		default:
			checks.Go(func() error { return p.check(ctx, d, m) })
		}
	}
	return checks.Wait()
}

// miss asks for a server that the cloud did not list. A list may be short of those of a host or cell that is away.
func (p *Pool) miss(ctx context.Context, d store.Desktop) error {
	_, err := p.machines.State(ctx, d.ServerID)
	if !errors.Is(err, ErrGone) {
		return err
	}
	if p.condemn(d, causeGone) {
		p.giveUp(ctx, d, causeGone, "the cloud has no such server any more")
	}
	return nil
}

// outdated is how many desktops of another specification can go now: those beyond what is kept ready, and one if there is
// no room to build the new ones.
func (p *Pool) outdated(ctx context.Context) (int, error) {
	n, err := p.count(ctx)
	if p.spec.Max > 0 && n.all >= p.spec.Max && n.deleting == 0 {
		return 1, err
	}
	return min(n.outdated, n.outdated+n.ready-p.spec.Ready), err
}

// check tries a desktop's console, twice before it is given up. The error says that it could not be tried.
func (p *Pool) check(ctx context.Context, d store.Desktop, m Machine) error {
	var err error
	for range 2 {
		// It was listed a while ago, and to try a console may make its ticket a new one.
		if now, err := p.store.Desktop(ctx, d.ID); err != nil || now.State != store.Ready {
			return nil
		}
		trying, cancel := context.WithTimeout(ctx, checkTimeout)
		err = p.machines.Answers(trying, m)
		cancel()
		switch {
		case err == nil:
			p.heard()
			return nil
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrUnsure):
			return fmt.Errorf("trying the console of desktop %s: %w", d.ID, err)
		}
	}
	if p.condemn(d, causeConsole) {
		p.giveUp(ctx, d, causeConsole, err.Error())
	}
	return nil
}

// deleteOrphans deletes servers that carry the broker's mark and that no record knew at two inspections running: one alone may
// have been listed before its end and its record looked for after. A broker that is killed leaves no more of them than it had
// in work; many more mean that the database is not the one that made them, and nothing is deleted.
func (p *Pool) deleteOrphans(ctx context.Context, strangers []Machine) {
	p.mu.Lock()
	before := p.orphans
	p.orphans = map[string]struct{}{}
	for _, m := range strangers {
		p.orphans[m.ServerID] = struct{}{}
	}
	p.mu.Unlock()
	if limit := max(10, 4*p.spec.Boots); len(strangers) > limit {
		p.log.Error("the cloud has many servers with this broker's mark that no record knows: is this the right database? They are kept",
			"servers", len(strangers))
		p.metrics.spared.WithLabelValues(p.spec.Name).Add(float64(len(strangers)))
		return
	}
	for _, m := range strangers {
		if _, twice := before[m.ServerID]; !twice {
			continue
		}
		if err := p.machines.Delete(ctx, m.ServerID); err != nil && !errors.Is(err, ErrGone) {
			p.log.Warn("deleting a server that no record knows", "server", m.ServerID, "err", err)
			continue
		}
		p.log.Warn("deleted a server that no record knows", "server", m.ServerID, "name", m.Name)
		p.metrics.orphans.WithLabelValues(p.spec.Name).Inc()
	}
}
