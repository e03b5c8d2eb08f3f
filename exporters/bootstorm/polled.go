package bootstorm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
)

// nova is what is asked of OpenStack. *cloud.Cloud is one.
type nova interface {
	Server(ctx context.Context, id string) (cloud.Server, error)
	ServersAt(ctx context.Context, filter cloud.Filter) (list []cloud.Server, at time.Time, err error)
	ServerActions(ctx context.Context, serverID string) ([]cloud.Action, error)
	ServerAction(ctx context.Context, serverID, requestID string) (cloud.Action, error)
}

const (
	// actionsAtOnce bounds the questions for single servers.
	actionsAtOnce = 8
	// overlap is asked for again, as the clocks of Nova's services differ and its times are whole seconds.
	overlap = 15 * time.Second
	// askAgainFor is how long a server is asked for that Nova does not answer for.
	askAgainFor = 10 * time.Minute
)

// poller asks Nova what changed. It finds what notifications do not tell: that a build was accepted and nobody began.
type poller struct {
	connect func(context.Context) (nova, error)
	account *boots.Account
	// every is whether all changed servers' actions are read, because there are no notifications; else only those of builds that
	// are not known to have begun.
	every bool
	// tag is that of the desktops to watch; empty: all servers of all projects.
	tag string
	now func() time.Time

	since time.Time // of the last list, by the cloud's clock
	mu    sync.Mutex
	seen  map[string]time.Time // by server and action, what it was last read at
	again map[string]unasked   // by server
}

// unasked is a server that Nova did not answer for. It is asked for again by itself: if the list began where it was first in it,
// Nova would be asked for ever more servers while it has trouble.
type unasked struct {
	since time.Time // of the list before
	until time.Time
}

func newPoller(connect func(context.Context) (nova, error), account *boots.Account, every bool, tag string) *poller {
	return &poller{
		connect: connect, account: account, every: every, tag: tag, now: time.Now,
		seen: map[string]time.Time{}, again: map[string]unasked{},
	}
}

// poll asks once.
func (p *poller) poll(ctx context.Context) error {
	n, err := p.connect(ctx)
	if err != nil {
		return err
	}
	begun := p.now()
	filter := cloud.Filter{AllProjects: true}
	if p.tag != "" {
		filter.Tags = []string{p.tag}
	}
	if p.every && !p.since.IsZero() {
		filter.ChangesSince = p.since.Add(-overlap)
	} else {
		filter.Status = "BUILD"
	}
	changed, at, err := n.ServersAt(ctx, filter)
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, s := range changed {
		listed[s.ID] = true
	}
	var g errgroup.Group
	g.SetLimit(actionsAtOnce)
	var failed troubles
	for _, s := range changed {
		g.Go(func() error {
			failed.add(p.try(s.ID, func(since time.Time) error { return p.look(ctx, n, s, since) }))
			return nil
		})
	}
	// Those whose end nobody told, as a notification was lost or they have left the list, those of no known address, and those that
	// Nova did not answer for.
	for _, id := range p.alsoToAsk(begun) {
		if !listed[id] {
			g.Go(func() error {
				failed.add(p.try(id, func(since time.Time) error { return p.lookAgain(ctx, n, id, since) }))
				return nil
			})
		}
	}
	g.Wait()
	p.forget(begun)
	p.since = at
	return failed.err(len(changed))
}

func (p *poller) alsoToAsk(now time.Time) []string {
	all := p.account.ToAsk(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	all = slices.AppendSeq(all, maps.Keys(p.again))
	slices.Sort(all)
	return slices.Compact(all)
}

// try asks for a server, and notes whether it is to be asked for again. Since is when the list was read after which it is news.
func (p *poller) try(id string, ask func(since time.Time) error) error {
	p.mu.Lock()
	u, again := p.again[id]
	p.mu.Unlock()
	if !again {
		u = unasked{p.since, p.now().Add(askAgainFor)}
	}
	err := ask(u.since)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil || p.now().After(u.until):
		delete(p.again, id)
	default:
		p.again[id] = u
	}
	return err
}

// lookAgain asks for a server whose boot is under way.
func (p *poller) lookAgain(ctx context.Context, n nova, id string, since time.Time) error {
	s, err := n.Server(ctx, id)
	if errors.Is(err, cloud.ErrNotFound) {
		p.see(boots.Sighting{Server: id, What: boots.IsGone, At: p.now()})
		return nil
	}
	if err != nil {
		return err
	}
	return p.look(ctx, n, s, since)
}

// look makes sightings of what Nova says of a server.
func (p *poller) look(ctx context.Context, n nova, s cloud.Server, since time.Time) error {
	base := boots.Sighting{Server: s.ID, Host: s.Host, At: s.Updated}
	for _, a := range s.Addresses {
		base.MACs = append(base.MACs, strings.ToLower(a.MAC))
		if base.Address == "" {
			base.Address = a.IP
		}
	}
	p.see(base) // its addresses, which it had not when it was first seen
	switch {
	case s.Status == "DELETED":
		base.What = boots.IsGone
		p.see(base)
		return nil
	case s.Status == "BUILD":
		base.Kind, base.What, base.At, base.Host = boots.Create, boots.WasAccepted, s.Created, ""
		p.see(base)
	case s.Status == "ACTIVE" && s.TaskState == "" && !p.every && p.account.Knows(s.ID):
		base.What = boots.IsActive
	}
	if p.every || s.Status == "BUILD" {
		if err := p.actions(ctx, n, s, base, since); err != nil {
			return err
		}
	}
	if s.Status == "ERROR" && p.account.Knows(s.ID) {
		base.What, base.At, base.Fault = boots.HasFailed, s.Updated, string(cloud.ClassifyFault(s.Fault))
		p.see(base)
		return nil
	}
	if base.What == boots.IsActive {
		p.see(base)
	}
	return nil
}

// actionKinds are the boots by Nova's names of actions (nova/compute/instance_actions.py).
var actionKinds = map[string]boots.Kind{
	"create": boots.Create, "start": boots.Start, "reboot": boots.Reboot, "rebuild": boots.Rebuild,
}

// begins are the events of those actions that a compute node does.
var begins = []string{
	"compute__do_build_and_run_instance", "compute_start_instance", "compute_reboot_instance", "compute_rebuild_instance",
}

// actions reads the newest action of a server, if it is a boot and there is news of it.
func (p *poller) actions(ctx context.Context, n nova, s cloud.Server, base boots.Sighting, since time.Time) error {
	list, err := n.ServerActions(ctx, s.ID)
	if errors.Is(err, cloud.ErrNotFound) || err == nil && len(list) == 0 {
		return nil // deleted since, or of another cell that is away
	}
	if err != nil {
		return err
	}
	newest := slices.MaxFunc(list, func(a, b cloud.Action) int { return a.Started.Compare(b.Started) })
	kind, boot := actionKinds[newest.Name]
	// What ended before this exporter was started is nobody's news.
	if !boot || newest.Updated.Before(since.Add(-overlap)) && !p.account.Knows(s.ID) || p.read(s.ID, newest) {
		return nil
	}
	whole, err := n.ServerAction(ctx, s.ID, newest.RequestID)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p.note(s.ID, newest)
	base.Kind = kind
	see := func(what boots.What, at time.Time, host string) {
		base.What, base.At, base.Host = what, at, host
		p.see(base)
	}
	if since.IsZero() && done(whole) {
		return nil
	}
	see(boots.WasAccepted, whole.Started, "")
	for _, e := range whole.Events {
		if !slices.Contains(begins, e.Name) {
			continue
		}
		see(boots.HasBegun, e.Started, e.Host)
		switch {
		case e.Finished.IsZero():
		case e.Failed:
			base.Fault = string(cloud.ClassifyFault(s.Fault))
			see(boots.HasStumbled, e.Finished, e.Host)
		default:
			see(boots.IsActive, e.Finished, e.Host)
		}
	}
	return nil
}

// done tells whether nothing more will happen for an action.
func done(a cloud.Action) bool {
	return len(a.Events) > 0 && !slices.ContainsFunc(a.Events, func(e cloud.ActionEvent) bool { return e.Finished.IsZero() })
}

// read tells whether an action was read since it last changed.
func (p *poller) read(server string, a cloud.Action) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, read := p.seen[server+" "+a.RequestID]
	return read && !a.Updated.After(last) && !a.Updated.IsZero()
}

func (p *poller) note(server string, a cloud.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[server+" "+a.RequestID] = a.Updated
}

// forget drops what changed too long ago to be listed again.
func (p *poller) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, updated := range p.seen {
		if now.Sub(updated) > time.Hour {
			delete(p.seen, key)
		}
	}
}

func (p *poller) see(s boots.Sighting) { p.account.See(s, p.now()) }

// troubles counts troubles and keeps the first.
type troubles struct {
	mu    sync.Mutex
	first error
	n     int
}

func (e *troubles) add(err error) {
	if err == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == nil {
		e.first = err
	}
	e.n++
}

func (e *troubles) err(of int) error {
	if e.first == nil {
		return nil
	}
	return fmt.Errorf("asking for %d servers, %d questions failed; the first: %w", of, e.n, e.first)
}
