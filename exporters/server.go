package exporters

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/listeners"
)

// Options are how the exporters are served.
type Options struct {
	Addresses []string // host:port to listen on, at least one; port 0 is any free one
	// WebConfigFile is exporter-toolkit's web configuration: TLS, basic authentication. Empty: HTTP in the clear.
	WebConfigFile string
	TelemetryPath string // of the metrics: "/metrics"
	Log           *slog.Logger
}

const (
	healthyPath = "/-/healthy"
	readyPath   = "/-/ready"
)

const (
	headerTimeout   = 10 * time.Second
	requestTimeout  = 30 * time.Second // for a whole request, a thin client's report over a slow line included
	answerTimeout   = 2 * time.Minute  // for its answer, of which who asks may read nothing
	shutdownTimeout = 5 * time.Second
)

// Server serves exporters.
type Server struct {
	// Addresses are where it listens, once Listen returned.
	Addresses []net.Addr

	set       *collector.Set
	listeners []net.Listener
	server    *http.Server
	options   Options
}

// Listen makes the server and its listeners, which take connections once it serves.
func Listen(made []collector.Exporter, o Options) (*Server, error) {
	if err := o.checkPath(made); err != nil {
		return nil, err
	}
	if err := web.Validate(o.WebConfigFile); err != nil {
		return nil, fmt.Errorf("reading the web configuration %s: %w", o.WebConfigFile, err)
	}
	s := &Server{set: collector.NewSet(made, o.Log), options: o}
	handler, err := s.handler(made)
	if err != nil {
		return nil, err
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

// checkPath says whether the metrics' path may be served beside all others.
func (o Options) checkPath(made []collector.Exporter) error {
	p := o.TelemetryPath
	if u, err := url.Parse(p); err != nil || u.Path != p || !strings.HasPrefix(p, "/") || path.Clean(p) != p ||
		strings.ContainsAny(p, "{}") {
		return fmt.Errorf("the metrics' path %q is none; expected one such as /metrics", p)
	}
	taken := p == "/" || p == healthyPath || p == readyPath
	for _, e := range made {
		for pattern := range e.Handlers {
			taken = taken || strings.HasSuffix(pattern, " "+p)
		}
	}
	if taken {
		return fmt.Errorf("the metrics' path %s is that of something else; choose another, such as /metrics", p)
	}
	return nil
}

// Serve serves, and asks the sources, until the context ends.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { return s.set.Run(ctx) })
	g.Go(func() error {
		defer cancel() // without a server there is nobody to ask for
		systemd := false
		err := web.ServeMultiple(s.listeners, s.server, &web.FlagConfig{
			WebSystemdSocket: &systemd, WebConfigFile: &s.options.WebConfigFile,
		}, s.options.Log)
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving metrics: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := s.server.Shutdown(bounded); err != nil {
			return s.server.Close()
		}
		return nil
	})
	return g.Wait()
}

// handler is all that is served.
func (s *Server) handler(made []collector.Exporter) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		s.set, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError, Registry: registry,
		ErrorLog: slog.NewLogLogger(s.options.Log.Handler(), slog.LevelError),
	})
	mux.Handle("GET "+s.options.TelemetryPath, honourTimeout(metrics))
	mux.HandleFunc("GET "+healthyPath, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "healthy\n") })
	mux.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, _ *http.Request) {
		if !s.set.Ready() {
			http.Error(w, "not every source was asked yet", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	links := []web.LandingLinks{
		{Address: s.options.TelemetryPath, Text: "Metrics"},
		{Address: healthyPath, Text: "Health"},
		{Address: readyPath, Text: "Readiness", Description: "whether each source was asked once"},
	}
	for _, e := range made {
		for _, pattern := range slices.Sorted(maps.Keys(e.Handlers)) {
			mux.Handle(pattern, e.Handlers[pattern])
			if path, get := strings.CutPrefix(pattern, "GET "); get {
				links = append(links, web.LandingLinks{Address: path, Text: e.Name})
			}
		}
	}
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name: "deskstorm exporter", Description: "What no other exporter tells of a desktop cloud", Version: version(),
		Links: links, Profiling: "false",
	})
	if err != nil {
		return nil, fmt.Errorf("making the landing page: %w", err)
	}
	mux.Handle("GET /{$}", landing)
	return mux, nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// timeoutHeader is how long Prometheus waits for a scrape, in seconds.
const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// timeoutMargin is what remains for the way back of an answer that says it is too late.
const timeoutMargin = 500 * time.Millisecond

// honourTimeout gives up a scrape while Prometheus still listens, so that it learns why.
func honourTimeout(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := r.Header.Get(timeoutHeader)
		if text == "" {
			next.ServeHTTP(w, r)
			return
		}
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds > 0) || seconds > 3600 {
			http.Error(w, timeoutHeader+" is no number of seconds", http.StatusBadRequest)
			return
		}
		timeout := time.Duration(seconds * float64(time.Second))
		if timeout > 2*timeoutMargin {
			timeout -= timeoutMargin
		} else {
			timeout /= 2
		}
		http.TimeoutHandler(next, timeout, "the scrape took longer than Prometheus waits\n").ServeHTTP(w, r)
	})
}
