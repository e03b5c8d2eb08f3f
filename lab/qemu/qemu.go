// Package qemu runs the guest desktop (package guest) under QEMU with its SPICE server on a loopback port, so that thin
// clients can be tested and shown against the server that real desktop clouds use. The machine is what OpenStack and
// libvirt make of a desktop with SPICE, as far as the guest needs it: a PC with a QXL graphics adapter.
//
// It needs Linux and QEMU 7.2 or later with its SPICE modules (Debian: qemu-system-x86, qemu-system-modules-spice where
// that is a package of its own). A Desktop dies with the process that started it, and is out of reach of its terminal's Ctrl-C.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/guest"
)

// Program is the name of the QEMU that Start looks for in PATH.
const Program = "qemu-system-x86_64"

const (
	host         = "127.0.0.1"
	memory       = "16M" // the guest uses less than one; SeaBIOS and its tables fit
	portAttempts = 5
	quitTimeout  = 3 * time.Second // QEMU takes some 50 ms to quit
)

// Config says how a desktop's SPICE server is set up. The zero value is a server without ticket and TLS.
type Config struct {
	// Ticket is the password a client must give, of at most 60 bytes. Empty: the server asks for none, and SetTicket fails.
	Ticket string
	// TLS adds a TLS port beside the plain one. Nil: plain only.
	TLS *TLSFiles
	// ImageCompression is how the server compresses images unless the client prefers another way: off, lz, glz, quic,
	// auto_lz or auto_glz. Empty: the server's default.
	ImageCompression string
	// Incoming starts a desktop that does not boot but waits to be the target of MigrateTo.
	Incoming bool
	// Accelerator is "kvm" or "tcg". Empty: what Accelerator returns.
	Accelerator string
}

// TLSFiles names a server's certificates.
type TLSFiles struct {
	// Dir holds ca-cert.pem, server-cert.pem and server-key.pem, the names QEMU's x509-dir wants.
	Dir string
	// AllChannels makes the plain port refuse every channel, with the link error NEED_SECURED.
	AllChannels bool
}

// Desktop is a running guest desktop. Its methods may be called from several goroutines.
type Desktop struct {
	Host    string // where the SPICE server listens
	Port    int    // the plain port
	TLSPort int    // 0 without TLS

	incoming bool
	dir      string
	monitor  string // path of the QMP socket
	process  *child.Process

	com1mu sync.Mutex
	com1   net.Conn
	hung   bool
	close  func() error
}

// Start starts a desktop and waits until its guest takes keys; an Incoming one, until QEMU can be told to take it over.
// The context bounds the start only: the desktop runs until Close or Kill. An error includes the end of what QEMU wrote.
func Start(ctx context.Context, config Config) (*Desktop, error) {
	if err := checkTicket(config.Ticket); err != nil {
		return nil, fmt.Errorf("starting a desktop: %w", err)
	}
	if config.Accelerator == "" {
		config.Accelerator = Accelerator()
	}
	for attempt := 1; ; attempt++ {
		d, err := startOnFreePorts(ctx, config)
		// Another program can take a port between our finding it free and QEMU's binding it.
		if errors.Is(err, errPortTaken) && attempt < portAttempts {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("starting a desktop: %w", err)
		}
		return d, nil
	}
}

func startOnFreePorts(ctx context.Context, config Config) (*Desktop, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	return start(ctx, config, ports[0], ports[1])
}

func start(ctx context.Context, config Config, port, tlsPort int) (_ *Desktop, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "deskstorm-qemu-")
	if err != nil {
		return nil, err
	}
	d := &Desktop{Host: host, Port: port, incoming: config.Incoming, dir: dir, monitor: filepath.Join(dir, "qmp.sock")}
	d.close = sync.OnceValue(d.shutDown)
	defer func() {
		if err != nil {
			d.Kill()
			err = errors.Join(err, d.Close())
		}
	}()
	if config.TLS != nil {
		d.TLSPort = tlsPort
	}
	disk, err := writeDisk(dir)
	if err != nil {
		return nil, err
	}

	com1, com1Peer, err := socketPair()
	if err != nil {
		return nil, err
	}
	d.com1 = com1
	defer com1Peer.Close()
	ticket, err := ticketFile(config.Ticket)
	if err != nil {
		return nil, err
	}
	defer ticket.Close()

	cmd := exec.Command(Program, d.arguments(config, disk)...)
	cmd.ExtraFiles = []*os.File{com1Peer, ticket} // file descriptors 3 and 4
	if d.process, err = startProcess(cmd); err != nil {
		return nil, err
	}
	com1Peer.Close() // QEMU's copy must be the last one, for its end to be seen on ours
	if err := d.waitReady(ctx); err != nil {
		return nil, explain(d.process, err)
	}
	return d, nil
}

// arguments returns QEMU's command line. It never holds the ticket: every user of the host can read it.
func (d *Desktop) arguments(config Config, disk string) []string {
	spice := []string{"addr=" + d.Host, fmt.Sprintf("port=%d", d.Port), "seamless-migration=on"}
	if config.TLS != nil {
		spice = append(spice, fmt.Sprintf("tls-port=%d", d.TLSPort), "x509-dir="+escape(config.TLS.Dir))
		if config.TLS.AllChannels {
			spice = append(spice, "tls-channel=default")
		}
	}
	if config.ImageCompression != "" {
		spice = append(spice, "image-compression="+escape(config.ImageCompression))
	}
	args := []string{
		"-name", "deskstorm-guest",
		"-machine", "pc", "-accel", config.Accelerator, "-m", memory,
		"-no-user-config", "-nodefaults", "-display", "none",
		"-device", "qxl-vga",
		"-drive", "if=none,id=disk,format=raw,readonly=on,file=" + escape(disk),
		"-device", "virtio-blk-pci,drive=disk",
		"-chardev", "socket,id=com1,fd=3", "-device", "isa-serial,chardev=com1",
		"-qmp", "unix:" + escape(d.monitor) + ",server=on,wait=off",
	}
	if config.Ticket == "" {
		spice = append(spice, "disable-ticketing=on")
	} else {
		args = append(args, "-object", "secret,id=ticket,file=/dev/fd/4")
		spice = append(spice, "password-secret=ticket")
	}
	if config.Incoming {
		args = append(args, "-incoming", "defer")
	}
	return append(args, "-spice", strings.Join(spice, ","))
}

// escape returns s as the value of a QEMU option, in which a comma is written twice.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// waitReady waits until the guest takes keys, or an incoming desktop's QEMU takes commands.
func (d *Desktop) waitReady(ctx context.Context) error {
	if d.incoming {
		return d.waitMonitor(ctx)
	}
	if err := d.awaitCOM1(ctx, guest.ReadySignal); err != nil {
		return fmt.Errorf("waiting for the guest to be ready: %w", err)
	}
	return nil
}

// Close ends the desktop, by force if QEMU does not quit within seconds, and removes its files. Later calls return what
// the first one did.
func (d *Desktop) Close() error { return d.close() }

func (d *Desktop) shutDown() error {
	if d.process != nil {
		ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
		defer cancel()
		if d.execute(ctx, "quit", nil, nil) == nil {
			select {
			case <-d.process.Done:
			case <-ctx.Done():
			}
		}
		d.Kill()
	}
	if d.com1 != nil {
		d.com1.Close()
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("closing a desktop: %w", err)
	}
	return nil
}

// Kill ends QEMU with SIGKILL, as a host's crash or its OOM killer would, and waits until it is gone. Close must still be
// called, for the desktop's files.
func (d *Desktop) Kill() {
	if d.process != nil {
		d.process.Kill()
	}
}

// Hang makes the guest hang: QEMU and its SPICE server go on, the guest does nothing any more. It returns when the
// guest has hung.
func (d *Desktop) Hang(ctx context.Context) error {
	d.com1mu.Lock()
	defer d.com1mu.Unlock()
	if d.hung {
		return nil
	}
	if _, err := d.com1.Write([]byte{guest.HangCommand}); err != nil {
		return fmt.Errorf("telling the guest to hang: %w", err)
	}
	if err := d.awaitCOM1(ctx, guest.HangAnswer); err != nil {
		return fmt.Errorf("waiting for the guest to hang: %w", err)
	}
	d.hung = true
	return nil
}

// awaitCOM1 reads the guest's serial port until it sends want.
func (d *Desktop) awaitCOM1(ctx context.Context, want byte) error {
	if err := d.com1.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(expired)
		d.com1.SetReadDeadline(time.Unix(1, 0)) // wakes the read below
	})
	defer func() {
		if !stop() {
			<-expired
		}
	}()
	var got [1]byte
	for got[0] != want {
		if _, err := d.com1.Read(got[:]); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("reading COM1: %w", err)
		}
	}
	return nil
}

// writeDisk writes the disk the guest boots from and returns its path.
func writeDisk(dir string) (string, error) {
	disk := filepath.Join(dir, "guest.img")
	if err := os.WriteFile(disk, guest.Image(), 0o600); err != nil {
		return "", err
	}
	return disk, os.Truncate(disk, guest.MinDiskSize)
}
