package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deskstorm/deskstorm/runner/history"
)

// claimTTL is after how long a claim ends whose runner died without a word.
const claimTTL = time.Minute

// claim is the right to run an experiment, which one runner has at a time. It is kept until release: an experiment that was interrupted
// still has faults to undo.
type claim struct {
	store           *history.Store
	experiment, run string
	ttl             time.Duration
	log             *slog.Logger
	lease           *history.Lease // keep's, and after it release's

	stop context.CancelFunc
	kept chan struct{} // closed when keep has ended
}

// claim takes the claim and keeps it. lost is called when somebody else has taken it.
func (r *Runner) claim(ctx context.Context, experiment, run string, lost context.CancelCauseFunc) (*claim, error) {
	lease, err := r.History.Claim(ctx, experiment, run, r.claimTTL)
	if err != nil {
		return nil, fmt.Errorf("beginning a run: %w", err)
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &claim{
		store: r.History, experiment: experiment, run: run, ttl: r.claimTTL, log: r.options.Log.With("run", run), lease: lease,
		stop: stop, kept: make(chan struct{}),
	}
	go func() { defer close(c.kept); c.keep(keeping, lost) }()
	return c, nil
}

// keep renews the claim until ctx ends. A database that is away is no reason to end a run, which goes on spooling; one that says that
// the claim is another's, or was meanwhile, is.
func (c *claim) keep(ctx context.Context, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(c.ttl / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch err := c.renew(ctx); {
		case errors.Is(err, history.ErrLost), errors.As(err, new(*history.HeldError)):
			lost(err)
			return
		case err != nil && ctx.Err() == nil:
			c.log.Warn("the claim on the experiment could not be renewed", "error", err)
		}
	}
}

// renew renews the claim, and takes it again if it ended while the database was away and nobody has had it since.
func (c *claim) renew(ctx context.Context) error {
	err := c.lease.Renew(ctx)
	if !errors.Is(err, history.ErrLost) {
		return err
	}
	again, e := c.store.Claim(ctx, c.experiment, c.run, c.ttl)
	if e != nil {
		return e
	}
	had := c.lease.Token
	c.lease = again
	if again.Token != had+1 { // it has changed hands more than once
		return err
	}
	return nil
}

func (c *claim) release() {
	c.stop()
	<-c.kept
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.lease.Release(ctx); err != nil {
		c.log.Warn("the claim on the experiment could not be released; it ends by itself", "in", c.ttl, "error", err)
	}
}
