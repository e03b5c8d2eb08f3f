package target

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lazy == nil {
		lazy, err := s.connect()
		if err != nil {
			return nil, err
		}
		s.lazy = lazy
	}
	return s.lazy.Cloud(ctx)
}

// poll is how often a server's state is looked at.
const poll = time.Second

func (s *stack) do(ctx context.Context, step *Server) (string, error) {
	c, err := s.cloud(ctx)
	if err != nil {
		return "", err
	}
	server, err := c.Server(ctx, step.ID)
	waiting, cancel := context.WithTimeoutCause(ctx, settled, fmt.Errorf("it did not settle within %s", settled))
	defer cancel()
	// A server that is just being stopped is still ACTIVE, and would be taken for one that needs no start. One can always be deleted.
	for err == nil && server.TaskState != "" && step.Action != "delete" {
		select {
		case <-waiting.Done():
			return "", fmt.Errorf("the server is %s, %s: %w", server.Status, server.TaskState, context.Cause(waiting))
		case <-time.After(poll):
			server, err = c.Server(waiting, step.ID)
		}
	}
	if err == nil {
		err = serverActions[step.Action](ctx, c, server)
	}
	switch {
	case errors.Is(err, cloud.ErrNotFound) && step.Action == "delete":
		return "", nil
	case errors.Is(err, cloud.ErrNotFound):
		return "", fmt.Errorf("%w: %w", ErrGone, err)
	}
	return "", err
}
