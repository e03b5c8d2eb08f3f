// Package directory is an LDAP directory in this process, on loopback ports, for the simulated desktop cloud: people with
// organizational units, nested groups and passwords, and switches for what goes wrong with directories. Its content can be
// changed while it runs, and counts from the next request on.
//
// It answers simple binds, searches, StartTLS and paged results like OpenLDAP with a password policy, and nothing else:
// nobody can change it over LDAP. Only the service account may search.
package directory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"
)

// What Check returns.
var (
	ErrWrongPassword = errors.New("wrong user name or password")
	ErrLocked        = errors.New("the account is locked")
	ErrDown          = errors.New("the directory is down")
)

// Counts is what a server has done since it started.
type Counts struct {
	Connections int64 // accepted
	Binds       int64 // asked for, whatever the answer; Check is one
	Searches    int64 // asked for; each page is one
}

// Server is a running directory. Its methods may be called by many goroutines at once.
type Server struct {
	URL    string // ldap://127.0.0.1:PORT
	TLSURL string // ldaps://127.0.0.1:PORT; empty without TLS

	config Config // as it was at the start
	server *gldap.Server
	fronts []*front
	ended  chan struct{}
	served chan error // what the LDAP server's Run returned

	switching sync.Mutex // of Down and Close
	closed    bool
	isDown    atomic.Bool
	slow      atomic.Int64 // time.Duration

	connections, binds, searches atomic.Int64

	mu    sync.RWMutex
	tree  *tree
	users map[string]*User // by name in lower case

	boundMu sync.Mutex
	bound   map[int]string // connections' users, by key; anonymous ones are missing
}

const (
	portAttempts = 5
	startTimeout = 5 * time.Second // loopback takes milliseconds
)

// Start starts a directory.
func Start(config Config) (*Server, error) {
	s := &Server{
		config: config,
		ended:  make(chan struct{}),
		users:  map[string]*User{},
		bound:  map[int]string{},
	}
	var err error
	if s.tree, err = config.tree(); err != nil {
		return nil, fmt.Errorf("starting the simulated directory: %w", err)
	}
	for _, u := range config.Users {
		s.users[strings.ToLower(u.Name)] = &u
	}
	if err := s.start(); err != nil {
		return nil, fmt.Errorf("starting the simulated directory: %w", err)
	}
	return s, nil
}

func (s *Server) start() error {
	backend := ""
	for attempt := 1; backend == ""; attempt++ {
		var err error
		// Another program can take a port between our finding it free and the server's binding it.
		if backend, err = s.serve(); err != nil && attempt == portAttempts {
			return err
		}
	}
	s.fronts = []*front{{backend: backend, accepted: &s.connections}}
	if s.config.TLS != nil {
		s.fronts = append(s.fronts, &front{backend: backend, accepted: &s.connections, tls: s.config.TLS})
	}
	if err := s.Down(false); err != nil {
		s.Close()
		return err
	}
	s.URL = "ldap://" + s.fronts[0].address
	if s.config.TLS != nil {
		s.TLSURL = "ldaps://" + s.fronts[1].address
	}
	return nil
}

// serve starts the LDAP server on a free port and returns its address.
func (s *Server) serve() (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address = l.Addr().String()
	l.Close()
	server, err := gldap.NewServer(gldap.WithLogger(hclog.NewNullLogger()), gldap.WithOnClose(func(connection int) {
		s.setBound(connection, "")
	}))
	if err != nil {
		return "", err
	}
	mux, err := s.routes()
	if err != nil {
		return "", err
	}
	if err := server.Router(mux); err != nil {
		return "", err
	}
	served := make(chan error, 1)
	go func() { served <- server.Run(address) }()
	for deadline := time.Now().Add(startTimeout); ; {
		select {
		case err := <-served:
			return "", errors.Join(err, errors.New("the LDAP server ended"))
		default:
		}
		if s.answersAt(address) {
			s.server, s.served = server, served
			return address, nil
		}
		if time.Now().After(deadline) {
			return "", errors.Join(errors.New("the LDAP server does not answer"), server.Stop())
		}
		time.Sleep(time.Millisecond) // the server has nothing to wait for
	}
}

// answersAt tells whether it is this server that listens there: its searches are counted.
func (s *Server) answersAt(address string) bool {
	c, err := ldap.DialURL("ldap://"+address, ldap.DialWithDialer(&net.Dialer{Timeout: startTimeout}))
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetTimeout(startTimeout)
	before := s.searches.Load()
	_, err = c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, nil))
	return err == nil && s.searches.CompareAndSwap(before+1, before)
}

// Close ends the directory and all its connections. Requests under way get no answer.
func (s *Server) Close() error {
	s.switching.Lock()
	defer s.switching.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.isDown.Store(true)
	close(s.ended)
	for _, f := range s.fronts {
		f.down()
	}
	return errors.Join(s.server.Stop(), <-s.served)
}

// Down refuses connections and drops those there are, or takes new ones again, on the same ports. It fails if another
// program has taken a port meanwhile.
func (s *Server) Down(down bool) error {
	s.switching.Lock()
	defer s.switching.Unlock()
	if s.closed {
		return errors.New("the simulated directory is closed")
	}
	s.isDown.Store(down)
	for _, f := range s.fronts {
		if down {
			f.down()
		} else if err := f.up(); err != nil {
			return err
		}
	}
	return nil
}

// Slow has each request take d longer; 0 ends that. It counts for requests that come later.
func (s *Server) Slow(d time.Duration) { s.slow.Store(int64(d)) }

// pause waits as long as Slow says.
func (s *Server) pause(ctx context.Context) error {
	d := time.Duration(s.slow.Load())
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		return ErrDown
	}
}

// Counts returns what the server has done so far.
func (s *Server) Counts() Counts {
	return Counts{Connections: s.connections.Load(), Binds: s.binds.Load(), Searches: s.searches.Load()}
}

// Check checks a password without LDAP, for services that have users in this directory. Slow and Down count here too. The
// error is one of this package's, or the context's.
func (s *Server) Check(ctx context.Context, name, password string) error {
	if s.isDown.Load() {
		return ErrDown
	}
	s.binds.Add(1)
	if err := s.pause(ctx); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.users[strings.ToLower(name)].check(password)
}

// check tells whether a user, or nil for nobody, may log in.
func (u *User) check(password string) error {
	switch {
	case u == nil:
		return ErrWrongPassword
	case u.Locked:
		return ErrLocked
	case u.Password != password:
		return ErrWrongPassword
	}
	return nil
}
