// Package service runs a broker from its configuration: it opens the database, the directory and the cloud, puts the
// broker's parts together and serves its API until it is told to stop.
package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/deskstorm/deskstorm/broker"
	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/cloud"
)

const (
	connectTimeout = time.Minute      // to the cloud, at start
	drainTimeout   = 10 * time.Second // for the requests under way when the broker stops
	headerTimeout  = 10 * time.Second // for a request's header
	bodyTimeout    = 30 * time.Second // and for all of it
	idleTimeout    = 2 * time.Minute  // of a connection without requests
)

// Service is a broker that listens.
type Service struct {
	// URL is where the API is.
	URL string

	broker   *broker.Broker
	server   *http.Server
	serving  sync.WaitGroup // requests
	listener net.Listener
	closers  []func() error
}

// Open makes a broker and listens. Nothing is served before Serve.
func Open(ctx context.Context, c config.Config, log *slog.Logger) (*Service, error) {
	s := &Service{}
	if err := s.open(ctx, c, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Service) open(ctx context.Context, c config.Config, log *slog.Logger) error {
	database, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, database.Close)
	if err := database.Claim(ctx); err != nil {
		return err
	}
	users, err := openDirectory(c.Directory)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { users.Close(); return nil })
	if err := users.Check(ctx); err != nil {
		log.Warn("nobody can log in before the directory is right; the broker goes on and asks it again at each login", "err", err)
	}
	nova, err := openCloud(ctx, c.Cloud)
	if err != nil {
		return err
	}
	consoles, closeConsoles, err := openConsoles(c.Console, nova)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, closeConsoles)
	specs, err := specs(c.Pools)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.broker = broker.New(broker.Parts{
		Directory: users, Allocators: c.Allocators, Pools: specs, Store: database,
		Machines: broker.NewNova(nova, c.Cloud.Owner, consoles), Consoles: consoles,
		Registerer: registry, Log: log, Lease: c.Lease,
	})
	apiConfig := api.Config{Logger: log, MaxLogins: c.MaxLogins, Registerer: registry,
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, ErrorHandling: promhttp.ContinueOnError})}
	if c.OperatorToken.Given() {
		if apiConfig.OperatorToken, err = c.OperatorToken.Read(); err != nil {
			return err
		}
	}
	return s.listen(c, apiConfig)
}

// listen takes the address; what comes before Serve waits in the kernel's queue.
func (s *Service) listen(c config.Config, apiConfig api.Config) error {
	handler := api.New(s.broker, apiConfig)
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serving.Add(1)
		defer s.serving.Done()
		handler.ServeHTTP(w, r)
	})
	s.server = &http.Server{Handler: counted, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout}
	var err error
	if s.listener, err = net.Listen("tcp", c.Listen); err != nil {
		return fmt.Errorf("listening for the API: %w", err)
	}
	s.closers = append(s.closers, func() error {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	s.URL = "http://" + s.listener.Addr().String()
	if c.TLS != nil {
		pair, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
		if err != nil {
			return fmt.Errorf("reading the API's certificate: %w", err)
		}
		s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		s.URL = "https://" + s.listener.Addr().String()
	}
	return nil
}

// Serve serves until ctx ends, then lets the requests under way finish, and closes everything. Desktops that are being
// built are left to the next broker.
func (s *Service) Serve(ctx context.Context) error {
	// The pools go on while logins that wait for them are served to their end.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- s.broker.Run(running) }()
	go func() {
		var err error
		if s.server.TLSConfig != nil {
			err = s.server.ServeTLS(s.listener, "", "")
		} else {
			err = s.server.Serve(s.listener)
		}
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		ended <- err
	}()
	var first error
	remaining := 2
	select {
	case first = <-ended:
		remaining--
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if s.server.Shutdown(draining) != nil {
		_ = s.server.Close() // who waits for a desktop cannot be waited for
		s.undone()
	}
	stop()
	errs := []error{first}
	for range remaining {
		errs = append(errs, <-ended)
	}
	return errors.Join(append(errs, s.close())...)
}

// undone waits until the logins that were cut have given back what they had, for a while.
func (s *Service) undone() {
	done := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(drainTimeout):
	}
}

func (s *Service) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func openStore(ctx context.Context, c config.Config) (*store.Store, error) {
	dsn, err := c.Database.Read()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, dsn)
}

func openDirectory(c config.Directory) (*directory.Directory, error) {
	d := directory.Config{
		URLs: c.URLs, StartTLS: c.StartTLS, CAFile: c.CAFile, BindDN: c.BindDN,
		UserBase: c.UserBase, UserFilter: c.UserFilter, UserName: c.UserName,
		GroupBase: c.GroupBase, GroupFilter: c.GroupFilter, GroupMember: c.GroupMember, GroupName: c.GroupName,
		Nested: c.Nested, InChain: c.InChain, GroupTTL: c.GroupTTL, PageSize: c.PageSize,
		Timeout: c.Timeout, MaxConns: c.MaxConnections,
	}
	if c.BindPassword.Given() {
		var err error
		if d.BindPassword, err = c.BindPassword.Read(); err != nil {
			return nil, err
		}
	}
	return directory.New(d)
}

func openCloud(ctx context.Context, c config.Cloud) (*cloud.Cloud, error) {
	loaded, err := cloud.LoadFile(c.File, c.Name)
	if err != nil {
		return nil, err
	}
	loaded.Owner, loaded.Run = c.Owner, c.Run
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return cloud.Connect(ctx, loaded)
}
