// Package api is the broker's HTTP API: thin clients log their users in and out, operators look after desktops and
// bindings. It turns HTTP into calls of a Broker and its errors into problem details (RFC 9457); openapi.yaml describes it,
// and tests hold the two against each other.
//
// A session's id is a capability: who knows it may end the session. It appears in answers to its owner, as a path segment,
// and nowhere else: the log has the first 8 hexadecimal digits of its SHA-256.
//
// User names are personal data: a request's log line has the user only if the logger is enabled for debugging.
package api

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
)

// Broker is the service behind the API. Its methods are called by many goroutines at once. They fail with a *client.Error,
// whose message goes to the caller and whose cause goes to the log, so neither may hold a secret or a user's name. Any
// other error counts as client.BrokerFailed: the log has its text, the caller does not.
type Broker interface {
	// Login takes a user to a desktop. The session has its steps; the steps before a failure are the error's.
	// When the context ends because the thin client has gone, Login leaves no session.
	Login(context.Context, client.Login) (*client.Session, error)
	// Session fails with client.SessionNotFound, as do the next four.
	Session(ctx context.Context, id string) (store.Session, error)
	// Console says where the session's desktop is, with a new ticket.
	Console(ctx context.Context, sessionID string) (client.Console, error)
	// Renew makes the session last for another lease.
	Renew(ctx context.Context, sessionID string) error
	Logout(ctx context.Context, sessionID string) error
	// ReportBroken is a thin client's word that the session's desktop does not work.
	ReportBroken(ctx context.Context, sessionID, reason string) error

	// Desktops lists those of a pool in a state; the empty pool and the empty state are all.
	Desktops(ctx context.Context, pool string, state store.State) ([]store.Desktop, error)
	// DesktopBroken is an operator's word that a desktop does not work. It fails with NotFound, as do the next two.
	DesktopBroken(ctx context.Context, desktopID, reason string) error
	// Drain lets a desktop go when its session ends, at once if it has none.
	Drain(ctx context.Context, desktopID string) error
	// Release ends a desktop's binding and session.
	Release(ctx context.Context, desktopID string) error

	// Bindings lists those of a kind and key; the empty kind is all, the empty key all of the kind.
	Bindings(ctx context.Context, kind store.BindingKind, key string) ([]store.Binding, error)
	// Rebind gives the key that desktop from its next login on. It fails with NotFound if there is no such desktop in the
	// pool, with client.DesktopBusy if it is another key's.
	Rebind(context.Context, store.Binding) (store.Binding, error)
	// Unbind fails with NotFound if there is no such binding.
	Unbind(ctx context.Context, kind store.BindingKind, key, pool string) error

	Pools(context.Context) ([]PoolStatus, error)
	// Check says whether logins have a chance: nil, or what is missing.
	Check(context.Context) error
}

// PoolStatus is how a pool of desktops stands.
type PoolStatus struct {
	Name     string
	Ready    int                 // how many desktops it keeps ready, as configured
	Max      int                 // how many desktops it may have in all, as configured
	Desktops map[store.State]int // how many it has
	Booting  int                 // how many of them the cloud is starting at this moment
	Draining int                 // how many of them are not handed out again
}

// Config says how the API is served.
type Config struct {
	Logger *slog.Logger // one line a request; nil: none

	// OperatorToken is the bearer token that opens the operators' routes. Empty: they are closed to everybody.
	OperatorToken string

	// MaxLogins is how many logins may be under way at once; those beyond it are refused at once with status 503 and
	// Retry-After, which keeps the others' times. 0: no limit.
	MaxLogins int

	// RetryAfter is when a client may ask again after 503, rounded up to seconds. 0: 5 s.
	RetryAfter time.Duration

	Metrics    http.Handler          // serves /metrics; nil: nothing there
	Registerer prometheus.Registerer // takes the API's own metrics, once only; nil: nobody does
}

// server holds what the handlers share.
type server struct {
	broker   Broker
	cfg      Config
	logger   *slog.Logger
	metrics  *metrics
	kinds    map[client.Class]kind
	operator [sha256.Size]byte // of the operator's token
	logins   chan struct{}     // holds an element for each login under way; nil: no limit
}

// New returns the API of the broker. The server around it has to bound how long a request may take to arrive (ReadTimeout);
// how long its answer takes is the broker's decision, because a login may wait for a desktop (no WriteTimeout).
func New(b Broker, cfg Config) http.Handler {
	return newServer(b, cfg).handler()
}

func newServer(b Broker, cfg Config) *server {
	if cfg.RetryAfter <= 0 {
		cfg.RetryAfter = 5 * time.Second
	}
	s := &server{
		broker:   b,
		cfg:      cfg,
		logger:   cfg.Logger,
		metrics:  newMetrics(cfg.Registerer),
		kinds:    make(map[client.Class]kind),
		operator: sha256.Sum256([]byte(cfg.OperatorToken)),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	for _, k := range kinds() {
		s.kinds[k.class] = k
		s.metrics.logins.WithLabelValues(string(k.class)) // rates need the zero before the first failure
	}
	if cfg.MaxLogins > 0 {
		s.logins = make(chan struct{}, cfg.MaxLogins)
	}
	return s
}

// handler returns the routes, with problem details for what they do not serve.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	methods := make(map[string][]string)
	for _, r := range s.routes() {
		mux.Handle(r.method+" "+r.path, s.serve(r))
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, allowed := range methods {
		mux.Handle(path, s.serve(route{path: path, handle: methodNotAllowed(allowed)}))
	}
	nowhere := s.serve(route{path: otherLabel, handle: nothingHere})
	mux.Handle("/", nowhere)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would answer these itself: with redirects, or in plain text.
		if p := r.URL.EscapedPath(); !strings.HasPrefix(p, "/") || p != "/" && path.Clean(p) != strings.TrimSuffix(p, "/") {
			nowhere.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
