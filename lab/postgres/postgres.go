// Package postgres starts a PostgreSQL server of its own on the loopback interface, for tests of what keeps its state in
// one. It needs Debian's package postgresql.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/internal/child"
)

// binaries is where Debian keeps the programs of each version, none of them in the path of programs.
const binaries = "/usr/lib/postgresql/*/bin"

// Program is the server's path, or just its name if it is not installed.
func Program() string { return program("postgres") }

func program(name string) string {
	// The pattern has no error, and any version will do.
	if found, _ := filepath.Glob(filepath.Join(binaries, name)); len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}

// Server is a running server with an empty database.
type Server struct {
	DSN     string // postgres://...
	process *child.Process
	dir     string
}

// Start makes a database cluster in a temporary folder and starts its server, which takes some seconds. As root, the
// server runs as Debian's user postgres: PostgreSQL refuses to run as root.
func Start(ctx context.Context) (*Server, error) {
	s, err := start(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	return s, nil
}

func start(ctx context.Context) (*Server, error) {
	credential, err := serverUser()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "deskstorm-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.run(ctx, credential); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// serverUser is whom the server runs as: nil for this program's own user.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install postgresql", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (s *Server) run(ctx context.Context, credential *syscall.Credential) error {
	if credential != nil {
		if err := os.Chown(s.dir, int(credential.Uid), int(credential.Gid)); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "data")
	initdb := exec.CommandContext(ctx, program("initdb"), "--pgdata", data, "--username", "deskstorm", "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C")
	initdb.Dir = s.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if said, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, said)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	server := exec.Command(Program(), "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(port),
		"-c", "unix_socket_directories=", "-c", "max_connections=100")
	server.Dir = s.dir
	server.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if s.process, err = child.Start(server); err != nil {
		return err
	}
	s.DSN = fmt.Sprintf("postgres://deskstorm@127.0.0.1:%d/postgres?sslmode=disable", port)
	return s.wait(ctx)
}

// wait waits until the server takes connections.
func (s *Server) wait(ctx context.Context) error {
	ready := program("pg_isready")
	for {
		if exec.CommandContext(ctx, ready, "--quiet", "--dbname", s.DSN).Run() == nil {
			return nil
		}
		select {
		case <-s.process.Done:
			return fmt.Errorf("it ended: %w: %s", s.process.Err, s.process.Said)
		case <-ctx.Done():
			return fmt.Errorf("it takes no connections: %w: %s", ctx.Err(), s.process.Said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close stops the server and removes its files.
func (s *Server) Close() error {
	if s.process != nil {
		// SIGINT is PostgreSQL's fast shutdown.
		_ = s.process.Process.Signal(os.Interrupt)
		select {
		case <-s.process.Done:
		case <-time.After(10 * time.Second):
			s.process.Kill()
		}
	}
	return os.RemoveAll(s.dir)
}

// freePort is one that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
