package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/cloud"
)

// stack is the executor of a cloud's target.
type stack struct {
	connect func() (*cloud.Lazy, error)

	mu   sync.Mutex
	lazy *cloud.Lazy // nil: its credentials could not be read yet
}

// Cloud logs in to the cloud of a target, once for all.
func (t *Targets) Cloud(ctx context.Context, target string) (*cloud.Cloud, error) {
	s := t.clouds[target]
	if s == nil {
		return nil, fmt.Errorf("there is no target %q of the kind cloud in the configuration", target)
	}
	return s.cloud(ctx)
}

func (s *stack) cloud(ctx context.Context) (*cloud.Cloud, error) {
	lazy, err := s.credentials()
	if err != nil {
		return nil, err
	}
	return lazy.Cloud(ctx) // who waits for another's login waits as long as its own context lasts
}

func (s *stack) credentials() (*cloud.Lazy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lazy == nil {
		lazy, err := s.connect()
		if err != nil {
			return nil, err
		}
		s.lazy = lazy
	}
	return s.lazy, nil
}

// poll is how often a server's state is looked at.
const poll = time.Second

// sideBySide is how many servers are acted on at once.
const sideBySide = 32

func (s *stack) do(ctx context.Context, step *Server) (string, error) {
	c, err := s.cloud(ctx)
	if err != nil {
		return "", err
	}
	if len(step.IDs) == 0 {
		return "", act(ctx, c, step.ID, step.Action)
	}
	errs := make([]error, len(step.IDs))
	var all errgroup.Group
	all.SetLimit(sideBySide)
	for i, id := range step.IDs {
		all.Go(func() error {
			if err := act(ctx, c, id, step.Action); err != nil {
				errs[i] = fmt.Errorf("server %s: %w", id, err)
			}
			return nil
		})
	}
	_ = all.Wait()
	isGone := func(err error) bool { return errors.Is(err, ErrGone) }
	gone := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return !isGone(err) })
	if err := errors.Join(slices.DeleteFunc(errs, isGone)...); err != nil {
		return "", err
	}
	return "", errors.Join(gone...) // only if that is all that is wrong
}

// act does an action on a server.
func act(ctx context.Context, c *cloud.Cloud, id, action string) error {
	server, err := c.Server(ctx, id)
	waiting, cancel := context.WithTimeoutCause(ctx, settled, fmt.Errorf("it did not settle within %s", settled))
	defer cancel()
	// A server that is just being stopped is still ACTIVE, and would be taken for one that needs no start. One can always be deleted.
	for err == nil && server.TaskState != "" && action != "delete" {
		select {
		case <-waiting.Done():
			return fmt.Errorf("the server is %s, %s: %w", server.Status, server.TaskState, context.Cause(waiting))
		case <-time.After(poll):
			server, err = c.Server(waiting, id)
		}
	}
	if err == nil {
		err = serverActions[action](ctx, c, server)
	}
	switch {
	case errors.Is(err, cloud.ErrNotFound) && action == "delete":
		return nil
	case errors.Is(err, cloud.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}
