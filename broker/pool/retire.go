package pool

import (
	"context"
	"errors"
	"time"

	"github.com/deskstorm/deskstorm/broker/store"
)

// retireTimeout bounds one attempt to delete a desktop; a later one goes on.
const retireTimeout = 2 * time.Minute

// retireAll starts the end of all desktops that are to be deleted.
func (p *Pool) retireAll(ctx context.Context) error {
	deleting, err := p.store.Desktops(ctx, p.spec.Name, store.Deleting)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range deleting {
		if _, busy := p.retiring[d.ID]; busy || len(p.retiring) >= p.spec.Boots {
			continue
		}
		p.retiring[d.ID] = struct{}{}
		p.work.Go(func() { p.retire(ctx, d) })
	}
	return nil
}

// retire deletes a desktop and forgets it when it is gone.
func (p *Pool) retire(ctx context.Context, d store.Desktop) {
	attempt, cancel := context.WithTimeout(ctx, retireTimeout)
	defer cancel()
	err := p.delete(attempt, d)
	if err == nil {
		err = p.store.Remove(ctx, d.ID)
	}
	p.mu.Lock()
	delete(p.retiring, d.ID)
	p.mu.Unlock()
	if err == nil {
		p.Kick() // there is room for another one
		return
	}
	if ctx.Err() == nil {
		p.log.Warn("deleting a desktop", "desktop", d.ID, "server", d.ServerID, "err", err)
	}
}

// delete deletes a desktop's server and waits until it is gone.
func (p *Pool) delete(ctx context.Context, d store.Desktop) error {
	if d.ServerID == "" {
		// The cloud may have been asked for it, and its answer lost. What appears later still is an orphan.
		all, err := p.machines.All(ctx, p.spec.Name)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.DesktopID == d.ID {
				d.ServerID = m.ServerID
			}
		}
		if d.ServerID == "" {
			return nil
		}
	}
	if err := p.machines.Delete(ctx, d.ServerID); err != nil && !errors.Is(err, ErrGone) {
		return err
	}
	for pause := firstPoll; ; pause = min(lastPoll, pause*3/2) {
		_, err := p.machines.State(ctx, d.ServerID)
		if errors.Is(err, ErrGone) {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return waitedFor(ctx, err)
		}
	}
}
