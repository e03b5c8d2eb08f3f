// Package rabbitmq runs a RabbitMQ server of its own on loopback ports, with a database and a node name of its own, so that
// what speaks AMQP can be tested against the broker that OpenStack uses.
//
// It can also be a broker in a network of its own (package netns), behind whatever the network has.
//
// It needs RabbitMQ 3.10 or later (Debian: rabbitmq-server). A Server dies with the process that started it, and so does the
// Erlang port mapper that it needs.
package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/netns"
)

// scripts is where Debian keeps the programs of each version; those in the path of programs change the user first.
const scripts = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"

// mapper is Erlang's port mapper, which nodes look each other up by.
const mapper = "epmd"

const (
	host         = "127.0.0.1"
	portAttempts = 5
	pollInterval = 50 * time.Millisecond
)

// Program is the path of the server's script, or just its name if it is not installed.
func Program() string {
	// The pattern has no error, and any version will do.
	if found, _ := filepath.Glob(scripts); len(found) > 0 {
		return found[len(found)-1]
	}
	return "rabbitmq-server"
}

// Config is what a broker is other than usual in. The zero Config is a broker on loopback.
type Config struct {
	Namespace  *netns.Namespace // where it runs; nil: here
	Address    string           // the IP address that it listens at; empty: 127.0.0.1
	Management bool             // its management API, whose figures are a second old at most
	// KeepAlive turns SO_KEEPALIVE on for those who connect; how long the kernel waits is the namespace's (tcp(7)).
	KeepAlive bool
}

// Server is a running broker. Its methods must not be called from several goroutines at once.
type Server struct {
	URL        string // amqp://guest:guest@127.0.0.1:PORT/; guest may do everything
	Management string // http://127.0.0.1:PORT, if it has the API; guest may do everything there too

	config                 Config
	managementPort         int
	dir                    string
	port, node, mapperPort int
	process, mapper        *child.Process
	close                  func() error
}

// Start is StartConfig for a broker on loopback.
func Start(ctx context.Context) (*Server, error) { return StartConfig(ctx, Config{}) }

// StartConfig starts a broker and waits until it takes connections, which takes seconds. The context bounds the start only: it
// runs until Close. An error includes the end of what it wrote.
func StartConfig(ctx context.Context, config Config) (_ *Server, err error) {
	if config.Address == "" {
		config.Address = host
	}
	dir, err := os.MkdirTemp("", "deskstorm-rabbitmq-")
	if err != nil {
		return nil, fmt.Errorf("starting RabbitMQ: %w", err)
	}
	s := &Server{config: config, dir: dir}
	s.close = sync.OnceValue(s.shutDown)
	defer func() {
		if err != nil {
			err = fmt.Errorf("starting RabbitMQ: %w", errors.Join(err, s.Close()))
		}
	}()
	for attempt := 1; ; attempt++ {
		if err := s.choosePorts(); err != nil {
			return nil, err
		}
		if err := s.configure(); err != nil {
			return nil, err
		}
		err := s.run(ctx)
		// Another program can take a port between our finding it free and its being bound.
		if errors.Is(err, errPortTaken) && attempt < portAttempts {
			s.Kill()
			continue
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// Restart ends the broker, by SIGKILL as a crash would, and starts it again on the same ports. Queues that are not durable are
// gone then. The context bounds the start.
func (s *Server) Restart(ctx context.Context) error {
	s.Kill()
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("restarting RabbitMQ: %w", err)
	}
	return nil
}

// Kill ends the broker by SIGKILL, and waits until it is gone. Close must still be called.
func (s *Server) Kill() {
	for _, p := range []*child.Process{s.process, s.mapper} {
		if p != nil {
			p.Kill()
		}
	}
}

// Close ends the broker, by SIGKILL as nothing is to be kept, and removes its files. Later calls return what the first one did.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutDown() error {
	s.Kill()
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("closing RabbitMQ: %w", err)
	}
	return nil
}

// errPortTaken says that another program listens on a port that was chosen.
var errPortTaken = errors.New("a port was taken by another program")

// run starts the port mapper and the broker, and waits until it takes connections.
func (s *Server) run(ctx context.Context) error {
	var err error
	if s.mapper, err = child.Start(s.command(mapper, "-address", host, "-port", strconv.Itoa(s.mapperPort))); err != nil {
		return err
	}
	if s.process, err = child.Start(s.command(Program())); err != nil {
		return err
	}
	return s.waitReady(ctx)
}

func (s *Server) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := s.connect()
		if err == nil {
			return nil
		}
		select {
		case <-s.mapper.Done: // another one has its port
			return errPortTaken
		case <-s.process.Done:
			if s.portTaken() {
				return errPortTaken
			}
			return fmt.Errorf("it ended: %w; it wrote: %s", errors.Join(s.process.Err, err), s.process.Said)
		case <-ctx.Done():
			return fmt.Errorf("waiting until it takes connections: %w: %w; it wrote: %s", ctx.Err(), err, s.process.Said)
		case <-ticker.C:
		}
	}
}

func (s *Server) connect() error {
	return s.inside(func() error {
		c, err := amqp.DialConfig(s.URL, amqp.Config{Dial: amqp.DefaultDial(time.Second)})
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// inside runs f where the broker runs.
func (s *Server) inside(f func() error) error {
	if s.config.Namespace == nil {
		return f()
	}
	return s.config.Namespace.Do(f)
}

// portTaken tells whether somebody listens on a port of the broker, which has ended.
func (s *Server) portTaken() bool {
	for _, port := range []int{s.port, s.node, s.managementPort} {
		err := s.inside(func() error {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				return err
			}
			return l.Close()
		})
		if err != nil {
			return true
		}
	}
	return false
}

func (s *Server) choosePorts() error {
	err := s.inside(func() error {
		for _, port := range []*int{&s.port, &s.node, &s.mapperPort, &s.managementPort} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				return fmt.Errorf("looking for a free port: %w", err)
			}
			defer l.Close()
			*port = l.Addr().(*net.TCPAddr).Port
		}
		return nil
	})
	s.URL = "amqp://guest:guest@" + net.JoinHostPort(s.config.Address, strconv.Itoa(s.port)) + "/"
	if s.config.Management {
		s.Management = "http://" + net.JoinHostPort(s.config.Address, strconv.Itoa(s.managementPort))
	}
	return err
}
