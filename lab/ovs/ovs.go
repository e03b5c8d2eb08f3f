// Package ovs runs an Open vSwitch of its own for tests: the real ovsdb-server and ovs-vswitchd, with a database, sockets and
// logs below a temporary directory, and a switch that forwards in user space (datapath_type netdev). Nothing of the host's
// Open vSwitch is touched.
//
// The switch works in the network namespace that it is told, and needs root for it. Both programs end when the program that
// started them does. Debian: openvswitch-switch.
package ovs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/internal/child"
)

// The programs that Start looks for in PATH.
const (
	Database = "ovsdb-server"
	Daemon   = "ovs-vswitchd"
	Tool     = "ovs-vsctl"
)

// schema is where Debian's openvswitch-common has it.
const schema = "/usr/share/openvswitch/vswitch.ovsschema"

const (
	pollInterval = 20 * time.Millisecond
	endTimeout   = 10 * time.Second
	toolTimeout  = 20 // seconds, of ovs-vsctl: it waits for the switch
)

// Config says where a switch works.
type Config struct {
	// Namespace is the path of the network namespace, such as /run/netns/host1; empty: that of this program.
	Namespace string
}

// Switch is an Open vSwitch. Its methods may be called by one goroutine at a time.
type Switch struct {
	Socket string // the path of the database's Unix socket

	dir, namespace   string
	database, daemon *child.Process // nil: it does not run
	close            func() error
}

// Start starts database and switch, without any bridge, and waits until both answer. The context bounds the start only: they
// run until Close. An error includes the end of what the programs wrote.
func Start(ctx context.Context, config Config) (_ *Switch, err error) {
	dir, err := os.MkdirTemp("", "deskstorm-ovs-")
	if err != nil {
		return nil, fmt.Errorf("starting Open vSwitch: %w", err)
	}
	s := &Switch{Socket: filepath.Join(dir, "db.sock"), dir: dir, namespace: config.Namespace}
	s.close = sync.OnceValue(s.shutDown)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting Open vSwitch: %w", err), s.Close())
		}
	}()
	if _, err := s.run(ctx, "ovsdb-tool", "create", s.path("conf.db"), schema); err != nil {
		return nil, err
	}
	if err := s.StartDatabase(ctx); err != nil {
		return nil, err
	}
	if _, err := s.Vsctl(ctx, "--no-wait", "init"); err != nil {
		return nil, err
	}
	if err := s.StartDaemon(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// StartDatabase starts the ovsdb-server, again after KillDatabase, and waits for its socket.
func (s *Switch) StartDatabase(ctx context.Context) error {
	p, err := child.Start(s.command(Database, s.path("conf.db"), "--remote=punix:"+s.Socket, "--unixctl="+s.path("db.ctl"),
		"-vconsole:warn", "-vfile:off"))
	if err != nil {
		return fmt.Errorf("starting %s: %w", Database, err)
	}
	s.database = p
	return s.await(ctx, Database, p, func() bool {
		_, err := s.Vsctl(ctx, "--no-wait", "show")
		return err == nil
	})
}

// KillDatabase ends the ovsdb-server as a crash would.
func (s *Switch) KillDatabase() { s.kill(&s.database, s.Socket, s.path("db.ctl")) }

// StartDaemon starts the ovs-vswitchd, again after KillDaemon, and waits until it has worked through the database.
func (s *Switch) StartDaemon(ctx context.Context) error {
	p, err := child.Start(s.command(Daemon, "unix:"+s.Socket, "--unixctl="+s.path("vswitchd.ctl"), "-vconsole:warn", "-vfile:off"))
	if err != nil {
		return fmt.Errorf("starting %s: %w", Daemon, err)
	}
	s.daemon = p
	return s.await(ctx, Daemon, p, func() bool {
		_, err := os.Stat(s.path("vswitchd.ctl"))
		// Without --no-wait the tool waits for the switch to have done what was set: a change that is none to anybody.
		if err == nil {
			_, err = s.Vsctl(ctx, "set", "Open_vSwitch", ".", fmt.Sprintf("external_ids:started=%d", p.Process.Pid))
		}
		return err == nil
	})
}

// KillDaemon ends the ovs-vswitchd as a crash, or a host's shutdown, would. The records stay.
func (s *Switch) KillDaemon() { s.kill(&s.daemon, s.path("vswitchd.ctl")) }

// Pause stops the ovs-vswitchd where it is: it notices nothing until Resume.
func (s *Switch) Pause() error { return s.daemon.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused ovs-vswitchd go on.
func (s *Switch) Resume() error { return s.daemon.Process.Signal(syscall.SIGCONT) }

// Vsctl runs ovs-vsctl on the database and returns what it printed. It waits for the switch unless told --no-wait.
func (s *Switch) Vsctl(ctx context.Context, args ...string) (string, error) {
	return s.run(ctx, Tool, append([]string{"--db=unix:" + s.Socket, fmt.Sprintf("--timeout=%d", toolTimeout)}, args...)...)
}

// AddBridge makes a bridge that forwards in user space and learns addresses as a plain switch does.
func (s *Switch) AddBridge(ctx context.Context, name string) error {
	_, err := s.Vsctl(ctx, "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail-mode=standalone")
	return err
}

// Plug does what libvirt does for an interface with a virtual port of Open vSwitch (virnetdevopenvswitch.c): it adds the port
// if it may not exist yet, and writes whose it is. What else the port's record says stays.
func (s *Switch) Plug(ctx context.Context, bridge, device, interfaceID string) error {
	_, err := s.Vsctl(ctx, "--no-wait", "--", "--may-exist", "add-port", bridge, device,
		"--", "set", "Interface", device, "external_ids:iface-id=\""+interfaceID+"\"", "external_ids:iface-status=active")
	return err
}

// Close ends both programs and removes their files. Later calls return what the first one did.
func (s *Switch) Close() error { return s.close() }

func (s *Switch) shutDown() error {
	if s.daemon != nil {
		_ = s.daemon.Process.Signal(syscall.SIGCONT) // a stopped one would not end
		// Gently, with --cleanup, so that its devices of the namespace go with it.
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		if _, err := s.run(ctx, "ovs-appctl", "-t", s.path("vswitchd.ctl"), "exit", "--cleanup"); err == nil {
			select {
			case <-s.daemon.Done:
			case <-ctx.Done():
			}
		}
	}
	s.KillDaemon()
	s.KillDatabase()
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("closing Open vSwitch: %w", err)
	}
	return nil
}

func (s *Switch) kill(p **child.Process, files ...string) {
	if *p != nil {
		(*p).Kill()
		*p = nil
	}
	for _, file := range files {
		_ = os.Remove(file) // what a killed one leaves behind, so that nobody takes it for the next one's
	}
}

func (s *Switch) await(ctx context.Context, name string, p *child.Process, answers func() bool) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !answers() {
		select {
		case <-tick.C:
		case <-p.Done:
			return fmt.Errorf("starting %s: it ended (%w), having written: %s", name, p.Err, p.Said)
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s answers: %w; it wrote: %s", name, ctx.Err(), p.Said)
		}
	}
	return nil
}

// command is a program with this switch's directories, in its namespace.
func (s *Switch) command(program string, args ...string) *exec.Cmd {
	if s.namespace != "" {
		program, args = "nsenter", append([]string{"--net=" + s.namespace, program}, args...)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "OVS_RUNDIR=" + s.dir, "OVS_LOGDIR=" + s.dir, "OVS_DBDIR=" + s.dir,
		"OVS_SYSCONFDIR=" + s.dir}
	cmd.WaitDelay = time.Second
	return cmd
}

func (s *Switch) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = s.command("").Env
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err != nil {
		return said, fmt.Errorf("%s %.200s: %w: %s", program, strings.Join(args, " "), err, said)
	}
	return said, nil
}

func (s *Switch) path(name string) string { return filepath.Join(s.dir, name) }
