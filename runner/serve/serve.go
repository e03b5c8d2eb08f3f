// Package serve is the scheduled runner as a service: the schedule's runs, a page and an API that show them and by which
// people start, cancel and pause, and metrics. What a run is, it does not know: see Runs.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/internal/listeners"
	"github.com/deskstorm/deskstorm/runner/schedule"
)

// DefaultAddress is where it listens unless it is told otherwise: only this machine can reach it.
const DefaultAddress = "127.0.0.1:9878"

// Options are what a Server needs.
type Options struct {
	Addresses []string // host:port to listen on; none: DefaultAddress. Port 0 is any free one.
	// WebConfigFile is exporter-toolkit's web configuration: TLS, basic authentication. Empty: HTTP in the clear, for anybody.
	WebConfigFile string
	// Unauthenticated allows addresses that others can reach although nobody has to say who they are.
	Unauthenticated bool

	Jobs   []schedule.Job
	Store  schedule.Store
	Leader schedule.Leader // nil: schedule.Alone
	Clock  schedule.Clock  // nil: schedule.System

	Runs    Runs
	History History       // nil: none; only runs of this process are shown
	Reports Reports       // nil: none
	Counts  func() Counts // at each scrape; nil: none
	Log     *slog.Logger
}

const (
	headerTimeout   = 10 * time.Second
	requestTimeout  = 30 * time.Second
	answerTimeout   = time.Minute
	shutdownTimeout = 5 * time.Second
)

// Server is the service.
type Server struct {
	// Addresses are where it listens, once Listen returned.
	Addresses []net.Addr

	options   Options
	log       *slog.Logger
	scheduler *schedule.Scheduler
	metrics   *metrics
	stopping  atomic.Bool
	listeners []net.Listener
	server    *http.Server

	mutex sync.Mutex
	live  map[string]Progress // of what runs, by job
	last  map[string]Entry    // the last run that ended, by job
	past  past
}

// Listen makes the server and its listeners, which take connections once it serves.
func Listen(o Options) (*Server, error) {
	if len(o.Addresses) == 0 {
		o.Addresses = []string{DefaultAddress}
	}
	if err := web.Validate(o.WebConfigFile); err != nil {
		return nil, fmt.Errorf("reading the web configuration %s: %w", o.WebConfigFile, err)
	}
	authenticates, err := authenticates(o.WebConfigFile)
	if err != nil {
		return nil, err
	}
	if !authenticates && !o.Unauthenticated {
		for _, address := range o.Addresses {
			if err := mustBeLocal(address); err != nil {
				return nil, err
			}
		}
	}
	s := &Server{options: o, log: o.Log, live: map[string]Progress{}, last: map[string]Entry{}}
	s.metrics = newMetrics(s)
	s.scheduler, err = schedule.New(schedule.Options{
		Jobs: o.Jobs, Run: s.run, Skipped: s.metrics.skip, Store: o.Store, Leader: o.Leader, Clock: o.Clock, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the schedule: %w", err)
	}
	handler, err := s.routes()
	if err != nil {
		return nil, err
	}
	switch {
	case o.Unauthenticated:
	case authenticates:
		handler = stillAuthenticates(o.WebConfigFile, handler)
	default:
		handler = onlyLocalNames(handler)
	}
	s.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	if s.listeners, err = listeners.Listen(o.Addresses); err != nil {
		return nil, err
	}
	for _, l := range s.listeners {
		s.Addresses = append(s.Addresses, l.Addr())
	}
	return s, nil
}

// Serve serves and runs what is due until the context ends. Runs that go on are then cancelled, and shown until they have
// undone what they did: Serve returns after that.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.remember(ctx)
	idle := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		defer close(idle)
		return s.scheduler.Run(ctx)
	})
	g.Go(func() error {
		defer cancel() // what nobody can see or stop does not go on
		systemd := false
		err := web.ServeMultiple(s.listeners, s.server, &web.FlagConfig{
			WebSystemdSocket: &systemd, WebConfigFile: &s.options.WebConfigFile,
		}, s.log)
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the page: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		s.stopping.Store(true)
		s.log.Info("stopping: what runs is cancelled and undone")
		<-idle
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := s.server.Shutdown(bounded); err != nil {
			return s.server.Close()
		}
		return nil
	})
	return g.Wait()
}
