// Package libvirt runs a libvirtd of its own with guest desktops (package guest) under QEMU, so that what asks a
// hypervisor is tested against the daemon that OpenStack's compute nodes run.
//
// The daemon is libvirt's session daemon: the same program and QEMU driver as the system's, but with all its files below
// directories that the environment names. It runs in namespaces of its own (user, mount, process), where it is an
// ordinary user and sees no other process. Nothing of the host's libvirt is touched, root is not needed, and when the
// namespace's first process ends the kernel ends the daemon and every QEMU with it: none outlives the program that
// started it.
//
// It needs Linux with user namespaces, unshare of util-linux 2.38 or later, libvirt 9.0 or later with its QEMU driver
// (Debian: libvirt-daemon, libvirt-daemon-driver-qemu) and QEMU as package qemu does.
package libvirt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/deskstorm/deskstorm/internal/child"
)

// Program is the name of the daemon that Start looks for in PATH.
const Program = "libvirtd"

const (
	// someUser is the user the daemon believes to be: one that is not root, for a session daemon, and that every system
	// has (nobody).
	someUser = "65534"
	// pollInterval is how often a starting daemon is asked whether it answers; it takes some 200 ms.
	pollInterval = 20 * time.Millisecond
	endTimeout   = 10 * time.Second
	// displayPorts is how many ports the daemon may give to SPICE servers.
	displayPorts = 100
)

// supervisor starts and kills the daemon as it is told on its standard input. The first process of the namespace waits
// for it, and reaps meanwhile what the daemon leaves behind: libvirt believes that a QEMU it killed lives as long as it is a
// zombie. When nobody is left to tell it anything both end, and the namespace with them.
const supervisor = `
exec 3<&0
while read -r command <&3; do
	case $command in
	start) libvirtd -f "$@" </dev/null 3<&- >&2 & daemon=$! ;;
	kill) kill -KILL "$daemon"; wait "$daemon"; echo killed ;;
	esac
done &
wait`

// Namespaces returns the arguments of unshare for the namespaces a daemon runs in; a command follows them.
func Namespaces() []string {
	return []string{"--user", "--map-user=" + someUser, "--map-group=" + someUser,
		"--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
}

// Config says how a daemon is set up. The zero value is a daemon whose desktops take no ticket.
type Config struct {
	// Ticketing sets spice_password in qemu.conf, to the empty password, which no client can give: desktops can be
	// opened only with a ticket that is set later.
	Ticketing bool
	// TLSDir holds cacert.pem, servercert.pem and serverkey.pem; the daemon then listens for TLS too, and asks clients
	// for a certificate of the same authority. Empty: the Unix socket only.
	TLSDir string
}

// Daemon is a running libvirtd. Its methods may be called from several goroutines.
type Daemon struct {
	Socket  string // path of its Unix socket
	TLSPort int    // on 127.0.0.1; 0 without TLS

	dir     string
	process *child.Process
	close   func() error

	mu       sync.Mutex // held while the supervisor does a command
	commands io.WriteCloser
	answers  *bufio.Reader
	answered *os.File // what answers reads
}

// Start starts a daemon and waits until it answers. The context bounds the start only: the daemon runs until Close. An
// error includes the end of what the daemon wrote.
func Start(ctx context.Context, config Config) (_ *Daemon, err error) {
	dir, err := os.MkdirTemp("", "deskstorm-libvirt-")
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", Program, err)
	}
	d := &Daemon{dir: dir, Socket: filepath.Join(dir, "run", "libvirt", "libvirt-sock")}
	d.close = sync.OnceValue(d.shutDown)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting %s: %w", Program, err), d.Close())
		}
	}()
	settings, err := d.writeSettings(config)
	if err != nil {
		return nil, err
	}
	if err := d.startSupervisor(settings, config); err != nil {
		return nil, err
	}
	if err := d.Restart(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Daemon) startSupervisor(settings string, config Config) error {
	args := append(Namespaces(), "sh", "-c", supervisor, "supervisor", settings)
	if config.TLSDir != "" {
		args = append(args, "--listen")
	}
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(d.environment(), "PATH="+os.Getenv("PATH"))
	cmd.WaitDelay = time.Second
	commands, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	answers, answersEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answersEnd.Close()
	cmd.Stdout = answersEnd
	if d.process, err = child.Start(cmd); err != nil {
		answers.Close()
		return err
	}
	d.commands, d.answers, d.answered = commands, bufio.NewReader(answers), answers
	return nil
}

// Kill ends the daemon as a crash would. Its desktops run on, as they do under a host's libvirtd.
func (d *Daemon) Kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := io.WriteString(d.commands, "kill\n"); err != nil {
		return fmt.Errorf("killing %s: %w", Program, err)
	}
	if _, err := d.answers.ReadString('\n'); err != nil {
		return fmt.Errorf("killing %s: %w", Program, err)
	}
	return nil
}

// Restart starts the daemon after Kill and waits until it answers.
func (d *Daemon) Restart(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := io.WriteString(d.commands, "start\n"); err != nil {
		return fmt.Errorf("telling the supervisor: %w", err)
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := d.do(ctx, func(*libvirt.Libvirt) error { return nil })
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.process.Done:
			return fmt.Errorf("it ended (%w), having written: %s", d.process.Err, d.process.Said)
		case <-ctx.Done():
			return fmt.Errorf("waiting until it answers (%w): %w; it wrote: %s", ctx.Err(), err, d.process.Said)
		}
	}
}

// URI is the daemon's address for programs on this machine.
func (d *Daemon) URI() string {
	return "qemu+unix:///session?socket=" + url.QueryEscape(d.Socket)
}

// do opens a connection to the daemon for one task.
func (d *Daemon) do(ctx context.Context, task func(*libvirt.Libvirt) error) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", d.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	l := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	if err := l.ConnectToURI(libvirt.QEMUSession); err != nil {
		return err
	}
	return task(l)
}

// Close ends the daemon and all its desktops, and removes their files. Later calls return what the first one did.
func (d *Daemon) Close() error { return d.close() }

func (d *Daemon) shutDown() error {
	if d.process != nil {
		d.commands.Close() // the supervisor ends, and with it the namespace
		select {
		case <-d.process.Done:
		case <-time.After(endTimeout):
			d.process.Kill()
		}
		d.answered.Close()
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("closing %s: %w", Program, err)
	}
	return nil
}
