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

// claim is the right to run an experiment, which one runner has at a time.
type claim struct {
	lease *history.Lease
	log   *slog.Logger
}

func (r *Runner) claim(ctx context.Context, experiment, run string) (*claim, error) {
	lease, err := r.History.Claim(ctx, experiment, run, claimTTL)
	if err != nil {
		return nil, fmt.Errorf("beginning a run: %w", err)
	}
	return &claim{lease: lease, log: r.options.Log.With("run", run)}, nil
}

// keep renews the claim until ctx ends. A database that is away is no reason to end a run, which goes on spooling; one that says that
// the claim is another's is.
func (c *claim) keep(ctx context.Context, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(claimTTL / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch err := c.lease.Renew(ctx); {
		case errors.Is(err, history.ErrLost):
			lost(err)
			return
		case err != nil && ctx.Err() == nil:
			c.log.Warn("the claim on the experiment could not be renewed", "error", err)
		}
	}
}

func (c *claim) release() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.lease.Release(ctx); err != nil {
		c.log.Warn("the claim on the experiment could not be released; it ends by itself", "in", claimTTL, "error", err)
	}
}
