// Package slapd runs OpenLDAP's server on loopback ports with a database of its own, so that what speaks LDAP can be tested
// against the directory that real desktop clouds use.
//
// It needs OpenLDAP 2.5 or later with its modules in /usr/lib/ldap (Debian: slapd). A Server dies with the process that
// started it.
package slapd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/deskstorm/deskstorm/internal/child"
)

// Program is the name of the server that Start looks for in PATH; Debian has it in /usr/sbin. The program that loads the
// database, slapadd, is beside it.
const Program = "slapd"

const (
	host         = "127.0.0.1"
	portAttempts = 5
	quitTimeout  = 3 * time.Second // slapd takes some 10 ms to quit
	pollInterval = 10 * time.Millisecond
)

// Config says what a directory holds and how it behaves.
type Config struct {
	// BaseDN is the DN of the database, such as "dc=example,dc=com".
	BaseDN string
	// LDIF holds the entries, the base's included (RFC 2849). The schemas are core, cosine and inetOrgPerson.
	LDIF string
	// TLSDir holds ca-cert.pem, server-cert.pem and server-key.pem. Empty: no TLS. With it there are an ldaps:// port, and
	// StartTLS on the plain one.
	TLSDir string
	// MaxFailures is how many wrong passwords lock an account until an administrator unlocks it; slapd then says so. 0:
	// there is no password policy.
	MaxFailures int
	// SizeLimit is how many entries a search returns to anybody but the administrator, all pages together. 0: slapd's 500.
	SizeLimit int
	// IdleTimeout is after how long slapd closes idle connections, in whole seconds. 0: never.
	IdleTimeout time.Duration
}

// Server is a running directory. Its methods must not be called from several goroutines at once.
type Server struct {
	URL           string // ldap://127.0.0.1:PORT
	TLSURL        string // ldaps://127.0.0.1:PORT; empty without TLS
	BaseDN        string
	AdminDN       string // may do everything
	AdminPassword string

	config  Config
	dir     string
	process *child.Process
	close   func() error
}

// Start starts a directory and waits until it answers. The context bounds the start only: it runs until Close. An error
// includes the end of what slapd wrote.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "deskstorm-slapd-")
	if err != nil {
		return nil, fmt.Errorf("starting slapd: %w", err)
	}
	s := &Server{
		BaseDN:        config.BaseDN,
		AdminDN:       "cn=admin," + config.BaseDN,
		AdminPassword: "administrator",
		config:        config,
		dir:           dir,
	}
	s.close = sync.OnceValue(s.shutDown)
	defer func() {
		if err != nil {
			err = fmt.Errorf("starting slapd: %w", errors.Join(err, s.Close()))
		}
	}()
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		if err := s.choosePorts(); err != nil {
			return nil, err
		}
		err := s.run(ctx)
		// Another program can take a port between our finding it free and slapd's binding it.
		if errors.Is(err, errPortTaken) && attempt < portAttempts {
			continue
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// Restart ends the server, by SIGKILL as a crash would, and starts it again on the same ports with the same database. The
// context bounds the start.
func (s *Server) Restart(ctx context.Context) error {
	s.Kill()
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("restarting slapd: %w", err)
	}
	return nil
}

// Kill ends the server by SIGKILL, and waits until it is gone. Close must still be called.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
	}
}

// Close ends the server, by force if it does not quit within seconds, and removes its files. Later calls return what the
// first one did.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutDown() error {
	if s.process != nil {
		_ = s.process.Process.Signal(syscall.SIGTERM) // fails only when it has ended
		select {
		case <-s.process.Done:
		case <-time.After(quitTimeout):
		}
		s.Kill()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("closing slapd: %w", err)
	}
	return nil
}

// errPortTaken says that another program listens on a port slapd was told to use.
var errPortTaken = errors.New("a port was taken by another program")

// run starts the server and waits until it answers.
func (s *Server) run(ctx context.Context) error {
	urls := s.URL
	if s.TLSURL != "" {
		urls += " " + s.TLSURL
	}
	// With -d it stays in the foreground and writes to standard error; "none" is what it always says (slapd(8)).
	cmd := exec.Command(Program, "-d", "none", "-f", s.configFile(), "-h", urls)
	cmd.WaitDelay = time.Second
	var err error
	if s.process, err = child.Start(cmd); err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		s.Kill()
		said := s.process.Said.String()
		if strings.Contains(said, "Address already in use") {
			return errPortTaken
		}
		return fmt.Errorf("%w; slapd wrote: %s", err, said)
	}
	return nil
}

// waitReady waits until the administrator can log in.
func (s *Server) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := s.login(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.process.Done:
			return fmt.Errorf("slapd ended: %w", errors.Join(s.process.Err, err))
		case <-ctx.Done():
			return fmt.Errorf("waiting until slapd answers: %w: %w", ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

func (s *Server) login(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(s.URL, "ldap://"))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // the LDAP library knows no contexts
	defer stop()
	c := ldap.NewConn(conn, false)
	c.Start()
	defer c.Close()
	return c.Bind(s.AdminDN, s.AdminPassword)
}

// load writes slapd's configuration and fills its database.
func (s *Server) load(ctx context.Context) error {
	if err := os.Mkdir(s.file("db"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(s.configFile(), []byte(s.configuration()), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.file("entries.ldif"), []byte(s.config.LDIF+s.policy()), 0o600); err != nil {
		return err
	}
	// -q leaves out what keeps the database whole if this is interrupted: nobody needs it then.
	load := exec.CommandContext(ctx, "slapadd", "-q", "-f", s.configFile(), "-l", s.file("entries.ldif"))
	if said, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("filling the database: %w; slapadd wrote: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) configFile() string { return s.file("slapd.conf") }

func (s *Server) choosePorts() error {
	var ports []string
	for range 2 {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	s.URL = "ldap://" + net.JoinHostPort(host, ports[0])
	if s.config.TLSDir != "" {
		s.TLSURL = "ldaps://" + net.JoinHostPort(host, ports[1])
	}
	return nil
}
