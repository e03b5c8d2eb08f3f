package pool

import (
	"context"
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
	begun := time.Now()
	// The servers first: each one's record was made before it.
	all, err := p.machines.All(ctx, p.spec.Name)
	if err == nil {
		err = p.compare(ctx, all, begun)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Error("inspecting the pool", "err", err)
		p.metrics.inspectionsFailed.WithLabelValues(p.spec.Name).Inc()
	}
}

func (p *Pool) compare(ctx context.Context, all []Machine, begun time.Time) error {
	desktops, err := p.store.Desktops(ctx, p.spec.Name, "")
	if err != nil {
		return err
	}
	known := make(map[string]struct{}, len(desktops))
	for _, d := range desktops {
		known[d.ID] = struct{}{}
	}
	byDesktop := make(map[string]Machine, len(all))
	for _, m := range all {
		byDesktop[m.DesktopID] = m
		if _, ok := known[m.DesktopID]; !ok {
			p.deleteOrphan(ctx, m)
		}
	}
	var checks errgroup.Group
	checks.SetLimit(checkers)
	outdated, err := p.outdated(ctx)
	if err != nil {
		return err
	}
	for _, d := range desktops {
		if d.State != store.Ready && d.State != store.Assigned {
			continue
		}
		m, there := byDesktop[d.ID]
		switch {
		case !there && d.Ready.Before(begun):
			p.giveUp(ctx, d, causeGone, "the cloud has no such server any more")
		case !there:
		case m.Status == Failed:
			p.giveUp(ctx, d, causeFailed, "the cloud says ERROR: "+m.Fault)
		case d.State == store.Assigned:
			// Its user may have shut it down; the next login starts it.
		case m.Status != Active:
			p.giveUp(ctx, d, causeStopped, fmt.Sprintf("it was ready and is %s now", m.Status))
		case d.Spec != p.spec.ID() && outdated > 0:
			outdated--
			if err := p.store.Drain(ctx, d.ID, time.Now()); err != nil {
				return err
			}
			p.Kick()
		default:
			checks.Go(func() error {
				p.check(ctx, d, m)
				return nil
			})
		}
	}
	return checks.Wait()
}

// outdated is how many desktops of another specification can go now: those beyond what is kept ready, and one if there is
// no room to build the new ones.
func (p *Pool) outdated(ctx context.Context) (int, error) {
	n, err := p.count(ctx)
	if n.all >= p.spec.Max && n.deleting == 0 {
		return 1, err
	}
	return min(n.outdated, n.outdated+n.ready-p.spec.Ready), err
}

// check tries a desktop's console, twice before it is given up.
func (p *Pool) check(ctx context.Context, d store.Desktop, m Machine) {
	var err error
	for range 2 {
		trying, cancel := context.WithTimeout(ctx, checkTimeout)
		err = p.machines.Answers(trying, m)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
	}
	if p.condemn(d, causeConsole) {
		p.giveUp(ctx, d, causeConsole, err.Error())
	}
}

// deleteOrphan deletes a server that carries the broker's mark and that no record knows.
func (p *Pool) deleteOrphan(ctx context.Context, m Machine) {
	if err := p.machines.Delete(ctx, m.ServerID); err != nil {
		p.log.Warn("deleting a server that no record knows", "server", m.ServerID, "err", err)
		return
	}
	p.log.Warn("deleted a server that no record knows", "server", m.ServerID, "name", m.Name)
	p.metrics.orphans.WithLabelValues(p.spec.Name).Inc()
}
