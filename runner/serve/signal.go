package serve

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// ServeUntilSignal is Serve until SIGTERM or SIGINT. A second one ends the process at once, and leaves the undoing to the
// watchdog.
func (s *Server) ServeUntilSignal(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on signals do what they do to any program
	return s.Serve(ctx)
}
